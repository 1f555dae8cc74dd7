//! Prometheus.

use std::net::SocketAddr;
use std::ops::Deref;

use crate::ask;
use crate::server::{Server, User};

/// A Prometheus that scrapes one target, every second.
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

    /// The answer to a question at this moment, as JSON: `{"data":{"result":[{"metric":{…},"value":[…,"1"]}]}}`. Panics on an
    /// error.
    pub fn query(&self, question: &str) -> String {
        let body = format!("query={}", ask::encoded(question));
        ask::post(&self.url, "/api/v1/query", "application/x-www-form-urlencoded", "", &body)
            .unwrap_or_else(|error| panic!("{error}\nin {question}"))
    }
}

impl Deref for Prometheus {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
