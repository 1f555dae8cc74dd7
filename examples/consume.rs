//! Tells how containers ended, as it happens: a consumer of `docker.events`, in JSON or, with a schema registry, in Avro.
//!
//! ```console
//! $ cargo run --example consume -- localhost:9092
//! $ cargo run --example consume -- localhost:9092 --registry http://localhost:8081
//! ```

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use serde::Deserialize;

/// What is read of an event; every field of it is in docs/topics.md.
#[derive(Deserialize)]
struct Event {
    host: String,
    action: String,
    container_name: Option<String>,
    exit_cause: Option<String>,
}

/// What to read from.
#[derive(Parser)]
pub struct Args {
    /// One broker or more, `host:port`.
    pub brokers: String,
    /// The topic of events.
    #[arg(long, default_value = "docker.events")]
    pub topic: String,
    /// The schema registry, where values are Avro.
    #[arg(long)]
    pub registry: Option<String>,
    /// The consumer group: who knows how far it has come.
    #[arg(long, default_value = "how-they-ended")]
    pub group: String,
    /// Ends after so many.
    #[arg(long)]
    pub count: Option<usize>,
}

/// Schemas by their ids; an id means the same schema for ever.
struct Schemas {
    registry: String,
    known: HashMap<u32, Schema>,
}

impl Schemas {
    /// A value: a zero byte, the schema's id, and what is written by it.
    fn read(&mut self, value: &[u8]) -> Result<Event> {
        let [0, a, b, c, d, datum @ ..] = value else { bail!("not framed with the id of a schema") };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        if !self.known.contains_key(&id) {
            let kept: serde_json::Value = serde_json::from_str(&get(&self.registry, &format!("/schemas/ids/{id}"))?)?;
            let schema = kept["schema"].as_str().context("the registry's answer has no schema")?;
            self.known.insert(id, Schema::parse_str(schema)?);
        }
        let schema = &self.known[&id];
        let value = GenericDatumReader::builder(schema).build()?.read_value(&mut &*datum)?;
        Ok(apache_avro::from_value(&value)?)
    }
}

/// What is at a path of the server at `url`, which wants neither TLS nor a password here.
fn get(url: &str, path: &str) -> Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let uri = format!("{url}{path}").parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let answer = client.get(uri).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?)
    })
}

/// Reads, and tells `out` a line for each container that ended.
///
/// # Errors
/// Where the brokers or the registry cannot be asked, or a value is no event.
pub fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let mut schemas = args.registry.clone().map(|registry| Schemas { registry, known: HashMap::new() });
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.brokers)
        .set("group.id", &args.group)
        .set("auto.offset.reset", "earliest")
        // With `exactly_once` each record is seen once only so; without it this changes nothing.
        .set("isolation.level", "read_committed")
        // What has been dealt with is committed below, so that an end in between leaves nothing out.
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[&args.topic])?;
    let mut told = 0;
    while args.count.is_none_or(|count| told < count) {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message?;
        let Some(value) = message.payload() else { continue };
        let event = match &mut schemas {
            Some(schemas) => schemas.read(value)?,
            None => serde_json::from_slice(value)?,
        };
        if event.action == "die" {
            let (name, cause) = (event.container_name.unwrap_or_default(), event.exit_cause.unwrap_or_default());
            writeln!(out, "{}  {name}  {cause}", event.host)?;
            told += 1;
        }
        consumer.commit_message(&message, CommitMode::Sync)?;
    }
    Ok(())
}

#[cfg_attr(test, expect(dead_code, reason = "a test runs what it runs"))]
fn main() -> Result<()> {
    run(&Args::parse(), &mut std::io::stdout())
}
