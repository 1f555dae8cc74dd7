//! Errors that a real file can be brought to.

use pipeline::ports::{Deliver, FailureClass};
use rusqlite::{Connection, TransactionBehavior};

use super::tests::{count, folder, ready};
use super::*;
use crate::fixtures::{one_of_each, range};

#[tokio::test]
async fn a_row_that_a_trigger_refuses_is_refused_and_not_tried_for_ever() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TRIGGER strict BEFORE INSERT ON losses BEGIN SELECT RAISE(ABORT, 'not today'); END")
        .unwrap();
    let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Poison, "{error}");
    assert!(error.message.contains("not today"), "{error}");
    assert_eq!(count(&path, "container_events"), 0, "all or nothing");
}

#[tokio::test]
async fn a_table_that_is_gone_is_a_matter_of_the_schema_and_refuses_no_row() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    Connection::open(&path).unwrap().execute_batch("DROP TABLE losses").unwrap();
    let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
    assert!(error.message.contains("no such table: losses"), "{error}");
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_told() {
    let (_folder, path) = folder();
    migrate(&path).unwrap();
    let mut connection = schema::open(&path).unwrap();
    connection.execute_batch("PRAGMA query_only = ON").unwrap();
    let mut encoder = encode::Encoder::default();
    let error = writer::write(&mut connection, &mut encoder, &one_of_each()).unwrap_err();
    assert_eq!(error.class(), FailureClass::Config, "{error}");
    assert!(error.to_string().contains("readonly"), "{error}");
}

#[tokio::test]
async fn a_lock_that_does_not_pass_is_tried_again_and_refuses_no_row() {
    let (_folder, path) = folder();
    let mut sink = ready(SqliteConfig::new(&path)).await;
    let mut other = Connection::open(&path).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    drop(lock);
    sink.deliver(&range(0, one_of_each())).await.unwrap();
}
