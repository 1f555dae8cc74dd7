//! What the API is made of: settings, and where its answers come from.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{NodeName, Timestamp};
use store::Store;

use crate::Sight;

/// Settings of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names and addresses a request may use in `Host`, besides loopback and `listen`.
    pub allowed_hosts: Vec<String>,
    /// Threads that serve.
    pub workers: usize,
    /// Connections at once, each worker.
    pub max_connections: usize,
    /// Time a request has from its arrival to its answer.
    pub request_timeout: Duration,
    /// Bytes a request's headers may have in all; at most 128 KiB.
    pub header_limit: usize,
    /// Bytes a request's body may have.
    pub body_limit: usize,
    /// Time that open requests have when the server drains, rounded up to whole seconds.
    pub drain: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allowed_hosts: Vec::new(),
            workers: 2,
            max_connections: 1_024,
            request_timeout: Duration::from_secs(10),
            header_limit: 16 * 1024,
            body_limit: 64 * 1024,
            drain: Duration::from_secs(1),
        }
    }
}

/// Which process answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub node: NodeName,
    /// When it started.
    pub started_at: Timestamp,
}

/// What requests are answered from. Shared by all workers.
pub(crate) struct Api {
    pub store: Arc<dyn Store>,
    pub sight: Arc<dyn Sight>,
    pub about: About,
    pub config: ApiConfig,
    /// The address in use; differs from the configured one where that has port 0.
    pub listen: SocketAddr,
}
