//! End to end: the whole of dockstream, through its public faces.

mod binary;
mod chaos;
mod cli;
mod containers;
mod contract;
mod daemon;
mod docker_stats;
mod http;
mod pipeline;
mod real_engine;
mod refusals;
mod sinks;
mod stores;
mod streams;
mod telemetry;
mod workload;
