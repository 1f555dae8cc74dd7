//! A simulated Docker engine to point a client at, and what it serves, once a second.
//!
//! `cargo run -p simulator --release --example engine -- --socket /tmp/sim.sock --containers 1000`

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use simulator::{Order, Profile, Simulator};

/// A fake Docker engine on a unix socket.
#[derive(Parser)]
struct Options {
    /// Path of the socket.
    #[arg(long)]
    socket: PathBuf,
    /// Containers to simulate.
    #[arg(long, default_value_t = 12)]
    containers: usize,
    /// Time between two frames of a stream, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// Microseconds one collector needs for each container, as the real engine; spread evenly without it.
    #[arg(long)]
    cost_us: Option<u64>,
    /// Imitate Docker 20.10 on cgroup v1 in place of 28.5 on cgroup v2.
    #[arg(long)]
    old: bool,
    /// Jobs that come or go, per second.
    #[arg(long, default_value_t = 0.0)]
    churn: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after so many seconds; runs until it is interrupted without it.
    #[arg(long)]
    seconds: Option<u64>,
}

fn main() -> Result<(), simulator::StartError> {
    let options = Options::parse();
    let mut simulator = Simulator::host("simulated")
        .socket(&options.socket)
        .containers(options.containers)
        .interval(Duration::from_millis(options.interval_ms))
        .engine(if options.old { Profile::Docker20 } else { Profile::Docker28 })
        .churn(options.churn)
        .seed(options.seed);
    if let Some(cost) = options.cost_us {
        simulator = simulator.sequential(Duration::from_micros(cost), Order::Random);
    }
    let host = simulator.start()?;
    println!("{} containers at {}", options.containers, host.url());
    println!("try: docker -H {} ps, stats or events", host.url());
    let mut before = host.control().served();
    for _ in 0..options.seconds.unwrap_or(u64::MAX) {
        std::thread::sleep(Duration::from_secs(1));
        let served = host.control().served();
        let calls = |served: &simulator::Served| served.calls.values().sum::<u64>();
        println!(
            "{} connections, {} stats streams, {} event streams; this second: {} frames, {} dropped, {} events, {} calls",
            served.connections,
            served.stats_streams,
            served.event_streams,
            served.frames.sent + served.frames.zero - before.frames.sent - before.frames.zero,
            served.frames.dropped - before.frames.dropped,
            served.events_sent - before.events_sent,
            calls(&served) - calls(&before),
        );
        before = served;
    }
    Ok(())
}
