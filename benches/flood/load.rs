//! The load: as many connections as are to be at once, in a ring. Each in its turn is read from, and waited for: a server
//! answers in the order in which it was asked, so there is no need of a poll here, and the load costs less than what it loads.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ClientConnection;

use crate::answer::{self, BEGIN};
use crate::failure;
use crate::tls::Settings;

/// The connections at once.
pub const AT_ONCE: usize = 64;

/// What a connection does.
#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub tls: Option<Settings>,
    /// Requests that are sent at once; 0: one, and the connection is closed after it.
    pub depth: usize,
    request: Vec<u8>,
    /// The length of all answers to it.
    expected: usize,
}

impl Plan {
    /// Looks at one answer, so as to know the others by their length.
    pub fn new(address: SocketAddr, tls: Option<Settings>, depth: usize) -> io::Result<Self> {
        let one = if depth == 0 {
            answer::CLOSE
        } else {
            answer::KEEP
        };
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = match &tls {
            None => answer::ask(&mut stream, one)?,
            Some(settings) => {
                let mut session = settings.session()?;
                let mut tls = rustls::Stream::new(&mut session, &mut stream);
                let length = answer::ask(&mut tls, one)?;
                if !settings.wish().resumed {
                    settings.check(&session)?;
                }
                length
            }
        };
        Ok(Self {
            address,
            tls,
            depth,
            request: one.repeat(depth.max(1)),
            expected: length * depth.max(1),
        })
    }

    const fn stays(&self) -> bool {
        self.depth > 0
    }

    fn answers(&self) -> u64 {
        u64::try_from(self.depth.max(1)).unwrap_or(1)
    }
}

/// One connection.
pub struct Visit {
    pub stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What has come of the answers.
    received: usize,
    asked: bool,
}

impl Visit {
    /// Connects and says the first thing that there is to say.
    pub fn open(plan: &Plan) -> io::Result<Self> {
        let mut visit = Self::over(TcpStream::connect(plan.address)?);
        visit.begin(plan)?;
        Ok(visit)
    }

    /// A visit over a socket that is connected.
    pub const fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            tls: None,
            received: 0,
            asked: false,
        }
    }

    const fn has_begun(&self) -> bool {
        self.asked || self.tls.is_some()
    }

    /// Says the first thing that there is to say.
    pub fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let Some(settings) = &plan.tls else {
            return self.ask(plan);
        };
        let mut session = settings.session()?;
        session.write_tls(&mut self.stream)?;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    /// Sends the request.
    fn ask(&mut self, plan: &Plan) -> io::Result<()> {
        self.received = 0;
        self.asked = true;
        match &mut self.tls {
            None => self.stream.write_all(&plan.request),
            Some(session) => {
                session.writer().write_all(&plan.request)?;
                while session.wants_write() {
                    session.write_tls(&mut self.stream)?;
                }
                Ok(())
            }
        }
    }

    /// Reads once and does what follows from it. Returns whether the answers are complete. The kind of the handshake is
    /// not looked at where the connection is one of the `first`, which are made before the measurement.
    pub fn step(&mut self, plan: &Plan, buffer: &mut [u8], first: bool) -> io::Result<bool> {
        let Some(session) = &mut self.tls else {
            let length = self.stream.read(buffer)?;
            return self.take(&buffer[..length], plan, length == 0);
        };
        let ended = session.read_tls(&mut self.stream)? == 0;
        let state = session.process_new_packets().map_err(io::Error::other)?;
        let (length, closed) = (state.plaintext_bytes_to_read(), state.peer_has_closed());
        if length > 0 {
            let length = length.min(buffer.len());
            session.reader().read_exact(&mut buffer[..length])?;
            self.take(&buffer[..length], plan, false)?;
        } else if !session.is_handshaking() && !self.asked {
            if let Some(settings) = plan.tls.as_ref().filter(|_| !first) {
                settings.check(session)?;
            }
            self.ask(plan)?;
        } else {
            while session.wants_write() {
                session.write_tls(&mut self.stream)?;
            }
        }
        let complete = self.received == plan.expected;
        if ended && !complete {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // A socket with unread input would be closed by a reset, which is not how visitors go.
        Ok(complete && (plan.stays() || closed || ended))
    }

    fn take(&mut self, bytes: &[u8], plan: &Plan, ended: bool) -> io::Result<bool> {
        if self.received == 0 && !bytes.starts_with(BEGIN) || ended {
            return Err(failure("an answer that is none, or not whole"));
        }
        self.received += bytes.len();
        if self.received > plan.expected {
            return Err(failure("an answer that is longer than the first one"));
        }
        Ok(self.received == plan.expected)
    }

    /// Takes leave: TLS says so.
    pub fn leave(mut self) {
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
            // The server may have gone before.
            let _ = session.write_tls(&mut self.stream);
        }
    }
}

/// How much load there is to be.
#[derive(Clone, Copy)]
pub struct Limit {
    /// The time that it is to take; ten times as long where it is short of `least` answers by then.
    pub time: Duration,
    pub least: u64,
    pub most: u64,
}

impl Limit {
    fn allows(self, asked: u64, elapsed: Duration) -> bool {
        asked < self.most && (elapsed < self.time || asked < self.least && elapsed < self.time * 10)
    }
}

/// What came of it.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub answers: u64,
    pub elapsed: Duration,
}

/// Connections at the ready.
pub struct Ring {
    plan: Plan,
    at_once: usize,
    visits: VecDeque<Visit>,
    buffer: Vec<u8>,
}

impl Ring {
    /// Connections that stay are made and have had an answer when this returns; sessions that are to be resumed have begun.
    pub fn new(plan: Plan, at_once: usize) -> io::Result<Self> {
        let mut ring = Self {
            plan,
            at_once,
            visits: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
        };
        let resumes = ring.plan.tls.as_ref().is_some_and(|tls| tls.wish().resumed);
        if ring.plan.stays() || resumes {
            // All are opened before the first gets a ticket: each is to bring one along.
            let opened: Vec<Visit> = (0..at_once)
                .map(|_| Visit::open(&ring.plan))
                .collect::<io::Result<_>>()?;
            for mut visit in opened {
                while !visit.step(&ring.plan, &mut ring.buffer, true)? {}
                if ring.plan.stays() {
                    ring.visits.push_back(visit);
                } else {
                    visit.leave();
                }
            }
        }
        Ok(ring)
    }

    /// A connection that says nothing before its next turn: a client comes to know that it is connected some time before
    /// its request arrives, and a server may have accepted it by then. wrk's clients are the same.
    fn connect(&self) -> io::Result<Visit> {
        TcpStream::connect(self.plan.address).map(Visit::over)
    }

    /// Asks until the limit, and waits for the last answer.
    pub fn run(&mut self, limit: Limit) -> io::Result<Outcome> {
        let began = Instant::now();
        for visit in &mut self.visits {
            visit.ask(&self.plan)?;
        }
        while self.visits.len() < self.at_once {
            self.visits.push_back(self.connect()?);
        }
        let mut asked = u64::try_from(self.at_once).unwrap_or(0) * self.plan.answers();
        let mut answers = 0;
        let mut done = VecDeque::new();
        while let Some(mut visit) = self.visits.pop_front() {
            if !visit.has_begun() {
                visit.begin(&self.plan)?;
                self.visits.push_back(visit);
                continue;
            }
            if !visit.step(&self.plan, &mut self.buffer, false)? {
                self.visits.push_back(visit);
                continue;
            }
            answers += self.plan.answers();
            let more = limit.allows(asked, began.elapsed());
            if self.plan.stays() {
                if more {
                    visit.ask(&self.plan)?;
                    self.visits.push_back(visit);
                } else {
                    done.push_back(visit);
                }
            } else {
                visit.leave();
                if more {
                    self.visits.push_back(self.connect()?);
                }
            }
            if more {
                asked += self.plan.answers();
            }
        }
        self.visits = done;
        Ok(Outcome {
            answers,
            elapsed: began.elapsed(),
        })
    }
}
