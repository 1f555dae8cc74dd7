use std::collections::BTreeMap;
use std::time::Duration;

use model::{ContainerState, ImageState, LogRecord, LossRecord, Rows, StatsRecord, Stream, Timestamp};
use pipeline::ports::{Deliver, FailureClass, Range};
use serde_json::{Value, json};
use test_support::{Postgres, unique};
use wire::postgres::Place;

use super::*;
use crate::fixtures::{
    batch, container, event, host, image, image_version, log, loss, network_event, noon, one_of_each, range, stats,
    unknown_image, unknown_stats,
};

pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const SOON: Duration = Duration::from_secs(120);

/// A schema of its own on `server`.
pub(super) fn config(server: &Postgres) -> PostgresConfig {
    let place = Place {
        port: server.address().port(),
        database: "postgres".into(),
        user: "postgres".into(),
        schema: unique("dockstream"),
        ..Place::new("127.0.0.1")
    };
    PostgresConfig {
        place,
        timescale: Timescale::Off,
        housekeeping: Duration::from_secs(3_600),
        connect_timeout: SOON,
        timeout: SOON,
        lock_timeout: SOON,
        ..PostgresConfig::new("127.0.0.1")
    }
}

/// The same of another place.
pub(super) fn at(mut config: PostgresConfig, change: impl FnOnce(&mut Place)) -> PostgresConfig {
    change(&mut config.place);
    config
}

pub(super) async fn ready(config: &PostgresConfig) -> PostgresSink {
    let mut sink = PostgresSink::new(config.clone());
    sink.prepare().await.unwrap();
    sink
}

/// One value, asked for in the schema.
pub(super) fn ask(server: &Postgres, config: &PostgresConfig, sql: &str) -> String {
    server.query(
        &config.place.database,
        &format!("SET search_path TO {}; SET timezone TO 'UTC'; {sql}", config.place.schema),
    )
}

pub(super) fn count(server: &Postgres, config: &PostgresConfig, table: &str) -> u64 {
    ask(server, config, &format!("SELECT count(*) FROM {table}")).parse().unwrap()
}

/// The rows of a table as JSON, with times down to the nanosecond.
fn rows(server: &Postgres, config: &PostgresConfig, table: &str, by: &str) -> Vec<Value> {
    let answer = ask(server, config, &format!("SELECT to_jsonb(there) FROM {table} AS there ORDER BY {by}"));
    answer.lines().map(|line| with_nanos(table, serde_json::from_str(line).unwrap())).collect()
}

fn with_nanos(table: &str, mut row: Value) -> Value {
    let row_of = row.as_object_mut().unwrap();
    let own = row_of.remove("nanos").unwrap().as_i64().unwrap();
    let mut more = row_of.remove("more_nanos").map_or(0, |more| more.as_i64().unwrap());
    let kept_by = ["timestamp", "observed_at", "last_at"].into_iter().find(|name| row_of.contains_key(*name)).unwrap();
    for (name, _) in columns(table).iter().filter(|(_, kind)| *kind == "timestamptz") {
        let beyond = if *name == kept_by { own } else { std::mem::replace(&mut more, 0) };
        if *name != kept_by {
            more = beyond / 1_000;
        }
        if let Some(text) = row_of[*name].as_str() {
            let micros: Timestamp = text.parse().unwrap();
            let exact = Timestamp::from_nanos(micros.as_nanos() + beyond % 1_000);
            row_of.insert((*name).to_owned(), json!(exact.to_string()));
        }
    }
    assert_eq!(more, 0, "{table} has nanoseconds of no time");
    row
}

/// `count` samples of seven containers, a millisecond apart.
pub(super) fn samples(first: u64, count: u64) -> Range {
    let rows: Vec<StatsRecord> =
        (first..first + count).map(|number| stats(number % 7, noon() + Duration::from_millis(number))).collect();
    range(first, vec![batch(first + 1, Rows::Stats(rows.into()))])
}

/// The record as it would be written in JSON, with the columns a table has beside it.
fn expected(record: &impl serde::Serialize, more: Value) -> Value {
    let mut value = serde_json::to_value(record).unwrap();
    let Value::Object(more) = more else { panic!("columns are an object") };
    value.as_object_mut().unwrap().extend(more);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_every_stream_is_stored_and_the_unknown_is_null() {
    let server = Postgres::shared();
    let config = config(server);
    ready(&config).await.deliver(&range(0, one_of_each())).await.unwrap();

    let stored = rows(server, &config, "container_stats", "container_name");
    let unknown = expected(&unknown_stats(2, noon()), json!({ "labels": {} }));
    assert_eq!(stored, [expected(&stats(1, noon()), json!({})), unknown]);

    let stored = rows(server, &config, "container_logs", "container_name");
    assert_eq!(stored, [log(1, noon()), log(3, noon())].map(|line| expected(&line, json!({}))));

    let stored = rows(server, &config, "container_events", "action DESC");
    assert_eq!(stored, [event(1, noon()), network_event(noon())].map(|event| expected(&event, json!({}))));

    let stored = rows(server, &config, "hosts", "host");
    assert_eq!(stored, [expected(&host(noon()), json!({}))]);
    let whole = expected(&host(noon()), json!({}));
    let health =
        ["host", "observed_at", "status", "last_error", "response_ns", "containers", "containers_running", "failures"];
    let health: serde_json::Map<_, _> = health.into_iter().map(|name| (name.to_owned(), whole[name].clone())).collect();
    assert_eq!(rows(server, &config, "host_health", "host"), [Value::Object(health)]);

    let stored = rows(server, &config, "losses", "sequence");
    assert_eq!(stored, [expected(&loss(noon()), json!({ "node": "node-1", "epoch": 7, "sequence": 1 }))]);

    let mut stored = rows(server, &config, "containers", "host");
    let mut record = expected(&container(1, ContainerState::Running, noon()), json!({}));
    let health = record.as_object_mut().unwrap().remove("health").unwrap();
    for (column, of) in [
        ("health_status", "status"),
        ("health_failing_streak", "failing_streak"),
        ("health_last_output", "last_output"),
    ] {
        assert_eq!(stored[0].as_object_mut().unwrap().remove(column).as_ref(), health.get(of));
    }
    assert_eq!(stored, [record]);

    let stored = rows(server, &config, "docker_images", "image_id");
    let unknown = expected(&unknown_image(2, noon()), json!({ "used_by": null }));
    assert_eq!(stored, [expected(&image(1, ImageState::Present, noon()), json!({})), unknown]);

    let stored = rows(server, &config, "image_versions", "host");
    assert_eq!(stored, [expected(&image_version(noon()), json!({}))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_state_wins_whatever_comes_last() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    // A nanosecond decides as well.
    for (sequence, beyond, state) in
        [(1, 2, ContainerState::Exited), (2, 1, ContainerState::Paused), (3, 0, ContainerState::Running)]
    {
        let at = noon() + Duration::from_nanos(beyond);
        let hosts = vec![model::HostRecord { failures: beyond, ..host(at) }];
        let batches = vec![
            batch(sequence, Rows::Containers(vec![container(1, state, at)].into())),
            batch(sequence, Rows::Hosts(hosts.into())),
        ];
        sink.deliver(&range(sequence, batches)).await.unwrap();
    }
    assert_eq!(ask(server, &config, "SELECT state, failures FROM containers, hosts"), "exited|2");
    assert_eq!(count(server, &config, "host_health"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_sent_again_changes_nothing_also_from_a_new_sink() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let work = range(0, one_of_each());
    let counts = || {
        let tables = [
            "container_stats",
            "container_logs",
            "container_events",
            "containers",
            "docker_images",
            "image_versions",
            "hosts",
            "host_health",
            "losses",
            "rollup_1m",
            "rollup_1h",
            "rollup_1d",
            "dockstream_ledger",
        ];
        let counts = tables.map(|table| (table, count(server, &config, table)));
        (counts, ask(server, &config, "SELECT sum(samples), sum(interval_ns) FROM container_stats_hourly"))
    };
    sink.deliver(&work).await.unwrap();
    let once = counts();
    assert_eq!(once.0.map(|(_, count)| count), [2, 2, 2, 1, 2, 1, 1, 1, 1, 2, 2, 2, 8]);
    for _ in 0..2 {
        sink.deliver(&work).await.unwrap();
        assert_eq!(counts(), once);
        // As after a restart, which remembers nothing.
        sink = ready(&config).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_in_other_bounds_is_stored_once() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    // Sequences of the batch: 1 to 100; then 41 to 60 and 1 to 120.
    for (first, count) in [(40, 20), (0, 100), (0, 120), (90, 40)] {
        sink.deliver(&samples(first, count)).await.unwrap();
    }
    let stored = ask(server, &config, "SELECT count(*), count(DISTINCT timestamp) FROM container_stats");
    assert_eq!(stored, "130|130");
    assert_eq!(ask(server, &config, "SELECT sum(samples) FROM container_stats_daily"), "130");
    let ledger = "SELECT string_agg(first || '-' || last, ' ' ORDER BY first) FROM dockstream_ledger";
    assert_eq!(ask(server, &config, ledger), "1-40 41-130");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_are_what_the_samples_come_to_over_any_deliveries() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let mut first = 1;
    for part in [0..40_u64, 40..41, 41..300] {
        let rows: Vec<StatsRecord> = part
            .map(|number| {
                let at = noon() + Duration::from_secs(number * 7);
                if number % 5 == 0 { unknown_stats(number % 3, at) } else { stats(number % 3, at) }
            })
            .collect();
        let count = rows.len() as u64;
        sink.deliver(&range(first, vec![batch(first, Rows::Stats(rows.into()))])).await.unwrap();
        first += count;
    }
    let mut columns = String::from("count(*) AS samples, sum(interval_ns) AS interval_ns");
    for field in [
        "cpu_usage_delta_ns",
        "cpu_throttled_delta_ns",
        "network_rx_delta_bytes",
        "network_tx_delta_bytes",
        "block_read_delta_bytes",
        "block_write_delta_bytes",
    ] {
        columns += &format!(", sum({field}) AS {field}");
    }
    for (over, field) in [
        ("cpu_throttled", "cpu_throttled_delta_ns"),
        ("network_rx", "network_rx_delta_bytes"),
        ("network_tx", "network_tx_delta_bytes"),
        ("block_read", "block_read_delta_bytes"),
        ("block_write", "block_write_delta_bytes"),
    ] {
        columns += &format!(", sum(interval_ns) FILTER (WHERE {field} IS NOT NULL) AS {over}_interval_ns");
    }
    for field in ["cpu_usage_percent", "memory_usage_bytes", "memory_usage_percent", "pids"] {
        columns += &format!(
            ", min({field}) AS {field}_min, round(avg({field})::numeric, 3) AS {field}_avg,
            max({field}) AS {field}_max, round(sum({field})::numeric, 3) AS {field}_sum, count({field}) AS {field}_samples"
        );
    }
    for field in ["memory_limit_bytes", "online_cpus", "pids_limit"] {
        columns += &format!(", max({field}) AS {field}");
    }
    for (view, unit) in
        [("container_stats_1m", "minute"), ("container_stats_hourly", "hour"), ("container_stats_daily", "day")]
    {
        let wanted = format!(
            "SELECT to_jsonb(made) FROM (SELECT host, container_id, date_trunc('{unit}', timestamp) AS timestamp, {columns},
                 (array_agg(container_name ORDER BY timestamp DESC))[1] AS container_name,
                 (array_agg(image ORDER BY timestamp DESC))[1] AS image,
                 (array_agg(compose_project ORDER BY timestamp DESC))[1] AS compose_project,
                 (array_agg(compose_service ORDER BY timestamp DESC))[1] AS compose_service,
                 (array_agg(labels ORDER BY timestamp DESC))[1] AS labels, max(run) AS run
             FROM container_stats GROUP BY 1, 2, 3) AS made ORDER BY container_id, timestamp"
        );
        let averages = ["cpu_usage_percent", "memory_usage_bytes", "memory_usage_percent", "pids"]
            .into_iter()
            .flat_map(|field| [format!("{field}_avg"), format!("{field}_sum")])
            .map(|column| format!("'{column}', round({column}::numeric, 3)"));
        let averages: Vec<String> = averages.collect();
        let kept = format!(
            "SELECT to_jsonb(kept) || jsonb_build_object({}) FROM {view} AS kept ORDER BY container_id, timestamp",
            averages.join(", ")
        );
        let read = |sql: &str| -> Vec<BTreeMap<String, Value>> {
            ask(server, &config, sql).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let (wanted, kept) = (read(&wanted), read(&kept));
        assert!(!wanted.is_empty());
        assert_eq!(kept, wanted, "{view}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_cannot_hold_costs_no_row() {
    let server = Postgres::shared();
    // Nothing here is too old.
    let retention = Retention { logs: 300 * 365 * DAY, ..Retention::default() };
    let config = PostgresConfig { retention, ..config(server) };
    let mut sink = ready(&config).await;
    let mut sample = stats(1, noon());
    (sample.sample.pids, sample.sample.interval_ns) = (Some(u64::MAX), Some(u64::MAX >> 1));
    let mut again = stats(1, noon() + Duration::from_secs(1));
    again.sample.interval_ns = Some(u64::MAX >> 1);
    let line = LogRecord { line: "a\0b".into(), ..log(1, noon()) };
    let mut odd = event(1, noon());
    odd.attributes.insert("nul\0".into(), "\0".into());
    let times = [i64::MIN / 2, -1, i64::MAX].map(Timestamp::from_nanos);
    let far: Vec<LogRecord> = times.iter().map(|at| LogRecord { timestamp: *at, ..log(2, *at) }).collect();
    let batches = vec![
        batch(1, Rows::Stats(vec![sample, again].into())),
        batch(1, Rows::Logs([vec![line], far].concat().into())),
        batch(1, Rows::Events(vec![odd].into())),
    ];
    sink.deliver(&range(0, batches)).await.unwrap();
    assert_eq!(ask(server, &config, "SELECT count(*), count(pids) FROM container_stats"), "2|1");
    let sum = u128::from(u64::MAX >> 1) * 2;
    assert_eq!(ask(server, &config, "SELECT interval_ns FROM container_stats_hourly"), sum.to_string());
    assert_eq!(ask(server, &config, "SELECT attributes -> 'nul␀' FROM container_events"), "\"␀\"");
    let lines = rows(server, &config, "container_logs", "container_name, timestamp");
    assert_eq!(lines[0]["line"], "a␀b");
    let stored: Vec<&Value> = lines[1..].iter().map(|line| &line["timestamp"]).collect();
    assert_eq!(stored, times.map(|at| json!(at.to_string())).iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_must_be_known_and_cannot_be_held_is_refused_with_words() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let rows = vec![LossRecord { count: u64::MAX, ..loss(noon()) }];
    let work = range(0, vec![batch(1, Rows::Losses(rows.into()))]);
    assert_eq!(sink.deliver(&work).await.unwrap_err().class, FailureClass::Schema);
    sink.prepare().await.unwrap();
    let error = sink.deliver(&work).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Poison, "{error}");
    assert!(error.message.contains("23502") && error.message.contains("\"count\""), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_range_is_whole_and_a_table_with_more_columns_is_as_good() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    ask(server, &config, "ALTER TABLE container_stats ADD COLUMN site text DEFAULT 'home'");
    sink.deliver(&samples(0, 20_000)).await.unwrap();
    let pids: u64 = (0..20_000).filter_map(|number| stats(number % 7, noon()).sample.pids).sum();
    let stored = "SELECT count(*), count(DISTINCT container_id), sum(pids), max(site) FROM container_stats";
    assert_eq!(ask(server, &config, stored), format!("20000|7|{pids}|home"));
}

#[test]
fn every_stream_has_its_tables() {
    for stream in Stream::ALL {
        assert!(table_names(stream).iter().all(|table| !columns(table).is_empty()), "{stream}");
    }
}
