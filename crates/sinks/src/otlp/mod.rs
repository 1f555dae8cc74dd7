//! OTLP: metrics and logs for an OpenTelemetry Collector, and for whatever takes what it does, over gRPC or HTTP.
//!
//! The messages are made by hand: foreign times, and a resource for each container, are nothing an SDK's meter can tell.
//! A point is its resource, its metric, its attributes and its time: sent again, it is the same point. A log record
//! carries its name (`log.record.uid`), by which a receiver knows it again.

mod client;
mod config;
mod encode;
mod errors;
mod grpc;
mod metrics;
mod resource;
mod sink;
mod verdicts;

pub use config::{OtlpConfig, Protocol};
pub use sink::OtlpSink;

pub(crate) use verdicts::{HTTP, VERDICTS};

#[cfg(test)]
mod contract;
#[cfg(test)]
mod read;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
