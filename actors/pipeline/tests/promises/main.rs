//! What the actors promise, each against an engine, a server or a log that misbehaves, on a clock that jumps.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod batching;
mod container_logs;
mod documented;
mod engine;
mod events;
mod fleet;
mod handlers;
mod host;
mod images;
mod inventory;
mod kernel;
mod lives;
mod logs;
mod passed_over;
mod selection;
mod sinks;
mod stats;
mod world;
