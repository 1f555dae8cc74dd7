//! The embedded store: everything in one SQLite file, written by one thread of its own.
//!
//! Each range is one transaction. Keys are the records' own identity, so a range that is sent again changes
//! nothing. Old rows go in small steps between the writes.

mod config;
mod encode;
mod errors;
mod retention;
mod schema;
mod sink;
mod verdicts;
mod writer;

pub use config::SqliteConfig;
pub use errors::SqliteError;
pub use schema::{SCHEMA_VERSION, migrate};
pub use sink::SqliteSink;

pub(crate) use verdicts::VERDICTS;

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
