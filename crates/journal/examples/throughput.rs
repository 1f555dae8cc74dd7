//! How fast the journal on disk is, here: `cargo run --release -p journal --example throughput [MiB] [folder]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{DiskJournal, Options, Sync, WhenFull};
use model::{
    Batch, BatchId, ContainerId, ContainerMeta, HostName, NetworkScope, NodeName, Rows, Sample, SampleKind,
    SampleValue, StatsRecord, Stream, Timestamp, Trigger,
};
use pipeline::ports::{Appetite, Journal, Receipt};

const ROWS: u64 = 500;

/// Containers of a fleet, each with its identity.
fn fleet() -> Vec<Arc<ContainerMeta>> {
    let meta = |n: u64| ContainerMeta {
        host: HostName::try_new("edge-7").expect("a valid name"),
        container_id: ContainerId::try_new(&format!("{:064x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)))
            .expect("64 digits"),
        container_name: format!("shop-web-{n}"),
        image: format!("registry.example/shop/web-{}:1.4.2", n % 20),
        compose_project: Some("shop".into()),
        compose_service: Some(format!("web-{}", n % 20)),
        run: Some(Timestamp::from_millis(1_795_000_000_000)),
        labels: Default::default(),
    };
    (0..1000).map(|n| Arc::new(meta(n))).collect()
}

/// A batch as a fleet at work makes it: every field known, counters of a usual size.
fn batch(fleet: &[Arc<ContainerMeta>], number: u64) -> Batch {
    let first = number * ROWS + 1;
    let at = Timestamp::from_nanos(1_795_000_000_000_000_000 + i64::try_from(number * 500_000_000).unwrap_or(i64::MAX));
    let rows: Vec<StatsRecord> = (0..ROWS)
        .map(|row| {
            let seed = (first + row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let sample = Sample::read(|position, kind| {
                let bits = seed.rotate_left(u32::try_from(position).unwrap_or(0) * 7);
                Ok::<_, std::convert::Infallible>(match kind {
                    SampleKind::Float64 => SampleValue::Float(Some((bits % 10_000) as f64 / 97.0)),
                    SampleKind::UInt32 => SampleValue::Unsigned(Some(16)),
                    // Bytes and nanoseconds: from a few to thousands of billions.
                    SampleKind::UInt64 => SampleValue::Unsigned(Some(bits >> (24 + position % 5 * 8))),
                })
            });
            let Ok(sample) = sample;
            StatsRecord {
                meta: fleet[usize::try_from(first + row).unwrap_or(0) % fleet.len()].clone(),
                timestamp: at + Duration::from_micros(row * 900),
                received_at: at + Duration::from_micros(row * 900 + 400),
                network_scope: Some(NetworkScope::Own),
                sample,
            }
        })
        .collect();
    let node = NodeName::try_new("node-1").expect("a valid name");
    let id = BatchId { node, epoch: 1, stream: Stream::Stats, first, last: first + ROWS - 1 };
    Batch { id, trigger: Trigger::Count, bytes: 250_000, opened_at: at, rows: Rows::Stats(rows.into()) }
}

fn appetite() -> Appetite {
    Appetite { rows: 50_000, bytes: 64 << 20, linger: Duration::from_millis(50), streams: vec![Stream::Stats] }
}

async fn drain(journal: &DiskJournal, sink: &str, rows: u64) -> Duration {
    let since = Instant::now();
    let mut read = 0;
    while read < rows {
        let range = journal.next(sink).await.expect("there is more");
        read += range.rows() as u64;
        journal.commit(sink, &range, &Receipt::default()).await.expect("the journal keeps the cursor");
    }
    since.elapsed()
}

async fn measure(folder: PathBuf, name: &str, sync: Sync, batches: &[Batch], writers: usize, count: u64) {
    std::fs::remove_dir_all(&folder).ok();
    let options = Options { bytes: 1 << 40, sync, when_full: WhenFull::Block, ..Options::default() };
    let journal = Arc::new(DiskJournal::open(&folder, options).expect("it opens"));
    for sink in ["live", "later"] {
        journal.register(sink, appetite());
    }
    let reader = journal.clone();
    let live = tokio::spawn(async move { drain(&reader, "live", count * ROWS).await });
    let since = Instant::now();
    let mut waits = Vec::new();
    let mut pending = Vec::new();
    for writer in 0..writers {
        let journal = journal.clone();
        let own: Vec<Batch> = batches.iter().skip(writer).step_by(writers).cloned().collect();
        let times = count as usize / writers;
        pending.push(tokio::spawn(async move {
            let mut waits = Vec::with_capacity(times);
            for n in 0..times {
                let since = Instant::now();
                journal.append(own[n % own.len()].clone()).await.expect("it is kept");
                waits.push(since.elapsed());
            }
            waits
        }));
    }
    for writer in pending {
        waits.extend(writer.await.expect("it does not panic"));
    }
    let appended = since.elapsed();
    let kept = journal.storage().bytes;
    let live = live.await.expect("it does not panic");
    waits.sort();
    let rate = |rows: u64, time: Duration| rows as f64 / time.as_secs_f64();
    println!(
        "{name:<22} append {:>9.0} records/s {:>5.0} MiB/s, wait p50 {:>6} us p99 {:>6} us max {:>7} us; live sink {:>9.0} records/s; {:.0} B/record",
        rate(count * ROWS, appended),
        rate(kept, appended) / f64::from(1 << 20),
        waits[waits.len() / 2].as_micros(),
        waits[waits.len() * 99 / 100].as_micros(),
        waits[waits.len() - 1].as_micros(),
        rate(count * ROWS, live),
        kept as f64 / (count * ROWS) as f64,
    );
    journal.stop().await;
    drop(journal);
    let since = Instant::now();
    let journal = DiskJournal::open(&folder, options).expect("it opens");
    let opened = since.elapsed();
    journal.register("later", appetite());
    let read = drain(&journal, "later", count * ROWS).await;
    println!(
        "{:<22} opened with {} MiB in {opened:?}; a sink that was away reads {:.0} records/s",
        "",
        kept >> 20,
        rate(count * ROWS, read)
    );
    journal.stop().await;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(256);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("journal-throughput"), PathBuf::from);
    let fleet = fleet();
    let batches: Vec<Batch> = (0..64).map(|number| batch(&fleet, number)).collect();
    let json: usize = match &batches[0].rows {
        Rows::Stats(rows) => serde_json::to_vec(&**rows).map_or(0, |json| json.len()),
        _ => 0,
    };
    println!("a record as JSON: {} B", json / ROWS as usize);
    let count = mib * 4;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let interval = Sync::Interval(Duration::from_millis(500));
        for (name, sync, writers) in [
            ("off, one writer", Sync::Off, 1),
            ("interval, one writer", interval, 1),
            ("interval, 8 at once", interval, 8),
            ("always, one writer", Sync::Always, 1),
            ("always, 8 at once", Sync::Always, 8),
        ] {
            measure(folder.clone(), name, sync, &batches, writers, count).await;
        }
    });
    std::fs::remove_dir_all(&folder).ok();
}
