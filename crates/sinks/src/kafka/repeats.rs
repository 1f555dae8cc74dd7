//! What a broker that dies before it acknowledges still knows of the records it has, by their age: it forgets a
//! producer whose last record is older than `producer.id.expiration.ms`, a day by default, and takes what comes again
//! as new.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use model::{NodeName, Stream, Timestamp};
use pipeline::ports::{Deliver, FailureClass, Range};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use test_support::{Kafka, Line, Proxy, wait_until};
use tokio::task::spawn_blocking;

use super::tests::{LONG, Seen, assert_exactly, config, consume, prepared, samples_from, topic};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);
/// How many records are acknowledged before the broker dies, and how many are under way.
const SETTLED: u64 = 10;
const UNDER_WAY: u64 = 60;
const ALL: usize = 70;

/// A broker that can also be reached behind a proxy.
struct Broker {
    kafka: Kafka,
    proxy: Proxy,
}

impl Broker {
    fn start(properties: &[&str]) -> Self {
        let proxy = Proxy::tcp();
        Self { kafka: Kafka::with_a_door(&proxy, properties), proxy }
    }

    fn config(&self) -> KafkaConfig {
        config(&self.proxy.address().to_string())
    }

    /// Waits until so many records, also those of open transactions, are in the topic of samples.
    fn has(&self, count: u64, config: &KafkaConfig) {
        let name = topic(config, Stream::Stats);
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", "ends");
        let consumer: BaseConsumer = client.set("isolation.level", "read_uncommitted").create().unwrap();
        // A partition may have no leader yet.
        let end = |partition| consumer.fetch_watermarks(&name, partition, Duration::from_secs(20)).ok();
        wait_until(LONG, &format!("{count} records in {name}"), || {
            let ends = (0..i32::from(config.partitions)).map(end);
            ends.flatten().map(|(_, end)| end).sum::<i64>() >= i64::try_from(count).unwrap()
        });
    }

    /// Waits until the broker has all that is under way; it dies before a producer hears of it, and comes back.
    fn dies_having_all(&self, config: &KafkaConfig) {
        self.has(SETTLED + UNDER_WAY, config);
        self.proxy.set(Line::Cut);
        self.kafka.kill9();
        self.kafka.restart();
        self.proxy.set(Line::Clear);
    }
}

/// Delivers samples from `first` on through the death of a broker. What is in the topic then.
async fn deliver_through_death(broker: &Arc<Broker>, config: KafkaConfig, first: Timestamp) -> Vec<Seen> {
    let mut sink = sink(config.clone());
    prepared(&mut *sink).await;
    insist(&mut *sink, &samples_from(first, 0, SETTLED, 2)).await;
    // Answers come, as of a leader that is not one yet, but so late that the broker is dead before the one that counts.
    broker.proxy.set(Line::Slow { delay: Duration::from_secs(1), rate: 10_000_000 });
    let fate = spawn_blocking({
        let (broker, config) = (broker.clone(), config.clone());
        move || broker.dies_having_all(&config)
    });
    let work = samples_from(first, SETTLED, UNDER_WAY, 2);
    let (fate, ()) = tokio::join!(fate, insist(&mut *sink, &work));
    fate.unwrap();
    consume(broker.kafka.bootstrap(), &topic(&config, Stream::Stats))
}

/// Delivers as the pipeline does: until it is done.
async fn insist(sink: &mut dyn Deliver, range: &Range) {
    let deadline = Instant::now() + LONG;
    while let Err(error) = sink.deliver(range).await {
        assert!(Instant::now() < deadline && error.class != FailureClass::Poison, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ago(age: Duration) -> Timestamp {
    Timestamp::from(SystemTime::now()) - age
}

#[tokio::test]
async fn records_under_way_to_a_broker_that_dies_are_never_lost_and_come_again_only_where_they_are_old() {
    let broker = Arc::new(Broker::start(&[]));
    let recent = deliver_through_death(&broker, broker.config(), ago(DAY / 2)).await;
    assert_exactly(&recent, ALL);

    let first = ago(2 * DAY);
    let mut known = BTreeSet::new();
    let is_new = |record: &Seen| known.insert((record.key.clone(), record.value.as_ref().unwrap().to_string()));
    let old = deliver_through_death(&broker, broker.config(), first).await;
    let (once, again): (Vec<Seen>, Vec<Seen>) = old.into_iter().partition(is_new);
    assert_exactly(&once, ALL);
    for record in again {
        let at = record.value.unwrap()["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(at >= first + Duration::from_millis(SETTLED), "{at} was acknowledged, and came again");
    }
}

#[tokio::test]
async fn a_broker_told_to_remember_for_longer_takes_no_old_record_twice() {
    let broker = Arc::new(Broker::start(&["producer.id.expiration.ms=604800000"]));
    assert_exactly(&deliver_through_death(&broker, broker.config(), ago(2 * DAY)).await, ALL);
}

#[tokio::test]
async fn in_transactions_no_record_is_seen_twice_however_old() {
    let writer = Writer {
        node: NodeName::try_new("node-1").unwrap(),
        sink: "kafka".into(),
        folder: "a-folder".into(),
        epoch: 7,
        start: "a-start".into(),
    };
    let broker = Arc::new(Broker::start(&[]));
    let config = KafkaConfig { exactly_once: Some(writer), ..broker.config() };
    assert_exactly(&deliver_through_death(&broker, config, ago(2 * DAY)).await, ALL);
}
