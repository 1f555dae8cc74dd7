//! Transactions of Kafka: what a consumer that reads committed messages cannot see past.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// Brokers end a transaction that nobody ends `transaction.timeout.ms` after it began (60 s here), and look for such every
/// ten seconds; the rest is for a machine that is busy.
const WITHIN: Duration = Duration::from_secs(100);
const CALL: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// Waits until every transaction that has messages in `topic` now has ended. Before that, a consumer that reads
/// committed messages finds the end of the topic at the first of them: after the end of a broker or a producer its
/// coordinator may take a moment to write that they are over, also of those whose commit was acknowledged. One whose
/// producer is gone takes until its time is up.
///
/// Panics with the place of the first open one where that takes longer than brokers may need.
pub fn wait_for_transactions(bootstrap: &str, topic: &str) {
    let [all, committed] = ["read_uncommitted", "read_committed"].map(|level| {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap).set("group.id", "ends").set("isolation.level", level);
        client.create::<BaseConsumer>().expect("a consumer")
    });
    let deadline = Instant::now() + WITHIN;
    let metadata = all.fetch_metadata(Some(topic), CALL).expect("metadata");
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()) {
        let end = loop {
            match all.fetch_watermarks(topic, partition, CALL) {
                Ok((_, end)) => break end,
                Err(error) => assert!(Instant::now() < deadline, "{topic}, partition {partition}: no end: {error}"),
            }
            sleep(LOOK);
        };
        loop {
            let stable = committed.fetch_watermarks(topic, partition, CALL).map(|(_, stable)| stable);
            if stable.as_ref().is_ok_and(|stable| *stable >= end) {
                break;
            }
            let place = format!("{topic}, partition {partition}, which ends at {end}: {stable:?}");
            assert!(Instant::now() < deadline, "not within {WITHIN:?}: transactions have ended in {place}");
            sleep(LOOK);
        }
    }
}
