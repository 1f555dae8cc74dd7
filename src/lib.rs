//! dockstream: turns Docker engines into reliable streams.
//!
//! The binary is a thin `main` over this library, so that tests and benches reach the same parts. A program of your own
//! can do as it does and register [handlers of events](events): see `examples/restarts.rs`.

pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data_folder;
pub mod events;
pub mod reload;
pub mod shutdown;
pub mod telemetry;
pub mod topology;
