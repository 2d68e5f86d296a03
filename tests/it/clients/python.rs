//! Python's http.client, which reads nothing before it has sent all of a body.

use std::process::Command;

use crate::clients::{PAGE, PORTS, Site, UPLOAD, run};
use crate::common::require_tool;

/// Uploads standard input to the URL in the first argument, in chunks where there is a second one, and prints the answer.
const SCRIPT: &str = r#"
import http.client, ssl, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
if url.scheme == "https":
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(url.netloc, timeout=60, context=context)
else:
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
body = sys.stdin.buffer.read()
if len(sys.argv) > 2:
    connection.request("POST", "/", body=iter([body]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
else:
    connection.request("POST", "/", body=body)
answer = connection.getresponse()
print(answer.status, flush=True)
sys.stdout.buffer.write(answer.read())
"#;

#[test]
fn an_upload_gets_the_page() {
    if !require_tool("python3") {
        return;
    }
    let site = Site::new();
    for port in PORTS {
        for chunked in [&[][..], &["chunked"]] {
            let mut command = Command::new("python3");
            command
                .args(["-c", SCRIPT, &site.url(port, "/")])
                .args(chunked);
            let ended = run(&mut command, &"x".repeat(UPLOAD));
            assert_eq!(ended.stdout, format!("503\n{PAGE}"), "{}", ended.all());
        }
    }
}
