//! A thousand containers through all of dockstream, into real stores.

use std::panic::catch_unwind;
use std::time::Duration;

use test_support::{ClickHouse, Kafka};

use crate::Extent;
use crate::child::{Measured, watch};
use crate::released::{Counts, Released};
use crate::report::{Bar, Row};
use crate::roles::{Role, SimulatedEngine};

const WINDOW: Duration = Duration::from_secs(15);
const OPENING: Duration = Duration::from_secs(90);
/// After the last stream is open: the first inventory is written, and allocations settle.
const SETTLING: Duration = Duration::from_secs(5);

const STREAMING: &str = "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\n";
const POLLING: &str = "[collect]\nmode = \"poll\"\nstats_interval = \"1s\"\n";

pub fn run(extent: Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![fleet(1_000, "SQLite", STREAMING)?, fleet(1_000, "SQLite, by polling", POLLING)?];
    match stores() {
        Some((_kafka, _clickhouse, config)) => {
            let config = format!("{STREAMING}{config}");
            rows.push(fleet(1_000, "SQLite + Kafka + ClickHouse", &config)?);
            if extent == Extent::Full {
                rows.push(fleet(5_000, "SQLite + Kafka + ClickHouse", &config)?);
            }
        }
        None => eprintln!("not measured: Kafka and ClickHouse, which `make deps` installs"),
    }
    if extent == Extent::Full {
        rows.push(fleet(100, "SQLite", STREAMING)?);
        rows.push(fleet(5_000, "SQLite", STREAMING)?);
    }
    Ok(rows)
}

/// Real servers, and the configuration that leads to them; `None` where they are not installed.
fn stores() -> Option<(Kafka, ClickHouse, String)> {
    let kafka = catch_unwind(Kafka::start).ok()?;
    let clickhouse = catch_unwind(ClickHouse::start).ok()?;
    let config = format!(
        "[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\n[sinks.clickhouse]\nenabled = true\nurl = \"{}\"\n",
        kafka.bootstrap(),
        clickhouse.url(),
    );
    Some((kafka, clickhouse, config))
}

fn fleet(containers: usize, into: &str, config: &str) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let simulated = SimulatedEngine::at(folder.path(), containers);
    let _engine = simulated.spawn(Role::Engine)?;
    // Side by side, so that both see the same machine and the same frames.
    let mut typed = simulated.spawn(Role::Typed)?;
    let dockstream = Released::start(folder.path(), &simulated, config)?;
    let everyone = 3 * containers as u64;
    dockstream.until(OPENING, "samples flow", |counts| counts.received > everyone)?;
    typed.until(OPENING, |frames| frames > everyone)?;
    std::thread::sleep(SETTLING);
    measure(&dockstream, &mut typed, containers, into)
}

fn measure(dockstream: &Released, typed: &mut Measured, containers: usize, into: &str) -> anyhow::Result<Row> {
    let (before, read_before) = (dockstream.counts()?, typed.count()?);
    let [used, reference] = watch(WINDOW, [&dockstream.process, typed]);
    let (after, read_after) = (dockstream.counts()?, typed.count()?);
    let per_second = |from: u64, to: u64| (to - from) as f64 / WINDOW.as_secs_f64();
    let sinks: Vec<String> = after.sinks.iter().map(|sink| stored(sink, &before, per_second)).collect();
    let lost = after.dropped + after.sinks.iter().map(|(_, _, lost)| lost).sum::<u64>();
    let is_whole = lost == 0 && per_second(before.received, after.received) >= 0.98 * containers as f64;
    let bar = match containers {
        0..=1_000 => {
            Bar::new("≤ 8 %, ≤ 60 MiB, none dropped", used.cpu_percent <= 8.0 && used.memory_mib <= 60.0 && is_whole)
        }
        _ => Bar::new("keeps up, none dropped", is_whole),
    };
    Ok(Row {
        what: format!("{containers} containers at 1 Hz → {into}"),
        figure: format!("{:.1} % of one core, {:.0} MiB", used.cpu_percent, used.memory_mib),
        reference: format!(
            "bollard typed, only reading, side by side: {:.1} %, {:.0} MiB; dockstream takes **{:.2} ×** its CPU",
            reference.cpu_percent,
            reference.memory_mib,
            used.cpu_percent / reference.cpu_percent,
        ),
        bar: Some(bar),
        conditions: format!(
            "{} s; sent {:.0}/s, received {:.0}/s, stored {}; {lost} dropped; {} descriptors",
            WINDOW.as_secs(),
            per_second(read_before, read_after),
            per_second(before.received, after.received),
            sinks.join(", "),
            used.descriptors,
        ),
    })
}

fn stored((name, delivered, _): &(String, u64, u64), before: &Counts, per_second: impl Fn(u64, u64) -> f64) -> String {
    let earlier = before.sinks.iter().find(|(earlier, ..)| earlier == name).map_or(0, |(_, delivered, _)| *delivered);
    format!("{name} {:.0}/s", per_second(earlier, *delivered))
}
