//! Prometheus' remote write, version 1.0: for Prometheus itself, VictoriaMetrics, Mimir, Thanos, and what else takes it.
//!
//! The metrics are those of `/metrics/containers`, under the same names; each sample at its own time. A server takes the samples
//! of a series in their order only: what it has, it refuses a second time, which is told apart from what it will never take.

mod client;
mod config;
mod doubt;
mod encode;
mod errors;
mod sink;
mod verdicts;

pub use crate::client::Credentials;
pub use config::RemoteWriteConfig;
pub use sink::RemoteWriteSink;

pub(crate) use verdicts::VERDICTS;

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
