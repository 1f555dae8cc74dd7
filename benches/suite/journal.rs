//! The journal on disk: how much it takes, what each way of syncing adds to an append, and what it gives back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{DiskJournal, Options, Sync, WhenFull};
use model::Stream;
use pipeline::ports::{Appetite, Journal, Receipt};
use tokio::runtime::Runtime;

use crate::Extent;
use crate::batches::{ROWS, Recording};
use crate::report::{Bar, Row};

const INTERVAL: Duration = Duration::from_millis(500);

/// Batches of one run: half a million records.
const BATCHES: u64 = 1_000;

/// Each way is measured so often; the middle run counts.
const ROUNDS: usize = 5;

/// As many appends as the pipeline has under way at once.
const AT_ONCE: usize = 8;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    let recording = Arc::new(Recording::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    [
        ("`interval` sync", Sync::Interval(INTERVAL), BATCHES),
        ("`off`", Sync::Off, BATCHES),
        ("`always`", Sync::Always, BATCHES / 4),
    ]
    .into_iter()
    .map(|(name, sync, batches)| append(&runtime, &recording, name, sync, batches))
    .collect()
}

fn append(runtime: &Runtime, recording: &Arc<Recording>, name: &str, sync: Sync, batches: u64) -> anyhow::Result<Row> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let options = Options { bytes: 1 << 40, sync, when_full: WhenFull::Block, ..Options::default() };
        let journal = Arc::new(DiskJournal::open(&folder.path().join("journal"), options)?);
        let taken = runtime.block_on(take(&journal, recording, batches))?;
        let plain = plain_file(&folder.path().join("plain"), taken.bytes / batches, batches, sync)?;
        rounds.push((taken, plain));
    }
    rounds.sort_by_key(|(taken, _)| taken.appending);
    let (taken, plain) = rounds.swap_remove(ROUNDS / 2);
    let per_second = |time: Duration| (batches * ROWS) as f64 / time.as_secs_f64();
    let wait = |share: usize| taken.waits[taken.waits.len() * share / 100].as_secs_f64() * 1e3;
    let rate = per_second(taken.appending);
    Ok(Row {
        what: format!("journal append, {name}"),
        figure: format!(
            "{rate:.0} records/s; a batch waits {:.2} ms (p50), {:.2} ms (p99), with {AT_ONCE} at once",
            wait(50),
            wait(99),
        ),
        reference: format!(
            "as many bytes into a plain file, synced as often: {:.0} records/s; the journal takes **{:.1} ×** that time",
            per_second(plain),
            taken.appending.as_secs_f64() / plain.as_secs_f64(),
        ),
        bar: matches!(sync, Sync::Interval(_)).then(|| Bar::new("≥ 300 000 records/s", rate >= 300_000.0)),
        conditions: format!(
            "{} records in batches of {ROWS}, {} bytes each on disk; a sink that was away reads them back at {:.0} records/s; middle of {ROUNDS} runs",
            batches * ROWS,
            taken.bytes / (batches * ROWS),
            per_second(taken.reading),
        ),
    })
}

struct Taken {
    appending: Duration,
    waits: Vec<Duration>,
    reading: Duration,
    bytes: u64,
}

async fn take(journal: &Arc<DiskJournal>, recording: &Arc<Recording>, batches: u64) -> anyhow::Result<Taken> {
    let streams = vec![Stream::Stats];
    journal.register("away", Appetite { rows: 50_000, bytes: 64 << 20, linger: Duration::ZERO, streams });
    let since = Instant::now();
    let writers = (0..AT_ONCE).map(|writer| {
        let (journal, recording) = (journal.clone(), recording.clone());
        tokio::spawn(async move {
            let mut waits = Vec::new();
            for number in (0..batches).skip(writer).step_by(AT_ONCE) {
                let (batch, asked) = (recording.batch(number), Instant::now());
                journal.append(vec![batch], Vec::new()).await?;
                waits.push(asked.elapsed());
            }
            anyhow::Ok(waits)
        })
    });
    let mut waits = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        waits.extend(writer.await??);
    }
    let appending = since.elapsed();
    waits.sort();
    let bytes = journal.storage().bytes;
    let (since, mut read) = (Instant::now(), 0);
    while read < batches * ROWS {
        let range = journal.next("away").await.ok_or_else(|| anyhow::anyhow!("the journal ended"))?;
        read += range.rows() as u64;
        journal.commit("away", &range, &Receipt::default()).await?;
    }
    let reading = since.elapsed();
    journal.stop().await;
    Ok(Taken { appending, waits, reading, bytes })
}

/// The reference: as many bytes, one write after the other, with no place for anybody's cursor.
fn plain_file(path: &Path, bytes: u64, batches: u64, sync: Sync) -> anyhow::Result<Duration> {
    let batch: Vec<u8> = (0..bytes).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let mut file = File::create(path)?;
    let (since, mut synced) = (Instant::now(), Instant::now());
    for number in 1..=batches {
        file.write_all(&batch)?;
        let is_due = match sync {
            // As many as one sync of the journal covers.
            Sync::Always => number % AT_ONCE as u64 == 0,
            Sync::Interval(interval) => synced.elapsed() >= interval,
            Sync::Off => false,
        };
        if is_due {
            file.sync_data()?;
            synced = Instant::now();
        }
    }
    Ok(since.elapsed())
}
