//! The API over real sockets, against the SQLite store that the SQLite sink filled.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod containers;
mod contract;
mod documented;
mod events;
mod exposition;
mod http;
mod images;
mod live;
mod logs;
mod requests;
mod served;
mod serving;
mod stale;
mod stats;
mod stuck;
mod world;
