//! The load: a fixed number of concurrent connections in a ring. Each is read in its turn by a blocking call: a server answers
//! in the order of the requests, so the load needs no poll, and costs less than the server.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ClientConnection;

use crate::answer::{self, BEGIN};
use crate::tls::Settings;

/// The concurrent connections.
pub const AT_ONCE: usize = 64;

/// What each connection sends, and the answer it expects.
#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub tls: Option<Settings>,
    /// The number of pipelined requests. 0 is one request, after which the connection is closed.
    pub depth: usize,
    request: Vec<u8>,
    /// The length of all answers to `request`.
    expected: usize,
}

impl Plan {
    /// Checks one answer. The others must have its length.
    pub fn new(address: SocketAddr, tls: Option<Settings>, depth: usize) -> io::Result<Self> {
        let one = if depth == 0 {
            answer::CLOSE
        } else {
            answer::KEEP
        };
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = match &tls {
            None => answer::exchange(&mut stream, one)?,
            Some(settings) => {
                let mut session = settings.session()?;
                let mut tls = rustls::Stream::new(&mut session, &mut stream);
                let length = answer::exchange(&mut tls, one)?;
                if !settings.profile().resumed {
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

    const fn is_persistent(&self) -> bool {
        self.depth > 0
    }

    fn answers(&self) -> u64 {
        u64::try_from(self.depth.max(1)).unwrap_or(1)
    }
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The bytes received of the answers.
    received: usize,
    requested: bool,
}

impl Client {
    /// Connects and begins.
    pub fn open(plan: &Plan) -> io::Result<Self> {
        let mut client = Self::over(TcpStream::connect(plan.address)?);
        client.begin(plan)?;
        Ok(client)
    }

    /// A client with a connected socket.
    pub const fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            tls: None,
            received: 0,
            requested: false,
        }
    }

    const fn has_begun(&self) -> bool {
        self.requested || self.tls.is_some()
    }

    /// Sends the request, or the ClientHello.
    pub fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let Some(settings) = &plan.tls else {
            return self.send_request(plan);
        };
        let mut session = settings.session()?;
        session.write_tls(&mut self.stream)?;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    fn send_request(&mut self, plan: &Plan) -> io::Result<()> {
        self.received = 0;
        self.requested = true;
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

    /// Reads once, and sends what follows. Returns whether the answers are complete. The handshake of a connection made before
    /// the measurement (`first`) is not checked.
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
        } else if !session.is_handshaking() && !self.requested {
            if let Some(settings) = plan.tls.as_ref().filter(|_| !first) {
                settings.check(session)?;
            }
            self.send_request(plan)?;
        } else {
            while session.wants_write() {
                session.write_tls(&mut self.stream)?;
            }
        }
        let complete = self.received == plan.expected;
        if ended && !complete {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // The close of a socket with unread input would send a reset, which real clients do not.
        Ok(complete && (plan.is_persistent() || closed || ended))
    }

    fn take(&mut self, bytes: &[u8], plan: &Plan, ended: bool) -> io::Result<bool> {
        if self.received == 0 && !bytes.starts_with(BEGIN) || ended {
            return Err(io::Error::other("an answer is malformed or incomplete"));
        }
        self.received += bytes.len();
        if self.received > plan.expected {
            return Err(io::Error::other("an answer is longer than the first one"));
        }
        Ok(self.received == plan.expected)
    }

    /// Closes the connection, after a `close_notify` over TLS.
    pub fn close(mut self) {
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
            // The server may have closed before.
            let _ = session.write_tls(&mut self.stream);
        }
    }
}

/// The extent of one load.
#[derive(Clone, Copy)]
pub struct Limit {
    /// The duration; ten times as long if there are less than `least` answers by then.
    pub time: Duration,
    pub least: u64,
    pub most: u64,
}

impl Limit {
    fn allows(self, requested: u64, elapsed: Duration) -> bool {
        requested < self.most
            && (elapsed < self.time || requested < self.least && elapsed < self.time * 10)
    }
}

/// The result of one load.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub answers: u64,
    pub elapsed: Duration,
}

/// The connections of a load.
pub struct Ring {
    plan: Plan,
    at_once: usize,
    clients: VecDeque<Client>,
    buffer: Vec<u8>,
}

impl Ring {
    /// Opens persistent connections, each of which has had an answer when this returns, and gets the tickets of sessions to be
    /// resumed.
    pub fn new(plan: Plan, at_once: usize) -> io::Result<Self> {
        let mut ring = Self {
            plan,
            at_once,
            clients: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
        };
        let resumes = ring
            .plan
            .tls
            .as_ref()
            .is_some_and(|tls| tls.profile().resumed);
        if ring.plan.is_persistent() || resumes {
            // All are opened before the first gets a ticket, so that each gets one.
            let opened: Vec<Client> = (0..at_once)
                .map(|_| Client::open(&ring.plan))
                .collect::<io::Result<_>>()?;
            for mut client in opened {
                while !client.step(&ring.plan, &mut ring.buffer, true)? {}
                if ring.plan.is_persistent() {
                    ring.clients.push_back(client);
                } else {
                    client.close();
                }
            }
        }
        Ok(ring)
    }

    /// Opens a connection that sends nothing before its next turn: for a real client some time passes between connect and
    /// request, in which a server may accept the connection. wrk does the same.
    fn connect(&self) -> io::Result<Client> {
        TcpStream::connect(self.plan.address).map(Client::over)
    }

    /// Sends requests until the limit, and waits for the last answer.
    pub fn run(&mut self, limit: Limit) -> io::Result<Outcome> {
        let began = Instant::now();
        for client in &mut self.clients {
            client.send_request(&self.plan)?;
        }
        while self.clients.len() < self.at_once {
            self.clients.push_back(self.connect()?);
        }
        let mut requested = u64::try_from(self.at_once).unwrap_or(0) * self.plan.answers();
        let mut answers = 0;
        let mut done = VecDeque::new();
        while let Some(mut client) = self.clients.pop_front() {
            if !client.has_begun() {
                client.begin(&self.plan)?;
                self.clients.push_back(client);
                continue;
            }
            if !client.step(&self.plan, &mut self.buffer, false)? {
                self.clients.push_back(client);
                continue;
            }
            answers += self.plan.answers();
            let more = limit.allows(requested, began.elapsed());
            if self.plan.is_persistent() {
                if more {
                    client.send_request(&self.plan)?;
                    self.clients.push_back(client);
                } else {
                    done.push_back(client);
                }
            } else {
                client.close();
                if more {
                    self.clients.push_back(self.connect()?);
                }
            }
            if more {
                requested += self.plan.answers();
            }
        }
        self.clients = done;
        Ok(Outcome {
            answers,
            elapsed: began.elapsed(),
        })
    }
}
