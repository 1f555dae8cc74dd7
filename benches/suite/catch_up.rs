//! A sink that was away: how fast it takes what the journal on disk kept for it.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use journal::{DiskJournal, Limits, MemoryJournal, Options, WhenFull};
use pipeline::ports::{Deliver, Journal};
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use sinks::influxdb::{Api, InfluxConfig, InfluxSink};
use sinks::kafka::{KafkaConfig, KafkaSink};
use sinks::otlp::{OtlpConfig, OtlpSink, Protocol};
use sinks::remote_write::{RemoteWriteConfig, RemoteWriteSink};
use test_support::{ClickHouse, InfluxDb, Kafka, OtlpReceiver, Prometheus};

use crate::Extent;
use crate::batches::{ROWS, Recording};
use crate::child::cpu_of;
use crate::report::{Bar, Row};

/// Half a million records: what a thousand containers tell in eight minutes.
const BATCHES: u64 = 1_000;

/// What the recording has without going back in time, for servers that take their time.
const FEW: u64 = 70;

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
            rows.push(runtime.block_on(catch_up("Kafka", &recording, BATCHES, client))?);
            let client = |database: &str| -> Box<dyn Deliver> {
                clickhouse.query(&format!("CREATE DATABASE {database}"));
                let database = database.to_owned();
                Box::new(ClickHouseSink::new(ClickHouseConfig { database, ..ClickHouseConfig::new(clickhouse.url()) }))
            };
            rows.push(runtime.block_on(catch_up("ClickHouse", &recording, BATCHES, client))?);
        }
        _ => eprintln!("not measured: Kafka and ClickHouse, which `make deps` installs"),
    }
    match (catch_unwind(InfluxDb::start), catch_unwind(OtlpReceiver::start)) {
        (Ok(influxdb), Ok(receiver)) => {
            let client = |database: &str| -> Box<dyn Deliver> {
                let api = Api::V1 { database: database.to_owned(), retention_policy: None };
                Box::new(InfluxSink::new(InfluxConfig::new(influxdb.url(), api)))
            };
            rows.push(runtime.block_on(catch_up("InfluxDB", &recording, FEW, client))?);
            for (name, protocol, url) in [
                ("the Collector's receiver, gRPC", Protocol::Grpc, receiver.grpc()),
                ("the Collector's receiver, HTTP", Protocol::Http, receiver.http()),
            ] {
                let client = |_: &str| -> Box<dyn Deliver> { Box::new(OtlpSink::new(OtlpConfig::new(url, protocol))) };
                rows.push(runtime.block_on(catch_up(name, &recording, FEW, client))?);
            }
        }
        _ => eprintln!("not measured: InfluxDB and OTLP, whose servers `make deps` installs"),
    }
    match catch_unwind(Prometheus::receiving) {
        Ok(first) => {
            // It takes a sample once, in its order: each delivery has one of its own.
            let servers = RefCell::new(vec![first]);
            let client = |_: &str| -> Box<dyn Deliver> {
                let server = Prometheus::receiving();
                let url = format!("{}/api/v1/write", server.url());
                servers.borrow_mut().push(server);
                Box::new(RemoteWriteSink::new(RemoteWriteConfig::new(url)))
            };
            rows.push(runtime.block_on(catch_up("Prometheus, remote write", &recording, FEW, client))?);
        }
        _ => eprintln!("not measured: remote write, whose server `make deps` installs"),
    }
    Ok(rows)
}

async fn catch_up(
    name: &str,
    recording: &Recording,
    batches: u64,
    client: impl Fn(&str) -> Box<dyn Deliver>,
) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let options = Options { bytes: 1 << 40, when_full: WhenFull::Block, ..Options::default() };
    let disk = Arc::new(DiskJournal::open(&folder.path().join("journal"), options)?);
    // Each its own: a journal takes a batch once.
    let memory = || MemoryJournal::new(Limits { bytes: 4 << 30, when_full: WhenFull::DropOldest });
    // The first delivery finds a server that has not done anything yet.
    deliver_all(&memory(), recording, batches / 5, client("warm")).await?;
    let from_memory = deliver_all(&memory(), recording, batches, client("memory")).await?;
    let before = cpu_of(std::process::id());
    let from_disk = deliver_all(&*disk, recording, batches, client("disk")).await?;
    let cpu = cpu_of(std::process::id()).saturating_sub(before).as_secs_f64() * 1e6 / (batches * ROWS) as f64;
    disk.stop().await;
    let per_second = |time: Duration| (batches * ROWS) as f64 / time.as_secs_f64();
    let rate = per_second(from_disk);
    Ok(Row {
        what: format!("catch-up after an outage: journal on disk → {name}"),
        figure: format!("{rate:.0} records/s, {cpu:.1} µs of CPU a record, journaling it included"),
        reference: format!(
            "from memory: {:.0} records/s; from disk it takes **{:.2} ×** that time",
            per_second(from_memory),
            from_disk.as_secs_f64() / from_memory.as_secs_f64(),
        ),
        // The bar is the two stores' that a fleet's whole history goes into.
        bar: (batches == BATCHES).then(|| Bar::new("≥ 100 000 records/s", rate >= 100_000.0)),
        conditions: format!(
            "{} records, until the server has acknowledged the last; the server on the same cores",
            batches * ROWS
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
