//! A sink that was away: how fast it takes what the journal on disk kept for it.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use journal::{DiskJournal, Limits, MemoryJournal, Options, WhenFull};
use pipeline::ports::{Deliver, Journal};
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use sinks::kafka::{KafkaConfig, KafkaSink};
use test_support::{ClickHouse, Kafka};

use crate::Extent;
use crate::batches::{ROWS, Recording};
use crate::child::cpu_of;
use crate::report::{Bar, Row};

/// Half a million records: what a thousand containers tell in eight minutes.
const BATCHES: u64 = 1_000;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    let recording = Recording::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = Vec::new();
    match (catch_unwind(Kafka::start), catch_unwind(ClickHouse::start)) {
        (Ok(kafka), Ok(clickhouse)) => {
            let brokers = vec![kafka.bootstrap().to_owned()];
            let client = |topic_prefix: &str| -> Box<dyn Deliver> {
                let topic_prefix = topic_prefix.to_owned();
                Box::new(KafkaSink::new(KafkaConfig { topic_prefix, ..KafkaConfig::new(brokers.clone()) }))
            };
            rows.push(runtime.block_on(catch_up("Kafka", &recording, client))?);
            let client = |database: &str| -> Box<dyn Deliver> {
                clickhouse.query(&format!("CREATE DATABASE {database}"));
                let database = database.to_owned();
                Box::new(ClickHouseSink::new(ClickHouseConfig { database, ..ClickHouseConfig::new(clickhouse.url()) }))
            };
            rows.push(runtime.block_on(catch_up("ClickHouse", &recording, client))?);
        }
        _ => eprintln!("not measured: Kafka and ClickHouse, which `make deps` installs"),
    }
    Ok(rows)
}

async fn catch_up(name: &str, recording: &Recording, client: impl Fn(&str) -> Box<dyn Deliver>) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let options = Options { bytes: 1 << 40, when_full: WhenFull::Block, ..Options::default() };
    let disk = Arc::new(DiskJournal::open(&folder.path().join("journal"), options)?);
    // Each its own: a journal takes a batch once.
    let memory = || MemoryJournal::new(Limits { bytes: 4 << 30, when_full: WhenFull::DropOldest });
    // The first delivery finds a server that has not done anything yet.
    deliver_all(&memory(), recording, BATCHES / 5, client("warm")).await?;
    let from_memory = deliver_all(&memory(), recording, BATCHES, client("memory")).await?;
    let before = cpu_of(std::process::id());
    let from_disk = deliver_all(&*disk, recording, BATCHES, client("disk")).await?;
    let cpu = cpu_of(std::process::id()).saturating_sub(before).as_secs_f64() * 1e6 / (BATCHES * ROWS) as f64;
    disk.stop().await;
    let per_second = |time: Duration| (BATCHES * ROWS) as f64 / time.as_secs_f64();
    let rate = per_second(from_disk);
    Ok(Row {
        what: format!("catch-up after an outage: journal on disk → {name}"),
        figure: format!("{rate:.0} records/s, {cpu:.1} µs of CPU a record, journaling it included"),
        reference: format!(
            "from memory: {:.0} records/s; from disk it takes **{:.2} ×** that time",
            per_second(from_memory),
            from_disk.as_secs_f64() / from_memory.as_secs_f64(),
        ),
        bar: Some(Bar::new("≥ 100 000 records/s", rate >= 100_000.0)),
        conditions: format!(
            "{} records, until the server has acknowledged the last; the server on the same cores",
            BATCHES * ROWS
        ),
    })
}

/// Fills the journal while the sink is away, and then lets it come.
async fn deliver_all(
    journal: &dyn Journal,
    recording: &Recording,
    batches: u64,
    mut client: Box<dyn Deliver>,
) -> anyhow::Result<Duration> {
    let sink = "sink";
    journal.register(sink, client.appetite());
    for number in 0..batches {
        journal.append(vec![recording.batch(number)], Vec::new()).await?;
    }
    client.prepare().await?;
    let (since, mut delivered) = (Instant::now(), 0);
    while delivered < batches * ROWS {
        let range = journal.next(sink).await.context("the journal ended")?;
        let receipt = client.deliver(&range).await?;
        ensure!(receipt.rejected.is_empty(), "the server refused {:?}", receipt.rejected.first());
        delivered += range.rows() as u64;
        journal.commit(sink, &range, &receipt).await?;
    }
    let took = since.elapsed();
    client.close().await;
    Ok(took)
}
