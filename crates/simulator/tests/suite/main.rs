//! What a client of a simulated engine sees, byte by byte, and through a real client.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod api;
mod bollard;
mod client;
mod daemon;
mod events;
mod faults;
mod load;
mod logs;
mod stats;
