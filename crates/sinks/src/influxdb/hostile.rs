//! Names from people and from programs that mean no good: every server reads them as one name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{ContainerMeta, Rows, StatsRecord};
use pipeline::ports::Deliver;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use test_support::{InfluxDb, VictoriaMetrics, unique};

use super::tests::{config, ready, rows};
use super::*;
use crate::fixtures::{batch, event, noon, range, stats};

/// Whose reading of line protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// In a tag, a backslash stands for itself except before a comma, an equals sign or a space.
    InfluxDb,
    /// A backslash stands for itself before another one as well.
    VictoriaMetrics,
}

/// A line, read back.
#[derive(Debug)]
pub(crate) struct Point {
    pub measurement: String,
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Value>,
    pub time: i64,
}

/// Reads a line as a server does; `None` where it would be refused.
pub(crate) fn parse(line: &str, reader: Reader) -> Option<Point> {
    let mut rest = line;
    let measurement = word(&mut rest, &[',', ' '], reader);
    let mut tags = BTreeMap::new();
    while let Some(tag) = rest.strip_prefix(',') {
        rest = tag;
        let key = word(&mut rest, &['='], reader);
        rest = rest.strip_prefix('=')?;
        let value = word(&mut rest, &[',', ' '], reader);
        if key.is_empty() || value.is_empty() || tags.insert(key, value).is_some() {
            return None;
        }
    }
    let mut fields = BTreeMap::new();
    let mut before = ' ';
    while let Some(field) = rest.strip_prefix(before) {
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.contains(' ')) else { break };
        let (value, after) = field_value(value)?;
        fields.insert(key.to_owned(), value);
        (rest, before) = (after, ',');
    }
    let time = rest.strip_prefix(' ')?.parse().ok()?;
    Some(Point { measurement, tags, fields, time }).filter(|point| !point.fields.is_empty())
}

/// The text up to one of `ends`.
fn word(rest: &mut &str, ends: &[char], reader: Reader) -> String {
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        match (character, next) {
            ('\\', Some(next @ (',' | '=' | ' '))) => {
                text.push(next);
                characters.next();
            }
            ('\\', Some('\\')) if matches!(reader, Reader::VictoriaMetrics) => {
                text.push('\\');
                characters.next();
            }
            (end, _) if ends.contains(&end) => {
                *rest = &rest[at..];
                return text;
            }
            (other, _) => text.push(other),
        }
    }
    *rest = "";
    text
}

fn field_value(text: &str) -> Option<(Value, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' '])?);
        let number = |digits: &str| digits.parse::<i64>().ok().map(Value::from);
        let value = match value {
            "true" | "false" => Value::from(value == "true"),
            _ => match value.strip_suffix('i') {
                Some(digits) => number(digits)?,
                None => Value::from(value.parse::<f64>().ok()?),
            },
        };
        return Some((value, rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (_, '\\') => value.push(characters.next()?.1),
            (at, '"') => return Some((value.into(), &quoted[at + 1..])),
            (_, other) => value.push(other),
        }
    }
}

/// Whether `read` is what `written` says, as far as line protocol can say it.
fn same(written: &str, read: &str) -> bool {
    written.chars().count() == read.chars().count()
        && written.chars().zip(read.chars()).all(|(written, read)| {
            written == read || (written.is_control() && read == ' ') || (written == '\\' && read == '/')
        })
}

fn hostile() -> impl Strategy<Value = String> {
    "[ ,=\"\\\\\\n\\r\\t\\x00#'{}$ai0üλ\u{2028}]{0,12}"
}

fn sample(number: u64, name: String, image: String, labels: BTreeMap<String, String>) -> StatsRecord {
    let mut record = stats(number, noon() + Duration::from_millis(number));
    let meta: &ContainerMeta = &record.meta;
    let named = ContainerMeta {
        container_name: name.clone(),
        image,
        compose_project: Some(name.clone()),
        compose_service: Some(name),
        labels,
        ..meta.clone()
    };
    record.meta = Arc::new(named);
    record
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_its_place(
        (name, image, argument) in (hostile(), hostile(), hostile()),
        labels in btree_map(hostile(), hostile(), 0..4),
    ) {
        let record = sample(1, name.clone(), image.clone(), labels.clone());
        let mut died = event(1, noon());
        died.argument = Some(argument.clone());
        died.attributes.insert(name.clone(), argument.clone());
        died.container_name = Some(name.clone());
        let text = encode(&[batch(1, Rows::Stats(vec![record.clone()].into())), batch(1, Rows::Events(vec![died.clone()].into()))]);
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        prop_assert_eq!(lines.len(), 2);
        for reader in [Reader::InfluxDb, Reader::VictoriaMetrics] {
            let point = parse(lines[0], reader).unwrap();
            prop_assert_eq!(point.measurement, "docker_container_stats");
            prop_assert_eq!(point.fields.len(), model::Sample::FIELDS.len() + 4);
            prop_assert_eq!(point.time, record.timestamp.as_nanos());
            for (key, value) in [("container", &name), ("compose_project", &name), ("image", &image)] {
                prop_assert!(same(value, point.tags.get(key).map_or("", String::as_str)), "{key}: {value:?} {}", lines[0]);
            }
            // Labels whose keys come out as one are one; those without a value are none.
            let named: Vec<&String> = point.tags.keys().filter(|key| key.starts_with("label_")).collect();
            prop_assert!(named.len() <= labels.len());
            for (key, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
                let key = format!("label_{key}");
                prop_assert!(named.iter().any(|tag| same(&key, tag)), "{key:?} {}", lines[0]);
                if let Some(read) = point.tags.get(&key).filter(|_| labels.len() == 1) {
                    prop_assert!(same(value, read), "{value:?} {read:?}");
                }
            }
            let point = parse(lines[1], reader).unwrap();
            let text = |key: &str| point.fields[key].as_str().unwrap().to_owned();
            prop_assert!(same(&argument, &text("argument")), "{}", lines[1]);
            let attributes: BTreeMap<String, String> = serde_json::from_str(&text("attributes")).unwrap();
            prop_assert_eq!(&attributes, &died.attributes);
        }
    }
}

/// A hundred names, the same at every run.
fn names() -> Vec<String> {
    let strategy = vec(hostile().prop_filter("a tag has a value", |name| !name.is_empty()), 100);
    strategy.new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

#[tokio::test]
async fn influxdb_reads_hostile_names_as_they_are_meant() {
    let server = InfluxDb::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let names = names();
    let labels = |name: &String| BTreeMap::from([("k".to_owned(), name.clone()), (name.clone(), "v".to_owned())]);
    let samples: Vec<StatsRecord> =
        (0..).zip(&names).map(|(number, name)| sample(number, name.clone(), name.clone(), labels(name))).collect();
    let events = (0..).zip(&names).map(|(number, name)| {
        let mut event = event(1, noon() + Duration::from_millis(number));
        event.argument = Some(name.clone());
        event
    });
    let batches = vec![batch(0, Rows::Stats(samples.into())), batch(0, Rows::Events(events.collect()))];
    sink.deliver(&range(0, batches)).await.unwrap();
    let stored = rows(server, &config, "docker_container_stats");
    assert_eq!(stored.len(), names.len());
    for (name, row) in names.iter().zip(&stored) {
        for tag in ["container", "image", "label_k"] {
            assert!(same(name, row[tag].as_str().unwrap()), "{name:?}: {row:?}");
        }
        let key = format!("label_{name}");
        assert!(row.iter().any(|(column, value)| same(&key, column) && value == "v"), "{name:?}: {row:?}");
    }
    let stored = rows(server, &config, "docker_events");
    assert_eq!(stored.len(), names.len());
    for (name, row) in names.iter().zip(&stored) {
        assert!(same(name, row["argument"].as_str().unwrap()), "{name:?}: {row:?}");
    }
}

#[tokio::test]
async fn victoriametrics_reads_hostile_names_as_they_are_meant() {
    let server = VictoriaMetrics::shared();
    let api = Api::V2 { bucket: unique("hostile"), org: None };
    let mut sink = ready(&InfluxConfig::new(server.url(), api)).await;
    let names = names();
    let run = unique("run");
    let labels = |name: &String| {
        BTreeMap::from([("k".to_owned(), name.clone()), (format!("x{name}"), "v".into()), ("run".into(), run.clone())])
    };
    let samples: Vec<StatsRecord> =
        (0..).zip(&names).map(|(number, name)| sample(number, name.clone(), name.clone(), labels(name))).collect();
    sink.deliver(&range(0, vec![batch(0, Rows::Stats(samples.into()))])).await.unwrap();
    let exported = server.export(&format!("{{__name__=\"docker_container_stats_pids\",label_run=\"{run}\"}}"));
    let mut stored: BTreeMap<i64, BTreeMap<String, String>> = BTreeMap::new();
    for series in exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        // A name that comes twice is one series.
        for time in series["timestamps"].as_array().unwrap() {
            stored.insert(time.as_i64().unwrap(), serde_json::from_value(series["metric"].clone()).unwrap());
        }
    }
    assert_eq!(stored.len(), names.len(), "{exported}");
    for (name, tags) in names.iter().zip(stored.values()) {
        for tag in ["container", "image", "label_k"] {
            assert!(same(name, &tags[tag]), "{name:?}: {tags:?}");
        }
        let key = format!("label_x{name}");
        assert!(tags.iter().any(|(tag, value)| same(&key, tag) && value == "v"), "{name:?}: {tags:?}");
    }
}
