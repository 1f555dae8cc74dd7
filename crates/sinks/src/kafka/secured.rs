//! TLS and SASL, against a real broker that insists on them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use model::Stream;
use pipeline::ports::{Deliver, DeliverError, FailureClass};
use test_support::{Authority, Kafka, Papers, Validity};

use super::tests::{assert_exactly, config as plain, consume, insist, ready, samples, topic, verdict};
use super::*;

/// The broker of these tests, and what a client needs for it.
fn broker() -> &'static (Kafka, Papers) {
    static SECURED: OnceLock<(Kafka, Papers)> = OnceLock::new();
    SECURED.get_or_init(Kafka::secured)
}

fn with(address: &str, properties: &[(&str, &str)]) -> KafkaConfig {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    KafkaConfig { properties, patience: Duration::from_secs(20), ..plain(address) }
}

/// SASL over TLS, as user `name` with `password`.
fn sasl(mechanism: &str, name: &str, password: &str) -> KafkaConfig {
    let (kafka, papers) = broker();
    with(
        &kafka.sasl(),
        &[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", name),
            ("sasl.password", password),
            ("ssl.ca.pem", &papers.ca),
        ],
    )
}

/// TLS with a certificate of the client.
fn tls(ca: &[(&str, &str)]) -> KafkaConfig {
    let (kafka, papers) = broker();
    let own =
        [("security.protocol", "SSL"), ("ssl.certificate.pem", &papers.certificate), ("ssl.key.pem", &papers.key)];
    with(&kafka.tls(), &[&own, ca].concat())
}

async fn delivers(config: KafkaConfig) {
    let mut sink = ready(&config).await;
    insist(&mut sink, &samples(0, 10, 2)).await;
    assert_exactly(&consume(broker().0.bootstrap(), &topic(&config, Stream::Stats)), 10);
}

/// What `dockstream check` and the log say: the words of a sink at its start, less where the brokers are. Those of the sink
/// with transactions are the same.
async fn refused(config: KafkaConfig) -> String {
    let error = verdict(async || KafkaSink::new(config.clone()).prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    let writer = Writer {
        node: "node-1".parse().unwrap(),
        sink: "kafka".into(),
        folder: "here".into(),
        epoch: 1,
        start: "now".into(),
    };
    let mut transactional = TransactionalKafkaSink::new(config.clone(), writer);
    let DeliverError { class, message, .. } = verdict(async || transactional.prepare().await.unwrap_err()).await;
    assert_eq!((class, &message), (FailureClass::Config, &error.message));
    let begin = format!("kafka brokers {}: ", config.brokers[0]);
    let words = message.strip_prefix(&begin).unwrap_or_else(|| panic!("{message}"));
    assert!(!words.contains('\n') && !words.contains("wrong") && !words.contains("right"), "{words}");
    words.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_of_sasl_delivers_over_tls() {
    delivers(sasl("PLAIN", "plain", "right")).await;
    delivers(sasl("SCRAM-SHA-256", "scram", "right")).await;
    delivers(sasl("SCRAM-SHA-512", "scram", "right")).await;
    let mut token = sasl("OAUTHBEARER", "", "");
    token.properties.retain(|name, _| name != "sasl.username" && name != "sasl.password");
    let more = [("enable.sasl.oauthbearer.unsecure.jwt", "true"), ("sasl.oauthbearer.config", "principal=somebody")];
    token.properties.extend(BTreeMap::from(more.map(|(name, value)| (name.to_owned(), value.to_owned()))));
    delivers(token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_client_opens_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, &broker().1.ca).unwrap();
    delivers(tls(&[("ssl.ca.location", file.to_str().unwrap())])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_user_are_told_in_one_line() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let known = if mechanism == "PLAIN" { "plain" } else { "scram" };
        for (user, password) in [(known, "wrong"), ("nobody", "right")] {
            let words = refused(sasl(mechanism, user, password)).await;
            let line =
                format!("they do not know user {user} with this password ({mechanism}): look at `sasl.username`");
            assert!(words.starts_with(&line), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_told_in_one_line() {
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::new(elsewhere.path()).client("other", Validity::Now);
    let words = refused(tls(&[("ssl.ca.location", other.join("ca.pem").to_str().unwrap())])).await;
    assert!(
        words.starts_with("their certificate is not trusted: issued by no authority in `ssl.ca.location`"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_certificate_is_told_in_one_line() {
    let mut config = tls(&[("ssl.ca.pem", &broker().1.ca)]);
    config.properties.remove("ssl.certificate.pem");
    config.properties.remove("ssl.key.pem");
    let words = refused(config).await;
    assert!(words.starts_with("they want a certificate"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_speaks_something_else_is_told_in_one_line() {
    let mut config = sasl("SCRAM-SHA-256", "scram", "right");
    config.properties.insert("security.protocol".into(), "SASL_PLAINTEXT".into());
    let error = KafkaSink::new(config).prepare().await.unwrap_err();
    // It may be a broker that is about to end.
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    assert!(error.message.contains("hang up without a word: is `security.protocol` what"), "{error}");
}
