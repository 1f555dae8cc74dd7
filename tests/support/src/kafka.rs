//! Apache Kafka, one KRaft node.

use std::ops::Deref;
use std::sync::OnceLock;

use crate::proxy::{Place, Proxy};
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

    /// Starts a broker that tells its clients to come by `proxy`, which leads to it. What it says to itself goes by no proxy.
    #[must_use]
    pub fn behind(proxy: &Proxy) -> Self {
        let kafka = Self::start_with(&[
            "listeners=CLIENT://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}",
            &format!("advertised.listeners=CLIENT://{},INTERNAL://127.0.0.1:{{internal}}", proxy.address()),
            "listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name=INTERNAL",
        ]);
        proxy.lead_to(Place::at(kafka.bootstrap()));
        kafka
    }

    /// Starts a broker with a second way in, and further properties: who comes by `proxy` is told to come by it again, and
    /// who comes to [`Self::bootstrap`] is told to come there.
    #[must_use]
    pub fn with_a_door(proxy: &Proxy, properties: &[&str]) -> Self {
        let advertised = format!("advertised.listeners=CLIENT://127.0.0.1:{{port}},DOOR://{}", proxy.address());
        let door = [
            "listeners=CLIENT://127.0.0.1:{port},DOOR://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}",
            &advertised,
            "listener.security.protocol.map=CLIENT:PLAINTEXT,DOOR:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ];
        let kafka = Self::start_with(&[&door, properties].concat());
        proxy.lead_to(Place::at(&kafka.internal()));
        kafka
    }

    /// The broker all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The address a property named as `127.0.0.1:{internal}`, where one did.
    #[must_use]
    pub fn internal(&self) -> String {
        self.server.address("internal")
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
