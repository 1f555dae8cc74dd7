//! Transactions of Kafka: what a consumer that reads committed messages cannot see past.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::wait::wait_until;

const WITHIN: Duration = Duration::from_secs(60);

/// Waits until every transaction that has messages in `topic` now has ended. Before that, a consumer that reads
/// committed messages finds the end of the topic at the first of them: after the end of a broker or a producer its
/// coordinator may take a moment to write that they are over, also of those whose commit was acknowledged.
pub fn wait_for_transactions(bootstrap: &str, topic: &str) {
    let [all, committed] = ["read_uncommitted", "read_committed"].map(|level| {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap).set("group.id", "ends").set("isolation.level", level);
        client.create::<BaseConsumer>().expect("a consumer")
    });
    let metadata = all.fetch_metadata(Some(topic), WITHIN).expect("metadata");
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let end = |consumer: &BaseConsumer, partition| {
        consumer.fetch_watermarks(topic, partition, WITHIN).map(|(_, end)| end).unwrap_or(-1)
    };
    let ends: Vec<(i32, i64)> = partitions.map(|partition| (partition.id(), end(&all, partition.id()))).collect();
    wait_until(WITHIN, &format!("all transactions in {topic} have ended"), || {
        ends.iter().all(|(partition, at)| *at >= 0 && end(&committed, *partition) >= *at)
    });
}
