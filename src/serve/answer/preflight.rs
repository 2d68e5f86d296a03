//! Answers to CORS preflights: whether a script of another origin may send a request (Fetch, CORS-preflight request). An
//! origin that may read the 503 may use any method and any fields.

use std::time::SystemTime;

use crate::config::Cors;
use crate::http_field::{field_value, is_token};
use crate::serve::answer::response_head::{Persistence, allow_origin};
use crate::serve::http1::response::start_of_head;

/// How long a browser may cache the answer, in seconds. Short, since the live site may answer differently.
const MAX_AGE: u32 = 60;
/// The maximum length of a method.
const MAX_METHOD: usize = 64;
/// The maximum length of the list of fields.
const MAX_FIELDS: usize = 2048;

/// Renders the 204, if the site allows the origin and the request has a valid method and valid fields.
#[must_use]
pub fn preflight(
    cors: &Cors,
    origin: &[u8],
    head: &[u8],
    persistence: Persistence,
    now: SystemTime,
) -> Option<Vec<u8>> {
    let (allowed, vary) = match cors {
        Cors::None => return None,
        Cors::Any => ("Access-Control-Allow-Origin: *\r\n".to_owned(), ""),
        Cors::Origins(origins) => {
            let origin = origins.iter().find(|own| own.as_bytes() == origin)?;
            (allow_origin(origin), "Origin, ")
        }
    };
    let method = first_value(head, "access-control-request-method")?;
    if method.len() > MAX_METHOD || !is_token(method) {
        return None;
    }
    let fields = match first_value(head, "access-control-request-headers") {
        Some(fields) if !fields.is_empty() => {
            format!("Access-Control-Allow-Headers: {}\r\n", field_names(fields)?)
        }
        Some(_) | None => String::new(),
    };
    let answer = format!(
        "{}\
         Cache-Control: no-store\r\n\
         Vary: {vary}Access-Control-Request-Headers, Access-Control-Request-Method\r\n\
         {allowed}\
         Access-Control-Allow-Methods: {}\r\n\
         {fields}\
         Access-Control-Max-Age: {MAX_AGE}\r\n\
         {}\r\n",
        start_of_head("204 No Content", now),
        String::from_utf8_lossy(method),
        persistence.field_line(),
    );
    Some(answer.into_bytes())
}

/// The first value of a field in a head that has been parsed.
fn first_value<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.find_map(|line| field_value(line, name))
}

/// The requested field names, if all are valid.
fn field_names(fields: &[u8]) -> Option<String> {
    let names: Vec<&[u8]> = fields
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .collect();
    let are_names = fields.len() <= MAX_FIELDS && names.iter().all(|name| is_token(name));
    are_names.then(|| String::from_utf8_lossy(&names.join(&b", "[..])).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://app.example";

    fn answer(cors: &Cors, origin: &str, lines: &str) -> Option<String> {
        let head = format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{lines}\r\n");
        let answer = preflight(
            cors,
            origin.as_bytes(),
            head.as_bytes(),
            Persistence::Implicit,
            SystemTime::UNIX_EPOCH,
        )?;
        Some(String::from_utf8(answer).unwrap())
    }

    const METHOD: &str = "Access-Control-Request-Method: PUT\r\n";

    #[test]
    fn any_request_of_a_listed_origin_is_allowed() {
        let cors = Cors::Origins(vec!["https://other.example".to_owned(), ORIGIN.to_owned()]);
        let lines = format!("access-control-request-headers: content-type,x-a\r\n{METHOD}");
        assert_eq!(
            answer(&cors, ORIGIN, &lines).unwrap(),
            "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nCache-Control: no-store\r\n\
             Vary: Origin, Access-Control-Request-Headers, Access-Control-Request-Method\r\n\
             Access-Control-Allow-Origin: https://app.example\r\nAccess-Control-Allow-Credentials: true\r\n\
             Access-Control-Allow-Methods: PUT\r\nAccess-Control-Allow-Headers: content-type, x-a\r\n\
             Access-Control-Max-Age: 60\r\n\r\n"
        );
        let any = answer(&Cors::Any, ORIGIN, METHOD).unwrap();
        assert!(any.contains("\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: PUT\r\nAccess-Control-Max-Age"));
        assert!(!any.contains("Credentials"));
    }

    #[test]
    fn other_origins_and_invalid_requests_are_not_allowed() {
        let cors = Cors::Origins(vec![ORIGIN.to_owned()]);
        for (cors, origin) in [
            (&Cors::None, ORIGIN),
            (&cors, "https://evil.example"),
            (&cors, "https://app.example:8443"),
            (&cors, "null"),
        ] {
            assert_eq!(answer(cors, origin, METHOD), None, "{origin}");
        }
        let long_method = "x".repeat(MAX_METHOD + 1);
        let long_field = "x".repeat(MAX_FIELDS + 1);
        for (method, fields) in [
            (None, None),
            (Some(""), None),
            (Some("P T"), None),
            (Some(long_method.as_str()), None),
            (Some("PUT"), Some("a b")),
            (Some("PUT"), Some("a,,b")),
            (Some("PUT"), Some(long_field.as_str())),
        ] {
            let line = |name, value: Option<&str>| {
                value.map(|value| format!("Access-Control-Request-{name}: {value}\r\n"))
            };
            let lines: String = [line("Method", method), line("Headers", fields)]
                .into_iter()
                .flatten()
                .collect();
            assert_eq!(answer(&cors, ORIGIN, &lines), None, "{lines}");
        }
    }
}
