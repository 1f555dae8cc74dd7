use std::sync::Arc;
use std::time::Instant;

use model::Rows;
use pipeline::ports::Deliver;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use test_support::{ClickHouse, unique};

use super::conditions::Conditions;
use super::*;
use crate::conformance::fixtures::{meta, seconds, stats};
use crate::conformance::{Subject, conformance};
use crate::{ErrorClass, Resolution};

fn config(server: &ClickHouse) -> ClickHouseStoreConfig {
    ClickHouseStoreConfig {
        database: unique("store"),
        time_limit: Duration::from_secs(60),
        ..ClickHouseStoreConfig::new(server.url())
    }
}

/// An empty database with its tables.
pub(crate) async fn subject() -> Subject {
    filled(&config(ClickHouse::shared())).await
}

async fn filled(config: &ClickHouseStoreConfig) -> Subject {
    let sink = ClickHouseConfig { database: config.database.clone(), ..ClickHouseConfig::new(&config.url) };
    let mut sink = ClickHouseSink::new(sink);
    sink.prepare().await.unwrap();
    Subject::new(Arc::new(ClickHouseStore::new(config)), Box::new(sink), ())
}

conformance!(subject);

async fn hosts(config: &ClickHouseStoreConfig) -> Result<Vec<HostRecord>, StoreError> {
    ClickHouseStore::new(config).hosts().await
}

#[tokio::test]
async fn a_store_whose_tables_are_not_there_yet_is_unavailable_until_they_are() {
    let config = config(ClickHouse::shared());
    let unavailable = StoreError::Unavailable("nothing has been stored yet".into());
    let store = ClickHouseStore::new(&config);
    assert_eq!(store.hosts().await, Err(unavailable));
    let _subject = filled(&config).await;
    assert_eq!(store.hosts().await, Ok(vec![]));
}

#[tokio::test]
async fn a_server_that_is_not_there_or_lets_nobody_in_is_unavailable_in_one_line() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = ClickHouseStoreConfig::new(format!("http://{free}"));
    let error = hosts(&nobody).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");

    let server = ClickHouse::start_with_password("right");
    let config = ClickHouseStoreConfig { password: Some("wr0ng".into()), ..config(&server) };
    let error = hosts(&config).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let text = format!("{error} {config:?}");
    assert!(text.contains("Authentication failed") && !text.contains("wr0ng") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn the_server_stops_a_query_that_takes_too_long_and_serves_on() {
    let limit = Duration::from_secs(1);
    let config = ClickHouseStoreConfig { database: "system".into(), time_limit: limit, ..config(ClickHouse::shared()) };
    let server = Server::new(&config);
    let slow = "SELECT max(sipHash64(number)) AS most FROM numbers(1000000000000)";
    let error = server.rows::<serde_json::Value>(slow, Conditions::default()).await.unwrap_err();
    assert_eq!(error, StoreError::Timeout(limit));
    let config = ClickHouseStoreConfig { time_limit: Duration::from_secs(60), ..config };
    let one = Server::new(&config).rows::<serde_json::Value>("SELECT 1 AS one", Conditions::default()).await;
    assert_eq!(one, Ok(vec![serde_json::json!({ "one": 1 })]));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = ClickHouse::start();
    let limit = Duration::from_millis(200);
    let config = ClickHouseStoreConfig { time_limit: limit, ..config(&server) };
    server.fault("sleep60", 1);
    let begin = Instant::now();
    assert_eq!(hosts(&config).await, Err(StoreError::Timeout(limit)));
    assert!(begin.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_by_the_server() {
    let config = ClickHouseStoreConfig { database: "system".into(), ..config(ClickHouse::shared()) };
    let server = Server::new(&config);
    let all = "SELECT number FROM numbers(1000000)";
    let error = server.rows::<serde_json::Value>(all, Conditions::default()).await.unwrap_err();
    assert_eq!(error, StoreError::BadQuery("the answer is too large: ask for less".into()));
}

#[tokio::test]
async fn more_queries_than_connections_wait_their_turn_and_are_told_when_it_does_not_come() {
    let mut config = config(ClickHouse::shared());
    let _subject = filled(&config).await;
    config.connections = 1;
    let store = ClickHouseStore::new(&config);
    let (one, other) = tokio::join!(store.hosts(), store.hosts());
    assert_eq!((one, other), (Ok(vec![]), Ok(vec![])));
    config.time_limit = Duration::from_millis(100);
    let store = ClickHouseStore::new(&config);
    let _held = store.server.hold_every_turn();
    assert_eq!(store.hosts().await, Err(StoreError::Busy));
}

#[tokio::test]
async fn where_samples_are_kept_no_longer_their_rollups_answer() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut subject = filled(&config).await;
    let web = meta("a", 1, "web");
    let sample = model::Sample { cpu_usage_percent: Some(2.0), ..model::Sample::default() };
    let rows: Vec<_> = (0..120).map(|second| stats(&web, seconds(second), sample)).collect();
    subject.stored(Rows::Stats(rows.into())).await;
    server.query(&format!("TRUNCATE TABLE {}.container_stats", config.database));
    let key = ContainerKey { host: web.host.clone(), container_id: web.container_id.clone() };
    // What is not whole inside the range is not told: it was not asked for.
    let query = HistoryQuery { from: seconds(30), to: seconds(150), resolution: None, max_points: 100 };
    let history = subject.store.history(&key, &query).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Minute, Some(60_000_000_000)));
    let points: Vec<_> = history.points.iter().map(|point| (point.timestamp, point.samples)).collect();
    assert_eq!(points, [(seconds(60), 60)]);
    let raw = HistoryQuery { resolution: Some(Resolution::Raw), ..query };
    let history = subject.store.history(&key, &raw).await.unwrap();
    assert_eq!(
        (history.resolution, history.step_ns, history.points.len()),
        (Resolution::Raw, None, 0),
        "as it was asked"
    );
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
