//! ClickHouse: one insert per stream and day of a range, under a token that names its content.
//!
//! A range is encoded once. Sent again after any error, even a lost acknowledgement, it carries the same bytes
//! under the same tokens, and the server drops what it has.

mod columns;
mod config;
mod encode;
mod errors;
mod freeze;
mod migrate;
mod retention;
mod schema;
mod sink;
mod statements;
mod verdicts;

pub use crate::retention::Retention;
pub use columns::{columns, table_name};
pub use config::ClickHouseConfig;
pub use migrate::ClickHouseTables;
pub use sink::ClickHouseSink;

pub(crate) use verdicts::{PROXY, VERDICTS};

#[cfg(test)]
mod cookbook;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upgrades;
