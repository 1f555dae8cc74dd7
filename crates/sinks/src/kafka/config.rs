//! What can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::NodeName;
use rdkafka::ClientConfig;

use super::format::{Format, RegistryConfig};

/// How long brokers leave a transaction open, where no property says otherwise.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

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
    /// What the values in topics are. Cursors and dead letters are JSON always.
    pub format: Format,
    /// Who keeps the schemas of values that are not JSON.
    pub registry: Option<RegistryConfig>,
    /// Delivers in transactions that carry the cursor of this writer; `None` leaves it at an idempotent producer.
    pub exactly_once: Option<Writer>,
}

/// Who writes in transactions. Of one node and sink, the one that comes last takes the other's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The node whose batches are delivered.
    pub node: NodeName,
    /// The sink's name.
    pub sink: String,
    /// Names the data folder: in another one, equal sequences are other records.
    pub folder: String,
    /// The epoch of this process.
    pub epoch: u64,
    /// Names this process: a data folder that was restored lives an epoch twice.
    pub start: String,
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
            format: Format::Json,
            registry: None,
            exactly_once: None,
        }
    }

    /// Settings of a producer that outlives every outage.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = self.producer();
        // Never: a record given up by the producer would have to be sent again under a new identity, and
        // could then be there twice.
        client.set("message.timeout.ms", "0");
        self.with_properties(client)
    }

    /// Settings of a producer that writes in transactions. What a transaction could not bring about in its time
    /// is begun anew, so here a record may be given up.
    pub(super) fn transactional(&self, writer: &Writer) -> ClientConfig {
        let mut client = self.producer();
        client
            .set("transactional.id", self.transactional_id(writer))
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        self.with_properties(client)
    }

    /// Settings of a client that reads one topic.
    pub(super) fn reader(&self, isolation: &str, group: &str) -> ClientConfig {
        let mut client = self.with_properties(self.connection());
        client
            // Never joined: without the name of a group no partition is assigned.
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation);
        client
    }

    /// What brokers know the writer by: a new producer of that id ends the one before.
    pub(super) fn transactional_id(&self, writer: &Writer) -> String {
        format!("{}{}/{}", self.topic_prefix, writer.node, writer.sink)
    }

    /// How long brokers leave a transaction open.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let chosen = self.properties.get("transaction.timeout.ms").and_then(|text| text.parse().ok());
        chosen.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
    }

    fn connection(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "dockstream")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false");
        client
    }

    fn producer(&self) -> ClientConfig {
        let mut client = self.connection();
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", &self.compression)
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("batch.size", "1000000")
            // A log line can be so long; requests are kept to `batch.size` otherwise.
            .set("message.max.bytes", "8388608")
            .set("queue.buffering.max.messages", "100000")
            // The default is 1 GiB.
            .set("queue.buffering.max.kbytes", "65536")
            .set("request.timeout.ms", "30000")
            // As Java producers do, so that streams can be joined with theirs.
            .set("partitioner", "murmur2_random");
        client
    }

    fn with_properties(&self, mut client: ClientConfig) -> ClientConfig {
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
