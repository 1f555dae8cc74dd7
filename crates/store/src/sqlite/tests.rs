use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::ports::Deliver;
use sinks::sqlite::{SqliteConfig, SqliteSink};

use super::*;
use crate::conformance::{Subject, conformance};
use crate::{ErrorClass, Page};

/// An empty database with its tables.
pub(crate) async fn subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    let mut sink = SqliteSink::new(SqliteConfig::new(&path));
    sink.prepare().await.unwrap();
    Subject::new(Arc::new(SqliteStore::open(path)), Box::new(sink), folder)
}

conformance!(subject);

fn slow_query(connection: &rusqlite::Connection) -> Result<i64, pool::QueryError> {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    Ok(connection.query_row(endless, [], |row| row.get(0))?)
}

fn store(path: &Path, connections: usize, limit: Duration) -> SqliteStore {
    SqliteStore::new(SqliteStoreConfig { connections, time_limit: limit, ..SqliteStoreConfig::new(path) })
}

#[tokio::test]
async fn a_store_opened_before_its_file_exists_works_once_the_sink_has_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    let store = SqliteStore::open(&path);
    let unavailable = StoreError::Unavailable("nothing has been stored yet".into());
    assert_eq!(store.hosts().await, Err(unavailable.clone()));
    assert_eq!(unavailable.class(), ErrorClass::Unavailable);
    assert!(!path.exists(), "a reader makes no files");
    // As it is between the making of the file and the making of the tables.
    std::fs::write(&path, "").unwrap();
    assert_eq!(store.hosts().await, Err(unavailable));
    sinks::sqlite::migrate(&path).unwrap();
    assert_eq!(store.hosts().await, Ok(vec![]));
}

#[tokio::test]
async fn a_damaged_file_is_unavailable_and_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    std::fs::write(&path, "no database ".repeat(100)).unwrap();
    let error = SqliteStore::open(&path).hosts().await.unwrap_err();
    assert_eq!(error.to_string(), "the store is not available: file is not a database");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped_and_its_connection_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let limit = Duration::from_millis(100);
    let store = store(&path, 1, limit);
    let start = Instant::now();
    let error = store.pool.run(slow_query).await.unwrap_err();
    assert_eq!(error, StoreError::Timeout(limit));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(store.hosts().await, Ok(vec![]));
}

#[tokio::test]
async fn a_query_whose_caller_is_gone_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let store = store(&path, 1, Duration::from_secs(20));
    {
        let query = store.pool.run(slow_query);
        tokio::pin!(query);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut query).await.is_err());
    }
    // The only turn comes back long before the time limit would have freed it.
    let start = Instant::now();
    assert_eq!(store.hosts().await, Ok(vec![]));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn more_queries_than_connections_wait_their_turn_and_are_told_when_it_does_not_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let store = store(&path, 1, Duration::from_millis(300));
    let ten = futures(10, || store.hosts()).await;
    assert!(ten.iter().all(Result::is_ok), "{ten:?}");
    let _held = store.pool.hold_every_turn();
    assert_eq!(store.hosts().await, Err(StoreError::Busy));
}

async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    for future in &mut running {
        done.push(future.await);
    }
    done
}

#[tokio::test]
async fn reading_goes_on_while_the_sink_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let store = SqliteStore::open(&path);
    let mut writer = rusqlite::Connection::open(&path).unwrap();
    let writing = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let page = Page::default();
    assert_eq!(store.events(&EventFilter::default(), &page).await.unwrap().data, []);
    writing.commit().unwrap();
}

#[tokio::test]
async fn the_newest_samples_are_found_by_search_and_not_by_scanning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    for query in [
        stats::latest_all_sql().replace("?1", "0"),
        "SELECT * FROM container_stats WHERE host = 'a' AND container_id = 'b' AND timestamp > 5".to_owned(),
        "SELECT container_name, max(cpu_usage_percent) FROM container_stats WHERE timestamp > 5 GROUP BY 1".to_owned(),
    ] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let steps: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(!steps.iter().any(|step| step.starts_with("SCAN samples")), "{steps:#?}");
    }
}

/// A sink that answers when all it was given is packed, but for the newest sample of each container.
struct PackingSink {
    sink: SqliteSink,
    path: std::path::PathBuf,
}

#[async_trait]
impl Deliver for PackingSink {
    fn kind(&self) -> &'static str {
        self.sink.kind()
    }

    fn target(&self) -> String {
        self.sink.target()
    }

    fn appetite(&self) -> pipeline::ports::Appetite {
        self.sink.appetite()
    }

    async fn prepare(&mut self) -> Result<(), pipeline::ports::DeliverError> {
        self.sink.prepare().await
    }

    async fn deliver(
        &mut self,
        range: &pipeline::ports::Range,
    ) -> Result<pipeline::ports::Receipt, pipeline::ports::DeliverError> {
        let receipt = self.sink.deliver(range).await?;
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        let left = "SELECT count(*) FROM samples AS one WHERE timestamp < (
            SELECT max(timestamp) FROM samples WHERE samples.series = one.series)";
        let deadline = Instant::now() + Duration::from_secs(60);
        while connection.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
            assert!(Instant::now() < deadline, "it does not pack");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(receipt)
    }
}

/// An empty database whose samples are packed as they come.
pub(crate) async fn packed_subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    let config =
        SqliteConfig { pack_after: Duration::ZERO, housekeeping: Duration::from_millis(1), ..SqliteConfig::new(&path) };
    let mut sink = PackingSink { sink: SqliteSink::new(config), path: path.clone() };
    sink.prepare().await.unwrap();
    Subject::new(Arc::new(SqliteStore::open(path)), Box::new(sink), folder)
}

mod packed {
    use super::*;

    conformance!(packed_subject);
}

#[tokio::test]
async fn a_file_that_was_moved_aside_answers_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    sinks::sqlite::migrate(&path).unwrap();
    let store = SqliteStore::open(&path);
    assert_eq!(store.hosts().await, Ok(vec![]));
    let other = rusqlite::Connection::open(folder.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE recipes (x)").unwrap();
    drop(other);
    std::fs::rename(folder.path().join("other.db"), &path).unwrap();
    assert_eq!(store.hosts().await, Err(StoreError::Unavailable("nothing has been stored yet".into())));
}

#[tokio::test]
async fn where_samples_are_no_longer_kept_the_rollups_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    let day = Duration::from_secs(86_400);
    let hour = 3_600_000_000_000;
    let now = Timestamp::from(std::time::SystemTime::now());
    let start = Timestamp::from_nanos((now - 10 * day).as_nanos() / hour * hour);
    let meta = crate::conformance::fixtures::meta("a", 1, "web");
    let rows: Vec<_> = (0..720)
        .map(|ten| {
            let sample = model::Sample { pids: Some(3), ..model::Sample::default() };
            crate::conformance::fixtures::stats(&meta, start + ten * Duration::from_secs(10), sample)
        })
        .collect();
    let long = SqliteConfig { retention_raw: 20 * day, ..SqliteConfig::new(&path) };
    let mut sink = SqliteSink::new(long.clone());
    sink.prepare().await.unwrap();
    let mut subject = Subject::new(Arc::new(SqliteStore::open(&path)), Box::new(sink), ());
    subject.stored(model::Rows::Stats(rows.into())).await;
    let key = ContainerKey { host: meta.host.clone(), container_id: meta.container_id.clone() };
    let first_hour =
        HistoryQuery { from: start, to: start + Duration::from_secs(3_600), resolution: None, max_points: 1_500 };
    let told = subject.store.history(&key, &first_hour).await.unwrap();
    assert_eq!((told.resolution, told.points.len()), (crate::Resolution::Raw, 360));
    drop(subject);

    // They go; and of the rollups those by the minute.
    let short = SqliteConfig {
        retention_raw: 7 * day,
        retention_1m: 8 * day,
        housekeeping: Duration::from_millis(1),
        ..SqliteConfig::new(&path)
    };
    let mut sink = SqliteSink::new(short);
    sink.prepare().await.unwrap();
    let store = SqliteStore::open(&path);
    let deadline = Instant::now() + Duration::from_secs(60);
    let told = loop {
        let told = store.history(&key, &first_hour).await.unwrap();
        if told.resolution == crate::Resolution::Hour {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((told.points.len(), told.points[0].samples, told.points[0].pids), (1, 360, Some(3)));
    let asked = HistoryQuery { resolution: Some(crate::Resolution::Minute), ..first_hour };
    assert_eq!(store.history(&key, &asked).await.unwrap().points, [], "what was asked for is not replaced");
}
