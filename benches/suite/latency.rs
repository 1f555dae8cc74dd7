//! How old a sample is when a consumer of the topic has it.

use std::panic::catch_unwind;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use model::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use test_support::Kafka;

use crate::Extent;
use crate::released::Released;
use crate::report::{Bar, Row};
use crate::roles::{Role, SimulatedEngine};

const CONTAINERS: usize = 1_000;
const WINDOW: Duration = Duration::from_secs(15);
const OPENING: Duration = Duration::from_secs(90);
const SETTLING: Duration = Duration::from_secs(5);
const ROUND_TRIPS: usize = 500;

/// The default: a batch closes at this age at the latest.
const BATCH_AGE_MS: f64 = 1_000.0;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    match catch_unwind(Kafka::start) {
        Ok(kafka) => Ok(vec![frame_to_consumer(&kafka)?]),
        Err(_) => {
            eprintln!("not measured: Kafka, which `make deps` installs");
            Ok(Vec::new())
        }
    }
}

fn frame_to_consumer(kafka: &Kafka) -> anyhow::Result<Row> {
    let alone = round_trips(kafka)?;
    let folder = tempfile::tempdir()?;
    let simulated = SimulatedEngine::at(folder.path(), CONTAINERS);
    let _engine = simulated.spawn(Role::Engine)?;
    let config = format!(
        "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\n[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\n",
        kafka.bootstrap(),
    );
    let dockstream = Released::start(folder.path(), &simulated, &config)?;
    dockstream.until(OPENING, "samples flow", |counts| counts.received > 3 * CONTAINERS as u64)?;
    std::thread::sleep(SETTLING);
    let ages = ages(kafka)?;
    let p99 = share(&ages, 99);
    Ok(Row {
        what: format!("engine's frame → consumer of `docker.stats`, {CONTAINERS} containers at 1 Hz"),
        figure: format!("{:.0} ms (p50), {p99:.0} ms (p99), {:.0} ms (most)", share(&ages, 50), share(&ages, 100)),
        reference: format!(
            "a message alone, from a producer through the same broker to the same consumer: {:.1} ms (p50), {:.1} ms (p99)",
            share(&alone, 50),
            share(&alone, 99),
        ),
        bar: Some(Bar::new("p99 ≤ batch age (1 s) + 50 ms", p99 <= BATCH_AGE_MS + 50.0)),
        conditions: format!(
            "{} samples in {} s, from the time in the frame until the consumer has the record, which is later than the broker's acknowledgement",
            ages.len(),
            WINDOW.as_secs(),
        ),
    })
}

/// The smallest value that so many percent do not exceed; `values` in order.
fn share(values: &[f64], percent: usize) -> f64 {
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Ages of samples in milliseconds, youngest first, as a consumer gets them.
fn ages(kafka: &Kafka) -> anyhow::Result<Vec<f64>> {
    let consumer = consumer(kafka, "docker.stats")?;
    let (mut ages, until) = (Vec::new(), Instant::now() + WINDOW);
    while Instant::now() < until {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let now = Timestamp::from(SystemTime::now());
        let sample: Value = serde_json::from_slice(message.payload().context("a sample has a value")?)?;
        let timestamp: Timestamp = serde_json::from_value(sample["timestamp"].clone())?;
        ages.push(now.since(timestamp).as_secs_f64() * 1e3);
    }
    ensure!(ages.len() > CONTAINERS * 5, "only {} samples came", ages.len());
    ages.sort_by(f64::total_cmp);
    Ok(ages)
}

/// The reference: a message, and no other before it has arrived.
fn round_trips(kafka: &Kafka) -> anyhow::Result<Vec<f64>> {
    const TOPIC: &str = "round-trips";
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()?;
    let send = || producer.send(BaseRecord::<(), str>::to(TOPIC).payload("here")).map_err(|(error, _)| error);
    make_topic(kafka, TOPIC)?;
    let consumer = consumer(kafka, TOPIC)?;
    let mut took = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let since = Instant::now();
        send()?;
        producer.poll(Duration::ZERO);
        while consumer.poll(Duration::from_millis(50)).transpose()?.is_none() {
            ensure!(since.elapsed() < Duration::from_secs(10), "a message does not arrive");
        }
        took.push(since.elapsed().as_secs_f64() * 1e3);
    }
    producer.flush(Duration::from_secs(5))?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn make_topic(kafka: &Kafka, topic: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create()?;
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(admin.create_topics([&topic], &options))?;
    for topic in made {
        topic.map_err(|(name, error)| anyhow::anyhow!("cannot make {name}: {error}"))?;
    }
    Ok(())
}

/// Reads all partitions of a topic from their ends on.
fn consumer(kafka: &Kafka, topic: &str) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut partitions = rdkafka::TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (_, end) = consumer.fetch_watermarks(topic, partition.id(), Duration::from_secs(10))?;
        partitions.add_partition_offset(topic, partition.id(), rdkafka::Offset::Offset(end))?;
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}
