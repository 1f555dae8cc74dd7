//! An OpenSSH server of our own.

use std::ops::Deref;
use std::path::PathBuf;

use crate::server::{Server, User};

/// An OpenSSH server on loopback, with its own keys. It lets in who holds [`Sshd::key`].
#[derive(Debug)]
pub struct Sshd {
    server: Server,
}

impl Sshd {
    /// Starts a server. Panics when it is not installed, does not start, or this user is not root and may not become root
    /// without a password.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further lines of `sshd_config`, which go before ours.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| format!("--option={option}")).collect();
        let args: Vec<&str> = options.iter().map(String::as_str).collect();
        Self { server: Server::start("sshd", User::Root, &args) }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.address("port").parse().expect("a port is a number")
    }

    /// Address of an engine whose socket is at `socket`, through this server.
    #[must_use]
    pub fn url(&self, socket: &std::path::Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.server.address("user"), self.port(), socket.display())
    }

    /// The private key that opens it.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.server.folder().join("user_key")
    }

    /// The file that knows it.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.server.folder().join("known_hosts")
    }
}

impl Deref for Sshd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
