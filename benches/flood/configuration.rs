//! The servers' configuration files.

use std::path::PathBuf;

/// The connection limit: more than 15,000 idle connections, and within 20,000 descriptors.
pub const MAX_CONNECTIONS: u32 = 19_000;

/// What all servers are started with.
#[derive(Clone)]
pub struct Setup {
    /// The directory of all files.
    pub directory: PathBuf,
    /// The CPU of the servers, as an argument of taskset(1). The load has another CPU.
    pub cpus: String,
    /// The CPUs of the servers and of the load.
    pub all_cpus: String,
    pub workers: u32,
    /// The descriptor limit of each server.
    pub descriptors: u64,
    pub request_length: usize,
}

/// The server blocks and timeouts of a typical maintenance server, for maintd and nginx.
fn common(setup: &Setup, [clear, p256, rsa]: [u16; 3]) -> String {
    let directory = setup.directory.display();
    let answer = "return 503; error_page 503 @maintenance; \
                  location @maintenance { rewrite ^(.*)$ /maintenance.html break; }";
    format!(
        "    access_log off;
    default_type text/html;
    root {directory}/site;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    client_header_timeout 3600;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets on;
    ssl_session_timeout 1h;
    server {{
        listen 127.0.0.1:{clear} backlog=4096;
        listen 127.0.0.1:{p256} ssl backlog=4096;
        ssl_certificate {directory}/p256.pem;
        ssl_certificate_key {directory}/p256.key;
        {answer}
    }}
    server {{
        listen 127.0.0.1:{rsa} ssl backlog=4096;
        ssl_certificate {directory}/rsa.pem;
        ssl_certificate_key {directory}/rsa.key;
        {answer}
    }}
"
    )
}

pub fn maintd(setup: &Setup, ports: [u16; 3]) -> String {
    let directory = setup.directory.display();
    format!(
        "worker_processes {};\nworker_rlimit_nofile {};\ncontrol {directory}/maintd-{}.sock;\n\
         events {{ worker_connections {MAX_CONNECTIONS}; }}\nhttp {{\n{}}}\n",
        setup.workers,
        setup.descriptors,
        ports[0],
        common(setup, ports)
    )
}

pub fn nginx(setup: &Setup, ports: [u16; 3]) -> String {
    let directory = setup.directory.display();
    format!(
        "daemon off;\nworker_processes {};\nworker_rlimit_nofile {};\npid {directory}/nginx.pid;\n\
         error_log {directory}/nginx.errors crit;\nevents {{ worker_connections {MAX_CONNECTIONS}; }}\n\
         http {{\n    client_body_temp_path {directory}/temp; proxy_temp_path {directory}/temp; \
         fastcgi_temp_path {directory}/temp; uwsgi_temp_path {directory}/temp; scgi_temp_path {directory}/temp;\n{}}}\n",
        setup.workers,
        setup.descriptors,
        common(setup, ports)
    )
}

/// HAProxy reserves two descriptors for each connection, so its limit is half as many.
pub fn haproxy(setup: &Setup, [clear, p256, rsa]: [u16; 3]) -> String {
    let directory = setup.directory.display();
    format!(
        "global
    nbthread 1
    maxconn {}
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout client 3600s
    timeout connect 10s
    timeout server 10s
    timeout http-request 3600s
    timeout http-keep-alive 3600s
frontend maintenance
    backlog 4096
    bind 127.0.0.1:{clear}
    bind 127.0.0.1:{p256} ssl crt {directory}/p256.both
    bind 127.0.0.1:{rsa} ssl crt {directory}/rsa.both
    http-request return status 503 content-type text/html file {directory}/site/maintenance.html
",
        MAX_CONNECTIONS / 2
    )
}
