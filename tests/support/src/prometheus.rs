//! Prometheus.

use std::net::SocketAddr;
use std::ops::Deref;

use crate::ask;
use crate::server::{Server, User};

/// A Prometheus that scrapes one target, every second, or takes remote write.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    url: String,
}

impl Prometheus {
    /// Starts one that scrapes `path` at `target`. Panics when it is not installed or does not start.
    #[must_use]
    pub fn scraping(target: SocketAddr, path: &str) -> Self {
        let server = Server::start("prometheus", User::Anyone, &["--target", &target.to_string(), "--path", path]);
        let url = server.address("url");
        Self { server, url }
    }

    /// Starts one that scrapes nothing and takes remote write. Panics when it is not installed or does not start.
    #[must_use]
    pub fn receiving() -> Self {
        let server = Server::start("prometheus", User::Anyone, &[]);
        let url = server.address("url");
        Self { server, url }
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The answer to a question at this moment, as JSON: `{"data":{"result":[{"metric":{…},"value":[…,"1"]}]}}`. Panics on an
    /// error.
    pub fn query(&self, question: &str) -> String {
        self.ask(question, &format!("query={}", ask::encoded(question)))
    }

    /// The answer to a question as of a moment, in seconds since 1970. Panics on an error.
    pub fn query_at(&self, question: &str, seconds: i64) -> String {
        self.ask(question, &format!("query={}&time={seconds}", ask::encoded(question)))
    }

    fn ask(&self, question: &str, body: &str) -> String {
        ask::post(&self.url, "/api/v1/query", "application/x-www-form-urlencoded", "", body)
            .unwrap_or_else(|error| panic!("{error}\nin {question}"))
    }
}

impl Deref for Prometheus {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
