//! Apache Kafka, one KRaft node.

use std::ops::Deref;
use std::sync::OnceLock;

use crate::server::{Server, User};

/// A Kafka broker. Topics are not created by use; each gets one partition unless told.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    bootstrap: String,
}

impl Kafka {
    /// Starts a broker of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker with further properties, such as `message.max.bytes=1000`.
    #[must_use]
    pub fn start_with(properties: &[&str]) -> Self {
        let args: Vec<&str> = properties.iter().flat_map(|property| ["--property", property]).collect();
        let server = Server::start("kafka", User::Anyone, &args);
        let bootstrap = server.address("bootstrap");
        Self { server, bootstrap }
    }

    /// The broker all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Bootstrap address, `127.0.0.1:port`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Deref for Kafka {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
