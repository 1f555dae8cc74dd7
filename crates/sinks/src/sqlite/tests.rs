use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{ContainerState, ImageState, Rows, Sample, SampleKind, SampleValue, Timestamp};
use pipeline::ports::{Deliver, FailureClass};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;
use crate::fixtures::{
    batch, container, event, host, image, image_version, log, loss, noon, one_of_each, range, stats, unknown_stats,
};

mod damage;
mod packing;
mod passes;

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/dockstream.db");
    (folder, path)
}

pub(super) async fn ready(config: SqliteConfig) -> SqliteSink {
    let mut sink = SqliteSink::new(config);
    sink.prepare().await.unwrap();
    sink
}

pub(super) fn count(path: &Path, table: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn read<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

const TABLES: [(&str, i64); 11] = [
    ("container_stats", 2),
    ("series", 3),
    ("logged", 2),
    ("container_logs", 2),
    ("container_events", 2),
    ("containers", 1),
    ("docker_images", 2),
    ("image_versions", 1),
    ("hosts", 1),
    ("host_health", 1),
    ("losses", 1),
];

#[tokio::test]
async fn every_stream_has_its_table_and_a_range_sent_again_changes_nothing() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    for attempt in 1..=3 {
        sink.deliver(&range(0, one_of_each())).await.unwrap();
        if attempt == 2 {
            sink.prepare().await.unwrap();
        }
        for (table, rows) in TABLES {
            assert_eq!(count(&path, table), rows, "{table}, attempt {attempt}");
        }
    }
}

#[tokio::test]
async fn every_value_of_a_sample_is_stored_and_the_unknown_is_null() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();

    let connection = Connection::open(&path).unwrap();
    let columns = format!("SELECT {} FROM container_stats WHERE container_name = ?1", Sample::FIELDS.join(", "));
    let stored = |name: &str| {
        connection
            .query_row(&columns, [name], |row| {
                Sample::read(|position, kind| {
                    Ok::<_, rusqlite::Error>(match kind {
                        SampleKind::Float64 => SampleValue::Float(row.get(position)?),
                        SampleKind::UInt32 | SampleKind::UInt64 => {
                            let value: Option<i64> = row.get(position)?;
                            SampleValue::Unsigned(value.map(|value| u64::try_from(value).unwrap()))
                        }
                    })
                })
            })
            .unwrap()
    };
    assert_eq!(stored("web-1"), stats(1, noon()).sample);
    assert_eq!(stored("web-2"), Sample::default());

    let identity = "SELECT host, container_id, image, compose_project, compose_service, run, timestamp, received_at,
                    network_scope, labels FROM container_stats WHERE container_name = 'web-1'";
    let identity: Vec<Value> =
        connection.query_row(identity, [], |row| (0..10).map(|index| row.get(index)).collect()).unwrap();
    let text = |text: &str| Value::Text(text.into());
    let at = |nanos: i64| Value::Integer(noon().as_nanos() + nanos);
    assert_eq!(
        identity,
        [
            text("edge-1"),
            text(&format!("{:064x}", 1)),
            text("nginx:1.29"),
            text("shop"),
            text("web"),
            at(0),
            at(0),
            at(1),
            text("own"),
            text(r#"{"team":"blue"}"#),
        ]
    );
}

#[tokio::test]
async fn a_value_sqlite_cannot_hold_is_not_known() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let mut row = stats(1, noon());
    row.sample.pids_limit = Some(u64::MAX);
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(vec![row].into()))])).await.unwrap();
    assert_eq!(read::<Option<i64>>(&path, "SELECT pids_limit FROM container_stats"), None);
}

#[tokio::test]
async fn samples_of_one_run_share_a_series_and_a_new_run_or_name_makes_another() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let mut rows: Vec<_> = (0..5).map(|second| stats(1, noon() + Duration::from_secs(second))).collect();
    rows.push(unknown_stats(1, noon() + Duration::from_secs(9)));
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    assert_eq!(count(&path, "series"), 2);
    assert_eq!(read::<i64>(&path, "SELECT count(*) FROM container_stats WHERE run IS NULL"), 1);
}

#[tokio::test]
async fn the_newest_state_of_a_container_wins_whatever_comes_last() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let states = vec![
        container(1, ContainerState::Running, noon()),
        container(1, ContainerState::Exited, noon() + Duration::from_secs(2)),
        container(1, ContainerState::Paused, noon() + Duration::from_secs(1)),
    ];
    sink.deliver(&range(0, vec![batch(1, Rows::Containers(states.into()))])).await.unwrap();
    assert_eq!(read::<String>(&path, "SELECT state FROM containers"), "exited");
}

#[tokio::test]
async fn the_newest_state_of_an_image_wins_whatever_comes_last() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let states =
        vec![image(1, ImageState::Removed, noon() + Duration::from_secs(1)), image(1, ImageState::Present, noon())];
    sink.deliver(&range(0, vec![batch(1, Rows::Images(states.into()))])).await.unwrap();
    assert_eq!(read::<String>(&path, "SELECT state FROM docker_images"), "removed");
}

#[tokio::test]
async fn the_file_is_readable_by_its_owner_alone() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_database_of_another_program_or_of_a_newer_dockstream_is_refused() {
    let (_folder, path) = folder();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let error = SqliteSink::new(SqliteConfig::new(&path)).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.ends_with("is a database of another program: name another file"), "{error}");

    let newer = path.with_file_name("newer.db");
    migrate(&newer).unwrap();
    let connection = Connection::open(&newer).unwrap();
    connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'", []).unwrap();
    let error = migrate(&newer).unwrap_err();
    assert!(
        error.to_string().contains(&format!("has schema version 99, this dockstream knows {SCHEMA_VERSION}")),
        "{error}"
    );
    assert_eq!(error.class(), FailureClass::Config);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_one_clear_line() {
    let (folder, _) = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let path = file.join("dockstream.db");
    let error = SqliteSink::new(SqliteConfig::new(&path)).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.starts_with(&format!("cannot open {}: ", path.display())), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_retried_slowly_and_nothing_of_the_range_is_half_there() {
    let (_folder, path) = folder();
    migrate(&path).unwrap();
    // The bound is a property of the connection, so the writer's own steps are taken here.
    let mut connection = schema::open(&path).unwrap();
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 10)).unwrap();
    let mut encoder = encode::Encoder::default();
    let rows: Vec<_> = (0..2_000).map(|second| stats(1, noon() + Duration::from_secs(second))).collect();
    let full = [batch(1, Rows::Stats(rows.into()))];
    let error = writer::write(&mut connection, &mut encoder, &full).unwrap_err();
    assert_eq!(error.class(), FailureClass::RetrySlow, "{error}");
    assert_eq!((count(&path, "samples"), count(&path, "series")), (0, 0));

    connection.execute_batch("PRAGMA max_page_count = 1000000").unwrap();
    writer::write(&mut connection, &mut encoder, &full).unwrap();
    assert_eq!((count(&path, "container_stats"), count(&path, "series")), (2_000, 1));
}

#[tokio::test]
async fn a_delivery_before_prepare_asks_to_be_prepared() {
    let (_folder, path) = folder();
    let error = SqliteSink::new(SqliteConfig::new(&path)).deliver(&range(0, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema);
}

#[tokio::test]
async fn a_locked_database_is_waited_for() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let mut other = Connection::open(&path).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let work = range(0, one_of_each());
    let delivery = sink.deliver(&work);
    tokio::pin!(delivery);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut delivery).await.is_err(), "it ignored the lock");
    drop(lock);
    delivery.await.unwrap();
}

#[tokio::test]
async fn old_rows_go_and_young_rows_stay() {
    let (_folder, path) = folder();
    let now = Timestamp::from(std::time::SystemTime::now());
    let (old, older) = (now - 8 * DAY, now - 31 * DAY);
    let config = SqliteConfig { housekeeping: Duration::from_millis(20), ..SqliteConfig::new(&path) };
    let many: Vec<_> = (0..5_000).map(|second| stats(1, old + Duration::from_millis(second))).collect();
    let mut gone = container(1, ContainerState::Removed, older);
    gone.container_name = "gone".into();
    let mut sink = ready(config).await;
    sink.deliver(&range(
        0,
        vec![
            batch(1, Rows::Stats(many.into())),
            batch(5_001, Rows::Stats(vec![unknown_stats(2, now), unknown_stats(3, old)].into())),
            batch(1, Rows::Events(vec![event(1, older), event(1, old)].into())),
            batch(1, Rows::Containers(vec![gone, container(2, ContainerState::Exited, older)].into())),
            batch(
                1,
                Rows::Images(vec![image(1, ImageState::Removed, older), image(2, ImageState::Present, older)].into()),
            ),
            batch(1, Rows::ImageVersions(vec![image_version(older), image_version(old)].into())),
            batch(1, Rows::Hosts(vec![host(old), host(now)].into())),
            batch(1, Rows::Losses(vec![loss(older), loss(old)].into())),
            batch(1, Rows::Logs(vec![log(4, old), log(5, old), log(5, now - 2 * DAY)].into())),
        ],
    ))
    .await
    .unwrap();

    let left = [
        ("samples", 1),
        ("series", 2),
        ("logged", 1),
        ("container_logs", 1),
        ("container_events", 1),
        ("containers", 1),
        ("docker_images", 1),
        ("image_versions", 1),
        ("hosts", 1),
        ("host_health", 1),
        ("losses", 1),
    ];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let counts = left.map(|(table, _)| (table, count(&path, table)));
        if counts == left {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "left over: {counts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A series that went is made again when its container is back.
    sink.deliver(&range(6, vec![batch(5_003, Rows::Stats(vec![stats(1, now)].into()))])).await.unwrap();
    assert_eq!(count(&path, "container_stats"), 2);
}

#[tokio::test]
async fn a_closed_sink_leaves_one_file_and_can_be_prepared_again() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    sink.close().await;
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["dockstream.db"]);
    sink.prepare().await.unwrap();
    sink.deliver(&range(5, one_of_each())).await.unwrap();
}
