//! InfluxDB 1.x.

use std::ops::Deref;
use std::path::Path;
use std::sync::OnceLock;

use crate::ask;
use crate::server::{Server, User};

/// An InfluxDB server of version 1, without users unless told.
#[derive(Debug)]
pub struct InfluxDb {
    server: Server,
    url: String,
}

impl InfluxDb {
    /// Starts a server of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server whose users must say who they are: `--auth`, `--values-per-tag 5` … (`tests/servers/influxdb.py`).
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let server = Server::start("influxdb", User::Anyone, args);
        let url = server.address("url");
        Self { server, url }
    }

    /// Starts a server that speaks TLS, with `cert.pem` and `key.pem` in `folder`.
    #[must_use]
    pub fn start_tls(folder: &Path) -> Self {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
        Self::start_with(&["--certificate", &certificate, "--key", &key])
    }

    /// The server all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<InfluxDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `http://127.0.0.1:port`, or `https://…`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes points, a line each, into `database`. Panics on an error.
    pub fn write(&self, database: &str, lines: &str) {
        let path = format!("/write?db={}", ask::encoded(database));
        ask::post(&self.url, &path, "text/plain", "", lines).unwrap_or_else(|error| panic!("{error}\nof {lines}"));
    }

    /// Runs statements in `database`; the answer as JSON, times in nanoseconds. Panics on an error.
    pub fn query(&self, database: &str, statements: &str) -> String {
        self.query_as("", database, statements)
    }

    /// [`Self::query`] with the header `Authorization`.
    pub fn query_as(&self, authorization: &str, database: &str, statements: &str) -> String {
        let body = format!("db={}&epoch=ns&q={}", ask::encoded(database), ask::encoded(statements));
        let answer = ask::post(&self.url, "/query", "application/x-www-form-urlencoded", authorization, &body);
        match answer {
            Ok(answer) if !answer.contains("\"error\":") => answer,
            Ok(error) | Err(error) => panic!("{error}\nin {statements}"),
        }
    }
}

impl Deref for InfluxDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
