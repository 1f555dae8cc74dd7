//! Redis.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;

use crate::server::{Server, User};

/// A Redis server that keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    url: String,
}

impl Redis {
    /// Starts a server of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with `--password`, `--maxmemory` (`tests/servers/redis.py`).
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let server = Server::start("redis", User::Anyone, args);
        let url = server.address("url");
        Self { server, url }
    }

    /// `redis://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The answer to a command of words without spaces, as text; nothing where it is nil. Panics on an error.
    #[must_use]
    pub fn ask(&self, command: &str) -> Option<String> {
        let address = self.url.strip_prefix("redis://").expect("the url is ours");
        let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("it reads");
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).expect("it answers");
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "$" if rest == "-1" => None,
            "$" => {
                let mut bytes = vec![0; rest.parse().expect("a length")];
                answer.read_exact(&mut bytes).expect("the rest of the answer");
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            "+" | ":" => Some(rest.to_owned()),
            _ => panic!("{command}: {line}"),
        }
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
