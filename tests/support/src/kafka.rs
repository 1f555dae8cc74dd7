//! Apache Kafka, one KRaft node.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::certificates::{Authority, Validity};
use crate::proxy::{Place, Proxy};
use crate::server::{Server, User};

/// A Kafka broker. Topics are not created by use; each gets one partition unless told.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    bootstrap: String,
}

/// What a client shows a [`Kafka::secured`] broker, and whom it trusts: texts in PEM.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The certificate of the CA that issued the broker's.
    pub ca: String,
    /// The client's own certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
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
        Self::with_users(properties, &[])
    }

    /// Starts a broker with two listeners more, as a production cluster has them: one for TLS with certificates on both
    /// sides ([`Self::tls`]), one for SASL over TLS ([`Self::sasl`]). With it comes what a client needs to show and to trust.
    ///
    /// Users: `plain`, `scram` by SHA-256 and -512, both with the password `right`, and by OAUTHBEARER whoever a token names.
    #[must_use]
    pub fn secured() -> (Self, Papers) {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        let authority = Authority::new(folder.path());
        let papers = |folder: PathBuf| {
            let [ca, certificate, key] = ["ca.pem", "cert.pem", "key.pem"]
                .map(|name| fs::read_to_string(folder.join(name)).expect("the CA wrote it"));
            Papers { ca, certificate, key }
        };
        let own = papers(authority.server("broker", &["127.0.0.1"], Validity::Now));
        let line = |name: &str, pem: &str| format!("{name}={}", pem.replace('\n', "\\n"));
        let jaas = |mechanism: &str, module: &str, rest: &str| {
            let class = format!("org.apache.kafka.common.security.{module}LoginModule");
            format!("listener.name.sasl.{mechanism}.sasl.jaas.config={class} required {rest};")
        };
        let listeners = "CLIENT://127.0.0.1:{port},TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl}";
        let properties = [
            format!("listeners={listeners},CONTROLLER://127.0.0.1:{{controller}}"),
            format!("advertised.listeners={listeners}"),
            "listener.security.protocol.map=CLIENT:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            line("ssl.keystore.key", &own.key),
            line("ssl.keystore.certificate.chain", &own.certificate),
            "ssl.truststore.type=PEM".to_owned(),
            line("ssl.truststore.certificates", &own.ca),
            "listener.name.tls.ssl.client.auth=required".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            jaas("plain", "plain.Plain", "user_plain=\"right\""),
            jaas("scram-sha-256", "scram.Scram", ""),
            jaas("scram-sha-512", "scram.Scram", ""),
            jaas("oauthbearer", "oauthbearer.OAuthBearer", "unsecuredLoginStringClaim_sub=\"broker\""),
        ];
        let kafka = Self::with_users(&properties.each_ref().map(String::as_str), &["scram=right"]);
        (kafka, papers(authority.client("client", Validity::Now)))
    }

    fn with_users(properties: &[&str], users: &[&str]) -> Self {
        let properties = properties.iter().flat_map(|property| ["--property", property]);
        let args: Vec<&str> = properties.chain(users.iter().flat_map(|user| ["--scram", user])).collect();
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

    /// Address of the listener for TLS of a broker that is [`Self::secured`].
    #[must_use]
    pub fn tls(&self) -> String {
        self.server.address("tls")
    }

    /// Address of the listener for SASL over TLS of a broker that is [`Self::secured`].
    #[must_use]
    pub fn sasl(&self) -> String {
        self.server.address("sasl")
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
