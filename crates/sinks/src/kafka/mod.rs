//! Kafka: one topic per stream, one record per row, keyed so that a container's records keep their order.
//!
//! The producer is idempotent and never gives up on a record by itself: through an outage a record stays
//! with it, and a delivery that is tried again waits for the records still under way and sends only what has
//! definitely failed. A broker recognizes what it is sent again, unless the records are older than it remembers
//! producers for (docs/operations.md): then only transactions keep them from being there twice.

mod complaints;
mod config;
mod encode;
mod errors;
mod format;
mod letter_reader;
mod letters;
mod outcomes;
mod sink;
mod topics;
mod transactions;
mod verdicts;
mod words;

pub use config::{KafkaConfig, Writer};
pub use encode::{CONTENT_TYPE, schema_name};
pub use format::{Format, RegistryConfig, subject};
pub use letter_reader::LetterTopic;
pub use letters::{TopicDeadLetter, letter_topic};
pub use sink::KafkaSink;
pub use topics::{KafkaTopics, cursors_name, topic_name};
pub use transactions::TransactionalKafkaSink;

pub(crate) use verdicts::VERDICTS;

use pipeline::ports::Deliver;

/// The sink that `config` asks for.
pub fn sink(config: KafkaConfig) -> Box<dyn Deliver> {
    match config.exactly_once.clone() {
        Some(writer) => Box::new(TransactionalKafkaSink::new(config, writer)),
        None => Box::new(KafkaSink::new(config)),
    }
}

#[cfg(test)]
pub(crate) use transactions::{CURSOR_SCHEMA, example_cursor};

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registered;
#[cfg(test)]
mod repeats;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod tests;
