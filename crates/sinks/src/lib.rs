//! Where dockstream delivers to. One folder per sink, each with the same rooms: `config`, `encode`, `errors`
//! and the sink itself, which implements the pipeline's delivery port.
//!
//! A sink here decides nothing about retries: it says how a delivery failed, and the pipeline's `Sink` actor
//! acts on it. What it does promise is that the same range, sent again after any error, is stored once.

pub mod clickhouse;
pub mod deadletter;
pub mod influxdb;
pub mod kafka;
pub mod migrate;
pub mod otlp;
pub mod postgres;
pub mod remote_write;
pub mod sqlite;

mod client;
mod retention;
mod verdicts;

pub use client::Trust;
pub use verdicts::error_tables;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod parrot;
