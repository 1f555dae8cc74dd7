//! Against a real broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use model::{ContainerRecord, ContainerState, Rows, StatsRecord, Stream, Timestamp};
use pipeline::ports::{Deliver, DeliverError, FailureClass, Range, Receipt};
use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use test_support::{Kafka, unique, wait_for_transactions};

use super::*;
use crate::fixtures::{batch, container, container_id, event, noon, one_of_each, range, stats};

/// Nothing that goes well takes so long, on any machine.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// A record as a consumer sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub key: String,
    pub value: Option<serde_json::Value>,
    pub headers: BTreeMap<String, String>,
    timestamp_ms: Option<i64>,
    partition: i32,
    offset: i64,
}

/// Everything in a topic, in the order of each partition.
pub(super) fn consume(bootstrap: &str, topic: &str) -> Vec<Seen> {
    consume_bytes(bootstrap, topic, |bytes| serde_json::from_slice(bytes).unwrap())
}

/// The same, of values that are not JSON.
pub(super) fn consume_bytes(bootstrap: &str, topic: &str, read: impl Fn(&[u8]) -> serde_json::Value) -> Vec<Seen> {
    wait_for_transactions(bootstrap, topic);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LONG).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut all = TopicPartitionList::new();
    for partition in &partitions {
        all.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();

    let mut ended = BTreeSet::new();
    let mut seen = Vec::new();
    let deadline = Instant::now() + LONG;
    while ended.len() < partitions.len() {
        assert!(Instant::now() < deadline, "{topic} did not end: {} records so far", seen.len());
        match consumer.poll(Duration::from_millis(500)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            // It tries again by itself.
            Some(Err(rdkafka::error::KafkaError::MessageConsumption(
                Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut,
            ))) => {}
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => {
                let headers = message.headers().unwrap();
                seen.push(Seen {
                    key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
                    value: message.payload().map(&read),
                    headers: headers
                        .iter()
                        .map(|header| {
                            (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap())
                        })
                        .collect(),
                    timestamp_ms: message.timestamp().to_millis(),
                    partition: message.partition(),
                    offset: message.offset(),
                });
            }
        }
    }
    seen
}

pub(super) fn config(bootstrap: &str) -> KafkaConfig {
    KafkaConfig {
        topic_prefix: format!("{}.", unique("docker")),
        partitions: 3,
        ..KafkaConfig::new(vec![bootstrap.to_owned()])
    }
}

pub(super) async fn ready(config: &KafkaConfig) -> KafkaSink {
    let mut sink = KafkaSink::new(config.clone());
    prepared(&mut sink).await;
    sink
}

/// Prepares as the pipeline does: until it is done.
pub(super) async fn prepared(sink: &mut dyn Deliver) {
    let deadline = Instant::now() + LONG;
    while let Err(error) = sink.prepare().await {
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
    }
}

/// What an attempt fails with once the broker has had its say: until then it is only tried again.
pub(super) async fn verdict(mut attempt: impl AsyncFnMut() -> DeliverError) -> DeliverError {
    let deadline = Instant::now() + LONG;
    loop {
        let error = attempt().await;
        if error.class != FailureClass::Retry || Instant::now() >= deadline {
            return error;
        }
    }
}

pub(super) fn topic(config: &KafkaConfig, stream: Stream) -> String {
    topic_name(&config.topic_prefix, stream)
}

/// `count` samples of `containers` containers, in one range. They are of the last hours: how brokers treat older ones
/// is in `repeats.rs`.
pub(super) fn samples(first: u64, count: u64, containers: u64) -> Range {
    static START: LazyLock<Timestamp> =
        LazyLock::new(|| Timestamp::from(SystemTime::now()) - Duration::from_secs(3_600));
    samples_from(*START, first, count, containers)
}

/// Samples a millisecond apart, `first` of them after `start`.
pub(super) fn samples_from(start: Timestamp, first: u64, count: u64, containers: u64) -> Range {
    let rows: Vec<StatsRecord> = (first..first + count)
        .map(|number| stats(number % containers, start + Duration::from_millis(number)))
        .collect();
    range(first, vec![batch(first, Rows::Stats(rows.into()))])
}

/// Delivers as the pipeline does: until it is done.
pub(super) async fn insist(sink: &mut KafkaSink, range: &Range) -> Receipt {
    let deadline = Instant::now() + LONG;
    loop {
        match sink.deliver(range).await {
            Ok(receipt) => return receipt,
            Err(error) => {
                // A topic that was made just now may not be known everywhere yet.
                let passes = matches!(error.class, FailureClass::Retry | FailureClass::Schema);
                assert!(passes && Instant::now() < deadline, "{error}");
            }
        }
    }
}

/// Fails where a record is missing, doubled, or out of order within its container.
pub(super) fn assert_exactly(seen: &[Seen], count: usize) {
    let mut last: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for record in seen {
        let at: Timestamp = record.value.as_ref().unwrap()["timestamp"].as_str().unwrap().parse().unwrap();
        if let Some(before) = last.insert(&record.key, at) {
            let place = format!("partition {}, offset {}", record.partition, record.offset);
            assert!(before < at, "{}, {place}: {at} after {before}", record.key);
        }
    }
    let mut ends: BTreeMap<i32, (usize, i64)> = BTreeMap::new();
    for record in seen {
        let end = ends.entry(record.partition).or_default();
        *end = (end.0 + 1, record.offset);
    }
    assert_eq!(seen.len(), count, "records and the last offset of each partition: {ends:?}");
}

#[tokio::test]
async fn every_stream_has_its_topic_and_every_record_its_key_value_and_headers() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let json = format::Encoder::new(&config);
    let mut sink = ready(&config).await;
    assert_eq!(insist(&mut sink, &range(0, one_of_each())).await.rejected, []);

    for batch in one_of_each() {
        let stream = batch.id.stream;
        let mut seen = consume(kafka.bootstrap(), &topic(&config, stream));
        assert_eq!(seen.len(), batch.rows.len(), "{stream}");
        for index in 0..batch.rows.len() {
            let expected = encode::encode(&json, &batch.rows, index).unwrap().unwrap();
            let position = seen.iter().position(|record| record.key == expected.key).unwrap();
            let record = seen.swap_remove(position);
            assert_eq!(record.value, expected.value.map(|value| serde_json::from_slice(&value).unwrap()));
            assert_eq!(record.timestamp_ms, Some(expected.timestamp.as_millis()));
            let headers = [
                ("schema", schema_name(stream).to_owned()),
                ("content-type", "application/json".to_owned()),
                ("batch-id", format!("node-1/7/{stream}/1-{}", batch.rows.len())),
            ];
            assert_eq!(record.headers, headers.map(|(key, value)| (key.to_owned(), value)).into());
        }
    }
}

#[tokio::test]
async fn topics_are_made_with_the_partitions_and_the_policy_their_stream_needs() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    ready(&config).await;
    // Nothing to do the second time.
    ready(&config).await;
    let admin: AdminClient<DefaultClientContext> = config.client().create().unwrap();
    for stream in Stream::ALL {
        let name = topic(&config, stream);
        let metadata = admin.inner().fetch_metadata(Some(&name), LONG).unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 3, "{name}");
        let described = admin.describe_configs(&[ResourceSpecifier::Topic(&name)], &AdminOptions::new()).await.unwrap();
        let policy = described[0].as_ref().unwrap().get("cleanup.policy").unwrap().value.clone();
        let expected =
            if matches!(stream, Stream::Containers | Stream::Images | Stream::Hosts) { "compact" } else { "delete" };
        assert_eq!(policy.as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn records_of_one_container_stay_in_order_and_in_one_partition() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = ready(&config).await;
    for first in 0..10 {
        insist(&mut sink, &samples(first * 500, 500, 20)).await;
    }
    let seen = consume(kafka.bootstrap(), &topic(&config, Stream::Stats));
    assert_exactly(&seen, 5_000);
    let places: BTreeSet<(&str, i32)> = seen.iter().map(|record| (record.key.as_str(), record.partition)).collect();
    assert_eq!(places.len(), 20);
    let partitions: BTreeSet<i32> = places.iter().map(|(_, partition)| *partition).collect();
    assert_eq!(partitions.len(), 3);
}

#[tokio::test]
async fn a_removed_container_leaves_a_tombstone() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = ready(&config).await;
    let states: Vec<ContainerRecord> =
        [ContainerState::Running, ContainerState::Removed].map(|state| container(1, state, noon())).into();
    insist(&mut sink, &range(0, vec![batch(1, Rows::Containers(states.into()))])).await;
    let seen = consume(kafka.bootstrap(), &topic(&config, Stream::Containers));
    let key = format!("edge-1/{}", container_id(1));
    assert!(seen.iter().all(|record| record.key == key));
    assert_eq!(seen.iter().map(|record| record.value.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn a_range_delivered_again_sends_nothing_twice() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = ready(&config).await;
    let whole = samples(0, 100, 5);
    insist(&mut sink, &whole).await;
    insist(&mut sink, &whole).await;
    // As the caller does who halves a range after a failure.
    let Rows::Stats(rows) = &whole.batches[0].rows else { unreachable!() };
    let half = range(0, vec![batch(0, Rows::Stats(rows[..50].into()))]);
    insist(&mut sink, &half).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_during_delivery_and_started_again_loses_and_doubles_nothing() {
    let kafka = Kafka::start();
    let config = KafkaConfig { patience: Duration::from_secs(2), ..config(kafka.bootstrap()) };
    let mut sink = ready(&config).await;
    insist(&mut sink, &samples(0, 2_000, 10)).await;

    let (mut failures, mut round) = (Vec::new(), 0);
    // Twice at least, and until the broker is missed: a busy machine may look away while a whole delivery passes.
    while round < 2 || failures.is_empty() {
        round += 1;
        assert!(round < 20, "the broker was never missed");
        let next = samples(round * 20_000, 20_000, 10);
        let killed = {
            let delivery = sink.deliver(&next);
            tokio::pin!(delivery);
            // Somewhere in the middle: the producer has begun to send.
            let ended = tokio::time::timeout(Duration::from_millis(30), &mut delivery).await;
            tokio::task::block_in_place(|| kafka.kill9());
            match ended {
                Ok(ended) => ended,
                Err(_) => delivery.await,
            }
        };
        failures.extend(killed.err());
        tokio::task::block_in_place(|| kafka.restart());
        let deadline = Instant::now() + LONG;
        while let Err(error) = sink.deliver(&next).await {
            assert!(Instant::now() < deadline, "{error}");
            assert_eq!(error.class, FailureClass::Retry, "{error}");
            failures.push(error);
        }
    }
    let count = usize::try_from(2_000 + round * 20_000).unwrap();
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), count);
}

#[tokio::test]
async fn a_broker_that_hangs_is_told_in_time_and_what_it_holds_is_not_sent_again() {
    let kafka = Kafka::start();
    let config = KafkaConfig { patience: Duration::from_secs(1), ..config(kafka.bootstrap()) };
    let mut sink = ready(&config).await;
    insist(&mut sink, &samples(0, 10, 2)).await;
    kafka.pause();
    let next = samples(10, 500, 2);
    let error = sink.deliver(&next).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry);
    assert!(error.message.starts_with("kafka: nothing acknowledged for "), "{error}");
    assert!(error.message.contains(" s, 500 records under way"), "{error}");
    // A delivery that was given up midway is no different.
    let midway = tokio::time::timeout(Duration::from_millis(100), sink.deliver(&next)).await;
    assert!(midway.is_err() || midway.is_ok_and(|ended| ended.is_err()));
    kafka.resume();
    insist(&mut sink, &next).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 510);
}

/// Text that does not compress.
pub(super) fn noise(bytes: usize) -> String {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    (0..bytes).map(|_| next()).filter(|c| !matches!(c, '"' | '\\')).collect()
}

#[tokio::test]
async fn a_record_larger_than_the_broker_takes_is_refused_alone() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.client().create().unwrap();
    let name = topic(&config, Stream::Events);
    let small = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    admin.create_topics(&[small], &AdminOptions::new()).await.unwrap();
    let mut sink = ready(&config).await;

    let mut rows: Vec<_> = (0..60).map(|number| event(number, noon() + Duration::from_millis(number))).collect();
    for large in [17, 40] {
        rows[large].attributes.insert("note".into(), noise(3_000));
    }
    let work = range(0, vec![batch(100, Rows::Events(rows.into()))]);
    let receipt = insist(&mut sink, &work).await;
    let sequences: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
    assert_eq!(sequences, [117, 140]);
    assert_eq!(receipt.rejected[0].error, "larger than the broker takes");
    assert_exactly(&consume(kafka.bootstrap(), &name), 58);
    // Asked again, it says the same and sends nothing.
    assert_eq!(insist(&mut sink, &work).await, receipt);
    assert_exactly(&consume(kafka.bootstrap(), &name), 58);
    // And the producer lives on.
    insist(&mut sink, &samples(1, 10, 1)).await;
}

#[tokio::test]
async fn a_record_larger_than_any_request_is_refused_before_it_is_sent() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = ready(&config).await;
    let mut rows: Vec<_> = (0..3).map(|number| event(number, noon())).collect();
    rows[1].attributes.insert("note".into(), "x".repeat(8_400_000));
    let receipt = insist(&mut sink, &range(0, vec![batch(1, Rows::Events(rows.into()))])).await;
    assert_eq!(receipt.rejected.len(), 1);
    assert_eq!((receipt.rejected[0].stream, receipt.rejected[0].sequence), (Stream::Events, 2));
    assert!(receipt.rejected[0].error.ends_with("bytes are more than message.max.bytes"), "{receipt:?}");
    assert_eq!(consume(kafka.bootstrap(), &topic(&config, Stream::Events)).len(), 2);
}

#[tokio::test]
async fn missing_topics_are_named_where_they_may_not_be_made() {
    let kafka = Kafka::shared();
    let config = KafkaConfig { create_topics: false, ..config(kafka.bootstrap()) };
    let error = KafkaSink::new(config.clone()).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    let prefix = &config.topic_prefix;
    let names = Stream::ALL.map(|stream| format!("{prefix}{stream}")).join(", ");
    assert_eq!(error.message, format!("kafka topics missing: {names}; make them, or set create_topics = true"));
}

#[tokio::test]
async fn more_replicas_than_brokers_is_an_error_of_configuration() {
    let kafka = Kafka::shared();
    let config = KafkaConfig { replication: 3, ..config(kafka.bootstrap()) };
    let error = verdict(async || KafkaSink::new(config.clone()).prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("InvalidReplicationFactor"), "{error}");
}

#[tokio::test]
async fn brokers_that_are_not_there_are_retried_and_named() {
    let error = KafkaSink::new(config("127.0.0.1:1")).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry);
    assert!(error.message.starts_with("kafka brokers 127.0.0.1:1: "), "{error}");
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_one_clear_line_without_the_password() {
    let kafka = Kafka::start_with(&[
        "listeners=CLIENT://127.0.0.1:{port},SASL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners=CLIENT://127.0.0.1:{port},SASL://127.0.0.1:{internal}",
        "listener.security.protocol.map=CLIENT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_dockstream=\"right\";",
    ]);
    let with = |password: &str| {
        let properties = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "dockstream"),
            ("sasl.password", password),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        KafkaConfig { properties, ..config(&kafka.internal()) }
    };
    let error = verdict(async || KafkaSink::new(with("hunter2")).prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("they do not know user dockstream with this password"), "{error}");
    assert!(!error.message.contains("hunter2") && !error.message.contains('\n'), "{error}");
    assert!(!format!("{:?}", with("hunter2")).contains("hunter2"));

    let right = with("right");
    let mut sink = ready(&right).await;
    insist(&mut sink, &samples(0, 10, 1)).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&right, Stream::Stats)), 10);
}

#[tokio::test]
async fn a_setting_librdkafka_does_not_know_is_named() {
    let properties = [("compression.typo".to_owned(), "secret".to_owned())].into();
    let error = KafkaSink::new(KafkaConfig { properties, ..config("127.0.0.1:1") }).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("`compression.typo`") && !error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_closed_sink_can_be_prepared_again() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = ready(&config).await;
    sink.close().await;
    assert_eq!(sink.deliver(&samples(0, 1, 1)).await.unwrap_err().class, FailureClass::Schema);
    prepared(&mut sink).await;
    insist(&mut sink, &samples(0, 10, 1)).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 10);
}
