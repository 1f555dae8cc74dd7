//! A raw HTTP/1.1 client, blocking: it shows every byte a server sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// One connection with one request sent on it.
pub struct Client {
    socket: UnixStream,
    buffer: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What came next on a stream.
#[derive(Debug, PartialEq)]
pub enum Next {
    Line(String),
    /// The terminating chunk.
    End,
    /// The connection ended without one.
    Cut,
}

impl Next {
    pub fn json(&self) -> Value {
        match self {
            Self::Line(line) => serde_json::from_str(line).unwrap(),
            other => panic!("a line was expected, not {other:?}"),
        }
    }
}

/// Long enough for a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn get(socket: &Path, path: &str) -> Response {
    Client::send(socket, "GET", path).response()
}

pub fn post(socket: &Path, path: &str) -> Response {
    Client::send(socket, "POST", path).response()
}

/// Opens a stream; returns once its head is there, so the server knows of it.
pub fn stream(socket: &Path, path: &str) -> Client {
    let mut client = Client::send(socket, "GET", path);
    let (status, head) = client.head();
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    client
}

/// Polls until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Client {
    pub fn send(socket: &Path, method: &str, path: &str) -> Self {
        let socket = UnixStream::connect(socket).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { socket, buffer: Vec::new() };
        client.request(method, path);
        client
    }

    /// Sends another request on the same connection.
    pub fn request(&mut self, method: &str, path: &str) {
        write!(self.socket, "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n").unwrap();
    }

    pub fn response(&mut self) -> Response {
        let (status, head) = self.head();
        if head.contains("Transfer-Encoding: chunked") {
            let mut body = Vec::new();
            loop {
                match self.chunk() {
                    Chunk::Data(data) => body.extend_from_slice(&data),
                    Chunk::End => return Response { status, head, body },
                    Chunk::Cut(_) => panic!("the connection ended inside a body"),
                }
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.fill(), "the connection ended inside a body");
        }
        let body = self.buffer.drain(..length).collect();
        Response { status, head, body }
    }

    fn head(&mut self) -> (u16, String) {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.fill(), "the connection ended inside a head");
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        (head[9..12].parse().unwrap(), head)
    }

    /// The next line of a chunked body; every chunk here ends a line.
    pub fn next(&mut self) -> Next {
        match self.chunk() {
            Chunk::Data(data) => Next::Line(String::from_utf8_lossy(&data).trim_end().to_owned()),
            Chunk::End => Next::End,
            Chunk::Cut(_) => Next::Cut,
        }
    }

    pub fn chunk(&mut self) -> Chunk {
        loop {
            if let Some(line) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..line]).unwrap(), 16).unwrap();
                let (start, end) = (line + 2, line + 2 + size + 2);
                if self.buffer.len() >= end {
                    let data = self.buffer[start..start + size].to_vec();
                    assert_eq!(&self.buffer[start + size..end], b"\r\n");
                    self.buffer.drain(..end);
                    return if size == 0 { Chunk::End } else { Chunk::Data(data) };
                }
            }
            if !self.fill() {
                return Chunk::Cut(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Reads once; gives how much came. `None` at the end.
    pub fn read_once(&mut self) -> Option<usize> {
        let before = self.buffer.len();
        self.fill().then(|| self.buffer.len() - before)
    }

    /// True while nothing comes for a while, and the connection lives.
    pub fn is_silent(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut space = [0; 1];
        let silent = self.buffer.is_empty()
            && self.socket.read(&mut space).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    fn fill(&mut self) -> bool {
        let mut space = [0; 65536];
        let count = match self.socket.read(&mut space) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came: {error}"),
        };
        self.buffer.extend_from_slice(&space[..count]);
        count > 0
    }
}

pub enum Chunk {
    Data(Vec<u8>),
    End,
    /// What was there of an unfinished chunk.
    Cut(Vec<u8>),
}
