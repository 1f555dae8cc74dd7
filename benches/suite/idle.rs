//! What dockstream costs where there is little to do, and how soon it is of use.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::Extent;
use crate::child::watch;
use crate::released::Released;
use crate::report::{Bar, Row};
use crate::roles::{Role, SimulatedEngine};

const CONTAINERS: usize = 10;
const WINDOW: Duration = Duration::from_secs(30);
const SETTLING: Duration = Duration::from_secs(8);
const STARTS: usize = 5;

/// Nothing but the host is configured: the defaults are measured.
const DEFAULTS: &str = "";

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    let mut firsts = (0..STARTS).map(|_| first_sample()).collect::<anyhow::Result<Vec<_>>>()?;
    firsts.sort();
    let (fastest, median) = (firsts[0], firsts[STARTS / 2]);
    let start = Row {
        what: "start to first stored sample".into(),
        figure: format!("{} ms (fastest {})", median.as_millis(), fastest.as_millis()),
        reference: "the engine answers a poll at once".into(),
        bar: Some(Bar::new("≤ 2 s beyond the engine's own first frame", median <= Duration::from_secs(2))),
        conditions: format!(
            "{CONTAINERS} containers, no configuration; median of {STARTS} starts, from the process's start until the API serves the sample from SQLite"
        ),
    };
    Ok(vec![idle()?, start])
}

fn idle() -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let simulated = SimulatedEngine::at(folder.path(), CONTAINERS);
    let _engine = simulated.spawn(Role::Engine)?;
    let typed = simulated.spawn(Role::Typed)?;
    let dockstream = Released::start(folder.path(), &simulated, DEFAULTS)?;
    dockstream.until(Duration::from_secs(30), "samples flow", |counts| counts.received >= CONTAINERS as u64)?;
    std::thread::sleep(SETTLING);
    let before = dockstream.counts()?;
    let [used, reference] = watch(WINDOW, [&dockstream.process, &typed]);
    let after = dockstream.counts()?;
    Ok(Row {
        what: format!("idle: {CONTAINERS} containers, no configuration → SQLite"),
        figure: format!("{:.2} % of one core, {:.0} MiB", used.cpu_percent, used.memory_mib),
        reference: format!(
            "bollard typed, only reading, at 1 Hz: {:.2} %, {:.0} MiB",
            reference.cpu_percent, reference.memory_mib
        ),
        bar: Some(Bar::new("≤ 0.3 %, ≤ 25 MiB", used.cpu_percent <= 0.3 && used.memory_mib <= 25.0)),
        conditions: format!(
            "{} s, in steps of 0.03 %; {:.1} samples/s; {} descriptors",
            WINDOW.as_secs(),
            (after.received - before.received) as f64 / WINDOW.as_secs_f64(),
            used.descriptors,
        ),
    })
}

fn first_sample() -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let simulated = SimulatedEngine::at(folder.path(), CONTAINERS);
    let _engine = simulated.spawn(Role::Engine)?;
    let since = Instant::now();
    let dockstream = Released::start(folder.path(), &simulated, DEFAULTS)?;
    loop {
        let (status, _) = dockstream.ask("/api/containers/web-1/stats").context("the API answers")?;
        if status == 200 {
            return Ok(since.elapsed());
        }
        ensure!(since.elapsed() < Duration::from_secs(30), "no sample within 30 s, last answer {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
