//! One HTTP request, for the handles of servers that speak it.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends `body` to `path` of the server at `url`, as a form where it is one; `authorization` may be empty. The body of the
/// answer where it is 200 or 204, else its status and body, or why there is none.
pub(crate) fn post(url: &str, path: &str, content: &str, authorization: &str, body: &str) -> Result<String, String> {
    let authorization = match authorization {
        "" => String::new(),
        some => format!("Authorization: {some}\r\n"),
    };
    let rest = format!("{authorization}Content-Type: {content}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    ask(url, "POST", path, &rest)
}

/// Asks for `path` of the server at `url`; answers like [`post`].
pub(crate) fn get(url: &str, path: &str) -> Result<String, String> {
    ask(url, "GET", path, "\r\n")
}

fn ask(url: &str, method: &str, path: &str, rest: &str) -> Result<String, String> {
    let address = url.strip_prefix("http://").ok_or("only http:// is asked here")?;
    // 1.0: the answer ends with the connection, in one piece.
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{rest}");
    let mut answer = Vec::new();
    TcpStream::connect(address)
        .and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut answer)
        })
        .map_err(|error| error.to_string())?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no answer")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_lowercase(), &answer[end + 4..]);
    // Some send it in chunks nevertheless.
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_vec() };
    let body = String::from_utf8_lossy(&body);
    let body = body.trim_end().to_owned();
    match head.split(' ').nth(1) {
        Some("200" | "204") => Ok(body),
        status => Err(format!("{}: {body}", status.unwrap_or("no status"))),
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&body[..end]), 16).unwrap_or(0);
        let chunk = &body[end + 2..];
        if size == 0 || chunk.len() < size + 2 {
            break;
        }
        whole.extend(&chunk[..size]);
        body = &chunk[size + 2..];
    }
    whole
}

/// A text as a value of a form.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
