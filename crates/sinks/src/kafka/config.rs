//! What can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

/// Settings of the Kafka sink.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Addresses of brokers to begin with, `host:port`.
    pub brokers: Vec<String>,
    /// What stands before the stream's name in a topic's name.
    pub topic_prefix: String,
    /// Makes topics that are missing; otherwise their absence is an error of configuration.
    pub create_topics: bool,
    /// Partitions of the topics made here.
    pub partitions: u16,
    /// Replicas of the topics made here.
    pub replication: u16,
    /// `none`, `gzip`, `snappy` or `lz4`.
    pub compression: String,
    /// How long the producer waits for a fuller request.
    pub linger: Duration,
    /// How long a delivery waits while no record settles, before it says so.
    pub patience: Duration,
    /// Settings of librdkafka over those made here. May hold secrets: names are shown, values never.
    pub properties: BTreeMap<String, String>,
    /// Rows in one delivery, at most.
    pub rows: usize,
    /// Estimated bytes in one delivery, at most.
    pub bytes: usize,
}

impl KafkaConfig {
    /// The defaults, for `brokers`.
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            topic_prefix: "docker.".into(),
            create_topics: true,
            partitions: 12,
            replication: 1,
            compression: "lz4".into(),
            linger: Duration::from_millis(20),
            patience: Duration::from_secs(15),
            properties: BTreeMap::new(),
            rows: 20_000,
            bytes: 8 << 20,
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "dockstream")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", &self.compression)
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("batch.size", "1000000")
            .set("message.max.bytes", "1000000")
            .set("queue.buffering.max.messages", "100000")
            // The default is 1 GiB.
            .set("queue.buffering.max.kbytes", "65536")
            // Never: a record given up by the producer would have to be sent again under a new identity, and
            // could then be there twice.
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", "30000")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            // As Java producers do, so that streams can be joined with theirs.
            .set("partitioner", "murmur2_random")
            .set("log.connection.close", "false");
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}
