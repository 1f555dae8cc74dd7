//! The Docker client of dockstream: hosts, streams, frames.
//!
//! Only this crate knows how an engine is reached and what it answers. [`Host`] is the pipeline's engine port for one
//! engine, here (a unix socket) or elsewhere (TCP, TLS, SSH). Streams (stats, events) are read by an HTTP/1.1 reader of
//! our own, which holds no more than the rest of a line for each; calls with one answer go over pooled connections,
//! under a deadline. [`frame`] turns stats frames into counters.
//!
//! Sources: the Docker Engine API reference, docker/cli `cli/command/container/stats_helpers.go`, and answers recorded
//! from Docker 20.10, 26.1 and 28.5 and Podman 4.3 (`tests/frames`).

mod error;
mod events;
pub mod frame;
mod host;
mod http;
mod identity;
mod images;
mod inspect;
mod inventory;
mod logs;
mod transport;
mod unary;
mod url;

pub use host::{Host, HostOptions};
pub use transport::{SshOptions, TlsOptions};
pub use url::{HostUrl, InvalidHostUrl};

/// How we name ourselves to engines.
const USER_AGENT: &str = concat!("dockstream/", env!("CARGO_PKG_VERSION"));
