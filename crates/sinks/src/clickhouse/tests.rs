//! Against the real engine.

use std::time::{Duration, Instant};

use model::{ContainerState, ImageState, Rows, StatsRecord, Stream};
use pipeline::ports::{Deliver, FailureClass, Range};
use serde_json::{Value, json};
use test_support::{ClickHouse, unique};

use super::*;
use crate::fixtures::{
    batch, container, event, host, image, image_version, loss, noon, one_of_each, range, stats, unknown_image,
    unknown_stats,
};

/// Nothing that goes well takes so long, on any machine.
const LONG: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn config(server: &ClickHouse) -> ClickHouseConfig {
    ClickHouseConfig { database: unique("dockstream"), ..ClickHouseConfig::new(server.url()) }
}

pub(super) async fn ready(config: &ClickHouseConfig) -> ClickHouseSink {
    let mut sink = ClickHouseSink::new(config.clone());
    sink.prepare().await.unwrap();
    sink
}

pub(super) fn count(server: &ClickHouse, config: &ClickHouseConfig, stream: Stream) -> u64 {
    let sql = format!("SELECT count() FROM {}.{}", config.database, table_name(stream));
    server.query(&sql).parse().unwrap()
}

/// The rows of a table as JSON objects, in the order of `by`.
fn rows(server: &ClickHouse, config: &ClickHouseConfig, stream: Stream, by: &str) -> Vec<Value> {
    let answer = server.query(&format!(
        "SELECT * FROM {}.{} ORDER BY {by} FORMAT JSONEachRow SETTINGS date_time_output_format = 'iso',
         output_format_json_quote_64bit_integers = 0",
        config.database,
        table_name(stream)
    ));
    answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `count` samples a millisecond apart.
pub(super) fn samples(first: u64, count: u64) -> Range {
    let rows: Vec<StatsRecord> =
        (first..first + count).map(|number| stats(number % 7, noon() + Duration::from_millis(number))).collect();
    range(first, vec![batch(first, Rows::Stats(rows.into()))])
}

/// The record as it would be written in JSON, with the columns a table has beside it.
fn expected(record: &impl serde::Serialize, more: Value) -> Value {
    let mut value = serde_json::to_value(record).unwrap();
    let Value::Object(more) = more else { panic!("columns are an object") };
    value.as_object_mut().unwrap().extend(more);
    value
}

#[tokio::test]
async fn every_value_of_every_stream_is_stored_and_the_unknown_is_null() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();

    let stored = rows(server, &config, Stream::Stats, "container_name");
    let unknown = expected(&unknown_stats(2, noon()), json!({ "labels": {} }));
    assert_eq!(stored, [expected(&stats(1, noon()), json!({})), unknown]);

    let stored = rows(server, &config, Stream::Events, "action DESC");
    let known = [event(1, noon()), crate::fixtures::network_event(noon())];
    assert_eq!(stored, known.map(|event| expected(&event, json!({}))));

    let stored = rows(server, &config, Stream::Hosts, "host");
    assert_eq!(stored, [expected(&host(noon()), json!({}))]);

    let stored = rows(server, &config, Stream::Losses, "sequence");
    assert_eq!(stored, [expected(&loss(noon()), json!({ "node": "node-1", "epoch": 7, "sequence": 1 }))]);

    let mut stored = rows(server, &config, Stream::Containers, "host");
    let mut record = expected(&container(1, ContainerState::Running, noon()), json!({}));
    let health = record.as_object_mut().unwrap().remove("health").unwrap();
    for (column, of) in [
        ("health_status", "status"),
        ("health_failing_streak", "failing_streak"),
        ("health_last_output", "last_output"),
    ] {
        assert_eq!(stored[0].as_object_mut().unwrap().remove(column).as_ref(), health.get(of));
    }
    // A record in a record is JSON text.
    let revp: Value = serde_json::from_str(stored[0]["revp"].as_str().unwrap()).unwrap();
    stored[0]["revp"] = revp;
    assert_eq!(stored, [record]);

    let stored = rows(server, &config, Stream::Images, "image_id");
    let known = expected(&image(1, ImageState::Present, noon()), json!({ "containers": 2 }));
    let unknown = expected(&unknown_image(2, noon()), json!({ "containers": null, "used_by": [] }));
    assert_eq!(stored, [known, unknown]);

    let stored = rows(server, &config, Stream::ImageVersions, "host");
    assert_eq!(stored, [expected(&image_version(noon()), json!({}))]);
}

#[tokio::test]
async fn the_newest_state_of_a_container_wins_whatever_comes_last() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    for (sequence, second, state) in [(1, 2, ContainerState::Exited), (2, 1, ContainerState::Paused)] {
        let rows = vec![container(1, state, noon() + Duration::from_secs(second))];
        sink.deliver(&range(sequence, vec![batch(sequence, Rows::Containers(rows.into()))])).await.unwrap();
    }
    let state = server.query(&format!("SELECT state FROM {}.containers FINAL", config.database));
    assert_eq!(state, "exited");
}

#[tokio::test]
async fn a_range_sent_again_changes_nothing_also_from_a_new_sink() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let work = range(0, one_of_each());
    for _ in 0..2 {
        sink.deliver(&work).await.unwrap();
        // As after a restart, which remembers nothing.
        sink = ready(&config).await;
    }
    for batch in one_of_each() {
        assert_eq!(count(server, &config, batch.id.stream), batch.rows.len() as u64, "{}", batch.id.stream);
    }
}

#[tokio::test]
async fn no_fault_loses_or_doubles_a_row() {
    let server = ClickHouse::start();
    let patience = Duration::from_secs(3);
    let config = ClickHouseConfig { send_timeout: patience, end_timeout: patience, ..config(&server) };
    ready(&ClickHouseConfig { send_timeout: LONG, end_timeout: LONG, ..config.clone() }).await;
    let mut sink = ClickHouseSink::new(config.clone());
    let faults = [
        // Stored after the sink gave up.
        ("sleep4", FailureClass::Retry),
        ("reset_before", FailureClass::Retry),
        ("reset_mid", FailureClass::Retry),
        // Stored, and the acknowledgement lost.
        ("reset_after", FailureClass::Retry),
        ("http500_after", FailureClass::Retry),
        // Of an answer with words, the client tells the words alone: proxies say the status in them.
        ("http503", FailureClass::RetrySlow),
        ("http413", FailureClass::Split),
        ("code241", FailureClass::RetrySlow),
        ("code252", FailureClass::RetrySlow),
    ];
    let mut sent = 0;
    for (fault, class) in faults {
        let work = samples(sent, 500);
        let (mut told, deadline) = (0, Instant::now() + LONG);
        // Told twice, then delivered. On a busy machine an insert may be given up for its time as well, and that may be
        // the one which met the fault.
        while told < 2 {
            server.fault(fault, 2 - told);
            while let Err(error) = sink.deliver(&work).await {
                assert!(Instant::now() < deadline, "{fault}: {error}");
                assert!(error.class == class || error.class == FailureClass::Retry, "{fault}: {error:?}");
                told += u32::from(error.class == class);
            }
        }
        sent += 500;
    }
    // What was still on its way has landed, or never will.
    server.stop();
    server.restart();
    let distinct = format!("SELECT count(), uniqExact(timestamp) FROM {}.container_stats", config.database);
    assert_eq!(server.query(&distinct), format!("{sent}\t{sent}"));
}

#[tokio::test]
async fn a_server_killed_and_started_again_has_every_row_once() {
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 1_000)).await.unwrap();
    server.kill9();
    let next = samples(1_000, 1_000);
    let deadline = Instant::now() + LONG;
    loop {
        let error = sink.deliver(&next).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry);
        assert!(error.message.starts_with(&format!("clickhouse {}: ", server.url())), "{error}");
        // Before that, a kept connection may be found closed.
        if error.message.contains("Connection refused") {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
    }
    server.restart();
    sink.deliver(&next).await.unwrap();
    assert_eq!(count(&server, &config, Stream::Stats), 2_000);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_the_rows_land_once() {
    let server = ClickHouse::start();
    let config = ClickHouseConfig { end_timeout: Duration::from_secs(2), ..config(&server) };
    ready(&ClickHouseConfig { end_timeout: LONG, ..config.clone() }).await;
    let mut sink = ClickHouseSink::new(config.clone());
    server.pause();
    assert_eq!(sink.prepare().await.unwrap_err().class, FailureClass::Retry);
    assert_eq!(sink.deliver(&samples(0, 100)).await.unwrap_err().class, FailureClass::Retry);
    server.resume();
    let deadline = Instant::now() + LONG;
    while let Err(error) = sink.deliver(&samples(0, 100)).await {
        assert!(Instant::now() < deadline, "{error}");
    }
    assert_eq!(count(&server, &config, Stream::Stats), 100);
}

#[tokio::test]
async fn rows_on_two_sides_of_midnight_are_stored_once_each() {
    let server = ClickHouse::shared();
    let config = config(server);
    let rows: Vec<StatsRecord> = (0..100)
        .map(|number| stats(1, noon() - (u32::from(number % 2 == 0) * DAY) + Duration::from_millis(number)))
        .collect();
    let work = range(0, vec![batch(1, Rows::Stats(rows.into()))]);
    for _ in 0..2 {
        ready(&config).await.deliver(&work).await.unwrap();
    }
    assert_eq!(count(server, &config, Stream::Stats), 100);
    let parts = format!(
        "SELECT count() FROM system.parts WHERE database = '{}' AND table = 'container_stats' AND active",
        config.database
    );
    assert_eq!(server.query(&parts), "2");
}

#[tokio::test]
async fn a_range_halved_after_a_part_of_it_was_stored_doubles_nothing() {
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let whole = samples(0, 100).batches.remove(0);
    let events: Vec<_> = (0..10).map(|number| event(number, noon() + Duration::from_millis(number))).collect();
    let events = batch(1, Rows::Events(events.into()));
    let work = range(0, vec![whole.clone(), events.clone()]);
    let table = format!("{}.container_events", config.database);
    server.query(&format!("ALTER TABLE {table} MODIFY COLUMN exit_code Nullable(Int32)"));
    let error = sink.deliver(&work).await.unwrap_err();
    assert!(error.message.contains("exit_code"), "{error}");
    assert_eq!(count(&server, &config, Stream::Stats), 100, "the samples are there");
    server.query(&format!("ALTER TABLE {table} MODIFY COLUMN exit_code Nullable(Int64)"));

    let (Rows::Stats(stats), Rows::Events(rows)) = (&whole.rows, &events.rows) else { unreachable!() };
    let halves = [
        vec![batch(0, Rows::Stats(stats[..50].into()))],
        vec![batch(50, Rows::Stats(stats[50..].into())), batch(1, Rows::Events(rows[..5].into()))],
        vec![batch(6, Rows::Events(rows[5..].into()))],
    ];
    for half in halves {
        sink.deliver(&Range { batches: half, ..work.clone() }).await.unwrap();
    }
    sink.deliver(&work).await.unwrap();
    assert_eq!(count(&server, &config, Stream::Stats), 100);
    assert_eq!(count(&server, &config, Stream::Events), 10);
}

#[tokio::test]
async fn a_body_the_server_cannot_read_is_sent_once_more_before_it_is_refused() {
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let whole = samples(0, 10);
    let Rows::Stats(rows) = &whole.batches[0].rows else { unreachable!() };
    let half = Range { batches: vec![batch(0, Rows::Stats(rows[..5].into()))], ..whole.clone() };
    server.fault("code33", 4);
    for (work, class) in [(&whole, FailureClass::Retry), (&whole, FailureClass::Poison), (&half, FailureClass::Poison)]
    {
        assert_eq!(sink.deliver(work).await.unwrap_err().class, class);
    }
    // The next range has not failed yet.
    let next = samples(10, 10);
    assert_eq!(sink.deliver(&Range { first: 1, end: 2, ..next }).await.unwrap_err().class, FailureClass::Retry);
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_line_without_it() {
    let server = ClickHouse::start_with_password("right");
    let with = |password: &str| ClickHouseConfig { password: Some(password.to_owned()), ..config(&server) };
    let error = ClickHouseSink::new(with("hunter2")).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("Code: 516") && error.message.contains("Authentication failed"), "{error}");
    assert!(!error.message.contains("hunter2") && !error.message.contains('\n'), "{error}");

    let right = with("right");
    ready(&right).await.deliver(&samples(0, 10)).await.unwrap();
    assert_eq!(count(&server, &right, Stream::Stats), 10);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_retried_and_an_address_that_is_none_is_not() {
    let error = ClickHouseSink::new(ClickHouseConfig::new("http://127.0.0.1:1")).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry);
    assert!(error.message.contains("Connection refused"), "{error}");
    for url in ["not a url", "https://127.0.0.1:1"] {
        let error = ClickHouseSink::new(ClickHouseConfig::new(url)).prepare().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{error}");
    }
}

#[tokio::test]
async fn missing_tables_and_columns_are_named_where_they_may_not_be_made() {
    let server = ClickHouse::shared();
    let config = config(server);
    server.query(&format!("CREATE DATABASE {}", config.database));
    let strict = ClickHouseConfig { create_tables: false, ..config.clone() };
    let error = ClickHouseSink::new(strict.clone()).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert_eq!(
        error.message,
        format!(
            "clickhouse {}, database {}: table container_stats is missing, table container_events is missing, \
             table containers is missing and {} more; set create_tables = true, or make them",
            server.url(),
            config.database,
            Stream::ALL.len() - 3
        )
    );
    ready(&config).await;
    server.query(&format!("ALTER TABLE {}.container_stats DROP COLUMN block_read_bytes", config.database));
    let error = ClickHouseSink::new(strict).prepare().await.unwrap_err();
    assert!(error.message.contains("container_stats has no column block_read_bytes"), "{error}");
}

#[tokio::test]
async fn a_table_with_more_columns_is_as_good() {
    let server = ClickHouse::shared();
    let config = config(server);
    ready(&config).await;
    let table = format!("{}.container_stats", config.database);
    server.query(&format!("ALTER TABLE {table} ADD COLUMN site String DEFAULT 'home' FIRST"));
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 3)).await.unwrap();
    assert_eq!(server.query(&format!("SELECT DISTINCT site FROM {table}")), "home");
}

#[tokio::test]
async fn a_large_range_is_sent_in_pieces_and_is_whole() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 20_000)).await.unwrap();
    let sums = format!("SELECT count(), uniqExact(container_id), sum(pids) FROM {}.container_stats", config.database);
    let pids: u64 = (0..20_000).filter_map(|number| stats(number % 7, noon()).sample.pids).sum();
    assert_eq!(server.query(&sums), format!("20000\t7\t{pids}"));
}
