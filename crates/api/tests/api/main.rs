//! The API over real sockets, against the SQLite store that the SQLite sink filled.

mod containers;
mod contract;
mod documented;
mod events;
mod fixture;
mod http;
mod live;
mod requests;
mod serving;
mod stats;
mod stuck;
