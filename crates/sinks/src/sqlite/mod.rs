//! The embedded store: everything in one SQLite file, written by one thread of its own.
//!
//! Each range is one transaction. Keys are the records' own identity, so a range that is sent again changes
//! nothing. Between the writes, in small steps, samples that are no longer recent are packed into chunks, their rollups are
//! kept, and what is old goes. Checkpoints are made beside all that.

mod checkpoint;
mod config;
mod damage;
mod encode;
mod errors;
mod housekeeping;
mod packed;
mod packer;
mod pages;
mod retention;
mod samples;
mod schema;
mod sink;
mod verdicts;
mod writer;

pub use config::SqliteConfig;
pub use damage::moved_aside;
pub use errors::SqliteError;
pub use schema::{SCHEMA_VERSION, migrate};
pub use sink::SqliteSink;

pub(crate) use verdicts::VERDICTS;

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
