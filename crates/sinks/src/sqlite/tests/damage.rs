//! Damaged files: moved aside, told, and begun anew.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::*;
use crate::sqlite::schema;

fn overwrite(path: &Path, from: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xAA; length], from).unwrap();
}

fn length(path: &Path) -> usize {
    usize::try_from(File::open(path).unwrap().metadata().unwrap().len()).unwrap()
}

fn only_one_aside(path: &Path) -> PathBuf {
    let aside = moved_aside(path);
    assert_eq!(aside.len(), 1, "{aside:?}");
    aside[0].clone()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside_and_a_new_one_is_begun() {
    let (_folder, path) = folder();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let junk = b"this was never a database ".repeat(500);
    fs::write(&path, &junk).unwrap();
    fs::write(path.with_file_name("dockstream.db-wal"), b"log").unwrap();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    let aside = only_one_aside(&path);
    assert_eq!(fs::read(&aside).unwrap(), junk);
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("dockstream.db.damaged-2"), "{aside:?}");
    let log = aside.with_file_name(format!("{}-wal", aside.file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::read(log).unwrap(), b"log");
    assert_eq!(count(&path, "container_stats"), 2);
}

#[tokio::test]
async fn a_page_that_does_not_read_is_found_at_the_start() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let rows: Vec<_> = (0..2_000).map(|second| stats(1, noon() + Duration::from_secs(second))).collect();
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    sink.close().await;
    overwrite(&path, length(&path) as u64 - 3 * 4_096, 4_096);
    let mut sink = ready(SqliteConfig::new(&path)).await;
    only_one_aside(&path);
    sink.deliver(&range(1, one_of_each())).await.unwrap();
    assert_eq!(count(&path, "container_stats"), 2);
}

#[tokio::test]
async fn a_file_damaged_under_a_running_sink_is_moved_aside_and_the_range_is_stored_in_a_new_one() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let other = Connection::open(&path).unwrap();
    // Another's write makes the sink read the file again, and the checkpoint leaves it nothing else to read.
    other.execute_batch("CREATE TABLE more (x); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    overwrite(&path, 100, length(&path) - 100);
    let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
    assert!(error.message.contains("malformed"), "{error}");
    assert_eq!(moved_aside(&path).len(), 0);
    sink.prepare().await.unwrap();
    only_one_aside(&path);
    for _ in 0..2 {
        sink.deliver(&range(0, one_of_each())).await.unwrap();
        sink.prepare().await.unwrap();
    }
    assert_eq!(count(&path, "container_stats"), 2);
    only_one_aside(&path);
}

#[tokio::test]
async fn damage_that_is_found_while_packing_is_told_at_the_next_delivery() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let rows: Vec<_> = (0..5_000).map(|second| stats(1, noon() + Duration::from_secs(second))).collect();
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    sink.close().await;
    // A table whose root is not where the schema says: the look at the start does not see it in time or at all.
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'samples_1h'",
        )
        .unwrap();
    drop(connection);
    let config = SqliteConfig { pack_after: Duration::ZERO, ..SqliteConfig::new(&path) };
    let mut sink = ready(config).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while moved_aside(&path).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "nobody noticed");
        if sink.deliver(&range(1, one_of_each())).await.is_err() {
            sink.prepare().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sink.deliver(&range(1, one_of_each())).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_removed_or_replaced_under_a_running_sink_is_begun_anew() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    fs::remove_file(&path).unwrap();
    let error = sink.deliver(&range(1, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema);
    assert!(error.message.ends_with("was moved or removed: it is opened anew"), "{error}");
    sink.prepare().await.unwrap();
    sink.deliver(&range(1, one_of_each())).await.unwrap();
    assert_eq!(count(&path, "container_stats"), 2);
}

#[tokio::test]
async fn what_cannot_be_moved_aside_is_told_and_left_where_it_is() {
    let (_folder, path) = folder();
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(&path, b"junk ".repeat(500)).unwrap();
    // A file system would have to be read-only for that, as root may write everywhere.
    let error = SqliteError::Stuck {
        path: path.clone(),
        reason: "file is not a database".into(),
        source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
    };
    assert_eq!(error.class(), FailureClass::Config);
    assert!(
        error.to_string().ends_with("cannot be moved aside (permission denied): move it away, or name another file")
    );
    assert!(schema::open(&path).is_ok());
}
