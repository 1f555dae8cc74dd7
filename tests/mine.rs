//! Scratch.
#[path = "e2e/binary.rs"] mod binary;
#[path = "e2e/cli.rs"] mod cli;
#[path = "e2e/containers.rs"] mod containers;
#[path = "e2e/daemon.rs"] mod daemon;
#[path = "e2e/docker_stats.rs"] mod docker_stats;
#[path = "e2e/http.rs"] mod http;
#[path = "e2e/real_engine.rs"] mod real_engine;
#[path = "e2e/refusals.rs"] mod refusals;
#[path = "e2e/stores.rs"] mod stores;
#[path = "e2e/workload.rs"] mod workload;
