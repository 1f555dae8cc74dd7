//! Topics: their names, and how those that are missing are made.

use std::time::Duration;

use model::Stream;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaConfig;
use super::errors::{KafkaFailure, classify};

const CREATE_WITHIN: Duration = Duration::from_secs(10);

/// The topic of `stream`.
pub fn topic_name(prefix: &str, stream: Stream) -> String {
    format!("{prefix}{stream}")
}

/// How a stream's topic keeps its records.
fn retention(stream: Stream) -> &'static [(&'static str, &'static str)] {
    match stream {
        Stream::Stats => &[("cleanup.policy", "delete"), ("retention.ms", "259200000")],
        Stream::Events => &[("cleanup.policy", "delete"), ("retention.ms", "604800000")],
        Stream::Losses => &[("cleanup.policy", "delete"), ("retention.ms", "2592000000")],
        // The last state of each key; a removed one stays readable for a day.
        Stream::Containers | Stream::Hosts => {
            &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "60000"), ("delete.retention.ms", "86400000")]
        }
    }
}

/// Makes the topics of `streams`. One that is there already is as good.
pub(super) async fn create(config: &KafkaConfig, streams: &[Stream]) -> Result<(), KafkaFailure> {
    let names: Vec<String> = streams.iter().map(|stream| topic_name(&config.topic_prefix, *stream)).collect();
    let topics: Vec<NewTopic<'_>> = streams
        .iter()
        .zip(&names)
        .map(|(stream, name)| {
            let replication = TopicReplication::Fixed(i32::from(config.replication));
            let topic = NewTopic::new(name, i32::from(config.partitions), replication);
            retention(*stream).iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();

    let client = config.client();
    let admin: AdminClient<DefaultClientContext> =
        tokio::task::spawn_blocking(move || client.create()).await.expect("making a client does not panic")?;
    let options = AdminOptions::new().request_timeout(Some(CREATE_WITHIN)).operation_timeout(Some(CREATE_WITHIN));
    let results = admin.create_topics(&topics, &options).await;
    // Ends its thread.
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
    for result in results? {
        match result {
            Ok(name) => tracing::info!(topic = name, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(KafkaFailure::Topic { topic, class: classify(code), reason: code.to_string() });
            }
        }
    }
    Ok(())
}
