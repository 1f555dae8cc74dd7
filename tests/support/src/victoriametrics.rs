//! VictoriaMetrics, one node.

use std::ops::Deref;
use std::sync::OnceLock;

use crate::ask;
use crate::server::{Server, User};

/// A VictoriaMetrics server, which takes line protocol as InfluxDB 1 and 2 do.
#[derive(Debug)]
pub struct VictoriaMetrics {
    server: Server,
    url: String,
}

impl VictoriaMetrics {
    /// Starts a server of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::start("victoriametrics", User::Anyone, &[]);
        let url = server.address("url");
        Self { server, url }
    }

    /// The server all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<VictoriaMetrics> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All samples of the series that `selector` names, a series a line: `{"metric":{…},"values":[…],"timestamps":[…]}`,
    /// times in milliseconds. What was written before is among them. Panics on an error.
    pub fn export(&self, selector: &str) -> String {
        self.ask("/internal/force_flush", "");
        self.ask("/api/v1/export", &format!("match[]={}", ask::encoded(selector)))
    }

    fn ask(&self, path: &str, body: &str) -> String {
        ask::post(&self.url, path, "application/x-www-form-urlencoded", "", body)
            .unwrap_or_else(|error| panic!("{error}\nof {path} {body}"))
    }
}

impl Deref for VictoriaMetrics {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
