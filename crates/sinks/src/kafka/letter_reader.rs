//! Letters out of their topic: each process takes its own, and the brokers remember how far it has come.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::NodeName;
use pipeline::ports::{DeadLetter, DeadLetterError, Letter};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::KafkaConfig;
use super::errors::KafkaFailure;
use super::letters::letter_topic;
use crate::deadletter::{Entry, FileDeadLetter};

/// How long brokers may take to answer.
const WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);

/// Letters taken over at a time: as many may be found twice where the process ends in between, and files know
/// letters again that came lately.
const AT_A_TIME: usize = 500;

/// The topic of letters, as the process of one name sees it.
#[derive(Clone, Debug)]
pub struct LetterTopic {
    config: KafkaConfig,
    node: NodeName,
}

/// A place in the topic, and what is beyond it.
struct Reader {
    topic: String,
    consumer: BaseConsumer,
    partitions: usize,
    ended: BTreeSet<i32>,
    /// Where the next read begins.
    next: TopicPartitionList,
}

impl LetterTopic {
    /// The letters of `node` in the cluster that `config` names. Connects when it is read.
    pub fn new(config: KafkaConfig, node: NodeName) -> Self {
        Self { config, node }
    }

    /// The letters that have not been taken out.
    ///
    /// # Errors
    /// Where the brokers do not answer.
    pub async fn read(&self) -> Result<Vec<Entry>, DeadLetterError> {
        let this = self.clone();
        let read = spawn_blocking(move || {
            let mut reader = Reader::open(&this)?;
            let mut all = Vec::new();
            while let Some(some) = reader.read(&this.node)? {
                all.extend(some);
            }
            Ok(all)
        });
        self.outcome(read.await)
    }

    /// Moves the letters that are in the topic now into `files`; how many they were. From there they are replayed.
    ///
    /// # Errors
    /// Where the brokers do not answer, or the files cannot be written. A letter is then in one of the two.
    pub async fn move_into(&self, files: &FileDeadLetter) -> Result<usize, DeadLetterError> {
        let this = self.clone();
        let mut reader = self.outcome(spawn_blocking(move || Reader::open(&this)).await)?;
        let mut moved = 0;
        loop {
            let node = self.node.clone();
            let read = spawn_blocking(move || reader.read(&node).map(|some| (some, reader)));
            let (some, now) = self.outcome(read.await)?;
            let Some(some) = some else { return Ok(moved) };
            let letters: Vec<Letter> = some.iter().filter_map(letter).collect();
            moved += letters.len();
            files.keep(&letters).await?;
            let commit = spawn_blocking(move || now.commit().map(|()| now));
            reader = self.outcome(commit.await)?;
        }
    }

    fn outcome<T>(&self, outcome: Result<Result<T, KafkaError>, tokio::task::JoinError>) -> Result<T, DeadLetterError> {
        let failed = |reason: String| DeadLetterError { target: letter_topic(&self.config.topic_prefix), reason };
        outcome
            .map_err(|panicked| failed(panicked.to_string()))?
            .map_err(|error| failed(KafkaFailure::from(error).to_string()))
    }
}

/// One that is no letter stays in the topic, where a person can look at it.
fn letter(entry: &Entry) -> Option<Letter> {
    entry.letter().inspect_err(|error| tracing::warn!(%error, "passed over a record in the topic of letters")).ok()
}

impl Reader {
    fn open(letters: &LetterTopic) -> Result<Self, KafkaError> {
        let LetterTopic { config, node } = letters;
        let group = format!("dockstream-deadletter-{node}");
        let consumer: BaseConsumer = config.reader("read_committed", &group).create()?;
        let topic = letter_topic(&config.topic_prefix);
        let metadata = consumer.fetch_metadata(None, WITHIN)?;
        let mut from = TopicPartitionList::new();
        for there in metadata.topics().iter().filter(|there| there.name() == topic) {
            for partition in there.partitions() {
                from.add_partition(&topic, partition.id());
            }
        }
        let partitions = from.count();
        if partitions > 0 {
            let committed = consumer.committed_offsets(from.clone(), WITHIN)?;
            for element in committed.elements() {
                let offset = match element.offset() {
                    Offset::Offset(offset) => Offset::Offset(offset),
                    _ => Offset::Beginning,
                };
                from.set_partition_offset(&topic, element.partition(), offset)?;
            }
            consumer.assign(&from)?;
        }
        Ok(Self { topic, consumer, partitions, ended: BTreeSet::new(), next: TopicPartitionList::new() })
    }

    /// The next letters of `node`; `None` where the end of every partition was seen.
    fn read(&mut self, node: &NodeName) -> Result<Option<Vec<Entry>>, KafkaError> {
        let (mut found, mut seen, mut heard) = (Vec::new(), 0, Instant::now());
        while self.ended.len() < self.partitions && seen < AT_A_TIME {
            match self.consumer.poll(LOOK) {
                None if heard.elapsed() < WITHIN => {}
                None => {
                    return Err(KafkaError::MessageConsumption(rdkafka::types::RDKafkaErrorCode::OperationTimedOut));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ended.insert(partition);
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(message)) => {
                    heard = Instant::now();
                    seen += 1;
                    let (partition, next) = (message.partition(), Offset::Offset(message.offset() + 1));
                    let entry: Option<Entry> =
                        message.payload().and_then(|payload| serde_json::from_slice(payload).ok());
                    found.extend(entry.filter(|entry| entry.node == *node));
                    if self.next.set_partition_offset(&self.topic, partition, next).is_err() {
                        self.next.add_partition_offset(&self.topic, partition, next)?;
                    }
                }
            }
        }
        Ok((seen > 0).then_some(found))
    }

    /// Notes at the brokers what was read.
    fn commit(&self) -> Result<(), KafkaError> {
        self.consumer.commit(&self.next, CommitMode::Sync)
    }
}
