//! How fast a real broker is fed, with and without transactions.
//!
//! `cargo run --release -p sinks --example kafka`

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use model::{Batch, BatchId, ContainerId, ContainerMeta, NodeName, Rows, StatsRecord, Stream, Timestamp, Trigger};
use model::{Sample, SampleKind, SampleValue};
use pipeline::ports::Range;
use sinks::kafka::{self, KafkaConfig, Writer};
use test_support::Kafka;

const ROWS: u64 = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let broker = Kafka::start();
    for exactly_once in [false, true] {
        runtime.block_on(measure(broker.bootstrap(), exactly_once));
    }
}

async fn measure(bootstrap: &str, exactly_once: bool) {
    let node = NodeName::try_new("bench").expect("a name");
    let writer = Writer { node, sink: "kafka".into(), folder: "here".into(), epoch: 1, start: "now".into() };
    let config = KafkaConfig {
        topic_prefix: format!("bench_{exactly_once}."),
        exactly_once: exactly_once.then_some(writer),
        ..KafkaConfig::new(vec![bootstrap.to_owned()])
    };
    let mut sink = kafka::sink(config);
    let since = Instant::now();
    sink.prepare().await.expect("ready");
    println!("exactly_once = {exactly_once}: ready after {:?}", since.elapsed());
    let metas: Vec<Arc<ContainerMeta>> = (0..1_000).map(meta).collect();
    let mut next = 0;
    for batches in [1, 1, 1, 4, 40, 40, 40, 40, 40, 40, 40, 40] {
        let range = Range {
            first: next,
            end: next + batches,
            batches: (next..next + batches).map(|number| batch(number, &metas)).collect(),
        };
        next += batches;
        let since = Instant::now();
        sink.deliver(&range).await.expect("delivered");
        let took = since.elapsed();
        let rows = batches * ROWS;
        println!("{rows:>6} rows in {took:>12.3?}: {:>7.0} rows/s", rows as f64 / took.as_secs_f64());
    }
    sink.close().await;
}

fn meta(number: u64) -> Arc<ContainerMeta> {
    Arc::new(ContainerMeta {
        host: "edge-1".parse().expect("a name"),
        container_id: ContainerId::try_new(&format!("{number:064x}")).expect("an id"),
        container_name: format!("web-{number}"),
        image: "nginx:1.29".into(),
        compose_project: Some("shop".into()),
        compose_service: Some("web".into()),
        run: Some(Timestamp::from(SystemTime::now())),
        labels: Default::default(),
    })
}

fn batch(number: u64, metas: &[Arc<ContainerMeta>]) -> Batch {
    let first = number * ROWS;
    let rows = (first..first + ROWS).map(|sequence| {
        let at = Timestamp::from(SystemTime::now()) + Duration::from_nanos(sequence);
        let sample = Sample::read(|position, kind| {
            let value = 1_000_003 * sequence + position as u64 * 77_777;
            Ok::<_, ()>(match kind {
                SampleKind::Float64 => SampleValue::Float(Some((value % 9_973) as f64 / 100.0)),
                SampleKind::UInt32 | SampleKind::UInt64 => SampleValue::Unsigned(Some(value)),
            })
        });
        StatsRecord {
            meta: metas[usize::try_from(sequence).expect("small") % metas.len()].clone(),
            timestamp: at,
            received_at: at,
            network_scope: None,
            sample: sample.expect("never fails"),
        }
    });
    let node = NodeName::try_new("bench").expect("a name");
    Batch {
        id: BatchId { node, epoch: 1, stream: Stream::Stats, first, last: first + ROWS - 1 },
        trigger: Trigger::Count,
        bytes: 500 * 500,
        opened_at: Timestamp::from(SystemTime::now()),
        rows: Rows::Stats(rows.collect()),
    }
}
