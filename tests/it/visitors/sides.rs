//! Traffic other than TCP from clients to the site's ports: HTTP/3, the responder's own ports, forwarded traffic, and
//! the host's own requests.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::visitors::can_run;
use crate::visitors::namespaces::Namespace;
use crate::visitors::site::{LIMIT, SERVER, Site};
use crate::visitors::site_client::{Outcome, SiteClient};

/// The addresses of client number 7, which is moved, and number 9, which is not, one of each family.
const MOVED: [&str; 2] = ["198.51.100.7", "2001:db8::7"];
const EXCEPTED: [&str; 2] = ["198.51.100.9", "2001:db8::9"];

fn all_but_the_excepted() -> [&'static str; 5] {
    ["on", "--except", EXCEPTED[0], "--except", EXCEPTED[1]]
}

/// Sends datagrams until one is answered, with an echo or with an error.
fn echo(socket: &UdpSocket) -> Result<(), ErrorKind> {
    let limit = Instant::now() + LIMIT;
    loop {
        let mut buffer = [0; 8];
        let sent = socket.send(b"quic");
        match sent.and_then(|_| socket.recv(&mut buffer)) {
            Ok(length) => {
                assert_eq!(&buffer[..length], b"quic");
                return Ok(());
            }
            // An echo or an ICMP message may be lost, or not be sent: their number is limited.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < limit, "neither echo nor error");
            }
            Err(error) => return Err(error.kind()),
        }
    }
}

#[test]
fn http3_is_refused_to_moved_clients() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let socket = |namespace: &Namespace, from: &str, port: u16| {
        let from = SocketAddr::new(from.parse().unwrap(), port);
        let socket = namespace.inside(|| UdpSocket::bind(from)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        socket
    };
    for to in SERVER {
        let server = socket(&site.server, to, 443);
        server.set_read_timeout(None).unwrap();
        // It ends with this program.
        thread::spawn(move || {
            let mut buffer = [0; 8];
            while let Ok((length, from)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..length], from);
            }
        });
    }
    let connected = |from: [&str; 2]| {
        [0, 1].map(|family| {
            let socket = socket(&site.client_side, from[family], 0);
            socket
                .connect((SERVER[family].parse::<IpAddr>().unwrap(), 443))
                .unwrap();
            socket
        })
    };
    let (moved, excepted) = (connected(MOVED), connected(EXCEPTED));
    let all_get = |sockets: &[UdpSocket], expected| {
        for socket in sockets {
            assert_eq!(echo(socket), expected, "{:?}", socket.local_addr());
        }
    };
    all_get(&moved, Ok(()));
    all_get(&excepted, Ok(()));
    site.switch(&all_but_the_excepted());
    all_get(&moved, Err(ErrorKind::ConnectionRefused));
    all_get(&excepted, Ok(()));
    site.switch(&["off"]);
    all_get(&moved, Ok(()));
    all_get(&excepted, Ok(()));
}

#[test]
fn the_responder_is_not_reachable_directly() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    for command in [&all_but_the_excepted()[..], &["off"]] {
        site.switch(command);
        for (from, to) in MOVED
            .into_iter()
            .chain(EXCEPTED)
            .zip(SERVER.into_iter().cycle())
        {
            for port in [8080, 8443] {
                let mut client = site.client(from, to, port);
                client.io_timeout = Duration::from_millis(300);
                assert_eq!(client.ask(), Outcome::Timeout, "{from} to port {port}");
            }
        }
    }
}

#[test]
fn forwarded_traffic_is_not_redirected() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let behind = Namespace::new("behind");
    let addresses = ["203.0.113.2", "2001:db8:1::2"];
    site.server.connect(
        &["203.0.113.1/24", "2001:db8:1::1/64"],
        &behind,
        &["203.0.113.2/24", "2001:db8:1::2/64"],
    );
    for (setting, here) in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
        .into_iter()
        .zip(["203.0.113.1", "2001:db8:1::1"])
    {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        site.server.inside(|| std::fs::write(path, "1")).unwrap();
        behind.ip(&["route", "add", "default", "via", here]);
    }
    for (network, via) in ["203.0.113.0/24", "2001:db8:1::/64"]
        .into_iter()
        .zip(SERVER)
    {
        site.client_side.ip(&["route", "add", network, "via", via]);
    }
    for address in addresses {
        let at = SocketAddr::new(address.parse().unwrap(), 80);
        let listener = behind.inside(|| TcpListener::bind(at)).unwrap();
        thread::spawn(move || serve(&listener));
    }
    let mut clients: Vec<SiteClient<'_>> = MOVED
        .into_iter()
        .zip(addresses)
        .map(|(from, to)| site.client(from, to, 80))
        .collect();
    for command in ["off", "on", "off"] {
        site.switch(&[command]);
        for client in &mut clients {
            assert_eq!(client.ask(), Outcome::Live, "{} {command}", client.from);
            assert_eq!(client.another().ask_once(), Outcome::Live);
        }
    }
}

/// Answers every datagram, until this program ends.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 1024];
            loop {
                let length = stream.read(&mut buffer)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlive\n")?;
                if buffer[..length].windows(5).any(|five| five == b"close") {
                    return Ok(());
                }
            }
        });
    }
}

#[test]
fn requests_of_the_host_itself_are_not_redirected() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let addresses = SERVER.into_iter().chain(["127.0.0.1", "::1"]);
    let mut clients: Vec<SiteClient<'_>> = addresses
        .flat_map(|address| {
            let address: IpAddr = address.parse().unwrap();
            [80, 443].map(|port| (address, SocketAddr::new(address, port)))
        })
        .map(|(from, to)| SiteClient::new(&site.server, from, to))
        .collect();
    let mut client = site.client(MOVED[0], SERVER[0], 80);
    assert_eq!(client.ask(), Outcome::Live);
    for command in ["off", "on", "off"] {
        site.switch(&[command]);
        for client in &mut clients {
            assert_eq!(client.ask(), Outcome::Live, "{} {command}", client.to);
        }
        if command == "on" {
            assert_eq!(client.ask(), Outcome::Reset);
        }
    }
}
