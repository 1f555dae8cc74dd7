use std::sync::Arc;
use std::time::Instant;

use model::Rows;
use pipeline::ports::Deliver;
use sinks::postgres::{PostgresConfig, PostgresSink, Timescale};
use test_support::{Postgres, unique};

use super::conditions::Conditions;
use super::*;
use crate::conformance::fixtures::{meta, seconds, stats};
use crate::conformance::{Subject, conformance};
use crate::{ErrorClass, Resolution};

fn config(server: &Postgres) -> PostgresStoreConfig {
    let place = Place {
        port: server.address().port(),
        database: "postgres".into(),
        user: "postgres".into(),
        schema: unique("store"),
        ..Place::new("127.0.0.1")
    };
    PostgresStoreConfig { time_limit: Duration::from_secs(60), ..PostgresStoreConfig::new(place) }
}

/// An empty schema with its tables.
pub(crate) async fn subject() -> Subject {
    filled(&config(Postgres::shared()), Timescale::Off).await
}

async fn filled(config: &PostgresStoreConfig, timescale: Timescale) -> Subject {
    let long = Duration::from_secs(120);
    let sink = PostgresConfig {
        place: config.place.clone(),
        timescale,
        connect_timeout: long,
        timeout: long,
        ..PostgresConfig::new("127.0.0.1")
    };
    let mut sink = PostgresSink::new(sink);
    sink.prepare().await.unwrap();
    Subject::new(Arc::new(PostgresStore::new(config.clone())), Box::new(sink), ())
}

conformance!(subject);

async fn hosts(config: &PostgresStoreConfig) -> Result<Vec<HostRecord>, StoreError> {
    PostgresStore::new(config.clone()).hosts().await
}

#[tokio::test]
async fn a_store_whose_tables_are_not_there_yet_is_unavailable_until_they_are() {
    let config = config(Postgres::shared());
    let unavailable = StoreError::Unavailable("nothing has been stored yet".into());
    let store = PostgresStore::new(config.clone());
    assert_eq!(store.hosts().await, Err(unavailable));
    let _subject = filled(&config, Timescale::Off).await;
    assert_eq!(store.hosts().await, Ok(vec![]));
}

#[tokio::test]
async fn a_server_that_is_not_there_or_lets_nobody_in_is_unavailable_in_one_line() {
    let mut nobody = config(Postgres::shared());
    nobody.place.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = hosts(&nobody).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");

    let server = Postgres::shared();
    let role = unique("reader");
    server.query("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'right'; GRANT guarded TO {role}"));
    let mut config = config(server);
    (config.place.user, config.place.password) = (role, Some("wr0ng".into()));
    let error = hosts(&config).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let text = format!("{error} {config:?}");
    assert!(
        text.contains("password authentication failed") && !text.contains("wr0ng") && !text.contains('\n'),
        "{text}"
    );
}

#[tokio::test]
async fn the_server_stops_a_query_that_takes_too_long_and_serves_on() {
    let limit = Duration::from_secs(2);
    let config = PostgresStoreConfig { time_limit: limit, connections: 1, ..config(Postgres::shared()) };
    let server = Server::new(config);
    let slow = "SELECT pg_sleep(600)::text AS slept";
    let error = server.rows::<serde_json::Value>(slow, Conditions::default()).await.unwrap_err();
    assert_eq!(error, StoreError::Timeout(limit));
    let deadline = Instant::now() + Duration::from_secs(60);
    let one = loop {
        match server.rows::<serde_json::Value>("SELECT 1 AS one", Conditions::default()).await {
            Err(StoreError::Timeout(_)) if Instant::now() < deadline => {}
            answered => break answered,
        }
    };
    assert_eq!(one, Ok(vec![serde_json::json!({ "one": 1 })]));
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let server = Server::new(config(Postgres::shared()));
    let write = "SELECT nextval(pg_get_serial_sequence('x', 'y')) AS written";
    server.rows::<serde_json::Value>(write, Conditions::default()).await.unwrap_err();
    let set = "SELECT current_setting('transaction_read_only') AS read_only";
    let rows = server.rows::<serde_json::Value>(set, Conditions::default()).await;
    assert_eq!(rows, Ok(vec![serde_json::json!({ "read_only": "on" })]));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = Postgres::start();
    let config = config(&server);
    let _subject = filled(&config, Timescale::Off).await;
    let limit = Duration::from_secs(1);
    let hasty = PostgresStore::new(PostgresStoreConfig { time_limit: limit, ..config });
    server.pause();
    let begin = Instant::now();
    assert_eq!(hasty.hosts().await, Err(StoreError::Timeout(limit)));
    assert!(begin.elapsed() < Duration::from_secs(50));
    server.resume();
}

#[tokio::test]
async fn more_queries_than_connections_wait_their_turn_and_are_told_when_it_does_not_come() {
    let mut config = config(Postgres::shared());
    let _subject = filled(&config, Timescale::Off).await;
    config.connections = 1;
    let store = PostgresStore::new(config.clone());
    let (one, other) = tokio::join!(store.hosts(), store.hosts());
    assert_eq!((one, other), (Ok(vec![]), Ok(vec![])));
    config.time_limit = Duration::from_millis(100);
    let store = PostgresStore::new(config);
    let _held = store.server.hold_every_turn();
    assert_eq!(store.hosts().await, Err(StoreError::Busy));
}

#[tokio::test]
async fn where_samples_are_kept_no_longer_their_rollups_answer() {
    let server = Postgres::shared();
    let config = config(server);
    let mut subject = filled(&config, Timescale::Off).await;
    let web = meta("a", 1, "web");
    let sample = model::Sample { cpu_usage_percent: Some(2.0), ..model::Sample::default() };
    let rows: Vec<_> = (0..120).map(|second| stats(&web, seconds(second), sample)).collect();
    subject.stored(Rows::Stats(rows.into())).await;
    let schema = config.place.schema.clone();
    let emptied = tokio::task::spawn_blocking(move || {
        server.query("postgres", &format!("DELETE FROM {schema}.container_stats"));
    });
    emptied.await.unwrap();
    let key = ContainerKey { host: web.host.clone(), container_id: web.container_id.clone() };
    // What is not whole inside the range is not told: it was not asked for.
    let query = HistoryQuery { from: seconds(30), to: seconds(150), resolution: None, max_points: 100 };
    let history = subject.store.history(&key, &query).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Minute, Some(60_000_000_000)));
    let points: Vec<_> = history.points.iter().map(|point| (point.timestamp, point.samples)).collect();
    assert_eq!(points, [(seconds(60), 60)]);
}

#[tokio::test]
async fn a_page_of_long_lines_ends_early() {
    let mut subject = subject().await;
    let line = |second: u64| model::LogRecord {
        meta: meta("a", 1, "web"),
        timestamp: seconds(second),
        received_at: seconds(second),
        stream: model::LogStream::Stdout,
        ordinal: 0,
        line: "x".repeat(1 << 20),
        partial: false,
        truncated: false,
        invalid_utf8: false,
    };
    subject.stored(Rows::Logs((0..6).map(line).collect())).await;
    let web = meta("a", 1, "web");
    let key = ContainerKey { host: web.host.clone(), container_id: web.container_id.clone() };
    let first = subject.store.logs(&key, &LogFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(first.data.iter().map(|line| line.timestamp).collect::<Vec<_>>(), [2, 3, 4, 5].map(seconds));
    let next = Page { cursor: first.next_cursor, ..Page::default() };
    let second = subject.store.logs(&key, &LogFilter::default(), &next).await.unwrap();
    assert_eq!((second.data.len(), second.next_cursor), (2, None));
}

#[tokio::test]
async fn with_timescaledb_a_history_is_the_same() {
    let server = Postgres::shared();
    if !server.has_timescale() {
        println!("not run: TimescaleDB is not installed");
        return;
    }
    tokio::task::spawn_blocking(|| server.query("postgres", "CREATE EXTENSION IF NOT EXISTS timescaledb"))
        .await
        .unwrap();
    for resolution in [Resolution::Raw, Resolution::Minute, Resolution::Hour, Resolution::Day] {
        let mut histories = Vec::new();
        for timescale in [Timescale::On, Timescale::Off] {
            let mut subject = filled(&config(server), timescale).await;
            let web = meta("a", 1, "web");
            let sample = model::Sample { memory_usage_bytes: Some(7), ..model::Sample::default() };
            let rows: Vec<_> = (0..120).map(|second| stats(&web, seconds(second), sample)).collect();
            subject.stored(Rows::Stats(rows.into())).await;
            let key = ContainerKey { host: web.host.clone(), container_id: web.container_id.clone() };
            let query =
                HistoryQuery { from: seconds(0), to: seconds(150), resolution: Some(resolution), max_points: 500 };
            histories.push(subject.store.history(&key, &query).await.unwrap());
        }
        assert_eq!(histories[0], histories[1]);
    }
}
