//! Avro and Protobuf with a real schema registry, in a real broker.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use model::{Batch, ContainerState, Rows, Stream};
use pipeline::ports::{Deliver, FailureClass, Receipt};
use serde_json::{Value, json};
use test_support::{Kafka, Registry};

use super::format::tests::json_of_avro;
use super::tests::{LONG, Seen, config as plain, consume_bytes, noise, prepared, topic, verdict};
use super::*;
use crate::fixtures::{batch, container, event, noon, one_of_each, range, stats};

fn config(format: Format) -> KafkaConfig {
    let registry = RegistryConfig::new(Registry::shared().url());
    KafkaConfig { format, registry: Some(registry), ..plain(Kafka::shared().bootstrap()) }
}

fn with(config: &KafkaConfig, change: impl FnOnce(&mut RegistryConfig)) -> KafkaConfig {
    let mut changed = config.clone();
    change(changed.registry.as_mut().unwrap());
    changed
}

async fn ready(config: &KafkaConfig) -> Box<dyn Deliver> {
    let mut sink = sink(config.clone());
    prepared(&mut *sink).await;
    sink
}

/// Delivers as the pipeline does: until it is done.
async fn delivered(sink: &mut dyn Deliver, rows: Rows) -> Receipt {
    delivered_all(sink, vec![batch(1, rows)]).await
}

async fn delivered_all(sink: &mut dyn Deliver, batches: Vec<Batch>) -> Receipt {
    let (work, deadline) = (range(0, batches), Instant::now() + LONG);
    loop {
        match sink.deliver(&work).await {
            Ok(receipt) => return receipt,
            Err(error) => {
                let passes = matches!(error.class, FailureClass::Retry | FailureClass::Schema);
                assert!(passes && Instant::now() < deadline, "{error}");
            }
        }
    }
}

async fn refused(config: &KafkaConfig) -> String {
    let mut sink = sink(config.clone());
    let error = verdict(async || sink.prepare().await.unwrap_err()).await;
    assert_eq!(error.class, FailureClass::Config, "{error}");
    error.message
}

/// The values of Avro in a topic, read by the schema that the registry gives for the id in each.
fn avro(config: &KafkaConfig, stream: Stream) -> Vec<Seen> {
    let mut seen = consume_bytes(&config.brokers[0], &topic(config, stream), |bytes| {
        let (frame, mut datum) = bytes.split_at(5);
        assert_eq!(frame[0], 0);
        let id = u32::from_be_bytes(frame[1..].try_into().unwrap());
        let kept: Value =
            serde_json::from_str(&Registry::shared().get(&format!("/schemas/ids/{id}")).unwrap()).unwrap();
        let schema = apache_avro::Schema::parse_str(kept["schema"].as_str().unwrap()).unwrap();
        json_of_avro(GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap())
    });
    assert!(seen.iter().all(|record| record.headers["content-type"] == "application/avro"));
    seen.sort_by(|one, other| one.key.cmp(&other.key));
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_read_by_the_schema_that_the_registry_has_for_it() {
    let writer = Writer {
        node: "node-1".parse().unwrap(),
        sink: "kafka".into(),
        folder: "here".into(),
        epoch: 1,
        start: "now".into(),
    };
    for exactly_once in [None, Some(writer)] {
        let config = KafkaConfig { exactly_once, ..config(Format::Avro) };
        let mut sink = ready(&config).await;
        assert_eq!(delivered_all(&mut *sink, one_of_each()).await.rejected, []);
        for batch in one_of_each() {
            let stream = batch.id.stream;
            let seen = avro(&config, stream);
            assert_eq!(seen.len(), batch.rows.len(), "{stream}");
            let hosts = seen.iter().filter_map(|record| record.value.as_ref()?.get("host"));
            assert!(hosts.into_iter().all(|host| host == "edge-1"), "{stream}");
            let kept = Registry::shared().get(&format!("/subjects/{}/versions", subject(&config.topic_prefix, stream)));
            assert_eq!(kept.unwrap(), "[1]", "{stream}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_is_registered_under_its_kind_and_framed_with_its_id() {
    let config = config(Format::Protobuf);
    let mut sink = ready(&config).await;
    delivered(&mut *sink, Rows::Stats([stats(1, noon())].into())).await;
    let seen = consume_bytes(&config.brokers[0], &topic(&config, Stream::Stats), |bytes| {
        assert_eq!((bytes[0], bytes[5]), (0, 0));
        let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        serde_json::from_str(&Registry::shared().get(&format!("/schemas/ids/{id}")).unwrap()).unwrap()
    });
    assert_eq!(seen[0].headers["content-type"], "application/x-protobuf");
    let kept = seen[0].value.as_ref().unwrap();
    assert_eq!(kept["schemaType"], "PROTOBUF");
    assert!(kept["schema"].as_str().unwrap().contains("message Stats"), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_has_no_value() {
    let config = config(Format::Avro);
    let rows = [container(1, ContainerState::Running, noon()), container(1, ContainerState::Removed, noon())];
    delivered(&mut *ready(&config).await, Rows::Containers(rows.into())).await;
    let seen = avro(&config, Stream::Containers);
    let there: Vec<bool> = seen.iter().map(|record| record.value.is_some()).collect();
    assert_eq!(there, [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_refused_alone_in_avro_too() {
    let config = config(Format::Avro);
    let mut sink = ready(&config).await;
    let mut rows: Vec<_> = (0..3).map(|number| event(number, noon())).collect();
    rows[1].attributes.insert("note".into(), noise(9_000_000));
    let receipt = delivered(&mut *sink, Rows::Events(rows.into())).await;
    let refused: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
    assert_eq!(refused, [2]);
    assert!(receipt.rejected[0].error.ends_with("bytes are more than message.max.bytes"), "{receipt:?}");
    assert_eq!(avro(&config, Stream::Events).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_is_waited_for_at_the_start_and_not_missed_later() {
    let registry = Registry::start();
    let config = with(&config(Format::Avro), |settings| *settings = RegistryConfig::new(registry.url()));
    registry.stop();
    let mut sink = sink(config.clone());
    let (deadline, begin) = (Instant::now() + LONG, format!("schema registry {}: ", registry.url()));
    loop {
        let error = sink.prepare().await.unwrap_err();
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
        if error.message.starts_with(&begin) {
            break;
        }
    }
    registry.restart();
    prepared(&mut *sink).await;
    registry.stop();
    assert_eq!(delivered(&mut *sink, Rows::Stats([stats(1, noon())].into())).await.rejected, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_the_registry_refuses_is_told_in_words() {
    let config = config(Format::Avro);
    let subject = subject(&config.topic_prefix, Stream::Stats);
    let other = json!({"schema": r#"{"type":"record","name":"Stats","namespace":"dockstream.v1","fields":[{"name":"host","type":"long"}]}"#});
    Registry::shared().post(&format!("/subjects/{subject}/versions"), &other.to_string()).unwrap();
    let words = refused(&config).await;
    let begin = format!(
        "schema registry {}: refuses the schema of {subject}, which does not fit the one before it; delete the subject, or \
         relax its compatibility (409 Conflict: ",
        Registry::shared().url()
    );
    assert!(words.starts_with(&begin), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_that_may_not_be_registered_have_to_be_there() {
    let config = config(Format::Avro);
    let asking = with(&config, |registry| registry.register = false);
    let words = refused(&asking).await;
    assert!(words.contains("has no such schema as ") && words.contains("set schema_register = true"), "{words}");
    ready(&config).await;
    ready(&asking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_no_registry_is_told_in_words() {
    let elsewhere = with(&config(Format::Avro), |registry| registry.url.push_str("/elsewhere"));
    let words = refused(&elsewhere).await;
    assert!(words.contains("knows no subjects under this address: is this Confluent's API? (404 Not Found"), "{words}");
    let none = KafkaConfig { registry: None, ..elsewhere };
    assert_eq!(refused(&none).await, "values in this format need a schema registry: name one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_named_to_the_registry_and_told_where_it_is_not_let_in() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = vec![0; 1 << 16];
        let length = connection.read(&mut request).unwrap();
        let body = r#"{"error_code":401,"message":"User cannot access the resource."}"#;
        let length_of = body.len();
        write!(
            connection,
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length_of}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let config = with(&config(Format::Avro), |registry| {
        *registry =
            RegistryConfig { user: Some(("Aladdin".into(), "open sesame".into())), ..RegistryConfig::new(&url) };
    });
    assert!(!format!("{config:?}").contains("sesame"));
    let words = refused(&config).await;
    let told = format!(
        "schema registry {url}: does not accept this user, or does not let it in (401 Unauthorized: User cannot access the \
         resource.)"
    );
    assert_eq!(words, told);
    let request = heard.join().unwrap();
    assert!(request.to_lowercase().contains("authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq=="), "{request}");
}

/// The schemas of a folder, by stream.
fn released(folder: &std::path::Path, format: Format, stream: Stream) -> Option<String> {
    let (kind, ending) = if format == Format::Avro { ("avro", "avsc") } else { ("protobuf", "proto") };
    std::fs::read_to_string(folder.join(kind).join(format!("docker.{stream}.{ending}"))).ok()
}

#[test]
fn the_schemas_are_backward_compatible_with_all_that_were_released() {
    let registry = Registry::shared();
    let mut folders: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/released"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap());
    assert!(!folders.is_empty());
    for format in [Format::Avro, Format::Protobuf] {
        for stream in Stream::ALL {
            let path = format!("/subjects/{}/versions", test_support::unique(&format!("{stream}")));
            let register = |schema: &str| {
                let mut body = json!({"schema": schema});
                if format == Format::Protobuf {
                    body["schemaType"] = "PROTOBUF".into();
                }
                registry.post(&path, &body.to_string())
            };
            for schema in folders.iter().filter_map(|folder| released(folder, format, stream)) {
                register(&schema).unwrap_or_else(|error| panic!("{stream}: {error}"));
            }
            let present = format.schema(stream).unwrap();
            register(present).unwrap_or_else(|error| panic!("{stream}: {error}"));
            // And the registry is one that looks: the type of a field may not change.
            let broken = match format {
                Format::Protobuf => present.replacen("  string ", "  bool ", 1),
                _ => present.replacen("\"type\": \"string\"", "\"type\": \"long\"", 1),
            };
            assert_ne!(broken, present);
            let refused = register(&broken).unwrap_err();
            assert!(refused.starts_with("409: "), "{stream}: {refused}");
        }
    }
}
