//! End to end: the whole of dockstream, through its public faces.
#![expect(clippy::unwrap_used, reason = "a test may end where something is missing, outside of its function too")]

mod binary;
mod cgroups;
mod chaos;
mod cli;
mod consumers;
mod containers;
mod contract;
mod daemon;
mod deadletter;
mod docker_stats;
mod events;
mod exactly_once;
mod faults;
mod handlers;
mod hosts;
mod http;
mod inventory;
mod journal;
mod logs;
mod losses;
mod pipeline;
mod polls;
mod reading;
mod real_engine;
mod refusals;
mod reload;
mod sinks;
mod stores;
mod streams;
mod telemetry;
mod wedged;
mod workload;
