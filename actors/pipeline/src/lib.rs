//! The actors of dockstream, and the ports through which they meet the outside.
//!
//! Data walks one way: sources (`EventMonitor`, `Inventory`, `StatsStream`, `LogStream`) → `Parser` → `Batcher` →
//! `Journal` → `Sink`. This crate knows no Docker client, no database and no broker: it states what it
//! needs of them in [`ports`], other crates implement that, and the binary joins them.

pub mod batcher;
pub mod books;
pub mod event_handlers;
pub mod event_monitor;
pub mod faults;
pub mod host_connection;
pub mod host_set;
pub mod images;
pub mod inventory;
pub mod journal;
pub mod knowledge;
pub mod log_stream;
pub mod losses;
pub mod measured;
pub mod messages;
pub mod metrics;
pub mod outbox;
pub mod parser;
pub mod ports;
pub mod position;
pub mod router;
pub mod selection;
pub mod sink;
mod size;
pub mod stats_stream;
pub mod stream_set;
