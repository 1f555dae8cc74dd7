//! What must hold of the Kafka sink.

use super::{Checks, quote};
use crate::config::{KafkaFormat, KafkaSink};

impl Checks<'_> {
    pub(super) fn kafka(&mut self, kafka: &KafkaSink) {
        if kafka.brokers.is_empty() {
            self.say(
                "sinks.kafka.brokers",
                "Kafka is enabled, but there is no broker: name at least one, as [\"127.0.0.1:9092\"]",
            );
        }
        for broker in &kafka.brokers {
            let port =
                broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(1..))) {
                self.say(
                    "sinks.kafka.brokers",
                    format!("{} is not a broker such as \"127.0.0.1:9092\"", quote(broker)),
                );
            }
        }
        // Kafka's own rule; 249 less the longest of our endings.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if kafka.topic_prefix.len() > 200 || !kafka.topic_prefix.bytes().all(legal) {
            self.say(
                "sinks.kafka.topic_prefix",
                format!("{} cannot begin a topic's name: up to 200 of a-z A-Z 0-9 . _ -", quote(&kafka.topic_prefix)),
            );
        }
        let taken: Vec<_> =
            kafka.properties.names().filter_map(|name| Some((name.to_owned(), property_of_ours(name)?))).collect();
        for (name, instead) in taken {
            self.say("sinks.kafka.properties", format!("`{name}` is not yours to set: {instead}"));
        }
        for (key, other, both) in [
            ("password", "password_file", kafka.password.is_some() && kafka.password_file.is_some()),
            (
                "schema_registry_password",
                "schema_registry_password_file",
                kafka.schema_registry_password.is_some() && kafka.schema_registry_password_file.is_some(),
            ),
        ] {
            if both {
                let error = format!("`sinks.kafka.{other}` is set as well: keep one of the two");
                self.say(&format!("sinks.kafka.{key}"), error);
            }
        }
        if kafka.password.is_some() && kafka.properties.names().any(|name| name == "sasl.password") {
            self.say("sinks.kafka.password", "`sasl.password` is among the properties as well: keep one of the two");
        }
        self.registry(kafka);
    }

    fn registry(&mut self, kafka: &KafkaSink) {
        let Some(url) = &kafka.schema_registry else {
            if kafka.format != KafkaFormat::Json {
                self.say(
                    "sinks.kafka.format",
                    "this format needs a schema registry: set `schema_registry`, as \"http://127.0.0.1:8081\"",
                );
            }
            return;
        };
        self.web_address("sinks.kafka.schema_registry", url, "http://127.0.0.1:8081", &["http", "https"]);
        if kafka.format == KafkaFormat::Json {
            self.say(
                "sinks.kafka.schema_registry",
                "JSON is written without a registry: set `format` to \"avro\" or \"protobuf\"",
            );
        }
        if kafka.schema_registry_ca_file.is_some() && url.starts_with("http://") {
            self.say(
                "sinks.kafka.schema_registry_ca_file",
                "`sinks.kafka.schema_registry` is not https://: certificates say nothing there",
            );
        }
    }
}

/// Settings of librdkafka that have a key of their own here, or that the guarantees rest on.
fn property_of_ours(name: &str) -> Option<&'static str> {
    match name {
        "bootstrap.servers" | "metadata.broker.list" => Some("use `sinks.kafka.brokers`"),
        "compression.type" | "compression.codec" => Some("use `sinks.kafka.compression`"),
        "linger.ms" | "queue.buffering.max.ms" => Some("use `sinks.kafka.linger`"),
        "transactional.id" => Some("use `sinks.kafka.exactly_once`"),
        "enable.idempotence" | "acks" | "request.required.acks" => {
            Some("that no record is lost or doubled rests on it")
        }
        _ => None,
    }
}
