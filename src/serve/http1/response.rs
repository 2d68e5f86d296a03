//! Responses that are rendered when they are sent: all but the 503 page.

use std::time::SystemTime;

/// The start of a response head: the status line and the date.
pub(crate) fn start_of_head(status: &str, now: SystemTime) -> String {
    let date = httpdate::fmt_http_date(now);
    format!("HTTP/1.1 {status}\r\nDate: {date}\r\n")
}

/// A response that closes its connection. `fields` are further field lines. HEAD gets no body (RFC 9110 9.3.2).
pub(crate) fn response(
    status: &str,
    content_type: &str,
    fields: &str,
    body: &str,
    with_body: bool,
    now: SystemTime,
) -> Vec<u8> {
    let head = start_of_head(status, now);
    let length = body.len();
    let sent_body = if with_body { body } else { "" };
    format!(
        "{head}\
         Content-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\
         Cache-Control: no-store\r\n\
         {fields}Connection: close\r\n\r\n{sent_body}"
    )
    .into_bytes()
}
