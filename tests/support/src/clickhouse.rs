//! The ClickHouse engine behind its HTTP interface.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::sync::OnceLock;

use crate::server::{Server, User};

/// A ClickHouse server with the user `default`.
#[derive(Debug)]
pub struct ClickHouse {
    server: Server,
    url: String,
    password: String,
}

impl ClickHouse {
    /// Starts a server of its own, without a password. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with_password("")
    }

    /// Starts a server of its own that asks for `password`; an empty one asks for none.
    #[must_use]
    pub fn start_with_password(password: &str) -> Self {
        let server = Server::start("clickhouse", User::Anyone, &["--password", password]);
        let url = server.address("url");
        Self { server, url, password: password.to_owned() }
    }

    /// The server all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ClickHouse> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs one statement and gives its answer as tab separated text without the last line end. Panics on an error.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{error}\nin {sql}"))
    }

    /// Runs one statement: its answer, or the server's error text (`Code: 60. DB::Exception: …`).
    ///
    /// # Errors
    /// The body of any answer that is not 200, or why there is none.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        self.post("/", sql)
    }

    /// Lets the next `count` POST requests fail in the way `mode` names: see `tests/servers/clickhouse_http.py`.
    pub fn fault(&self, mode: &str, count: u32) {
        self.post(&format!("/__fault?mode={mode}&count={count}"), "").unwrap_or_else(|error| panic!("{error}"));
    }

    fn post(&self, path: &str, body: &str) -> Result<String, String> {
        let mut answer = Vec::new();
        let address = self.url.strip_prefix("http://").expect("the url is ours");
        let request = format!(
            "POST {path} HTTP/1.0\r\nX-ClickHouse-Key: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.password,
            body.len()
        );
        TcpStream::connect(address)
            .and_then(|mut stream| {
                stream.write_all(request.as_bytes())?;
                stream.read_to_end(&mut answer)
            })
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        let body = body.trim_end().to_owned();
        if head.split(' ').nth(1) == Some("200") { Ok(body) } else { Err(body) }
    }
}

impl Deref for ClickHouse {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
