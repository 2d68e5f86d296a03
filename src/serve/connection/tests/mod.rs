mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::clock;
use crate::config::Timeouts;
use crate::config::server_name::{ServerName, VirtualHosts};
use crate::serve::answer::retry_after::Countdown;
use crate::serve::answer::{Answers, Content, Ready};
use crate::serve::connection::tests::script::{Event, Script};
use crate::serve::connection::*;
use crate::serve::worker::deadlines::Deadlines;

const PAGE: &str = "<p>Back soon</p>\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn site() -> Sites {
    site_with(PAGE.as_bytes())
}

fn site_with(page: &[u8]) -> Sites {
    let answers = Answers::new(page, "text/html", Duration::from_secs(300)).unwrap();
    Sites::one(answers, 1000)
}

/// Runs a connection until it closes, or waits after the end of the script.
fn run(site: &Sites, io: &mut Script) -> (Connection, Next) {
    let mut connection = Connection::new(false);
    let next = resume(&mut connection, site, io);
    (connection, next)
}

fn resume(connection: &mut Connection, site: &Sites, io: &mut Script) -> Next {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        io.begin_turn();
        let next = connection.advance(io, site, &mut buffer, &mut ());
        match next {
            Next::Close(_) => return next,
            Next::Requeue => {}
            Next::Read | Next::Write if io.has_more() => {}
            Next::Read | Next::Write => return next,
        }
    }
}

/// The statuses of the answers in a stream, whose bodies must be complete.
fn statuses(mut output: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !output.is_empty() {
        let end = output
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap()
            + 4;
        let head = std::str::from_utf8(&output[..end]).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap();
        statuses.push(head[9..12].parse().unwrap());
        output = &output[end + length.parse::<usize>().unwrap()..];
    }
    statuses
}

/// Each request gets the answer of its host, however small the writes are.
#[test]
fn answers_of_several_sites_are_in_order_for_any_write_size() {
    let contents = [("text/html", "first"), ("text/plain", "second one")]
        .map(|(kind, page)| Content::of_page(page.as_bytes(), kind, Duration::from_secs(300)));
    let names = ["a", "b"].map(|name| [name.parse().unwrap()]);
    let sites = Sites {
        hosts: VirtualHosts::all(names.iter().map(<[ServerName; 1]>::as_slice)),
        ..Sites::one(Answers::of_sites(&contents).unwrap(), 1000)
    };
    let hosts = ["a", "b", "B:80", "c", "b."];
    let pipeline: String = hosts
        .iter()
        .map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .collect();
    let mut io = Script::reading(&[&pipeline]);
    run(&sites, &mut io);
    let whole = String::from_utf8(io.output).unwrap();
    let pages: Vec<&str> = whole
        .split("\r\n\r\n")
        .skip(1)
        .map(|rest| rest.split("HTTP/1.1").next().unwrap())
        .collect();
    assert_eq!(
        pages,
        ["first", "second one", "second one", "first", "second one"]
    );
    for room in [1, 7, 150, 400] {
        let mut script = vec![Event::Input(pipeline.clone())];
        script.extend((0..whole.len()).map(|_| Event::Room(room)));
        let mut io = Script::new(script);
        io.room = 0;
        run(&sites, &mut io);
        assert_eq!(String::from_utf8(io.output).unwrap(), whole, "{room}");
    }
}

/// The value of Retry-After may change while an answer is blocked. An answer that has begun is sent unchanged.
#[test]
fn a_head_that_is_counted_down_is_complete_for_any_write_size() {
    let content = Content {
        retry_after: None,
        ..Content::of_page(PAGE.as_bytes(), "text/html", Duration::ZERO)
    };
    let answers = Arc::new(Answers::of_sites(&[content]).unwrap());
    let announcing = |until: u64| Sites {
        answers: Arc::clone(&answers),
        countdown: Some(Countdown::new(until)),
        ..site()
    };
    let end = clock::seconds() + 1000;
    for room in [1, 7, 100, 250] {
        let mut io = Script::new(vec![Event::Input(GET.repeat(3)), Event::Room(room)]);
        io.room = 0;
        let (mut connection, next) = run(&announcing(end), &mut io);
        assert_eq!(next, Next::Write);
        io.room = usize::MAX;
        let later = announcing(end + 1_000_000);
        resume(&mut connection, &later, &mut io);
        assert_eq!(statuses(&io.output), [503; 3], "{room}");
        let output = String::from_utf8(io.output).unwrap();
        let values = output
            .lines()
            .filter_map(|line| line.strip_prefix("Retry-After: "));
        let values: Vec<u64> = values.map(|seconds| seconds.parse().unwrap()).collect();
        assert!(
            values.iter().all(|seconds| (990..=1200).contains(seconds)),
            "{values:?}"
        );
        assert!(
            values[0] != values[1] && values[1] != values[2],
            "{values:?}"
        );
    }
}

#[test]
fn a_request_is_answered_and_the_connection_stays_open() {
    let mut io = Script::reading(&[GET]);
    let (mut connection, next) = run(&site(), &mut io);
    assert_eq!(next, Next::Read);
    assert_eq!(statuses(&io.output), [503]);
    assert!(io.output.ends_with(PAGE.as_bytes()));
    assert_eq!(connection.take_timer(), Some(Timer::KeepAlive));
    assert_eq!(
        connection.expire(&mut io),
        Next::Close(CloseReason::KeepAliveTimeout)
    );
}

#[test]
fn one_read_and_one_write_are_enough() {
    let mut io = Script::reading(&[CLOSE]);
    let (_, next) = run(&site(), &mut io);
    assert_eq!(next, Next::Close(CloseReason::Answered));
    assert_eq!((io.reads, io.writes, io.shut), (1, 1, false));
    let mut io = Script::reading(&[GET]);
    assert_eq!(run(&site(), &mut io).1, Next::Read);
    assert_eq!((io.reads, io.writes), (1, 1));
}

#[test]
fn a_long_or_blocked_answer_is_followed_by_lingering() {
    for (page, room) in [(PAGE.as_bytes(), 10), (&[b'x'; 20_000][..], usize::MAX)] {
        let mut io = Script::new(vec![
            Event::Input(CLOSE.into()),
            Event::Room(1_000_000),
            Event::Input("\r\n".into()),
        ]);
        io.room = room;
        let (_, next) = run(&site_with(page), &mut io);
        assert_eq!((next, io.shut), (Next::Read, true));
        assert_eq!(statuses(&io.output), [503]);
    }
}

#[test]
fn a_lingering_connection_is_read_once_more_if_the_end_is_known() {
    let mut io = Script::new(vec![
        Event::Input(CLOSE.into()),
        Event::InputAndEnd("\r\n".into()),
    ]);
    let (_, next) = run(&site_with(&[b'x'; 20_000]), &mut io);
    assert_eq!(next, Next::Close(CloseReason::Answered));
    assert_eq!((io.reads, io.shut), (2, true));
}

#[test]
fn every_split_of_a_request_is_answered_once() {
    for request in [
        GET,
        CLOSE,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ] {
        for split in 1..request.len() {
            let mut io = Script::reading(&[&request[..split], &request[split..]]);
            run(&site(), &mut io);
            assert_eq!(statuses(&io.output), [503], "{request:?} at {split}");
        }
        let bytes: Vec<&str> = (0..request.len()).map(|at| &request[at..=at]).collect();
        let mut io = Script::reading(&bytes);
        let (connection, _) = run(&site(), &mut io);
        assert_eq!(statuses(&io.output), [503], "{request:?} byte by byte");
        assert_eq!(connection.answered(), 1);
    }
}

#[test]
fn a_pipeline_is_answered_in_order_and_by_few_writes() {
    let requests = [GET, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"]
        .concat()
        .repeat(8);
    let mut io = Script::reading(&[&requests]);
    let (connection, _) = run(&site(), &mut io);
    assert_eq!(connection.answered(), 16);
    assert_eq!(io.writes, 1);
    let text = String::from_utf8(io.output).unwrap();
    let kinds: Vec<bool> = text
        .split("HTTP/1.1 503")
        .skip(1)
        .map(|answer| answer.ends_with(PAGE))
        .collect();
    assert_eq!(kinds, [true, false].repeat(8));
}

#[test]
fn a_long_pipeline_is_answered_whole() {
    let requests = GET.repeat(500);
    let mut io = Script::reading(&[&requests]);
    let (connection, next) = run(&site(), &mut io);
    assert_eq!((connection.answered(), next), (500, Next::Read));
    assert_eq!(statuses(&io.output), [503; 500]);
}

#[test]
fn the_work_of_a_turn_is_bounded() {
    let requests = GET.repeat(1000);
    let mut io = Script::reading(&[&requests]);
    io.begin_turn();
    let mut connection = Connection::new(false);
    let next = connection.advance(&mut io, &site(), &mut vec![0; 64 * 1024], &mut ());
    assert_eq!(next, Next::Requeue);
    assert!(connection.answered() < 1000);
}

#[test]
fn the_last_answer_of_a_connection_says_connection_close() {
    let site = Sites {
        max_requests: 2,
        ..site()
    };
    let mut io = Script::reading(&[&GET.repeat(3)]);
    let (_, next) = run(&site, &mut io);
    assert_eq!(next, Next::Read);
    assert_eq!(statuses(&io.output), [503, 503]);
    let text = String::from_utf8(io.output).unwrap();
    let (first, last) = text.split_at(text.rfind("HTTP/1.1").unwrap());
    assert!(!first.contains("Connection:") && last.contains("Connection: close\r\n"));
    assert!(io.shut);
}

#[test]
fn a_half_closed_client_gets_the_whole_answer() {
    let mut io = Script::new(vec![
        Event::InputAndEnd(GET.into()),
        Event::Room(7),
        Event::Room(1),
        Event::Room(10_000),
    ]);
    io.room = 10;
    let (_, next) = run(&site(), &mut io);
    assert_eq!(statuses(&io.output), [503]);
    assert_eq!(next, Next::Close(CloseReason::ClientClosed));
}

#[test]
fn a_client_that_closes_within_a_head_is_closed() {
    let mut io = Script::new(vec![Event::Input("GET / HT".into()), Event::End]);
    let (_, next) = run(&site(), &mut io);
    assert_eq!(next, Next::Close(CloseReason::ClientClosed));
    assert!(io.output.is_empty());
}

#[test]
fn a_blocked_answer_resumes_where_it_stopped() {
    let answer_length = {
        let mut io = Script::reading(&[GET]);
        run(&site(), &mut io);
        io.output.len()
    };
    for room in 0..answer_length {
        let mut io = Script::new(vec![
            Event::Input(GET.repeat(3)),
            Event::Room(5),
            Event::Room(100_000),
        ]);
        io.room = room;
        let (connection, next) = run(&site(), &mut io);
        assert_eq!((connection.answered(), next), (3, Next::Read), "{room}");
        assert_eq!(statuses(&io.output), [503; 3], "{room}");
    }
}

#[test]
fn the_write_timer_runs_until_a_blocked_answer_is_sent() {
    let mut io = Script::reading(&[GET]);
    io.room = 3;
    let (mut connection, next) = run(&site(), &mut io);
    assert_eq!(
        (next, connection.take_timer()),
        (Next::Write, Some(Timer::Write))
    );
    io.script.push_back(Event::Room(4));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Write);
    assert_eq!(connection.take_timer(), Some(Timer::Write));
    io.script.push_back(Event::Room(10_000));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), Some(Timer::KeepAlive));
    assert_eq!(statuses(&io.output), [503]);
}

#[test]
fn a_client_that_never_reads_its_answer_is_closed() {
    let mut io = Script::reading(&[GET]);
    io.room = 3;
    let (mut connection, _) = run(&site(), &mut io);
    assert_eq!(
        connection.expire(&mut io),
        Next::Close(CloseReason::WriteTimeout)
    );
}

#[test]
fn a_body_up_to_the_limit_is_skipped_and_beyond_it_is_not() {
    let post =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let kept = format!("{}{}{GET}", post(65_536), "x".repeat(65_536));
    let mut io = Script::reading(&[&kept]);
    assert_eq!(run(&site(), &mut io).1, Next::Read);
    assert_eq!(statuses(&io.output), [503, 503]);
    assert!(!io.shut);
    let closed = format!("{}{}{GET}", post(65_537), "x".repeat(65_537));
    let mut io = Script::reading(&[&closed]);
    assert_eq!(run(&site(), &mut io).1, Next::Read);
    assert_eq!(statuses(&io.output), [503]);
    assert!(io.shut && String::from_utf8_lossy(&io.output).contains("Connection: close\r\n"));
}

#[test]
fn the_answer_does_not_wait_for_the_body() {
    let mut io = Script::reading(&["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"]);
    let (mut connection, next) = run(&site(), &mut io);
    assert_eq!((next, statuses(&io.output)), (Next::Read, vec![503]));
    assert_eq!(connection.take_timer(), Some(Timer::Body));
    assert_eq!(connection.expire(&mut io), Next::Requeue);
    assert!(io.shut);
    assert_eq!(connection.take_timer(), Some(Timer::Linger));
    io.script.push_back(Event::Input(GET.into()));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    io.script.push_back(Event::End);
    assert_eq!(
        resume(&mut connection, &site(), &mut io),
        Next::Close(CloseReason::BodyTimeout)
    );
    assert_eq!(statuses(&io.output), [503]);
}

#[test]
fn more_of_a_body_does_not_restart_the_timer() {
    let mut io = Script::reading(&["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"]);
    let (mut connection, _) = run(&site(), &mut io);
    assert_eq!(connection.take_timer(), Some(Timer::Body));
    io.script.push_back(Event::Input("12345".into()));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), None);
    io.script.push_back(Event::Input("67890".into()));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), Some(Timer::KeepAlive));
}

#[test]
fn more_of_a_head_does_not_restart_the_timer() {
    let mut io = Script::reading(&[]);
    let (mut connection, _) = run(&site(), &mut io);
    assert_eq!(connection.take_timer(), Some(Timer::Head));
    for piece in ["GET ", "/ HTTP/1.1\r\n", "Host: a\r\n"] {
        io.script.push_back(Event::Input(piece.into()));
        assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
        assert_eq!(connection.take_timer(), None);
    }
    io.script.push_back(Event::Input("\r\nGET".into()));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), Some(Timer::Head));
    assert_eq!(
        connection.expire(&mut io),
        Next::Close(CloseReason::HeadTimeout)
    );
}

#[test]
fn nothing_after_a_refusal_is_answered() {
    let refused = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let mut io = Script::new(vec![
        Event::Input(format!("{GET}{refused}{GET}")),
        Event::Input(GET.into()),
        Event::End,
    ]);
    let (_, next) = run(&site(), &mut io);
    assert_eq!(statuses(&io.output), [503, 400]);
    assert_eq!(next, Next::Close(CloseReason::Refused));
    assert!(io.shut);
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let mut io = Script::reading(&["HEAD / HTTP/1.1\r\n\r\n"]);
    run(&site(), &mut io);
    assert!(io.output.starts_with(b"HTTP/1.1 400 ") && io.output.ends_with(b"\r\n\r\n"));
}

#[test]
fn plaintext_on_a_tls_port_gets_a_400_that_says_so() {
    let mut io = Script::reading(&[GET, GET]);
    io.is_plaintext_on_tls = true;
    run(&site(), &mut io);
    assert_eq!(statuses(&io.output), [400]);
    assert!(String::from_utf8_lossy(&io.output).contains("HTTPS"));
    for odd in ["PRI * HTTP/2.0\r\n\r\n", "GET /\r\n", "nonsense\r\n\r\n"] {
        let mut io = Script::reading(&[odd]);
        io.is_plaintext_on_tls = true;
        run(&site(), &mut io);
        assert!(
            String::from_utf8_lossy(&io.output).contains("HTTPS"),
            "{odd:?}"
        );
    }
}

#[test]
fn a_bad_chunk_ends_the_answers() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut io = Script::reading(&[&format!("{post}xyz\r\n{GET}"), GET]);
    run(&site(), &mut io);
    assert_eq!(statuses(&io.output), [503]);
    assert!(io.shut);
    let mut io = Script::reading(&[post, "xyz\r\n", GET]);
    run(&site(), &mut io);
    assert_eq!(statuses(&io.output), [503]);
    assert!(io.shut);
}

#[test]
fn input_is_read_while_the_last_answer_is_blocked() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n";
    let mut script = vec![Event::Input(head.into())];
    script.extend((0..30).map(|_| Event::Input("x".repeat(60_000))));
    let mut io = Script::new(script);
    io.room = 50;
    let (mut connection, next) = run(&site(), &mut io);
    assert_eq!(next, Next::Write);
    assert!(!io.has_more(), "all input was read");
    io.script.push_back(Event::Room(100_000));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(statuses(&io.output), [503]);
}

/// Java's HttpURLConnection and Python's http.client read nothing before they have sent all: here 8 MB at 1 MB/s.
#[test]
fn a_slow_upload_is_read_to_its_end() {
    for fields in [
        "Content-Length: 8000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n7a1200\r\n",
    ] {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Timeouts::default());
        let mut io = Script::reading(&[&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}")]);
        let mut connection = Connection::new(false);
        for second in 0..8 {
            let now = start + Duration::from_secs(second);
            assert_eq!(deadlines.expired(now), None, "after {second} s");
            for _ in 0..20 {
                io.script.push_back(Event::Input("x".repeat(50_000)));
            }
            assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
            if let Some(timer) = connection.take_timer() {
                deadlines.arm(0, timer, now);
            }
        }
        io.script.push_back(Event::End);
        assert_eq!(
            resume(&mut connection, &site(), &mut io),
            Next::Close(CloseReason::BodyUnread)
        );
        assert_eq!(statuses(&io.output), [503]);
    }
}

#[test]
fn a_client_that_sends_without_end_is_read_up_to_a_limit() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n";
    let piece = || Event::Input("x".repeat(50_000));
    let near_the_limit = |mut connection: Connection| {
        connection.discarded = MAX_DISCARDED - 100_000;
        connection
    };
    // While lingering the connection is closed.
    let mut io = Script::reading(&[head]);
    let (connection, _) = run(&site(), &mut io);
    let mut connection = near_the_limit(connection);
    io.script.push_back(piece());
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    io.script.push_back(piece());
    assert_eq!(
        resume(&mut connection, &site(), &mut io),
        Next::Close(CloseReason::BodyUnread)
    );
    // While the answer is blocked no more is read, which stops the client.
    let mut io = Script::reading(&[head]);
    io.room = 50;
    let (connection, _) = run(&site(), &mut io);
    let mut connection = near_the_limit(connection);
    let before = io.reads;
    io.script.extend([piece(), piece(), piece()]);
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Write);
    assert_eq!(io.reads, before + 2);
}

#[test]
fn a_broken_protocol_is_followed_by_a_close_without_reset() {
    let mut io = Script::new(vec![Event::Broken, Event::End]);
    let (_, next) = run(&site(), &mut io);
    assert_eq!(next, Next::Close(CloseReason::TlsFault));
    assert!(io.shut && io.output.is_empty());
}

#[test]
fn the_handshake_timer_is_followed_by_the_head_timer() {
    let mut io = Script::reading(&[]);
    io.handshaking = true;
    let mut connection = Connection::new(true);
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), Some(Timer::Handshake));
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), None);
    io.handshaking = false;
    assert_eq!(resume(&mut connection, &site(), &mut io), Next::Read);
    assert_eq!(connection.take_timer(), Some(Timer::Head));
}

#[test]
fn memory_is_owned_only_while_a_head_is_partial() {
    let mut io = Script::reading(&[GET, "GET / HT", "TP/1.1\r\nHost: a\r\n\r\n"]);
    let (connection, _) = run(&site(), &mut io);
    assert_eq!(connection.input.capacity(), 0);
    assert!(size_of::<Connection>() <= 80, "{}", size_of::<Connection>());
}

/// The events of a connection, in their order.
#[derive(Default)]
struct Events(Vec<String>);

impl Observer for Events {
    fn answered(&mut self, head: &[u8], _: Ready, _: &Sites) {
        let line = String::from_utf8_lossy(head);
        self.0.extend(line.lines().next().map(str::to_owned));
    }

    fn refused(&mut self, _: &[u8], answer: &[u8]) {
        self.0.push(String::from_utf8_lossy(&answer[9..12]).into());
    }

    fn sent(&mut self, bytes: usize) {
        self.0.push(bytes.to_string());
    }
}

#[test]
fn every_answer_and_every_byte_is_reported_once() {
    let refused = "GET / HTTP/1.1\r\n\r\n";
    let mut io = Script::new(vec![
        Event::Input(format!("{GET}{refused}{GET}")),
        Event::Room(100_000),
    ]);
    io.room = 40;
    let (mut connection, mut events) = (Connection::new(false), Events::default());
    for _ in 0..2 {
        io.begin_turn();
        connection.advance(&mut io, &site(), &mut [0; 1024], &mut events);
    }
    let rest = io.output.len() - 40;
    let expected = ["GET / HTTP/1.1", "400", "40", &rest.to_string()].map(str::to_owned);
    assert_eq!(events.0, expected);
}

/// A few valid and malformed requests, with the statuses of their answers.
fn any_requests() -> impl Strategy<Value = (String, Vec<u16>)> {
    let request = prop::sample::select(vec![
        (GET, 503, true),
        ("\r\nGET / HTTP/1.1\nHost: a\n\n", 503, true),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /",
            503,
            true,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n",
            503,
            true,
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            503,
            true,
        ),
        (CLOSE, 503, false),
        ("GET / HTTP/1.0\r\n\r\n", 503, false),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            503,
            false,
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, false),
        ("GET / HTTP/3.0\r\n\r\n", 505, false),
    ]);
    prop::collection::vec(request, 0..40).prop_map(|requests| {
        let input = requests.iter().map(|(text, ..)| *text).collect();
        let mut statuses = Vec::new();
        for (_, status, stays) in requests {
            statuses.push(status);
            if !stays {
                break;
            }
        }
        (input, statuses)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Requests are answered once and in order however they are split and their answers blocked, and none after the last.
    #[test]
    fn splits_and_blocked_writes_do_not_change_the_answers(
        (input, expected) in any_requests(),
        cuts in prop::collection::vec(1_usize..90, 1..8),
        rooms in prop::collection::vec(0_usize..400, 1..8),
    ) {
        let mut rest = input.as_str();
        let mut script = Vec::new();
        let (mut cuts, mut rooms) = (cuts.iter().cycle(), rooms.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            script.push(Event::Input(piece.into()));
            script.push(Event::Room(*rooms.next().unwrap()));
            rest = more;
        }
        script.push(Event::Room(1_000_000));
        script.push(Event::End);
        let mut io = Script::new(script);
        let (_, next) = run(&site(), &mut io);
        prop_assert!(matches!(next, Next::Close(_)), "{:?}", next);
        prop_assert_eq!(statuses(&io.output), expected);
    }
}
