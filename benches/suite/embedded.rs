//! The embedded store: what a week of samples takes in the file, how fast its charts are, and what a write waits for while
//! older samples are packed. The reference is the same store with every sample a row.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use model::{Batch, BatchId, NodeName, Rows, StatsRecord, Stream, Timestamp, Trigger};
use pipeline::ports::{Deliver, Range};
use rusqlite::Connection;
use sinks::sqlite::{SqliteConfig, SqliteSink};
use store::{ContainerKey, HistoryQuery, Resolution, SqliteStore, Store};
use test_support::FleetContainer;

use crate::Extent;
use crate::report::{Bar, Row};

const DAY: u64 = 86_400;
/// Samples of each container in one delivery.
const TICKS: u64 = 10;
/// Containers whose charts are asked for, and of the reference.
const ASKED: u64 = 10;

/// A file that was filled, and how that went.
struct Filled {
    path: std::path::PathBuf,
    samples: u64,
    bytes: u64,
    /// What each delivery waited, in milliseconds, sorted.
    waits: Vec<f64>,
}

pub fn run(extent: Extent) -> anyhow::Result<Vec<Row>> {
    let containers = if extent == Extent::Full { 100 } else { 20 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(containers))
}

async fn measure(containers: u64) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let rows = fill(&folder.path().join("rows.db"), ASKED, DAY, Duration::from_secs(30 * DAY)).await?;
    let packed = fill(&folder.path().join("packed.db"), containers, 7 * DAY, Duration::from_secs(3_600)).await?;
    let each = |filled: &Filled| filled.bytes as f64 / filled.samples as f64;
    let (data, rollups): (f64, f64) = (
        ask(&packed, "SELECT 1.0 * sum(length(data)) / sum(samples) FROM chunks")?,
        ask(&packed, "SELECT 1.0 * sum(pgsize) FROM dbstat WHERE name LIKE 'samples_1_'")?,
    );
    let size = Row {
        what: format!("the embedded store, 7 days of {containers} containers at 1 Hz"),
        figure: format!(
            "{:.1} bytes a sample, all in all; a file of {:.0} MB",
            each(&packed),
            packed.bytes as f64 / 1e6
        ),
        reference: format!(
            "a day of {ASKED} of them, each sample a row: {:.0} bytes a sample; packed they take **1/{:.1}**",
            each(&rows),
            each(&rows) / each(&packed)
        ),
        bar: Some(Bar::new("≤ 25 bytes a sample", each(&packed) <= 25.0)),
        conditions: format!(
            "{data:.1} bytes of a sample are its chunk's; the rollups are {:.0} MB; the last hour are rows",
            rollups / 1e6
        ),
    };
    let mut out = vec![size];
    for (what, resolution) in [("by the minute", None), ("from every sample", Some(Resolution::Raw))] {
        let (this, that) = (charts(&packed, resolution).await?, charts(&rows, resolution).await?);
        out.push(Row {
            what: format!("a container's chart of the last 24 h, {what}"),
            figure: format!("{:.1} ms (p50), {:.1} ms (p95)", at(&this, 50), at(&this, 95)),
            reference: format!(
                "each sample a row: {:.1} ms (p50), {:.1} ms (p95); packed takes **{:.2} ×** that time",
                at(&that, 50),
                at(&that, 95),
                at(&this, 50) / at(&that, 50)
            ),
            bar: Some(Bar::new("≤ 50 ms", at(&this, 95) <= 50.0)),
            conditions: format!(
                "{ASKED} containers in turn, ten times each, out of the file above; the file is in the system's cache"
            ),
        });
    }
    let wait = |filled: &Filled| {
        let waits = &filled.waits;
        format!(
            "{:.1} ms (p50), {:.1} ms (p99), {:.0} ms (slowest of {})",
            at(waits, 50),
            at(waits, 99),
            at(waits, 100),
            waits.len()
        )
    };
    out.push(Row {
        what: format!("writing {} samples beside packing", TICKS * containers),
        figure: wait(&packed),
        reference: format!("{} samples without packing: {}", TICKS * ASKED, wait(&rows)),
        bar: None,
        conditions: "as fast as they are taken, from the first to the last; checkpoints are made beside them".into(),
    });
    Ok(out)
}

/// A file with so many seconds of so many containers, up to now.
async fn fill(path: &Path, containers: u64, seconds: u64, pack_after: Duration) -> anyhow::Result<Filled> {
    let config = SqliteConfig {
        pack_after,
        retention_raw: Duration::from_secs(9 * DAY),
        housekeeping: Duration::from_secs(1),
        ..SqliteConfig::new(path)
    };
    let mut sink = SqliteSink::new(config);
    sink.prepare().await?;
    // The fleet's seconds are a little longer.
    let start = Timestamp::from(SystemTime::now()) - Duration::from_millis(seconds * 1_002);
    let mut fleet: Vec<FleetContainer> = (0..containers).map(|number| FleetContainer::new(number, start)).collect();
    let mut waits = Vec::new();
    let mut sequence = 1;
    for _ in 0..seconds / TICKS {
        let samples: Vec<StatsRecord> =
            (0..TICKS).flat_map(|_| fleet.iter_mut().map(FleetContainer::sample).collect::<Vec<_>>()).collect();
        let range = range(samples, &mut sequence);
        let since = Instant::now();
        sink.deliver(&range).await?;
        waits.push(since.elapsed().as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);
    let filled = Filled { path: path.to_owned(), samples: seconds / TICKS * TICKS * containers, bytes: 0, waits };
    let deadline = Instant::now() + Duration::from_secs(600);
    let recent = containers * (pack_after.as_secs() * 2 + 60);
    while ask::<i64>(&filled, "SELECT count(*) FROM samples")?.cast_unsigned() > recent {
        anyhow::ensure!(Instant::now() < deadline, "samples are not packed");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    sink.close().await;
    Ok(Filled { bytes: std::fs::metadata(path)?.len(), ..filled })
}

fn range(samples: Vec<StatsRecord>, sequence: &mut u64) -> Range {
    let (first, count) = (*sequence, samples.len() as u64);
    *sequence += count;
    let node = NodeName::try_new("bench").expect("a node name");
    let id = BatchId { node, epoch: 1, stream: Stream::Stats, first, last: first + count - 1 };
    let rows = Rows::Stats(samples.into());
    let batch = Batch { id, trigger: Trigger::Count, bytes: 1, opened_at: Timestamp::default(), rows };
    Range { first, end: first + 1, batches: vec![batch] }
}

/// What each chart took, in milliseconds, sorted.
async fn charts(filled: &Filled, resolution: Option<Resolution>) -> anyhow::Result<Vec<f64>> {
    let store = SqliteStore::open(&filled.path);
    let to = Timestamp::from(SystemTime::now());
    let query = HistoryQuery { from: to - Duration::from_secs(DAY), to, resolution, max_points: 1_500 };
    let mut took = Vec::new();
    for _ in 0..10 {
        for number in 0..ASKED {
            let meta = FleetContainer::new(number, to).meta().clone();
            let key = ContainerKey { host: meta.host.clone(), container_id: meta.container_id.clone() };
            let since = Instant::now();
            let history = store.history(&key, &query).await?;
            took.push(since.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(history.points.len() > 1_000, "a chart of {} points", history.points.len());
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn ask<T: rusqlite::types::FromSql>(filled: &Filled, sql: &str) -> anyhow::Result<T> {
    Connection::open(&filled.path)?.query_row(sql, [], |row| row.get(0)).context("the file does not answer")
}

/// Of sorted values the one at so many percent.
fn at(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied().unwrap_or(f64::NAN)
}
