//! Topics: their names, and how those that are missing are made.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Stream;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use tokio::task::spawn_blocking;

use super::KafkaConfig;
use super::complaints::Complaints;
use super::errors::{KafkaFailure, classify};
use super::format::Encoder;
use super::letters::letter_topic;
use super::outcomes::Outcomes;
use crate::migrate::Migrate;

const CREATE_WITHIN: Duration = Duration::from_secs(10);

/// How long brokers may take to say which topics they have.
const METADATA_WITHIN: Duration = Duration::from_secs(5);

/// The topic of `stream`.
pub fn topic_name(prefix: &str, stream: Stream) -> String {
    format!("{prefix}{stream}")
}

/// The topic of the cursors of those that deliver in transactions.
pub fn cursors_name(prefix: &str) -> String {
    format!("{prefix}cursors")
}

/// A topic that has to be there.
struct Wanted {
    name: String,
    partitions: u16,
    settings: &'static [(&'static str, &'static str)],
}

/// How a stream's topic keeps its records.
fn retention(stream: Stream) -> &'static [(&'static str, &'static str)] {
    match stream {
        Stream::Stats => &[("cleanup.policy", "delete"), ("retention.ms", "259200000")],
        Stream::Events => &[("cleanup.policy", "delete"), ("retention.ms", "604800000")],
        Stream::ImageVersions | Stream::Losses => &[("cleanup.policy", "delete"), ("retention.ms", "2592000000")],
        // A line of 1 MiB grows when it is written as JSON: a control character takes six bytes.
        Stream::Logs => {
            &[("cleanup.policy", "delete"), ("retention.ms", "259200000"), ("max.message.bytes", "8388608")]
        }
        // The last state of each key; a removed one stays readable for a day.
        Stream::Containers | Stream::Images | Stream::Hosts => {
            &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "60000"), ("delete.retention.ms", "86400000")]
        }
    }
}

/// Read from its beginning at every start: small segments let compaction keep it short.
const CURSORS: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("segment.bytes", "16777216"), ("min.cleanable.dirty.ratio", "0.1")];

fn wanted(config: &KafkaConfig) -> Vec<Wanted> {
    let stream = |stream: Stream| Wanted {
        name: topic_name(&config.topic_prefix, stream),
        partitions: config.partitions,
        settings: retention(stream),
    };
    let cursors = config.exactly_once.iter().map(|_| cursors(config));
    Stream::ALL.into_iter().map(stream).chain(cursors).collect()
}

fn cursors(config: &KafkaConfig) -> Wanted {
    Wanted { name: cursors_name(&config.topic_prefix), partitions: 1, settings: CURSORS }
}

fn letters(config: &KafkaConfig) -> Wanted {
    Wanted {
        name: letter_topic(&config.topic_prefix),
        partitions: config.partitions,
        settings: retention(Stream::Losses),
    }
}

/// The topics of one Kafka cluster.
pub struct KafkaTopics {
    /// The cluster. Missing topics are made whatever `create_topics` says.
    pub config: KafkaConfig,
    /// With the topic of cursors, for deliveries in transactions.
    pub cursors: bool,
    /// With the topic of refused records.
    pub letters: bool,
}

#[async_trait]
impl Migrate for KafkaTopics {
    async fn migrate(&mut self, tell: &mut (dyn FnMut(String) + Send)) -> Result<String, String> {
        let config = KafkaConfig { create_topics: true, exactly_once: None, ..self.config.clone() };
        let mut topics = wanted(&config);
        topics.extend(self.cursors.then(|| cursors(&config)));
        topics.extend(self.letters.then(|| letters(&config)));
        let count = topics.len();
        match self.ensure(&config, topics).await {
            Ok(made) => made.into_iter().for_each(|topic| tell(format!("topic {topic} made"))),
            Err(failure) => return Err(failure.to_string()),
        }
        Encoder::new(&config).ready().await.map_err(|failure| failure.to_string())?;
        Ok(format!("{}, {count} topics", config.brokers.join(",")))
    }
}

impl KafkaTopics {
    async fn ensure(&self, config: &KafkaConfig, topics: Vec<Wanted>) -> Result<Vec<String>, KafkaFailure> {
        let (client, outcomes) = (config.client(), Outcomes::default());
        let context = outcomes.clone();
        let made = spawn_blocking(move || client.create_with_context(context)).await;
        let producer: Arc<ThreadedProducer<Outcomes>> = Arc::new(made.map_err(|_| KafkaFailure::NoProducer)??);
        let made = ensure_these(config, topics, &producer, outcomes.complaints()).await;
        // Joins its thread.
        let _ = spawn_blocking(move || drop(producer)).await;
        made
    }
}

/// Sees that the topic of every stream is there, and makes those that are missing where that is allowed.
pub(super) async fn ensure<C>(
    config: &KafkaConfig,
    producer: &Arc<ThreadedProducer<C>>,
    complaints: &Complaints,
) -> Result<(), KafkaFailure>
where
    C: ProducerContext + 'static,
{
    ensure_these(config, wanted(config), producer, complaints).await.map(drop)
}

/// The same for the topic of letters.
pub(super) async fn ensure_letters<C>(
    config: &KafkaConfig,
    producer: &Arc<ThreadedProducer<C>>,
    complaints: &Complaints,
) -> Result<(), KafkaFailure>
where
    C: ProducerContext + 'static,
{
    ensure_these(config, vec![letters(config)], producer, complaints).await.map(drop)
}

/// The topics that were made, by name.
async fn ensure_these<C>(
    config: &KafkaConfig,
    mut missing: Vec<Wanted>,
    producer: &Arc<ThreadedProducer<C>>,
    complaints: &Complaints,
) -> Result<Vec<String>, KafkaFailure>
where
    C: ProducerContext + 'static,
{
    complaints.forget_last();
    let producer = producer.clone();
    let asked = spawn_blocking(move || producer.client().fetch_metadata(None, METADATA_WITHIN)).await;
    let metadata = asked.map_err(|_| KafkaFailure::NoProducer)?;
    let metadata = metadata.map_err(|error| KafkaFailure::unreachable(config, complaints, &error))?;
    missing.retain(|wanted| metadata.topics().iter().all(|topic| topic.name() != wanted.name));
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if !config.create_topics {
        let names: Vec<String> = missing.into_iter().map(|topic| topic.name).collect();
        return Err(KafkaFailure::MissingTopics(names.join(", ")));
    }
    create(config, &missing).await?;
    Ok(missing.into_iter().map(|topic| topic.name).collect())
}

/// A clock that is ahead of the broker's costs no record: without this, one that is ahead by an hour costs them all.
const ANY_TIME: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

/// Makes topics. One that is there already is as good.
async fn create(config: &KafkaConfig, missing: &[Wanted]) -> Result<(), KafkaFailure> {
    let mut refused = make(config, missing, &[ANY_TIME]).await?;
    if refused.iter().any(|(_, code)| *code == RDKafkaErrorCode::InvalidConfig) {
        // Brokers before 3.6 do not know the setting, and take any time.
        refused = make(config, missing, &[]).await?;
    }
    match refused.pop() {
        Some((topic, code)) => Err(KafkaFailure::Topic { topic, class: classify(code), reason: code.to_string() }),
        None => Ok(()),
    }
}

/// Makes topics with these settings beside their own; gives those that the broker refuses to make.
async fn make(
    config: &KafkaConfig,
    missing: &[Wanted],
    settings: &[(&str, &str)],
) -> Result<Vec<(String, RDKafkaErrorCode)>, KafkaFailure> {
    let replication = i32::from(config.replication);
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|wanted| {
            let topic = NewTopic::new(&wanted.name, i32::from(wanted.partitions), TopicReplication::Fixed(replication));
            wanted.settings.iter().chain(settings).fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();

    let client = config.client();
    let admin: AdminClient<DefaultClientContext> =
        spawn_blocking(move || client.create()).await.expect("making a client does not panic")?;
    let options = AdminOptions::new().request_timeout(Some(CREATE_WITHIN)).operation_timeout(Some(CREATE_WITHIN));
    let results = admin.create_topics(&topics, &options).await;
    // Ends its thread.
    let _ = spawn_blocking(move || drop(admin)).await;
    let mut refused = Vec::new();
    for result in results? {
        match result {
            Ok(name) => tracing::info!(topic = name, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err(other) => refused.push(other),
        }
    }
    Ok(refused)
}
