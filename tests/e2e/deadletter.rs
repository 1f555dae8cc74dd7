//! Records that a server refuses for good: kept, shown, and delivered again once the reason is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use simulator::{Event, Simulator};
use test_support::{ClickHouse, Kafka, unique, wait_for, wait_until};

use crate::binary::{Dockstream, Finished, Launch, SOON};
use crate::stores::{self, assert_same, by_identity, stats_columns};

const PACE: &str = "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\n[batch]\nage = \"100ms\"\n[retry]\nmin = \"50ms\"\nmax = \"500ms\"\n";

fn deadletter(launch: Launch, arguments: &[&str]) -> Finished {
    launch.with(&["deadletter"]).with(arguments).spawn().finished(4 * SOON)
}

/// The letters as `list --json` shows them.
fn letters(launch: Launch) -> Vec<Value> {
    let listed = deadletter(launch, &["list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    listed.out.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn count(dockstream: &Dockstream, sink: &str, what: &str) -> u64 {
    dockstream.sink(sink)[what].as_u64().expect("a number")
}

/// ClickHouse refuses the samples of one container; a person looks, tries too early, repairs the table, tries again.
fn refused_kept_and_delivered_again(server: &ClickHouse, database: &str, more: &str) -> Finished {
    let engine = Simulator::host("simulated").containers(3).interval(Duration::from_secs(1)).start();
    let engine = engine.expect("a simulated host");
    let config = format!(
        "{PACE}[sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\nlinger = \"100ms\"\n[shutdown]\ngrace = \"300s\"\n{more}",
        server.url()
    );
    let dockstream = Launch::watching(engine.socket(), &config).start();
    wait_until(SOON, "rows are delivered", || count(&dockstream, "clickhouse", "delivered") > 10);
    let nothing = deadletter(Launch::beside(&dockstream), &["list"]);
    assert_eq!((nothing.code, nothing.out.as_slice()), (Some(0), &["nothing in the dead letter".to_owned()][..]));

    let table = format!("{database}.container_stats");
    let name = dockstream.get("/api/containers")["data"][0]["container_name"].as_str().expect("a name").to_owned();
    server.query(&format!("ALTER TABLE {table} ADD CONSTRAINT sane CHECK container_name != '{name}'"));
    // Every refused row is an insert of its own, and a few before it.
    wait_until(3 * SOON, "rows are refused", || count(&dockstream, "clickhouse", "rejected") >= 5);

    let listed = deadletter(Launch::beside(&dockstream), &["list", "--sink", "clickhouse"]);
    let line = listed.out.iter().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("{listed:?}"));
    assert!(line.contains("clickhouse") && line.contains("stats") && line.contains("sane"), "{line}");
    let other = deadletter(Launch::beside(&dockstream), &["list", "--stream", "events"]);
    assert_eq!(other.out, ["nothing in the dead letter"]);
    let early = deadletter(Launch::beside(&dockstream), &["replay"]);
    assert_eq!(early.code, Some(75), "{early:?}");
    assert!(early.out[0].starts_with("clickhouse stats: 0 records delivered, "), "{early:?}");
    let metrics = dockstream.ask("/metrics").1.as_str().expect("text").to_owned();
    let counted = metrics
        .lines()
        .any(|line| line.starts_with("dockstream_deadletter_records_total{sink=\"clickhouse\",stream=\"stats\"}"));
    assert!(counted, "{metrics}");
    let losses = dockstream.get("/api/losses?sink=clickhouse")["data"].clone();
    assert!(losses.as_array().is_some_and(|all| all.len() == 1 && all[0]["reason"] == "rejected"), "{losses}");

    // What is left is refused row by row, too.
    dockstream.signal("TERM");
    let ended = dockstream.finished(4 * SOON);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let columns = stats_columns();
    let kept = by_identity(stores::sqlite(&ended.database(), "container_stats", &columns));
    let before = by_identity(stores::clickhouse(server, &table, &columns));
    let missing: BTreeSet<_> = kept.keys().filter(|key| !before.contains_key(*key)).cloned().collect();
    let told: Vec<_> = letters(Launch::again(&ended))
        .iter()
        .map(|letter| {
            assert_eq!(
                (&letter["sink"], &letter["record"]["container_name"]),
                (&"clickhouse".into(), &name.clone().into())
            );
            let text = |name: &str| letter["record"][name].as_str().expect("a text").to_owned();
            let at: model::Timestamp = text("timestamp").parse().expect("a time");
            (text("container_id"), at.as_nanos())
        })
        .collect();
    assert_eq!(told.len(), missing.len(), "each once");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), missing, "the dead letter has exactly what is missing");

    let rehearsed = deadletter(Launch::again(&ended), &["replay", "--dry-run"]);
    assert_eq!(rehearsed.out, [format!("clickhouse stats: would deliver {} records", missing.len())]);
    server.query(&format!("ALTER TABLE {table} DROP CONSTRAINT sane"));
    let replayed = deadletter(Launch::again(&ended), &["replay", "--sink", "clickhouse", "--stream", "stats"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(replayed.out, [format!("clickhouse stats: {} records delivered", missing.len())]);
    assert_same(&kept, &by_identity(stores::clickhouse(server, &table, &columns)), "SQLite and ClickHouse");
    assert_eq!(letters(Launch::again(&ended)).len(), 0);
    let again = deadletter(Launch::again(&ended), &["replay"]);
    assert_eq!((again.code, again.out.as_slice()), (Some(0), &["nothing in the dead letter".to_owned()][..]));
    ended
}

#[test]
fn rows_that_a_table_refuses_are_in_it_once_after_the_table_is_repaired_and_they_are_replayed() {
    refused_kept_and_delivered_again(ClickHouse::shared(), &unique("refused"), "");
}

#[test]
fn the_dead_letter_can_be_a_topic() {
    let (kafka, prefix) = (Kafka::shared(), format!("{}.", unique("letters")));
    let more = format!(
        "[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 3\n[deadletter]\nto = \"topic\"\n",
        kafka.bootstrap()
    );
    refused_kept_and_delivered_again(ClickHouse::shared(), &unique("topical"), &more);
    let sent = stores::topic(kafka.bootstrap(), &format!("{prefix}deadletter"));
    assert!(sent.len() >= 5, "{} letters", sent.len());
    for letter in sent {
        let value: Value = serde_json::from_str(&letter.value).expect("a record of JSON");
        assert_eq!(letter.headers["schema"], "dockstream.deadletter.v1");
        let text = |name: &str| value[name].as_str().map_or_else(|| value[name].to_string(), str::to_owned);
        let identity = ["sink", "node", "epoch", "stream", "sequence"].map(text).join("/");
        assert_eq!((letter.key, &letter.headers["batch-id"]), (identity, &text("batch_id")));
        assert!(value["refused_at"].is_string() && value["error"].is_string() && value["record"].is_object());
    }
}

#[test]
fn records_larger_than_a_topic_takes_are_kept_and_delivered_once_it_takes_them() {
    let engine = Simulator::host("simulated").containers(2).start().expect("a simulated host");
    let (kafka, prefix) = (Kafka::shared(), format!("{}.", unique("oversize")));
    let topic = format!("{prefix}events");
    let system = tokio::runtime::Runtime::new().expect("a runtime");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().expect("a client");
    let small = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "4000");
    system.block_on(admin.create_topics(&[small], &AdminOptions::new())).expect("the topic is made");
    let config = format!(
        "{PACE}[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 1\ncompression = \"none\"\n",
        kafka.bootstrap()
    );
    let dockstream = Launch::watching(engine.socket(), &config).start();
    dockstream.ready();
    for number in 0..3 {
        let large = Event::new("network", "connect", format!("large-{number}")).attribute("note", "x".repeat(20_000));
        engine.control().emit(large);
        engine.control().emit(Event::new("network", "connect", format!("small-{number}")));
    }
    wait_until(SOON, "three records are refused", || count(&dockstream, "kafka", "rejected") == 3);
    let told = letters(Launch::beside(&dockstream));
    let mut large: Vec<&str> = told.iter().filter_map(|letter| letter["record"]["actor_id"].as_str()).collect();
    // Of different actors: in no order.
    large.sort_unstable();
    assert_eq!(large, ["large-0", "large-1", "large-2"]);

    let resource = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "100000");
    system.block_on(admin.alter_configs(&[resource], &AdminOptions::new())).expect("the topic is altered");
    // Brokers take a moment to know.
    let replayed = wait_for(SOON, "all are delivered", || {
        let replayed = deadletter(Launch::beside(&dockstream), &["replay"]);
        (replayed.code == Some(0)).then_some(replayed)
    });
    assert!(replayed.out[0].starts_with("kafka events: "), "{replayed:?}");
    assert_eq!(dockstream.terminate().code, Some(0));
    let mut actors: Vec<String> = stores::topic(kafka.bootstrap(), &topic)
        .iter()
        .filter_map(|sent| serde_json::from_str::<Value>(&sent.value).ok()?["actor_id"].as_str().map(str::to_owned))
        .filter(|actor| actor.contains('-'))
        .collect();
    actors.sort();
    assert_eq!(actors, ["large-0", "large-1", "large-2", "small-0", "small-1", "small-2"], "each once");
}
