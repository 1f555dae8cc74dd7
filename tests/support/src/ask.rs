//! One HTTP request, for the handles of servers that speak it.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends `body` to `path` of the server at `url`, as a form where it is one; `authorization` may be empty. The body of the
/// answer where it is 200 or 204, else its status and body, or why there is none.
pub(crate) fn post(url: &str, path: &str, content: &str, authorization: &str, body: &str) -> Result<String, String> {
    let address = url.strip_prefix("http://").ok_or("only http:// is asked here")?;
    let authorization = match authorization {
        "" => String::new(),
        some => format!("Authorization: {some}\r\n"),
    };
    // 1.0: the answer ends with the connection, in one piece.
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}Content-Type: {content}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    TcpStream::connect(address)
        .and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut answer)
        })
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let body = body.trim_end().to_owned();
    match head.split(' ').nth(1) {
        Some("200" | "204") => Ok(body),
        status => Err(format!("{}: {body}", status.unwrap_or("no status"))),
    }
}

/// A text as a value of a form.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
