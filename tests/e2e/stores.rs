//! What SQLite, a Kafka topic, ClickHouse, PostgreSQL, InfluxDB, a Collector and Prometheus hold, in one form, so that they can
//! be compared value for value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chunks::Chunk;
use model::{Sample, SampleKind, SampleValue, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rusqlite::types::Value;
use serde::Deserialize;
use serde_json::value::RawValue;
use test_support::{ClickHouse, InfluxDb, Postgres, Prometheus, unique, wait_for_transactions};

/// A record by column. Times are nanoseconds, floats are written so that every bit shows; unknown is `None`.
pub type Row = BTreeMap<&'static str, Option<String>>;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Time,
    Float,
    Whole,
    Flag,
    Map,
}

/// The public columns of a stats record.
pub fn stats_columns() -> Vec<(&'static str, Kind)> {
    let identity =
        ["host", "container_id", "container_name", "image", "compose_project", "compose_service", "network_scope"];
    let values = Sample::FIELDS.iter().zip(Sample::KINDS).map(|(name, kind)| match kind {
        SampleKind::Float64 => (*name, Kind::Float),
        SampleKind::UInt32 | SampleKind::UInt64 => (*name, Kind::Whole),
    });
    let times = ["run", "timestamp", "received_at"].map(|name| (name, Kind::Time));
    identity.map(|name| (name, Kind::Text)).into_iter().chain(times).chain(values).collect()
}

/// The public columns of an event.
pub fn event_columns() -> Vec<(&'static str, Kind)> {
    let texts = [
        "host",
        "type",
        "action",
        "argument",
        "actor_id",
        "actor_name",
        "container_id",
        "container_name",
        "image",
        "compose_project",
        "compose_service",
        "signal",
    ];
    let others = [
        ("timestamp", Kind::Time),
        ("received_at", Kind::Time),
        ("exit_code", Kind::Whole),
        ("synthetic", Kind::Flag),
        ("attributes", Kind::Map),
        ("labels", Kind::Map),
    ];
    texts.map(|name| (name, Kind::Text)).into_iter().chain(others).collect()
}

/// Samples by container and time.
pub type Samples = BTreeMap<(String, i64), Row>;

/// Fails where two rows are the same sample.
pub fn by_identity(rows: Vec<Row>) -> Samples {
    let count = rows.len();
    let identity = |row: &Row| {
        let text = |name: &str| row[name].clone().expect("it is never unknown");
        (text("container_id"), text("timestamp").parse().expect("a time"))
    };
    let rows: Samples = rows.into_iter().map(|row| (identity(&row), row)).collect();
    assert_eq!(rows.len(), count, "a sample is there twice");
    rows
}

/// Fails where one store has a sample, or a value, that the other has not.
pub fn assert_same(one: &Samples, other: &Samples, between: &str) {
    let keys = |rows: &Samples| rows.keys().cloned().collect::<BTreeSet<_>>();
    let differing: Vec<_> = keys(one).symmetric_difference(&keys(other)).cloned().collect();
    assert!(differing.is_empty(), "{between} differ by {} of {} samples: {differing:?}", differing.len(), one.len());
    for (key, row) in one {
        assert_eq!(row, &other[key], "{between}, {key:?}");
    }
}

/// A table of dockstream's own database; of samples also those that are packed.
pub fn sqlite(database: &Path, table: &str, columns: &[(&'static str, Kind)]) -> Vec<Row> {
    let connection = rusqlite::Connection::open(database).expect("the database opens");
    let table = match table {
        "container_stats" => unpacked(&connection),
        table => table,
    };
    let mut statement =
        connection.prepare(&format!("SELECT {} FROM {table}", names(columns))).expect("the table is there");
    let rows = statement.query_map([], |row| {
        let text = |(position, (name, kind)): (usize, &(&'static str, Kind))| {
            let text = match row.get(position)? {
                Value::Null => None,
                Value::Integer(number) => Some(number.to_string()),
                Value::Real(number) => Some(format!("{number:?}")),
                Value::Text(text) => Some(text),
                Value::Blob(_) => panic!("{name} is a blob"),
            };
            Ok((*name, text.map(|text| plain(*kind, text))))
        };
        columns.iter().enumerate().map(text).collect()
    });
    rows.expect("it can be read").collect::<Result<_, _>>().expect("every row can be read")
}

/// All samples as a table for this connection alone.
fn unpacked(connection: &rusqlite::Connection) -> &'static str {
    connection.execute_batch("CREATE TEMP TABLE unpacked AS SELECT * FROM samples").expect("samples");
    let marks = vec!["?"; Sample::FIELDS.len() + 4].join(", ");
    let names = Sample::FIELDS.join(", ");
    let insert =
        format!("INSERT INTO unpacked (series, timestamp, received_at, network_scope, {names}) VALUES ({marks})");
    let mut insert = connection.prepare(&insert).expect("a table like samples");
    let mut chunks = connection.prepare("SELECT series, data FROM chunks").expect("chunks");
    let mut chunks = chunks.query([]).expect("chunks");
    while let Some(chunk) = chunks.next().expect("a chunk") {
        let (series, data): (i64, Vec<u8>) = (chunk.get(0).expect("a series"), chunk.get(1).expect("data"));
        for row in Chunk::parse(&data).and_then(|mut chunk| chunk.rows()).expect("a sound chunk") {
            let whole = |value: Option<u64>| value.map_or(Value::Null, |value| Value::Integer(value.cast_signed()));
            let mut values = vec![
                Value::Integer(series),
                Value::Integer(row.timestamp.as_nanos()),
                Value::Integer(row.received_at.as_nanos()),
                row.network_scope.map_or(Value::Null, |scope| Value::Text(scope.to_string())),
            ];
            values.extend(row.sample.values().map(|value| match value {
                SampleValue::Float(value) => value.map_or(Value::Null, Value::Real),
                SampleValue::Unsigned(value) => whole(value),
            }));
            insert.execute(rusqlite::params_from_iter(values)).expect("a row");
        }
    }
    "series JOIN unpacked USING (series)"
}

/// A table of ClickHouse.
pub fn clickhouse(server: &ClickHouse, table: &str, columns: &[(&'static str, Kind)]) -> Vec<Row> {
    let expressions: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match kind {
            Kind::Time => format!("toUnixTimestamp64Nano({name})"),
            Kind::Map => format!("toJSONString({name})"),
            _ => (*name).to_owned(),
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM {table} FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0",
        expressions.join(", ")
    );
    let answer = server.query(&sql);
    let row = |line: &str| {
        let values: Vec<Box<RawValue>> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        columns.iter().zip(values).map(|((name, kind), value)| (*name, json(*kind, value.get()))).collect()
    };
    answer.lines().map(row).collect()
}

/// The samples in a schema of PostgreSQL.
pub fn postgres(server: &Postgres, schema: &str) -> Vec<Row> {
    let columns = stats_columns();
    let nanos = |name: &str, beyond: &str| {
        format!("((extract(epoch FROM {name}) * 1000000)::bigint * 1000 + {beyond}) AS {name}")
    };
    let expressions: Vec<String> = columns
        .iter()
        .map(|(name, _)| match *name {
            "timestamp" => nanos(name, "nanos"),
            "run" => nanos(name, "more_nanos % 1000"),
            "received_at" => nanos(name, "more_nanos / 1000"),
            other => other.to_owned(),
        })
        .collect();
    let made = format!("SELECT {} FROM {schema}.container_stats", expressions.join(", "));
    let answer = server.query("postgres", &format!("SELECT to_json(made) FROM ({made}) AS made"));
    let row = |line: &str| {
        let values: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        columns.iter().map(|(name, kind)| (*name, json(*kind, values[*name].get()))).collect()
    };
    answer.lines().map(row).collect()
}

/// The samples in a database of InfluxDB.
pub fn influxdb(server: &InfluxDb, database: &str) -> Vec<Row> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<Outcome>,
    }
    #[derive(Deserialize)]
    struct Outcome {
        series: Vec<Series>,
    }
    #[derive(Deserialize)]
    struct Series {
        columns: Vec<String>,
        values: Vec<Vec<Box<RawValue>>>,
    }
    let answer = server.query(database, "SELECT * FROM docker_container_stats");
    let answer: Answer = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let series = &answer.results[0].series[0];
    let columns = stats_columns();
    let row = |values: &Vec<Box<RawValue>>| {
        let column = |(name, kind): &(&'static str, Kind)| {
            let theirs = match *name {
                "container_name" => "container",
                "timestamp" => "time",
                "cpu_usage_percent" => "cpu_percent",
                "memory_usage_bytes" => "mem_used",
                "memory_total_bytes" => "mem_used_with_cache",
                "memory_limit_bytes" => "mem_limit",
                "memory_usage_percent" => "mem_percent",
                "memory_cache_bytes" => "mem_cache",
                same => same,
            };
            // What is known of no sample is no column.
            let position = series.columns.iter().position(|column| column == theirs);
            (*name, position.and_then(|position| json(*kind, values[position].get())))
        };
        columns.iter().map(column).collect()
    };
    series.values.iter().map(row).collect()
}

/// Fails where requests of OTLP, in its JSON, do not tell the same samples as `rows`: each value that is a whole number in both.
pub fn assert_in_points(rows: &[Row], requests: &[String]) {
    const METRICS: [(&str, &str, &str); 9] = [
        ("container.cpu.usage.total", "", "cpu_usage_ns"),
        ("container.memory.working_set", "", "memory_usage_bytes"),
        ("container.memory.usage", "", "memory_total_bytes"),
        ("container.network.io", "receive", "network_rx_bytes"),
        ("container.network.io", "transmit", "network_tx_bytes"),
        ("container.network.io.usage.rx_packets", "", "network_rx_packets"),
        ("container.disk.io", "read", "block_read_bytes"),
        ("container.disk.io", "write", "block_write_bytes"),
        ("container.pids.count", "", "pids"),
    ];
    type Points = BTreeSet<(String, String, &'static str, String)>;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut told = Points::new();
    for line in requests {
        let request: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for of in list(&request["resourceMetrics"]) {
            let attributes = list(&of["resource"]["attributes"]);
            let id = attributes.iter().find(|of| of["key"] == "container.id");
            let Some(id) = id.map(|of| text(&of["value"]["stringValue"])) else { continue };
            for metric in list(&of["scopeMetrics"]).iter().flat_map(|of| list(&of["metrics"])) {
                for point in list(&metric["sum"]["dataPoints"]) {
                    let word = text(&point["attributes"][0]["value"]["stringValue"]);
                    let known = METRICS.iter().find(|(name, of, _)| metric["name"] == *name && word == *of);
                    let value = (text(&point["timeUnixNano"]), text(&point["asInt"]));
                    told.extend(known.map(|(_, _, field)| (id.clone(), value.0, *field, value.1)));
                }
            }
        }
    }
    let value = |row: &Row, name: &str| row[name].clone();
    let of = |row: &Row| -> Vec<_> {
        let key = (value(row, "container_id").unwrap(), value(row, "timestamp").unwrap());
        let points = METRICS.iter().filter_map(|(_, _, field)| Some((*field, value(row, field)?)));
        points.map(|(field, value)| (key.0.clone(), key.1.clone(), field, value)).collect()
    };
    let kept: Points = rows.iter().flat_map(of).collect();
    assert!(kept.len() > rows.len(), "samples have values: {} of {}", kept.len(), rows.len());
    let missing: Vec<_> = kept.difference(&told).take(5).collect();
    let strange: Vec<_> = told.difference(&kept).take(5).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, strange {strange:?}");
}

/// Fails where Prometheus does not have the same samples as `rows`, by container and millisecond: each value that is a whole number.
pub fn assert_in_prometheus(rows: &[Row], server: &Prometheus) {
    const METRICS: [(&str, &str); 5] = [
        ("docker_container_memory_usage_bytes", "memory_usage_bytes"),
        ("docker_container_network_receive_bytes_total", "network_rx_bytes"),
        ("docker_container_network_transmit_packets_total", "network_tx_packets"),
        ("docker_container_block_read_bytes_total", "block_read_bytes"),
        ("docker_container_pids", "pids"),
    ];
    type Samples = BTreeSet<(&'static str, String, i64, u64)>;
    let text = |row: &Row, name: &str| row[name].clone();
    let millis = |row: &Row| text(row, "timestamp").unwrap().parse::<i64>().unwrap().div_euclid(1_000_000);
    let last = rows.iter().map(millis).max().expect("there are samples");
    for (metric, field) in METRICS {
        let of =
            |row: &Row| Some((field, text(row, "container_name")?, millis(row), text(row, field)?.parse().unwrap()));
        let kept: Samples = rows.iter().filter_map(of).collect();
        let answer = server.query_at(&format!("{metric}[1h]"), last / 1_000 + 1);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let mut told = Samples::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let container = series["metric"]["container"].as_str().unwrap();
            for pair in series["values"].as_array().unwrap() {
                let (time, value) = (pair[0].as_f64().unwrap(), pair[1].as_str().unwrap().parse::<f64>().unwrap());
                told.insert((field, container.to_owned(), (time * 1e3).round() as i64, value as u64));
            }
        }
        assert!(!kept.is_empty(), "{field}");
        let missing: Vec<_> = kept.difference(&told).take(5).collect();
        let strange: Vec<_> = told.difference(&kept).take(5).collect();
        assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, strange {strange:?}");
    }
}

/// A message of a topic.
#[derive(Debug)]
pub struct Sent {
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

impl Sent {
    /// The record in it; every column must be there.
    pub fn row(&self, columns: &[(&'static str, Kind)]) -> Row {
        let record: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&self.value).unwrap_or_else(|error| panic!("{error}: {}", self.value));
        let column = |(name, kind): &(&'static str, Kind)| {
            let value = record.get(*name).unwrap_or_else(|| panic!("no {name} in {}", self.value));
            (*name, json(*kind, value.get()))
        };
        columns.iter().map(column).collect()
    }
}

/// Everything in a topic, as a consumer of its own reads it.
pub fn topic(bootstrap: &str, topic: &str) -> Vec<Sent> {
    let mut all = Vec::new();
    each_in_topic(bootstrap, topic, |sent| all.push(sent));
    all
}

/// Gives every committed message of a topic to `take`, as a consumer of its own reads them.
pub fn each_in_topic(bootstrap: &str, topic: &str, mut take: impl FnMut(Sent)) {
    wait_for_transactions(bootstrap, topic);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        // The end of a partition is told by an answer without messages: the broker need not wait for some to come.
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(60)).expect("metadata");
    let partitions: BTreeSet<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut all = TopicPartitionList::new();
    for partition in &partitions {
        all.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("the topic can be read");
    let mut ended = BTreeSet::new();
    while ended != partitions {
        match consumer.poll(Duration::from_secs(60)) {
            None => panic!("not within a minute: the next message of {topic}, or its end"),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            // It tries again by itself.
            Some(Err(KafkaError::MessageConsumption(
                Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut,
            ))) => {}
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8");
                let headers = message.headers().into_iter().flat_map(Headers::iter);
                take(Sent {
                    key: text(message.key()),
                    value: text(message.payload()),
                    headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
                });
            }
        }
    }
}

fn names(columns: &[(&'static str, Kind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// A JSON value in the common form. Numbers are read from their text: no digit is lost on the way.
fn json(kind: Kind, value: &str) -> Option<String> {
    let text = || serde_json::from_str(value).unwrap_or_else(|error| panic!("{error}: {value}"));
    match (kind, value) {
        (_, "null") => None,
        (Kind::Map, object) if object.starts_with('{') => Some(plain(kind, object.to_owned())),
        (_, quoted) if quoted.starts_with('"') => Some(plain(kind, text())),
        (_, bare) => Some(plain(kind, bare.to_owned())),
    }
}

/// A text in the common form.
fn plain(kind: Kind, text: String) -> String {
    match kind {
        Kind::Float => format!("{:?}", text.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {text}"))),
        Kind::Time if text.contains('T') => {
            text.parse::<Timestamp>().unwrap_or_else(|error| panic!("{error}")).as_nanos().to_string()
        }
        Kind::Flag => (text == "1" || text == "true").to_string(),
        Kind::Map => {
            let map: BTreeMap<String, String> =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            format!("{map:?}")
        }
        Kind::Text | Kind::Time | Kind::Whole => text,
    }
}
