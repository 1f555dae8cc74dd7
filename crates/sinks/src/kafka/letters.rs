//! The dead letter as a topic: letters into it, and out of it for a replay.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pipeline::ports::{DeadLetter, DeadLetterError, Kept, Letter};
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::KafkaConfig;
use super::complaints::Complaints;
use super::encode::CONTENT_TYPE;
use super::errors::KafkaFailure;
use super::topics::ensure_letters;
use crate::deadletter::{FileDeadLetter, SCHEMA, encode};

/// How long brokers may take for anything.
const WITHIN: Duration = Duration::from_secs(30);

/// The name of the topic.
pub fn letter_topic(prefix: &str) -> String {
    format!("{prefix}deadletter")
}

/// Keeps letters in a topic; those that are too large for it in files.
pub struct TopicDeadLetter {
    config: KafkaConfig,
    too_large: FileDeadLetter,
    producer: Mutex<Option<Arc<ThreadedProducer<Acks>>>>,
}

/// Tells whoever waits for it what became of a message.
struct Acks;

type Ack = Result<(), RDKafkaErrorCode>;

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<oneshot::Sender<Ack>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let code = |(error, _): &(rdkafka::error::KafkaError, _)| {
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
        };
        // Nobody waits any more where the wait was given up.
        let _ = waiting.send(result.as_ref().map(|_| ()).map_err(code));
    }
}

impl TopicDeadLetter {
    /// A dead letter in the cluster that `config` names. Connects when there is something to keep.
    pub fn new(config: KafkaConfig, too_large: FileDeadLetter) -> Self {
        Self { config, too_large, producer: Mutex::default() }
    }

    fn failed(&self, reason: impl ToString) -> DeadLetterError {
        DeadLetterError { target: letter_topic(&self.config.topic_prefix), reason: reason.to_string() }
    }

    async fn producer(&self) -> Result<Arc<ThreadedProducer<Acks>>, DeadLetterError> {
        if let Some(producer) = &*self.slot() {
            return Ok(producer.clone());
        }
        let client = self.config.client();
        let made = spawn_blocking(move || client.create_with_context(Acks)).await;
        let made = made.map_err(|panicked| self.failed(panicked))?;
        let producer: Arc<ThreadedProducer<Acks>> =
            Arc::new(made.map_err(|error| self.failed(KafkaFailure::from(error)))?);
        let made = ensure_letters(&self.config, &producer, &Complaints::default()).await;
        made.map_err(|error| self.failed(error))?;
        *self.slot() = Some(producer.clone());
        Ok(producer)
    }

    /// Sends letters, and gives back those that are too large.
    async fn send<'a>(&self, letters: &'a [Letter]) -> Result<Vec<&'a Letter>, DeadLetterError> {
        let producer = self.producer().await?;
        let topic = letter_topic(&self.config.topic_prefix);
        let (mut waiting, mut too_large) = (Vec::with_capacity(letters.len()), Vec::new());
        for letter in letters {
            let line = encode(letter).map_err(|error| self.failed(error))?;
            let id = &letter.record.id;
            let key = format!("{}/{}/{}/{}/{}", letter.sink, id.node, id.epoch, id.stream, id.first);
            let batch = letter.batch.to_string();
            let headers = OwnedHeaders::new_with_capacity(3)
                .insert(Header { key: "schema", value: Some(SCHEMA) })
                .insert(Header { key: "content-type", value: Some(CONTENT_TYPE) })
                .insert(Header { key: "batch-id", value: Some(&batch) });
            let (sender, ack) = oneshot::channel();
            let record = BaseRecord::with_opaque_to(&topic, Box::new(sender))
                .key(&key)
                .payload(&line)
                .timestamp(letter.refused_at.as_millis())
                .headers(headers);
            match producer.send(record) {
                Ok(()) => waiting.push((letter, ack)),
                Err((error, _)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageSizeTooLarge) => too_large.push(letter),
                    _ => return Err(self.failed(KafkaFailure::from(error))),
                },
            }
        }
        for (letter, ack) in waiting {
            match ack.await {
                Ok(Ok(())) => {}
                Ok(Err(RDKafkaErrorCode::MessageSizeTooLarge)) => too_large.push(letter),
                Ok(Err(code)) => return Err(self.failed(code)),
                Err(_) => return Err(self.failed("the producer ended")),
            }
        }
        Ok(too_large)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<ThreadedProducer<Acks>>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl DeadLetter for TopicDeadLetter {
    async fn keep(&self, letters: &[Letter]) -> Result<Kept, DeadLetterError> {
        let sent = timeout(WITHIN, self.send(letters)).await;
        let sent = sent.unwrap_or_else(|_| Err(self.failed(format!("not acknowledged within {} s", WITHIN.as_secs()))));
        let too_large = match sent {
            Ok(too_large) => too_large,
            Err(error) => {
                // What it still holds is sent by no other attempt: the next one begins with a new producer.
                let given_up = self.slot().take();
                let _ = spawn_blocking(move || drop(given_up)).await;
                return Err(error);
            }
        };
        let mut kept = match too_large.is_empty() {
            true => Kept::default(),
            false => self.too_large.keep(&too_large.iter().copied().cloned().collect::<Vec<_>>()).await?,
        };
        for letter in letters.iter().filter(|letter| !too_large.contains(letter)) {
            *kept.new.entry(letter.stream()).or_default() += 1;
        }
        Ok(kept)
    }
}
