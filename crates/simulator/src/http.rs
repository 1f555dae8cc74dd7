//! HTTP/1.1 as far as the Engine API needs it: request heads in, responses and chunks out.

use std::io::Write;

use model::Timestamp;
use serde_json::json;

use crate::profile::Profile;

/// A request whose head was read; bodies are skipped, the routes served here have none that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path without a version prefix.
    pub(crate) path: String,
    /// The prefix, as `(major, minor)`.
    pub(crate) version: Option<(u32, u32)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) close: bool,
}

impl Request {
    /// The first value of a query key.
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A flag as Docker reads it: anything but nothing, `0`, `false`, `no`, `none` is true.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.query(key).map_or(default, |value| !matches!(value, "" | "0" | "false" | "no" | "none"))
    }
}

/// A request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRequest;

/// Takes one request off the front of `buffer`; `None` until it is there in full.
pub(crate) fn take_request(buffer: &mut Vec<u8>) -> Result<Option<Request>, BadRequest> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(buffer).map_err(|_| BadRequest)? else { return Ok(None) };
    let header = |name: &str| {
        parsed
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let body: usize = header("content-length").map_or(Ok(0), |text| text.trim().parse().map_err(|_| BadRequest))?;
    let Some(end) = head.checked_add(body) else { return Err(BadRequest) };
    if buffer.len() < end {
        return Ok(None);
    }
    let close =
        header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) || parsed.version == Some(0);
    let (path, query) = parsed.path.ok_or(BadRequest)?.split_once('?').unwrap_or((parsed.path.ok_or(BadRequest)?, ""));
    let (version, path) = split_version(path);
    let request = Request {
        method: parsed.method.ok_or(BadRequest)?.to_owned(),
        path: path.to_owned(),
        version,
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        close,
    };
    buffer.drain(..end);
    Ok(Some(request))
}

/// `/v1.41/containers/json` is `((1, 41), "/containers/json")`.
fn split_version(path: &str) -> (Option<(u32, u32)>, &str) {
    let prefixed = path.strip_prefix("/v").and_then(|rest| {
        let (version, tail) = rest.split_once('/')?;
        let (major, minor) = version.split_once('.')?;
        Some(((major.parse().ok()?, minor.parse().ok()?), &path[path.len() - tail.len() - 1..]))
    });
    match prefixed {
        Some((version, path)) => (Some(version), path),
        None => (None, path),
    }
}

/// What every response says of the engine.
pub(crate) struct Banner {
    pub(crate) profile: Profile,
    pub(crate) now: Timestamp,
}

impl Banner {
    fn head(&self, status: u16, extra: &str) -> Vec<u8> {
        let (major, minor) = self.profile.api_version();
        let reason = reason(status);
        let version = self.profile.engine_version();
        let date = http_date(self.now);
        format!(
            "HTTP/1.1 {status} {reason}\r\nApi-Version: {major}.{minor}\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
             Server: Docker/{version} (linux)\r\nDate: {date}\r\n{extra}\r\n"
        )
        .into_bytes()
    }

    /// The head of a stream of JSON documents.
    pub(crate) fn stream_head(&self) -> Vec<u8> {
        self.head(200, "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
    }

    /// The head of a log. Older engines do not name its form.
    pub(crate) fn log_head(&self, is_terminal: bool) -> Vec<u8> {
        let form = if is_terminal { "raw" } else { "multiplexed" };
        let kind = match self.profile.names_log_form() {
            true => format!("Content-Type: application/vnd.docker.{form}-stream\r\n"),
            false => String::new(),
        };
        self.head(200, &format!("{kind}Transfer-Encoding: chunked\r\n"))
    }

    /// A whole response.
    pub(crate) fn json(&self, status: u16, body: &[u8]) -> Vec<u8> {
        let mut response =
            self.head(status, &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        response.extend_from_slice(body);
        response
    }

    /// A response that only says it was done (204), or that there was nothing to do (304).
    pub(crate) fn empty(&self, status: u16) -> Vec<u8> {
        self.head(status, "")
    }

    /// The answer to a ping; a HEAD request gets no body.
    pub(crate) fn pong(&self, head_only: bool) -> Vec<u8> {
        let body = if head_only { "" } else { "OK" };
        let length = body.len();
        let mut response = self.head(
            200,
            &format!(
                "Builder-Version: 1\r\nCache-Control: no-cache, no-store, must-revalidate\r\nPragma: no-cache\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n"
            ),
        );
        response.extend_from_slice(body.as_bytes());
        response
    }

    /// An error as the engine words it.
    pub(crate) fn error(&self, status: u16, message: &str) -> Vec<u8> {
        let mut body = json!({ "message": message }).to_string().into_bytes();
        body.push(b'\n');
        self.json(status, &body)
    }
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Room for the size line that [`frame_chunk`] writes before the data.
pub(crate) const CHUNK_HEAD: usize = 10;

/// Makes a chunk of `buffer`, whose data begins at [`CHUNK_HEAD`]; the chunk is the returned tail of it.
pub(crate) fn frame_chunk(buffer: &mut Vec<u8>) -> &[u8] {
    let data = buffer.len() - CHUNK_HEAD;
    buffer.extend_from_slice(b"\r\n");
    let mut size = [0u8; CHUNK_HEAD];
    let mut rest = &mut size[..];
    write!(rest, "{data:x}\r\n").expect("a chunk is shorter than 2^32 bytes");
    let length = CHUNK_HEAD - rest.len();
    let start = CHUNK_HEAD - length;
    buffer[start..CHUNK_HEAD].copy_from_slice(&size[..length]);
    &buffer[start..]
}

/// One chunk with this data.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; CHUNK_HEAD];
    buffer.extend_from_slice(data);
    frame_chunk(&mut buffer).to_vec()
}

fn http_date(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.as_secs()).expect("64-bit nanoseconds lie inside jiff's range");
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_whole_or_not_at_all() {
        let text =
            b"GET /v1.41/containers/json?all=1&filters=%7B%22id%22%3A%5B%22a%22%5D%7D HTTP/1.1\r\nHost: d\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(take_request(&mut text[..end].to_vec()), Ok(None));
        }
        let mut buffer = text.to_vec();
        buffer.extend_from_slice(b"GET");
        let request = take_request(&mut buffer).unwrap().unwrap();
        assert_eq!((request.path.as_str(), request.version), ("/containers/json", Some((1, 41))));
        assert_eq!(request.query("filters"), Some(r#"{"id":["a"]}"#));
        assert_eq!(buffer, b"GET", "what follows stays");
    }

    #[test]
    fn a_body_is_skipped() {
        let mut buffer =
            b"POST /containers/a/stop HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcGET".to_vec();
        assert!(take_request(&mut buffer).unwrap().unwrap().close);
        assert_eq!(buffer, b"GET");
    }

    #[test]
    fn a_path_that_only_looks_like_a_version_is_kept() {
        assert_eq!(split_version("/version"), (None, "/version"));
        assert_eq!(split_version("/v1.41/_ping"), (Some((1, 41)), "/_ping"));
        assert_eq!(split_version("/v1.41"), (None, "/v1.41"));
    }

    #[test]
    fn nonsense_is_a_bad_request() {
        assert_eq!(take_request(&mut b"\x16\x03\x01 nonsense\r\n\r\n".to_vec()), Err(BadRequest));
        assert_eq!(take_request(&mut b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n".to_vec()), Err(BadRequest));
    }

    #[test]
    fn a_chunk_has_its_size_in_hex() {
        assert_eq!(chunk(b"0123456789abcdefX"), b"11\r\n0123456789abcdefX\r\n");
    }

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(Timestamp::from_nanos(784_111_777_000_000_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
