//! What a sample costs where the kernel is read, and what it costs where an engine is asked for it.

use std::fs;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::time::Duration;

use anyhow::Context;
use cgroup::Kernel;
use engine::{Host, HostOptions, HostUrl};
use model::{ContainerId, CpuClock, HostName, OsFamily, compute};
use pipeline::ports::{Counters, EngineApi, Kernel as _, Process};
use test_support::{Dockerd, Release};

use crate::Extent;
use crate::report::{Bar, Row};

const CONTAINERS: usize = 20;
const READINGS: u32 = 500;
const POLLS: u32 = 20;
const ROUNDS: usize = 5;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    // A real engine: what it spends on a sample is what is compared.
    let Ok(engine) = catch_unwind(|| Dockerd::of(Release::Current)) else {
        eprintln!("no Docker engine: the row of control groups is missing");
        return Ok(Vec::new());
    };
    let ids: Vec<String> =
        (0..CONTAINERS).map(|number| engine.run(&format!("still-{number}"), &[], "sleep 1000")).collect();
    let kernel = Kernel::of_this_machine()?;
    let mut counters = ids.iter().map(|id| open(&engine, &kernel, id)).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url: HostUrl = engine.url().parse().context("the engine's address")?;
    let host = Host::new(HostName::try_new("real").context("a host name")?, &url, &HostOptions::default())?;
    runtime.block_on(host.identify())?;

    let (mut read, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        read.push(read_all(&mut counters)?);
        asked.push(ask_all(&runtime, &host, &engine, &ids)?);
    }
    read.sort_by(f64::total_cmp);
    asked.sort_by(f64::total_cmp);
    let (least, median, theirs) = (read[0], read[ROUNDS / 2], asked[ROUNDS / 2]);
    Ok(vec![Row {
        what: "cgroup mode: read + compute one sample".into(),
        figure: format!("{median:.1} µs of CPU (fastest round {least:.1})"),
        reference: format!(
            "Docker 28 asked for it, all its processes: {theirs:.0} µs, **{:.0} ×**; the asking not counted",
            theirs / median
        ),
        bar: Some(Bar::new("≤ 35 µs", median <= 35.0)),
        conditions: format!(
            "{CONTAINERS} containers with a network, files kept open; {ROUNDS} rounds of {} readings and {} polls in turns; median",
            READINGS as usize * CONTAINERS,
            POLLS as usize * CONTAINERS,
        ),
    }])
}

fn open(engine: &Dockerd, kernel: &Kernel, id: &str) -> anyhow::Result<Box<dyn Counters>> {
    let pid = engine.docker(&["inspect", "--format", "{{.State.Pid}}", id]);
    let process = Process { container_id: ContainerId::try_new(id)?, pid: pid.parse()?, has_network: true };
    Ok(kernel.open(&process)?)
}

/// CPU time of a sample, in microseconds.
fn read_all(counters: &mut [Box<dyn Counters>]) -> anyhow::Result<f64> {
    let mut previous = counters.iter_mut().map(|counters| counters.read()).collect::<Result<Vec<_>, _>>()?;
    let before = on_this_thread()?;
    for _ in 0..READINGS {
        for (counters, previous) in counters.iter_mut().zip(&mut previous) {
            let frame = counters.read()?;
            black_box(compute::sample(Some(previous), &frame, OsFamily::Linux, CpuClock::System));
            *previous = frame;
        }
    }
    let used = on_this_thread()?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / (f64::from(READINGS) * counters.len() as f64))
}

/// CPU time the engine spends on a sample, in microseconds.
fn ask_all(runtime: &tokio::runtime::Runtime, host: &Host, engine: &Dockerd, ids: &[String]) -> anyhow::Result<f64> {
    let ids = ids.iter().map(|id| ContainerId::try_new(id)).collect::<Result<Vec<_>, _>>()?;
    let before = engine.cpu_time();
    runtime.block_on(async {
        for _ in 0..POLLS {
            for id in &ids {
                black_box(host.stats_once(id).await?);
            }
        }
        anyhow::Ok(())
    })?;
    let used = engine.cpu_time().saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / (f64::from(POLLS) * ids.len() as f64))
}

/// CPU time that this thread has used.
fn on_this_thread() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().context("the time on the CPU")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
