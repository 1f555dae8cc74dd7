//! What can go wrong, and what that means for a delivery.

use pipeline::ports::{DeliverError, FailureClass};
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::KafkaConfig;
use super::complaints::Complaints;
use super::verdicts::VERDICTS;
use super::words::in_words;
use crate::verdicts::verdict;

/// A failure of the Kafka sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum KafkaFailure {
    #[error("kafka setting `{key}`: {reason}")]
    Setting { key: String, reason: String },
    #[error("kafka client: {0}")]
    Client(String),
    #[error("kafka brokers {brokers}: {reason}")]
    Brokers { brokers: String, class: FailureClass, reason: String },
    #[error("kafka topics missing: {0}; make them, or set create_topics = true")]
    MissingTopics(String),
    #[error("kafka topic {topic}: {reason}")]
    Topic { topic: String, class: FailureClass, reason: String },
    #[error("kafka: {failed} of {sent} records failed: {code}")]
    Records { failed: usize, sent: usize, code: RDKafkaErrorCode },
    #[error("kafka: nothing acknowledged for {waited_s} s, {in_flight} records under way{reason}")]
    Waiting { class: FailureClass, waited_s: u64, in_flight: usize, reason: String },
    #[error("kafka transaction of {rows} records: {reason}")]
    Transaction { class: FailureClass, rows: usize, reason: String },
    #[error(
        "kafka transaction of {rows} records was not done after {seconds} s and was given up: fewer are tried at \
         once; raise `transaction.timeout.ms` where this repeats"
    )]
    SlowTransaction { rows: usize, seconds: u64 },
    #[error(
        "another process has taken the transactional id {id} over: it delivers as node {node} too; give each process \
         a `node` of its own, and end the one that is not wanted"
    )]
    Fenced { id: String, node: String },
    #[error("kafka topic {topic}: the cursor cannot be read yet: another producer's transaction is open")]
    CursorNotReadable { topic: String },
    #[error(
        "kafka topic {topic}: the brokers have lost the end of a transaction of this sink, and leave it open for ever from \
         offset {offset} on; end it by `kafka-transactions.sh abort --topic {topic} --partition 0 --start-offset {offset}`"
    )]
    EndLost { topic: String, offset: i64 },
    #[error("kafka topic {topic}: the cursor of {key} cannot be gone by: {reason}")]
    CursorRefused { topic: String, key: String, reason: String },
    #[error("the kafka producer failed for good and is made anew: {reason}")]
    Fatal { class: FailureClass, reason: String },
    #[error("the kafka producer is not running")]
    NoProducer,
    #[error("schema registry {url}: {reason}")]
    Registry { url: String, class: FailureClass, reason: String },
    #[error("values in this format need a schema registry: name one")]
    NoRegistry,
    #[error("a record cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

impl KafkaFailure {
    /// Why the brokers do not answer: what the client complained of says more than the time that ran out.
    pub(super) fn unreachable(config: &KafkaConfig, complaints: &Complaints, error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let (code, reason) = complaints.last().unwrap_or((code, code.to_string()));
        Self::Brokers {
            brokers: config.brokers.join(","),
            class: classify(code),
            reason: in_words(config, code, reason),
        }
    }

    /// A producer that can do no more. Why it came to that may need a person; else a new one goes on.
    pub(super) fn fatal<C: ClientContext>(client: &Client<C>, otherwise: String) -> Self {
        let (code, reason) = client.fatal_error().unwrap_or((RDKafkaErrorCode::Fatal, otherwise));
        let class = if classify(code) == FailureClass::Config { FailureClass::Config } else { FailureClass::Schema };
        Self::Fatal { class, reason: format!("{code}: {reason}") }
    }

    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Setting { .. } | Self::Client(_) | Self::MissingTopics(_) | Self::NoRegistry => FailureClass::Config,
            Self::Fenced { .. } | Self::CursorRefused { .. } | Self::EndLost { .. } => FailureClass::Config,
            Self::Brokers { class, .. }
            | Self::Topic { class, .. }
            | Self::Registry { class, .. }
            | Self::Waiting { class, .. }
            | Self::Transaction { class, .. }
            | Self::Fatal { class, .. } => *class,
            Self::SlowTransaction { rows, .. } if *rows > 1 => FailureClass::Split,
            Self::SlowTransaction { .. } | Self::CursorNotReadable { .. } => FailureClass::Retry,
            Self::Records { code, .. } => classify(*code),
            // `prepare` makes it anew.
            Self::NoProducer => FailureClass::Schema,
            Self::Encode(_) => FailureClass::Poison,
        }
    }
}

impl KafkaFailure {
    /// Why a record that was sent alone is refused.
    pub(super) fn refusal(&self) -> &str {
        match self {
            Self::Transaction { class: FailureClass::Split, .. } => "larger than the broker takes",
            Self::Transaction { reason, .. } => reason,
            _ => "refused by the broker",
        }
    }
}

impl From<KafkaError> for KafkaFailure {
    fn from(error: KafkaError) -> Self {
        match error {
            // The value stays out: it may be a secret.
            KafkaError::ClientConfig(_, reason, key, _) => Self::Setting { key, reason },
            KafkaError::ClientCreation(reason) => Self::Client(reason),
            other => {
                let class = other.rdkafka_error_code().map_or(FailureClass::Retry, classify);
                Self::Brokers { brokers: String::new(), class, reason: other.to_string() }
            }
        }
    }
}

impl From<KafkaFailure> for DeliverError {
    fn from(failure: KafkaFailure) -> Self {
        Self::new(failure.class(), failure.to_string())
    }
}

/// What a code of librdkafka or of a broker means. What is not known may pass.
pub(super) fn classify(code: RDKafkaErrorCode) -> FailureClass {
    verdict(VERDICTS, &code).map_or(FailureClass::Retry, |verdict| verdict.course.at(1))
}

/// Of several failures in one range, the one that is acted on.
pub(super) fn graver(one: Option<RDKafkaErrorCode>, other: RDKafkaErrorCode) -> Option<RDKafkaErrorCode> {
    let weight = |code: &RDKafkaErrorCode| match classify(*code) {
        FailureClass::Retry => 0,
        FailureClass::RetrySlow => 1,
        FailureClass::Split => 2,
        FailureClass::Poison => 3,
        FailureClass::Schema => 4,
        FailureClass::Config => 5,
    };
    one.into_iter().chain([other]).max_by_key(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_pass_is_refused_and_nothing_unknown_either() {
        use RDKafkaErrorCode as C;
        let passing = [C::QueueFull, C::MessageTimedOut, C::BrokerTransportFailure, C::AllBrokersDown, C::PurgeQueue];
        // A body damaged on its way, and an answer that was: to be sent again.
        let damaged = [C::InvalidMessage, C::BadMessage, C::NetworkException];
        let brokers = [C::NotEnoughReplicas, C::NotLeaderForPartition, C::RequestTimedOut, C::OutOfOrderSequenceNumber];
        for code in passing.into_iter().chain(damaged).chain(brokers).chain([C::Unknown, C::RebootstrapRequired]) {
            assert_eq!(classify(code), FailureClass::Retry, "{code}");
        }
    }

    #[test]
    fn of_several_failures_the_one_a_person_has_to_see_to_is_acted_on() {
        use RDKafkaErrorCode as C;
        assert_eq!(graver(None, C::MessageTimedOut), Some(C::MessageTimedOut));
        assert_eq!(graver(Some(C::TopicAuthorizationFailed), C::MessageTimedOut), Some(C::TopicAuthorizationFailed));
        assert_eq!(graver(Some(C::MessageSizeTooLarge), C::UnknownTopic), Some(C::UnknownTopic));
    }

    #[test]
    fn the_value_of_a_refused_setting_is_not_told() {
        let mut client = rdkafka::ClientConfig::new();
        client.set("sasl.passwort", "hunter2");
        let error = client.create_native_config().err().unwrap();
        let text = KafkaFailure::from(error).to_string();
        assert!(text.contains("sasl.passwort") && !text.contains("hunter2"), "{text}");
    }
}
