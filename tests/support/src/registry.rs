//! Apicurio Registry, which keeps schemas and speaks Confluent's API.

use std::ops::Deref;
use std::sync::OnceLock;

use crate::ask::{get, post};
use crate::server::{Server, User};

const API: &str = "/apis/ccompat/v7";
const JSON: &str = "application/vnd.schemaregistry.v1+json";

/// A schema registry, in memory. New versions of a schema have to be backward compatible, as Confluent's registry has it.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    url: String,
}

impl Registry {
    /// Starts a registry of its own. Panics when it is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::start("registry", User::Anyone, &[]);
        let url = server.address("url");
        Self { server, url }
    }

    /// The registry all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Posts JSON to a path of its API, such as `/subjects/docker.stats-value/versions`. The answer, as JSON where it took it.
    ///
    /// # Errors
    /// The status and words of a refusal.
    pub fn post(&self, path: &str, body: &str) -> Result<String, String> {
        post(self.server(), &format!("{API}{path}"), JSON, "", body)
    }

    /// What is at a path of its API, such as `/schemas/ids/1`.
    ///
    /// # Errors
    /// The status and words of a refusal.
    pub fn get(&self, path: &str) -> Result<String, String> {
        get(self.server(), &format!("{API}{path}"))
    }

    fn server(&self) -> &str {
        self.url.trim_end_matches(API)
    }

    /// Where it speaks Confluent's API, `http://127.0.0.1:port/path`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Deref for Registry {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
