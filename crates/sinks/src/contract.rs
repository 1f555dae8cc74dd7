//! The written contract is what the code does: `docs/topics.md`, `docs/tables.md`, `docs/influxdb.md`, `docs/errors.md`,
//! `schemas/topics/`.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossRecord, Rows,
    StatsRecord, Stream,
};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use test_support::{ClickHouse, InfluxDb, unique};

use crate::clickhouse::{ClickHouseConfig, columns, table_name};
use crate::fixtures::one_of_each;
use crate::influxdb::hostile::{Reader, parse};
use crate::kafka::schema_name;
use crate::{clickhouse, error_tables, influxdb, kafka};

const TOPICS: &str = include_str!("../../../docs/topics.md");
pub(crate) const TABLES: &str = include_str!("../../../docs/tables.md");
const INFLUXDB: &str = include_str!("../../../docs/influxdb.md");
const ERRORS: &str = include_str!("../../../docs/errors.md");

pub(crate) fn json_schema(stream: Stream) -> Value {
    let text = match stream {
        Stream::Stats => include_str!("../../../schemas/topics/docker.stats.schema.json"),
        Stream::Events => include_str!("../../../schemas/topics/docker.events.schema.json"),
        Stream::Containers => include_str!("../../../schemas/topics/docker.containers.schema.json"),
        Stream::Images => include_str!("../../../schemas/topics/docker.images.schema.json"),
        Stream::ImageVersions => include_str!("../../../schemas/topics/docker.image_versions.schema.json"),
        Stream::Hosts => include_str!("../../../schemas/topics/docker.hosts.schema.json"),
        Stream::Losses => include_str!("../../../schemas/topics/docker.losses.schema.json"),
        Stream::Logs => include_str!("../../../schemas/topics/docker.logs.schema.json"),
    };
    serde_json::from_str(text).unwrap()
}

/// What follows the heading, up to the next.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let body = &page[start + 4 + heading.len()..];
    body.find("\n## ").map_or(body, |end| &body[..end])
}

/// The cells of the rows of a section's table, without backticks.
pub(crate) fn cells(section: &str) -> Vec<Vec<String>> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).skip(1).collect()).collect()
}

/// The code blocks of one language.
pub(crate) fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

pub(crate) fn records(rows: &Rows) -> Vec<Value> {
    fn values<T: Serialize>(rows: &[T]) -> Vec<Value> {
        rows.iter().map(|row| serde_json::to_value(row).unwrap()).collect()
    }
    match rows {
        Rows::Stats(rows) => values(rows),
        Rows::Events(rows) => values(rows),
        Rows::Containers(rows) => values(rows),
        Rows::Images(rows) => values(rows),
        Rows::ImageVersions(rows) => values(rows),
        Rows::Hosts(rows) => values(rows),
        Rows::Losses(rows) => values(rows),
        Rows::Logs(rows) => values(rows),
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_topics_page_names_every_topic_and_field() {
    for batch in one_of_each() {
        let stream = batch.id.stream;
        let name = format!("docker.{stream}");
        let row = TOPICS.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        assert!(row.ends_with(&format!("| `{}` |", schema_name(stream))), "{row}");
        let told = cells(section(TOPICS, &name));
        let told: BTreeSet<&str> = told.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(told, keys(&records(&batch.rows)[0]), "{name}");
    }
}

#[test]
fn the_examples_on_the_topics_page_are_records() {
    fn check<T: Serialize + DeserializeOwned>(stream: Stream) {
        let text = section(TOPICS, &format!("docker.{stream}"));
        let example: Value = serde_json::from_str(blocks(text, "json")[0]).unwrap();
        let record: T = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), example, "{stream}");
    }
    check::<StatsRecord>(Stream::Stats);
    check::<EventRecord>(Stream::Events);
    check::<ContainerRecord>(Stream::Containers);
    check::<ImageRecord>(Stream::Images);
    check::<ImageVersionRecord>(Stream::ImageVersions);
    check::<HostRecord>(Stream::Hosts);
    check::<LossRecord>(Stream::Losses);
    check::<LogRecord>(Stream::Logs);
}

#[test]
fn the_topics_page_and_the_schema_tell_what_a_letter_is() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/topics/docker.deadletter.schema.json")).unwrap();
    assert_eq!(schema["$id"], crate::deadletter::SCHEMA);
    let text = section(TOPICS, "docker.deadletter");
    let example: Value = serde_json::from_str(blocks(text, "json")[0]).unwrap();
    let entry: crate::deadletter::Entry = serde_json::from_value(example.clone()).unwrap();
    let letter: Value = serde_json::from_str(&crate::deadletter::encode(&entry.letter().unwrap()).unwrap()).unwrap();
    assert_eq!(letter, example);
    conforms(&letter["record"], &json_schema(Stream::Losses), "record");
    let mut frame = letter.clone();
    frame["record"] = Value::Object(serde_json::Map::new());
    conforms(&frame, &schema, "letter");
    let told = cells(text);
    let told: BTreeSet<&str> = told.iter().map(|row| row[0].as_str()).collect();
    assert_eq!((told.clone(), keys(&schema["properties"])), (keys(&letter), told));
}

/// The part of JSON Schema that the schemas of the topics use.
fn conforms(value: &Value, schema: &Value, path: &str) {
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        other => panic!("{path}: type {other}"),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let number = kind == "integer" && kinds.contains(&"number");
    assert!(kinds.contains(&kind) || number, "{path} is {kind}, not {kinds:?}");
    if let (Some(words), Value::String(_)) = (schema["enum"].as_array(), value) {
        assert!(words.contains(value), "{path}: {value} is not one of {words:?}");
    }
    if let Value::Array(items) = value {
        items.iter().for_each(|item| conforms(item, &schema["items"], &format!("{path}[]")));
    }
    if let Value::Object(fields) = value {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(name.as_str().unwrap()), "{path} lacks {name}");
        }
        for (name, field) in fields {
            let more = &schema["additionalProperties"];
            let of = schema["properties"].get(name).unwrap_or(more);
            conforms(field, of, &format!("{path}.{name}"));
        }
    }
}

#[test]
fn every_record_conforms_to_the_json_schema_of_its_topic() {
    for batch in one_of_each() {
        let stream = batch.id.stream;
        let schema = json_schema(stream);
        assert_eq!(schema["$id"], schema_name(stream));
        let records = records(&batch.rows);
        assert_eq!(keys(&schema["properties"]), keys(&records[0]), "{stream}");
        for record in &records {
            conforms(record, &schema, stream.name());
        }
    }
}

#[test]
fn a_cursor_is_described_as_it_is() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/topics/docker.cursors.schema.json")).unwrap();
    assert_eq!(schema["$id"], kafka::CURSOR_SCHEMA);
    let row = TOPICS.lines().find(|line| line.starts_with("| `docker.cursors` |")).unwrap();
    assert!(row.ends_with(&format!("| `{}` |", kafka::CURSOR_SCHEMA)), "{row}");
    let written: Value = serde_json::from_slice(&kafka::example_cursor()).unwrap();
    let text = section(TOPICS, "docker.cursors");
    let example: Value = serde_json::from_str(blocks(text, "json")[0]).unwrap();
    for cursor in [&written, &example] {
        conforms(cursor, &schema, "cursors");
        assert_eq!(keys(cursor), keys(&schema["properties"]));
    }
    let told = cells(text);
    assert_eq!(told.iter().map(|row| row[0].as_str()).collect::<BTreeSet<_>>(), keys(&written));
}

#[test]
fn the_words_in_the_schemas_are_those_of_the_code() {
    let words = |stream: Stream, field: &str| -> BTreeSet<String> {
        let words = json_schema(stream)["properties"][field]["enum"].clone();
        serde_json::from_value(words).unwrap()
    };
    let reasons: BTreeSet<String> = model::LossReason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(words(Stream::Losses, "reason"), reasons);
    let streams: BTreeSet<String> = Stream::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(words(Stream::Losses, "stream"), streams);
    let changes: BTreeSet<String> = model::ImageChange::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(words(Stream::ImageVersions, "change"), changes);
}

/// Names and types of a table's columns in SQLite, as the page tells them.
fn sqlite_cells(table: &str) -> impl Iterator<Item = (String, String)> {
    let rows = cells(section(TABLES, table)).into_iter();
    rows.filter(|row| row[1] != "-").map(|row| (row[0].clone(), row[1].clone()))
}

#[test]
fn the_tables_page_names_every_column_of_sqlite_with_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    crate::sqlite::migrate(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    let columns_of = |table: &str| -> BTreeMap<String, String> {
        let mut statement = connection.prepare("SELECT name, type, \"notnull\" FROM pragma_table_info(?1)").unwrap();
        let rows = statement.query_map([table], |row| {
            let (name, kind, bound): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((name, if bound { format!("{kind} not null") } else { kind }))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    for table in ["container_events", "containers", "docker_images", "image_versions", "hosts", "host_health", "losses"]
    {
        let told: BTreeMap<String, String> = sqlite_cells(table).collect();
        assert_eq!(told, columns_of(table), "{table}");
    }
    // A view does not tell what may be null: the tables under it do.
    let mut under = columns_of("samples");
    under.extend(columns_of("series"));
    under.remove("series");
    let told: BTreeMap<String, String> = sqlite_cells("container_stats").collect();
    assert_eq!(told, under);
    assert_eq!(told.keys().collect::<BTreeSet<_>>(), columns_of("container_stats").keys().collect::<BTreeSet<_>>());
    let mut under = columns_of("log_lines");
    under.extend(columns_of("series"));
    ["number", "container", "series"].into_iter().for_each(|key| drop(under.remove(key)));
    let told: BTreeMap<String, String> = sqlite_cells("container_logs").collect();
    assert_eq!(told, under);
    assert_eq!(told.keys().collect::<BTreeSet<_>>(), columns_of("container_logs").keys().collect::<BTreeSet<_>>());
}

#[test]
fn the_tables_page_names_every_column_of_the_rollups_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    crate::sqlite::migrate(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    let told: Vec<String> = cells(section(TABLES, "Rollups in SQLite")).into_iter().map(|row| row[0].clone()).collect();
    for view in ["container_stats_1m", "container_stats_1h", "container_stats_1d"] {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid").unwrap();
        let columns = statement.query_map([view], |row| row.get(0)).unwrap();
        assert_eq!(told, columns.collect::<Result<Vec<String>, _>>().unwrap(), "{view}");
    }
}

#[test]
fn the_tables_page_names_every_column_of_clickhouse_with_its_type() {
    for stream in Stream::ALL {
        let told: Vec<(String, String)> = cells(section(TABLES, table_name(stream)))
            .into_iter()
            .filter(|row| row[2] != "-")
            .map(|row| (row[0].clone(), row[2].clone()))
            .collect();
        let told: BTreeMap<&str, &str> = told.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        assert_eq!(told, columns(stream).iter().copied().collect(), "{stream}");
    }
}

#[tokio::test]
async fn the_questions_on_the_tables_page_have_answers() {
    use pipeline::ports::Deliver;

    let questions = blocks(section(TABLES, "Asking"), "sql");
    let questions = questions.into_iter().filter(|sql| !sql.starts_with("-- PostgreSQL"));
    let (ours, theirs): (Vec<&str>, Vec<&str>) = questions.partition(|sql| sql.starts_with("-- SQLite"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    crate::sqlite::migrate(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    for sql in &ours {
        connection.prepare(sql).unwrap().query([]).unwrap().next().unwrap();
    }
    let server = ClickHouse::shared();
    let config = ClickHouseConfig { database: unique("asking"), ..ClickHouseConfig::new(server.url()) };
    crate::clickhouse::ClickHouseSink::new(config.clone()).prepare().await.unwrap();
    for sql in &theirs {
        let qualified = ["container_stats", "container_events", "container_logs", "docker_images"]
            .iter()
            .fold((*sql).to_owned(), |sql, table| {
                sql.replace(&format!("FROM {table}"), &format!("FROM {}.{table}", config.database))
            });
        server.query(qualified.trim().trim_end_matches(';'));
    }
    assert!(!ours.is_empty() && theirs.len() >= 3);
}

/// Kind of a value that the page gives to what is not a number alone.
fn kind_of(value: &Value, page: &str) -> String {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        // A moment is a whole number.
        Value::Number(_) if page == "time" => "time",
        Value::Number(_) => "integer",
        _ => "text",
    }
    .to_owned()
}

#[test]
fn the_influxdb_page_names_every_measurement_tag_and_field_with_its_type() {
    let mut written: BTreeMap<String, BTreeMap<String, Option<Value>>> = BTreeMap::new();
    // A network's event has a tag that a container's has not: all points of a measurement together.
    for line in influxdb::encode(&one_of_each()).lines() {
        let point = parse(line, Reader::InfluxDb).unwrap();
        let of = written.entry(point.measurement).or_default();
        of.extend(point.fields.into_iter().map(|(name, value)| (name, Some(value))));
        of.extend(point.tags.into_keys().map(|name| (name, None)));
    }
    let beginning = INFLUXDB.split("\n## ").next().unwrap();
    let told: Vec<String> = cells(beginning).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), written.keys().collect::<BTreeSet<_>>());
    for (measurement, written) in written {
        let told: BTreeMap<String, String> =
            cells(section(INFLUXDB, &measurement)).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        let written: BTreeMap<String, String> = written
            .into_iter()
            .map(|(name, value)| {
                let name = if name.starts_with("label_") { "label_…".to_owned() } else { name };
                let page = told.get(&name).map_or("", String::as_str);
                let kind = value.map_or_else(|| "tag".to_owned(), |value| kind_of(&value, page));
                (name, kind)
            })
            .collect();
        // What no record of ours has: a host that answers has no error, and the network's event no name.
        let rare = |name: &str| {
            matches!(
                (measurement.as_str(), name),
                ("docker_hosts", "last_error") | ("docker_events", "actor") | ("docker_image_versions", "to_digest")
            )
        };
        let told: BTreeMap<String, String> = told.into_iter().filter(|(name, _)| !rare(name)).collect();
        assert_eq!(told, written, "{measurement}");
    }
}

#[tokio::test]
async fn the_questions_on_the_influxdb_page_have_answers() {
    use pipeline::ports::Deliver;

    let server = InfluxDb::shared();
    let name = unique("asking");
    let api = influxdb::Api::V1 { database: name.clone(), retention_policy: None };
    let mut sink = influxdb::InfluxSink::new(influxdb::InfluxConfig::new(server.url(), api));
    sink.prepare().await.unwrap();
    sink.deliver(&crate::fixtures::range(0, one_of_each())).await.unwrap();
    let questions = blocks(section(INFLUXDB, "Asking"), "sql").concat();
    let lines = questions.lines().filter(|line| !line.starts_with("--") && !line.is_empty());
    // The records are of yesterday.
    let asked: Vec<String> = lines.map(|line| line.replace("now() - ", "now() - 3d - ")).collect();
    for question in &asked {
        let answer = server.query(&name, question);
        assert!(answer.contains("\"values\":"), "{question}: {answer}");
    }
    assert!(asked.len() >= 4);
}

#[test]
fn the_errors_page_has_every_verdict_as_the_code_has_it() {
    for (heading, expected) in error_tables() {
        let told: Vec<&str> = section(ERRORS, heading).lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(told, expected, "docs/errors.md, {heading}, should read\n{}\n", expected.join("\n"));
    }
}

#[test]
fn the_errors_page_explains_every_class() {
    use pipeline::ports::FailureClass as F;
    let told: Vec<String> = cells(section(ERRORS, "Classes")).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told, [F::Retry, F::RetrySlow, F::Split, F::Schema, F::Poison, F::Config].map(F::name));
}

#[test]
fn the_names_of_clickhouses_errors_are_the_servers_own() {
    let server = ClickHouse::shared();
    for (number, name) in clickhouse::VERDICTS.iter().flat_map(|verdict| verdict.codes) {
        assert_eq!(server.query(&format!("SELECT errorCodeToName({number})")), *name, "{number}");
    }
}
