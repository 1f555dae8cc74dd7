//! `dockstream demo`: the same, against simulated hosts.

use std::time::Duration;

use simulator::{DemoSpec, SimulatedHost, Simulator};

use super::parts::StartError;
use super::{refuse, run};
use crate::cli::{self, Exit};
use crate::config::{Host, Loaded};

/// Runs against simulated hosts; everything is kept in a folder of its own, beside real data.
pub fn demo(mut loaded: Loaded, demo: cli::Demo) -> Exit {
    let hosts = match simulate(demo) {
        Ok(hosts) => hosts,
        Err(error) => return refuse(&error),
    };
    let config = &mut loaded.config;
    config.data_dir = config.data_dir.join("demo");
    config.sinks.sqlite.path = None;
    config.collect.stats_interval = config.collect.stats_interval.min(Duration::from_secs(1));
    config.hosts = hosts.1.iter().filter_map(host).collect();
    println!(
        "demo: {} simulated hosts with {} containers each; nothing of this machine is watched",
        demo.hosts, demo.containers
    );
    run(&loaded, None)
}

fn simulate(demo: cli::Demo) -> Result<(tempfile::TempDir, Vec<SimulatedHost>), StartError> {
    let folder = tempfile::tempdir()?;
    let spec =
        DemoSpec { hosts: usize::from(demo.hosts), containers: usize::from(demo.containers), ..DemoSpec::default() };
    let hosts = spec.hosts(folder.path()).into_iter().map(Simulator::start).collect::<Result<_, _>>()?;
    Ok((folder, hosts))
}

fn host(simulated: &SimulatedHost) -> Option<Host> {
    Some(Host { name: simulated.name().parse().ok()?, url: simulated.url(), ..Host::default() })
}
