//! Kafka: one topic per stream, one record per row, keyed so that a container's records keep their order.
//!
//! The producer is idempotent and never gives up on a record by itself: through an outage a record stays
//! with it, and a delivery that is tried again waits for the records still under way and sends only what has
//! definitely failed.

mod config;
mod encode;
mod errors;
mod outcomes;
mod sink;
mod topics;

pub use config::KafkaConfig;
pub use encode::{CONTENT_TYPE, schema_name};
pub use sink::KafkaSink;
pub use topics::topic_name;

#[cfg(test)]
mod tests;
