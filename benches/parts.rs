//! Benchmarks without a socket: parsing a head, selecting and writing an answer, one connection from its first byte to its
//! close, the deadlines of many connections, and reading a configuration.

#![allow(missing_docs, clippy::expect_used, reason = "a bench may")]

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use maintd::announcement::Announcement;
use maintd::config::nginx::{self, syntax};
use maintd::config::server_name::{ServerName, VirtualHosts};
use maintd::config::{Config, PageSource, SiteConfig, Timeouts};
use maintd::serve::answer::Answers;
use maintd::serve::answer::page;
use maintd::serve::answer::select::Sites;
use maintd::serve::connection::{Connection, Next, Observer, Timer};
use maintd::serve::http1::{Parsed, Scan, parse};
use maintd::serve::metrics::counters::Counters;
use maintd::serve::transport::{Buffers, Transport};
use maintd::serve::worker::Recorder;
use maintd::serve::worker::deadlines::Deadlines;

const SMALL: &str = "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
const BROWSER: &str = "GET /shop/cart?item=42 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/shop\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let cookies = format!(
        "GET / HTTP/1.1\r\nHost: example.org\r\nCookie: {}\r\n\r\n",
        "c=0123456; ".repeat(745)
    );
    for (name, head) in [
        ("small", SMALL),
        ("browser", BROWSER),
        ("8 KB of cookies", &cookies),
    ] {
        criterion.bench_function(&format!("parse a head: {name}"), |bench| {
            bench.iter(|| parse(black_box(head.as_bytes()), &mut Scan::default()));
        });
    }
}

/// A transport with one request as its input.
struct OneRequest(&'static [u8]);

impl Read for OneRequest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for OneRequest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for OneRequest {
    fn is_drained(&self) -> bool {
        self.0.is_empty()
    }

    fn take_sent(&mut self) -> usize {
        0
    }

    fn shutdown(&mut self) {}

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}

fn connections(criterion: &mut Criterion) {
    let answers = Answers::new(
        page::EMBEDDED,
        "text/html; charset=utf-8",
        Duration::from_secs(300),
    );
    let sites = Sites::one(answers.expect("memory"), 1000);
    let mut buffer = vec![0; Buffers::PLAINTEXT];
    for (name, request) in [("small", SMALL), ("browser", BROWSER)] {
        criterion.bench_function(&format!("one connection: {name}"), |bench| {
            bench.iter(|| connection(request, &sites, &mut buffer, &mut ()));
        });
        let mut recorder = Recorder::new(Counters::private(), vec![0], true);
        criterion.bench_function(
            &format!("one connection with an access log: {name}"),
            |bench| {
                bench.iter(|| connection(request, &sites, &mut buffer, &mut recorder));
            },
        );
    }
}

fn connection(
    request: &'static str,
    sites: &Sites,
    buffer: &mut [u8],
    observer: &mut impl Observer,
) -> Next {
    let mut io = OneRequest(request.as_bytes());
    Connection::new(false).advance(&mut io, sites, buffer, observer)
}

/// Finding one of a hundred sites, by an exact name and by a wildcard name.
fn names(criterion: &mut Criterion) {
    let sites: Vec<Vec<ServerName>> = (0..100)
        .map(|number| {
            [
                format!("site{number}.example"),
                format!("*.site{number}.example"),
            ]
        })
        .map(|names| names.iter().filter_map(|name| name.parse().ok()).collect())
        .collect();
    let hosts = VirtualHosts::all(sites.iter().map(Vec::as_slice));
    for name in ["Site77.example", "www.site77.example", "other.test"] {
        criterion.bench_function(&format!("find a site: {name}"), |bench| {
            bench.iter(|| hosts.find(black_box(name.as_bytes())));
        });
    }
}

/// Selecting the answer to a parsed request, and its bytes.
fn answers(criterion: &mut Criterion) {
    let names: Vec<Vec<ServerName>> = (0..100)
        .map(|number| {
            format!("site{number}.example")
                .parse()
                .into_iter()
                .collect()
        })
        .collect();
    let site = |number: usize| SiteConfig {
        page: PageSource::Text(format!("<p>{number}")),
        ..SiteConfig::default()
    };
    let ready = |count: usize| {
        let config = Config {
            sites: (0..count).map(site).collect(),
            ..Config::default()
        };
        maintd::serve::answer::sites::answers(&config, &Announcement::default()).expect("memory")
    };
    let many = Sites {
        hosts: VirtualHosts::all(names.iter().map(Vec::as_slice)),
        ..Sites::one(ready(100), 1000)
    };
    let one = Sites::one(ready(1), 1000);
    let input = BROWSER.replace("www.example.org\r\nUser", "site77.example\r\nUser");
    let Parsed::Request(request, _) = parse(input.as_bytes(), &mut Scan::default()) else {
        return;
    };
    for (name, sites) in [("one site", one), ("a hundred sites", many)] {
        criterion.bench_function(&format!("choose the answer: {name}"), |bench| {
            bench.iter(|| {
                let ready = sites.ready(&request, black_box(input.as_bytes()));
                black_box(sites.bytes(ready));
            });
        });
    }
}

/// The operations on the deadlines of 100,000 connections.
fn deadlines(criterion: &mut Criterion) {
    const ENTRIES: usize = 100_000;
    let start = Instant::now();
    let full = || {
        let mut deadlines = Deadlines::new(Timeouts::default());
        for entry in 0..ENTRIES {
            deadlines.arm(entry, Timer::KeepAlive, start);
        }
        deadlines
    };
    // Far apart in memory, as active connections are.
    let mut entries = (0..ENTRIES).cycle().step_by(7919);
    let mut next = || entries.next().unwrap_or(0);
    let mut all = full();
    criterion.bench_function("100,000 deadlines: arm one again", |bench| {
        bench.iter(|| all.arm(next(), Timer::KeepAlive, start));
    });
    criterion.bench_function("100,000 deadlines: the next one", |bench| {
        bench.iter(|| black_box(&all).next());
    });
    criterion.bench_function("100,000 deadlines: the one to evict", |bench| {
        bench.iter(|| black_box(&all).idlest(start));
    });
    let late = start + Duration::from_secs(3600);
    criterion.bench_function("100,000 deadlines: all expire", |bench| {
        bench.iter_batched(
            full,
            |mut all| while all.expired(late).is_some() {},
            BatchSize::LargeInput,
        );
    });
}

/// Reading a configuration, as a reload does it.
fn configuration(criterion: &mut Criterion) {
    let site = |number: usize| {
        format!(
            "server {{\n    listen 127.0.0.1:8080;\n    server_name site{number}.example *.site{number}.example;\n    \
             root /var/www;\n    return 503;\n    error_page 503 @maintenance;\n    \
             location @maintenance {{ rewrite ^(.*)$ /maintenance.html break; }}\n}}\n"
        )
    };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("maintd.conf");
    for sites in [1, 100] {
        let text: String = (0..sites).map(site).collect();
        criterion.bench_function(&format!("split a configuration: {sites} sites"), |bench| {
            bench.iter(|| syntax::parse(black_box(&text), 0));
        });
        std::fs::write(&file, &text).expect("a file");
        let errors = nginx::read(&file).map(|parsed| parsed.errors);
        assert!(errors.is_ok_and(|errors| errors.is_empty()));
        criterion.bench_function(&format!("read a configuration: {sites} sites"), |bench| {
            bench.iter(|| nginx::read(black_box(&file)));
        });
    }
}

criterion_group!(
    parts,
    heads,
    connections,
    names,
    answers,
    deadlines,
    configuration
);
criterion_main!(parts);
