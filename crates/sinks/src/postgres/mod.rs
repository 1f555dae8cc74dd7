//! PostgreSQL, with TimescaleDB or without: each range is one transaction, with an entry in a ledger that says what is stored.
//!
//! Samples and lines are copied in binary form. A range that is sent again, even where the acknowledgement of its commit was lost, finds itself in the
//! ledger and stores nothing. Without TimescaleDB the rollups are kept in the same transaction.

mod columns;
mod config;
mod encode;
mod errors;
mod housekeeping;
mod ledger;
mod migrate;
mod partitions;
mod policies;
mod rollup;
mod schema;
mod session;
mod sink;
mod statements;
mod value;
mod verdicts;

pub use crate::retention::Retention;
pub use columns::{Column, columns, table_names};
pub use config::{PostgresConfig, Timescale};
pub use migrate::PostgresTables;
pub use sink::PostgresSink;

pub(crate) use verdicts::VERDICTS;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upkeep;
