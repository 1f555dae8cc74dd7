//! Errors that the real engine, or its face, can be brought to.

use model::Stream;
use pipeline::ports::{Deliver, DeliverError, FailureClass};
use test_support::ClickHouse;

use super::tests::{config, ready, samples};
use super::*;

/// What the first delivery of a range of its own ends in.
async fn first_failure(sink: &mut ClickHouseSink, number: u64) -> DeliverError {
    sink.deliver(&samples(number * 10, 10)).await.unwrap_err()
}

#[tokio::test]
async fn every_code_is_told_apart_as_the_table_says() {
    // Of its own: a fault is for whoever comes next.
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let codes: Vec<_> =
        VERDICTS.iter().flat_map(|verdict| verdict.codes.iter().map(move |code| (verdict, code))).collect();
    for (number, (verdict, (code, name))) in (0..).zip(codes) {
        server.fault(&format!("code{code}"), 1);
        let error = first_failure(&mut sink, number).await;
        assert_eq!(error.class, verdict.course.at(1), "{code} {name}: {error}");
        sink.deliver(&samples(number * 10, 10)).await.unwrap();
    }
}

#[tokio::test]
async fn every_status_of_a_proxy_is_told_apart_as_the_table_says() {
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let codes: Vec<_> =
        PROXY.iter().flat_map(|verdict| verdict.codes.iter().map(move |code| (verdict, code))).collect();
    for (number, (verdict, code)) in (0..).zip(codes) {
        server.fault(&format!("http{code}"), 1);
        let error = first_failure(&mut sink, number).await;
        assert_eq!(error.class, verdict.course.at(1), "{code}: {error}");
    }
    let passing = ["http500", "http502", "http504", "reset_before", "reset_mid", "reset_after"];
    for (number, fault) in (100..).zip(passing) {
        server.fault(fault, 1);
        let error = first_failure(&mut sink, number).await;
        assert_eq!(error.class, FailureClass::Retry, "{fault}: {error}");
        sink.deliver(&samples(number * 10, 10)).await.unwrap();
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_a_matter_of_the_schema_and_refuses_no_row() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 10)).await.unwrap();
    let table = format!("{}.{}", config.database, table_name(Stream::Stats));
    server.query(&format!("ALTER TABLE {table} MODIFY COLUMN pids Nullable(String)"));
    let error = sink.deliver(&samples(10, 10)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
    // What the pipeline does then: it names the column until it is mended.
    let error = sink.prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains(&format!("{}.pids is Nullable(String)", table_name(Stream::Stats))), "{error}");
}

#[tokio::test]
async fn a_column_that_is_gone_is_a_matter_of_the_schema() {
    let server = ClickHouse::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let table = format!("{}.{}", config.database, table_name(Stream::Stats));
    server.query(&format!("ALTER TABLE {table} DROP COLUMN block_read_bytes"));
    let error = sink.deliver(&samples(0, 10)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
    server.query(&format!("DROP TABLE {table} SYNC"));
    let error = sink.deliver(&samples(0, 10)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
}
