//! PostgreSQL.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::server::{Server, User};

/// A PostgreSQL server. Its superuser `postgres` has no password; who is a member of the role `guarded` needs one.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    address: SocketAddr,
}

impl Postgres {
    /// Starts a server of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with arguments of `tests/servers/postgres.py`: `--set`, `max_connections=5` …
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let server = Server::start("postgres", User::Anyone, args);
        let address = server.address("address").parse().expect("an address");
        let started = Self { server, address };
        started.query("postgres", "CREATE ROLE guarded");
        started
    }

    /// Starts a server that speaks TLS, with `cert.pem` and `key.pem` in `folder`.
    #[must_use]
    pub fn start_tls(folder: &Path) -> Self {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
        Self::start_with(&["--certificate", &certificate, "--key", &key])
    }

    /// The server all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs statements in `database` as the superuser; the rows of the answer a line each, values between `|`. Panics on an error.
    pub fn query(&self, database: &str, statements: &str) -> String {
        self.try_query(database, statements).unwrap_or_else(|error| panic!("{error}\nin {statements}"))
    }

    /// [`Self::query`] that may fail.
    ///
    /// # Errors
    /// The server's words.
    pub fn try_query(&self, database: &str, statements: &str) -> Result<String, String> {
        let port = self.address.port().to_string();
        let said = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-p", &port, "-d", database, "-c", statements])
            .output();
        let Output { status, stdout, stderr } = said.unwrap_or_else(|error| panic!("cannot run psql: {error}"));
        if status.success() {
            Ok(String::from_utf8_lossy(&stdout).trim_end_matches('\n').to_owned())
        } else {
            Err(String::from_utf8_lossy(&stderr).trim().to_owned())
        }
    }

    /// Whether the server has the extension TimescaleDB, which no registry has: tests of it run where it is, and say where
    /// they do not.
    pub fn has_timescale(&self) -> bool {
        let available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'";
        self.query("postgres", available) != "0"
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
