//! Errors that a real broker can be brought to.

use std::time::{Duration, Instant};

use model::Stream;
use pipeline::ports::{Deliver, FailureClass};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use test_support::Kafka;

use super::tests::{LONG, assert_exactly, config, consume, insist, prepared, ready, samples, topic, verdict};
use super::*;

fn admin(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    config.client().create().unwrap()
}

/// Makes the topic of samples with a setting of its own.
async fn with_setting(config: &KafkaConfig, key: &str, value: &str) {
    let name = topic(config, Stream::Stats);
    let odd = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set(key, value);
    admin(config).create_topics(&[odd], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
}

#[tokio::test]
async fn records_too_old_for_their_topic_are_refused() {
    let kafka = Kafka::shared();
    let config = config(kafka.bootstrap());
    with_setting(&config, "message.timestamp.before.max.ms", "1000").await;
    let mut sink = ready(&config).await;
    let error = verdict(async || sink.deliver(&samples(0, 10, 2)).await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Poison, "{error}");
    assert!(error.message.starts_with("kafka: 10 of 10 records failed: "), "{error}");
}

#[tokio::test]
async fn a_topic_that_was_deleted_is_made_again() {
    let kafka = Kafka::shared();
    let properties = [("topic.metadata.propagation.max.ms", "500"), ("topic.metadata.refresh.interval.ms", "300")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = KafkaConfig { properties, patience: Duration::from_secs(3), ..config(kafka.bootstrap()) };
    let mut sink = ready(&config).await;
    insist(&mut sink, &samples(0, 10, 2)).await;
    let name = topic(&config, Stream::Stats);
    let admin = admin(&config);
    admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
    let deadline = Instant::now() + LONG;
    let there = || {
        let metadata = admin.inner().fetch_metadata(None, LONG).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == name)
    };
    while there() {
        assert!(Instant::now() < deadline, "the topic was not deleted");
    }
    let mut classes = Vec::new();
    while let Err(error) = sink.deliver(&samples(10, 10, 2)).await {
        assert!(Instant::now() < deadline, "{error}");
        classes.push(error.class);
        // The pipeline prepares after a failure of class `Schema`; the sink in hand has to find its way by itself.
        if error.class == FailureClass::Schema {
            prepared(&mut sink).await;
        }
    }
    assert!(classes.iter().all(|class| matches!(class, FailureClass::Schema | FailureClass::Retry)), "{classes:?}");
    assert_exactly(&consume(kafka.bootstrap(), &name), 10);
}

#[tokio::test]
async fn a_user_without_rights_is_told_so_at_the_start_and_at_a_delivery() {
    let kafka = Kafka::start_with(&[
        "listeners=CLIENT://127.0.0.1:{port},SASL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners=CLIENT://127.0.0.1:{port},SASL://127.0.0.1:{internal}",
        "listener.security.protocol.map=CLIENT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_dockstream=\"right\";",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
    ]);
    let properties = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "dockstream"),
        ("sasl.password", "right"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let powerless = KafkaConfig { properties, patience: Duration::from_secs(5), ..config(&kafka.internal()) };
    let mut sink = KafkaSink::new(powerless.clone());
    let error = verdict(async || sink.prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("AuthorizationFailed"), "{error}");

    // The topics are there, made by somebody who may.
    ready(&KafkaConfig {
        properties: Default::default(),
        brokers: vec![kafka.bootstrap().to_owned()],
        ..powerless.clone()
    })
    .await;
    let error = verdict(async || sink.deliver(&samples(0, 10, 2)).await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("AuthorizationFailed"), "{error}");

    let writer = Writer {
        node: "node-1".parse().unwrap(),
        sink: "kafka".into(),
        folder: "here".into(),
        epoch: 1,
        start: "now".into(),
    };
    let mut sink = TransactionalKafkaSink::new(powerless, writer);
    let error = verdict(async || sink.prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("AuthorizationFailed"), "{error}");
}
