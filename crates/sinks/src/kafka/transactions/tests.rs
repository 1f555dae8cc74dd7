//! Against a real broker, seen by a read-committed consumer.

use std::mem::forget;
use std::time::{Duration, Instant};

use model::{NodeName, Rows, Stream};
use pipeline::ports::{Deliver, FailureClass, Range, Receipt};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use test_support::{Kafka, Line, Proxy};
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::TransactionalKafkaSink;
use crate::fixtures::{batch, event, noon, one_of_each, range};
use crate::kafka::config::Writer;
use crate::kafka::tests::{
    LONG, assert_exactly, config as plain, consume, insist, noise, prepared, ready, samples, topic, verdict,
};
use crate::kafka::{KafkaConfig, cursors_name};

fn writer(node: &str) -> Writer {
    Writer {
        node: NodeName::try_new(node).unwrap(),
        sink: "kafka".into(),
        folder: "a-folder".into(),
        epoch: 7,
        start: "a-start".into(),
    }
}

fn config(bootstrap: &str) -> KafkaConfig {
    KafkaConfig { exactly_once: Some(writer("node-1")), ..plain(bootstrap) }
}

fn sink(config: &KafkaConfig) -> TransactionalKafkaSink {
    TransactionalKafkaSink::new(config.clone(), config.exactly_once.clone().unwrap())
}

/// Delivers as the pipeline does: until it is done. Returns the failures on the way.
async fn deliver(sink: &mut TransactionalKafkaSink, range: &Range) -> Vec<String> {
    let mut failures = Vec::new();
    deliver_telling(sink, range, &mut failures).await;
    failures
}

async fn deliver_telling(sink: &mut TransactionalKafkaSink, range: &Range, failures: &mut Vec<String>) -> Receipt {
    let deadline = Instant::now() + LONG;
    loop {
        let error = match sink.deliver(range).await {
            Ok(receipt) => return receipt,
            Err(error) => error,
        };
        assert!(Instant::now() < deadline, "{error}");
        assert_ne!(error.class, FailureClass::Poison, "{error}");
        failures.push(error.to_string());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn every_stream_arrives_and_the_cursor_names_the_last_record_of_each() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = sink(&config);
    prepared(&mut sink).await;
    deliver(&mut sink, &range(0, one_of_each())).await;
    for batch in one_of_each() {
        let seen = consume(kafka.bootstrap(), &topic(&config, batch.id.stream));
        assert_eq!(seen.len(), batch.rows.len(), "{}", batch.id.stream);
    }
    let cursors = consume(kafka.bootstrap(), &cursors_name(&config.topic_prefix));
    assert_eq!(cursors.len(), 1);
    assert_eq!(cursors[0].key, "node-1/kafka/a-folder");
    assert_eq!(cursors[0].headers["schema"], "dockstream.cursors.v1");
    let value = cursors[0].value.as_ref().unwrap();
    assert_eq!((&value["node"], &value["sink"]), (&"node-1".into(), &"kafka".into()));
    assert_eq!(value["streams"]["stats"], serde_json::json!({"epoch": 7, "sequence": 2}));
    assert_eq!(value["streams"]["losses"], serde_json::json!({"epoch": 7, "sequence": 1}));
}

#[tokio::test]
async fn a_range_that_comes_again_after_a_restart_is_left_out() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut first = sink(&config);
    deliver(&mut first, &samples(0, 100, 5)).await;
    // Killed before the journal knew: nothing is closed.
    forget(first);
    let mut second = sink(&config);
    deliver(&mut second, &samples(0, 100, 5)).await;
    // In other bounds, and with more behind it.
    deliver(&mut second, &samples(50, 100, 5)).await;
    deliver(&mut second, &samples(150, 10, 5)).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 160);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_killed_at_any_moment_of_a_delivery_loses_and_doubles_nothing() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut next = 0;
    let mut cut = 0;
    for round in 0..8_u64 {
        let work = samples(next, 1_000, 10);
        next += 1_000;
        let mut killed = sink(&config);
        prepared(&mut killed).await;
        // Somewhere between the first record and the end of the commit.
        let within = Duration::from_millis(1 + round * 15);
        cut += u32::from(timeout(within, killed.deliver(&work)).await.is_err());
        // Its threads go on, as those of a process do that only seems dead.
        forget(killed);
        let mut heir = sink(&config);
        deliver(&mut heir, &work).await;
        heir.close().await;
    }
    assert!(cut > 0, "no delivery was cut short");
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), usize::try_from(next).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_given_up_midway_is_finished_by_the_same_sink() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = sink(&config);
    prepared(&mut sink).await;
    for round in 0..6_u64 {
        let work = samples(round * 2_000, 2_000, 10);
        let _ = timeout(Duration::from_millis(1 + round * 13), sink.deliver(&work)).await;
        deliver(&mut sink, &work).await;
    }
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 12_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_during_transactions_and_started_again_loses_and_doubles_nothing() {
    let kafka = Kafka::start();
    let config = KafkaConfig { patience: Duration::from_secs(4), ..config(kafka.bootstrap()) };
    let mut sink = sink(&config);
    deliver(&mut sink, &samples(2_000, 2_000, 10)).await;
    let (mut failures, mut round) = (Vec::new(), 0_u64);
    // Three times at least, and until the broker is missed: a busy machine may look away while a whole delivery passes.
    while round < 3 || failures.is_empty() {
        round += 1;
        assert!(round < 20, "the broker was never missed");
        let work = samples(round * 4_000, 4_000, 10);
        let killed = {
            let delivery = sink.deliver(&work);
            tokio::pin!(delivery);
            // While records are sent, and around the commit.
            let within = Duration::from_millis([40, 160, 360][round as usize % 3]);
            let ended = timeout(within, &mut delivery).await;
            block_in_place(|| kafka.kill9());
            match ended {
                Ok(ended) => ended,
                Err(_) => delivery.await,
            }
        };
        failures.extend(killed.err().map(|error| error.to_string()));
        block_in_place(|| kafka.restart());
        failures.extend(deliver(&mut sink, &work).await);
    }
    let count = usize::try_from(2_000 + round * 4_000).unwrap();
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_brokers_gave_up_is_made_anew() {
    let proxy = Proxy::tcp();
    let kafka = Kafka::with_a_door(&proxy, &["transaction.abort.timed.out.transaction.cleanup.interval.ms=200"]);
    let properties = [("transaction.timeout.ms".to_owned(), "3000".to_owned())].into();
    let config = KafkaConfig { properties, ..config(&proxy.address().to_string()) };
    let mut sink = sink(&config);
    deliver(&mut sink, &samples(0, 10, 2)).await;
    let work = samples(10, 5_000, 2);
    let producer = sink.session.as_ref().unwrap().producer().clone();
    // The brokers hear of the transaction, and no answer of theirs arrives before they give it up.
    proxy.set(Line::Deaf);
    let failed = {
        let delivery = sink.deliver(&work);
        tokio::pin!(delivery);
        while producer.in_flight_count() == 0 {
            let ended = timeout(Duration::from_millis(1), &mut delivery).await;
            assert!(ended.is_err(), "nothing can be delivered");
        }
        block_in_place(|| std::thread::sleep(Duration::from_secs(4)));
        proxy.set(Line::Clear);
        delivery.await
    };
    let error = failed.unwrap_err();
    assert_eq!(error.class, FailureClass::Split, "{error}");
    assert!(error.message.starts_with("kafka transaction of 5000 records was not done after "), "{error}");
    deliver(&mut sink, &work).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 5_010);
}

#[tokio::test]
async fn a_second_process_of_the_same_node_takes_over_and_the_first_is_told() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut first = sink(&config);
    deliver(&mut first, &samples(0, 10, 2)).await;
    let other = Writer { folder: "another".into(), ..writer("node-1") };
    let mut second = TransactionalKafkaSink::new(config.clone(), other);
    deliver(&mut second, &samples(0, 20, 2)).await;
    let error = verdict(async || first.deliver(&samples(10, 10, 2)).await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.starts_with("another process has taken the transactional id "), "{error}");
    assert!(error.message.contains("it delivers as node node-1 too"), "{error}");
    // Another folder, other records: neither has left out what the other delivered.
    deliver(&mut first, &samples(10, 10, 2)).await;
    assert_eq!(consume(kafka.bootstrap(), &topic(&config, Stream::Stats)).len(), 40);
    // Nodes of different names do not meet.
    let mut third = TransactionalKafkaSink::new(config.clone(), writer("node-2"));
    deliver(&mut third, &samples(0, 10, 2)).await;
    deliver(&mut first, &samples(20, 10, 2)).await;
    assert_eq!(consume(kafka.bootstrap(), &topic(&config, Stream::Stats)).len(), 60);
}

#[tokio::test]
async fn a_data_folder_restored_from_a_backup_is_told_and_leaves_nothing_out() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut before = sink(&config);
    deliver(&mut before, &samples(0, 10, 2)).await;
    before.close().await;
    let restored = Writer { epoch: 6, start: "another".into(), ..writer("node-1") };
    let mut restored = TransactionalKafkaSink::new(config.clone(), restored);
    let error = verdict(async || restored.prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("remove the file `identity` in it"), "{error}");
}

#[tokio::test]
async fn a_broker_that_hangs_is_told_in_time_and_gets_everything_once_later() {
    let kafka = Kafka::start();
    let config = KafkaConfig { patience: Duration::from_secs(4), ..config(kafka.bootstrap()) };
    let mut sink = sink(&config);
    deliver(&mut sink, &samples(0, 10, 2)).await;
    kafka.pause();
    let work = samples(10, 500, 2);
    let error = sink.deliver(&work).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    assert!(error.message.starts_with("kafka transaction of 500 records: nothing acknowledged for "), "{error}");
    let error = sink.deliver(&work).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    kafka.resume();
    deliver(&mut sink, &work).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 510);
}

/// As the pipeline does: halves what is too large, until what is refused stands alone.
async fn deliver_in_halves(sink: &mut TransactionalKafkaSink, rows: &[model::EventRecord], first: u64) -> Vec<u64> {
    let mut parts = vec![(0, rows.len())];
    let mut rejected = Vec::new();
    while let Some((from, to)) = parts.pop() {
        let part = range(0, vec![batch(first + from as u64, Rows::Events(rows[from..to].into()))]);
        match sink.deliver(&part).await {
            Ok(receipt) => rejected.extend(receipt.rejected.iter().map(|rejection| rejection.sequence)),
            // What was in flight beside it may be told first.
            Err(error) if error.class == FailureClass::Retry => parts.push((from, to)),
            Err(error) => {
                assert_eq!(error.class, FailureClass::Split, "{error}");
                assert!(to - from > 1, "{error}");
                let middle = from + (to - from) / 2;
                parts.extend([(middle, to), (from, middle)]);
            }
        }
    }
    rejected
}

#[tokio::test]
async fn a_record_larger_than_the_broker_takes_is_refused_alone_and_stays_refused() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.client().create().unwrap();
    let name = topic(&config, Stream::Events);
    let small = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    admin.create_topics(&[small], &AdminOptions::new()).await.unwrap();
    let mut first = sink(&config);
    prepared(&mut first).await;
    let mut rows: Vec<_> = (0..20).map(|number| event(number, noon() + Duration::from_millis(number))).collect();
    for large in [7, 13] {
        rows[large].attributes.insert("note".into(), noise(3_000));
    }
    assert_eq!(deliver_in_halves(&mut first, &rows, 100).await, [107, 113]);
    assert_exactly(&consume(kafka.bootstrap(), &name), 18);
    // Killed before the journal knew of it.
    forget(first);
    let whole = range(0, vec![batch(100, Rows::Events(rows.into()))]);
    let receipt = deliver_telling(&mut sink(&config), &whole, &mut Vec::new()).await;
    let sequences: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
    assert_eq!(sequences, [107, 113]);
    assert_eq!(receipt.rejected[0].error, "larger than the broker takes");
    assert_exactly(&consume(kafka.bootstrap(), &name), 18);
}

#[tokio::test]
async fn a_record_larger_than_any_request_is_refused_and_the_rest_is_one_transaction() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut rows: Vec<_> = (0..3).map(|number| event(number, noon())).collect();
    rows[1].attributes.insert("note".into(), "x".repeat(9_000_000));
    let work = range(0, vec![batch(1, Rows::Events(rows.into()))]);
    let receipt = deliver_telling(&mut sink(&config), &work, &mut Vec::new()).await;
    assert_eq!((receipt.rejected.len(), receipt.rejected[0].sequence), (1, 2));
    assert_eq!(consume(kafka.bootstrap(), &topic(&config, Stream::Events)).len(), 2);
}

#[tokio::test]
async fn a_replay_of_old_records_goes_beside_the_cursor() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut live = sink(&config);
    deliver(&mut live, &samples(0, 100, 5)).await;
    // The sink without transactions does not look at cursors, and takes nobody's place.
    let mut replay = ready(&config).await;
    insist(&mut replay, &samples(40, 10, 5)).await;
    deliver(&mut live, &samples(100, 10, 5)).await;
    assert_eq!(consume(kafka.bootstrap(), &topic(&config, Stream::Stats)).len(), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_its_own_that_stays_open_is_told_with_the_way_out() {
    let kafka = Kafka::shared();
    let config = KafkaConfig { patience: Duration::from_secs(2), ..config(kafka.bootstrap()) };
    let mut before = sink(&config);
    deliver(&mut before, &samples(0, 10, 2)).await;
    before.close().await;
    // As brokers leave it that forgot the end: the record is there, and its transaction belongs to nobody who begins anew.
    let other = KafkaConfig { exactly_once: Some(writer("other")), ..config.clone() };
    let forgotten: BaseProducer = other.transactional(&writer("other")).create().unwrap();
    let cursors = cursors_name(&config.topic_prefix);
    block_in_place(|| {
        forgotten.init_transactions(LONG).unwrap();
        forgotten.begin_transaction().unwrap();
        forgotten.send(BaseRecord::to(&cursors).partition(0).key("node-1/kafka/a-folder").payload("{}")).unwrap();
        forgotten.flush(LONG).unwrap();
    });
    let mut after = sink(&config);
    let deadline = Instant::now() + LONG;
    let error = loop {
        match after.prepare().await.unwrap_err() {
            error if error.class == FailureClass::Retry && Instant::now() < deadline => {}
            error => break error,
        }
    };
    assert_eq!(error.class, FailureClass::Config, "{error}");
    // Before it: the cursor of the first delivery, and the end of that.
    let way = format!("`kafka-transactions.sh abort --topic {cursors} --partition 0 --start-offset 2`");
    assert!(error.message.ends_with(&way), "{error}");
    block_in_place(|| forgotten.abort_transaction(LONG).unwrap());
    deliver(&mut after, &samples(0, 20, 2)).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 20);
}

#[tokio::test]
async fn brokers_that_are_not_there_are_retried_and_named() {
    let mut sink = sink(&config("127.0.0.1:1"));
    let error = sink.prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry);
    assert!(error.message.starts_with("kafka brokers 127.0.0.1:1: "), "{error}");
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_missing_topic_of_cursors_is_named_where_it_may_not_be_made() {
    let kafka = Kafka::shared();
    let with = config(kafka.bootstrap());
    ready(&KafkaConfig { exactly_once: None, ..with.clone() }).await;
    let mut sink = sink(&KafkaConfig { create_topics: false, ..with.clone() });
    let error = verdict(async || sink.prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config);
    let name = cursors_name(&with.topic_prefix);
    assert_eq!(error.message, format!("kafka topics missing: {name}; make them, or set create_topics = true"));
}

#[tokio::test]
async fn a_closed_sink_can_be_prepared_again() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    let mut sink = sink(&config);
    deliver(&mut sink, &samples(0, 10, 1)).await;
    sink.close().await;
    prepared(&mut sink).await;
    deliver(&mut sink, &samples(0, 20, 1)).await;
    assert_exactly(&consume(kafka.bootstrap(), &topic(&config, Stream::Stats)), 20);
}
