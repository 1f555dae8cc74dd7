//! The names and shapes that others build on, held against the pages that promise them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use simulator::Simulator;
use test_support::{ClickHouse, Kafka, unique, wait_until};

use crate::binary::{Dockstream, Launch, SOON};
use crate::stores::{self, Sent};

/// The rows of the tables of a section of a page, each as its cells. Without a heading: those before the first section.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let section = match heading {
        "" => text.split("\n## ").next(),
        _ => text.split("\n## ").find(|section| section.lines().next() == Some(heading)),
    };
    let section = section.unwrap_or_else(|| panic!("{page} has no section {heading}"));
    let table = section.lines().filter(|line| line.starts_with("| `"));
    table.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn bare(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// Whether a value is what a page calls by these words.
fn fits(value: &Value, words: &str) -> bool {
    match words.strip_suffix(" or null").unwrap_or(words) {
        _ if value.is_null() => words.ends_with(" or null"),
        "string" => value.is_string(),
        "time" => value.as_str().is_some_and(|text| text.len() == 30 && text.parse::<model::Timestamp>().is_ok()),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "object of strings or nulls" => {
            value.as_object().is_some_and(|object| object.values().all(|value| value.is_string() || value.is_null()))
        }
        "array of strings" => value.as_array().is_some_and(|array| array.iter().all(Value::is_string)),
        "object of strings" => value.as_object().is_some_and(|object| object.values().all(Value::is_string)),
        "array of objects" => value.as_array().is_some_and(|array| array.iter().all(Value::is_object)),
        _ => false,
    }
}

/// The key of a record, as the page words it.
fn key(words: &str, record: &Value) -> String {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let container = if record["container_id"].is_null() { "actor_id" } else { "container_id" };
    let object = match words.split('`').nth(1).and_then(|key| key.strip_prefix("host/")) {
        None => return text("host"),
        Some("container_id") => container,
        Some(field) => field,
    };
    format!("{}/{}", text("host"), text(object))
}

#[test]
fn topics_and_tables_have_the_names_and_shapes_that_the_pages_promise() {
    let engine = Simulator::host("simulated").containers(4).start().expect("a simulated host");
    let (kafka, clickhouse, database) = (Kafka::shared(), ClickHouse::shared(), unique("contract"));
    let prefix = format!("{}.", unique("docker"));
    let more = format!(
        "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\nlabels = [\"com.docker.compose.project\"]\n\
         [collect.logs]\nenabled = true\n[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 2\n\
         [sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\nlinger = \"500ms\"\n",
        kafka.bootstrap(),
        clickhouse.url(),
    );
    let dockstream = Launch::watching(engine.socket(), &more).start();
    dockstream.ready();
    let journaled = |dockstream: &Dockstream, wanted: &dyn Fn(&str) -> bool| {
        let pipeline = dockstream.get("/api/pipeline");
        let streams = pipeline["streams"].as_array().expect("streams").clone();
        let mut those = streams.iter().filter(|books| wanted(books["stream"].as_str().expect("a name")));
        those.all(|books| books["journaled"].as_u64() > Some(0))
    };
    // An image that comes before the first look at all is no change.
    wait_until(SOON, "the images are known", || journaled(&dockstream, &|stream| stream == "images"));
    let control = engine.control();
    let id = control.ids().remove(0);
    control.restart(&id).expect("it runs");
    control.exec(&id, "cat /etc/passwd").expect("it runs");
    control.pull("nginx:1.27");
    control.write_lines(&id, 3).expect("it writes");
    wait_until(SOON, "samples in every store", || {
        ["kafka", "clickhouse"].iter().all(|sink| dockstream.sink(sink)["delivered"].as_u64() > Some(30))
    });
    wait_until(SOON, "records of every stream", || journaled(&dockstream, &|stream| stream != "losses"));
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    // Cursors are no records of a stream, and only written where they are asked for.
    let of_streams = |name: &str| name.starts_with("docker.") && name != "docker.cursors";
    for topic in rows("topics.md", "").iter().filter(|row| of_streams(bare(&row[0]))) {
        let (name, words, schema) = (bare(&topic[0]), &topic[1], bare(&topic[3]));
        let sent = stores::topic(kafka.bootstrap(), &name.replace("docker.", &prefix));
        assert!(!sent.is_empty() || name == "docker.losses", "nothing in {name}");
        let fields = rows("topics.md", name);
        for message in sent.iter().filter(|message| !message.value.is_empty()) {
            assert_message(message, words, schema, &fields);
        }
    }

    for row in rows("tables.md", "").iter().filter(|row| row.len() == 5 && !row[3].contains("no such table")) {
        let table = bare(&row[0]);
        let documented: BTreeMap<String, String> = rows("tables.md", table)
            .iter()
            .filter(|column| column[2] != "-")
            .map(|column| (bare(&column[0]).to_owned(), bare(&column[2]).to_owned()))
            .collect();
        let sql = format!(
            "SELECT name, type FROM system.columns WHERE database = '{database}' AND table = '{table}' FORMAT TSVRaw"
        );
        let found: BTreeMap<String, String> = clickhouse
            .query(&sql)
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect();
        assert_eq!(found, documented, "{table}");
        let count = clickhouse.query(&format!("SELECT count() FROM {database}.{table}"));
        assert!(count != "0" || table == "losses", "nothing in {table}");
    }
}

fn assert_message(message: &Sent, key_words: &str, schema: &str, fields: &[Vec<String>]) {
    let record: Value = serde_json::from_str(&message.value).expect("JSON");
    let has = record.as_object().expect("an object").keys().map(String::as_str).collect::<BTreeSet<_>>();
    let documented: BTreeSet<&str> = fields.iter().map(|field| bare(&field[0])).collect();
    let missing: Vec<_> = documented.difference(&has).filter(|name| **name != "labels").collect();
    let unknown: Vec<_> = has.difference(&documented).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{schema}: missing {missing:?}, not documented {unknown:?}: {record}"
    );
    for field in fields.iter().filter(|field| has.contains(bare(&field[0]))) {
        let value = &record[bare(&field[0])];
        assert!(fits(value, &field[1]), "{schema}: {} is not {}: {value}", field[0], field[1]);
    }
    assert_eq!(message.key, key(key_words, &record), "{schema}");
    let header = |name: &str| message.headers.get(name).map(String::as_str);
    assert_eq!((header("schema"), header("content-type")), (Some(schema), Some("application/json")), "{message:?}");
    let batch = header("batch-id").map(|id| id.split('/').count());
    assert_eq!(batch, Some(4), "node/epoch/stream/first-last: {message:?}");
    assert!(!message.value.contains("/etc/passwd"), "an argument may be a secret: {message:?}");
}
