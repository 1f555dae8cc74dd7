//! Answers that refuse: all that the table lists, from a server that says what it is told; and real ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Batch, BatchId, Rows};
use pipeline::ports::{Deliver, FailureClass, Range, Receipt};
use test_support::InfluxDb;

use super::tests::{config, count, database, name, ready, rows, samples};
use super::*;
use crate::fixtures::{batch, noon, range, stats};
use crate::parrot::{Parrot, locally};

/// What one delivery comes to with a server that gives this answer.
async fn answered(head: &str, body: &str) -> pipeline::ports::DeliverError {
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let parrot = Parrot::saying(answer).await;
    let mut sink = InfluxSink::new(InfluxConfig::new(&parrot.url, database("d")));
    sink.deliver(&samples(0, 10)).await.unwrap_err()
}

#[tokio::test]
async fn every_status_is_told_apart_as_the_table_says() {
    locally(async {
        for (verdict, status) in
            VERDICTS.iter().flat_map(|verdict| verdict.codes.iter().map(move |code| (verdict, code)))
        {
            let error = answered(&format!("{status} Any"), "{\"error\":\"some words\"}").await;
            assert_eq!(error.class, verdict.course.at(1), "{status}: {error}");
            assert!(error.message.ends_with(": some words"), "{error}");
        }
        let other = [(500, FailureClass::Retry), (502, FailureClass::Retry), (200, FailureClass::Config)];
        for (status, class) in other {
            let error = answered(&format!("{status} Any"), "<html>\nhello</html>").await;
            assert_eq!(error.class, class, "{status}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_says_for_how_long() {
    locally(async {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let error = answered(&format!("{status}\r\nRetry-After: 17"), "").await;
            let wanted = (FailureClass::RetrySlow, Some(Duration::from_secs(17)));
            assert_eq!((error.class, error.retry_after), wanted, "{error}");
            let error = answered(&format!("{status}\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT"), "").await;
            assert_eq!((error.class, error.retry_after), (FailureClass::RetrySlow, None), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_goes_with_every_request_and_into_no_message() {
    locally(async {
        let parrot = Parrot::saying("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".into()).await;
        let api = Api::V2 { bucket: "b".into(), org: Some("o".into()) };
        let token = Credentials::Token("open-sesame".into());
        let config = InfluxConfig { credentials: token, ..InfluxConfig::new(&parrot.url, api) };
        ready(&config).await.deliver(&samples(0, 10)).await.unwrap();
        let head = parrot.heard.lock().await.clone();
        assert!(head.starts_with("POST /api/v2/write?org=o&bucket=b&precision=ns HTTP/1.1\r\n"), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("\r\nauthorization: token open-sesame"), "{head}");
        assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
        let unsayable = InfluxConfig { credentials: Credentials::Token("sesame\n".into()), ..config };
        let error = InfluxSink::new(unsayable).prepare().await.unwrap_err();
        assert!(error.class == FailureClass::Config && !error.message.contains("sesame"), "{error}");
    })
    .await;
}

/// Delivers a batch as the pipeline does: what is refused is halved until it stands alone.
async fn bisected(sink: &mut InfluxSink, whole: Batch) -> (Receipt, u64) {
    let (mut left, mut receipt, requests) = (vec![whole], Receipt::default(), AtomicU64::new(0));
    while let Some(part) = left.pop() {
        requests.fetch_add(1, Ordering::Relaxed);
        match sink.deliver(&range(part.id.first, vec![part.clone()])).await {
            Ok(of) => receipt.rejected.extend(of.rejected),
            Err(error) => {
                assert_eq!(error.class, FailureClass::Poison, "{error}");
                assert!(part.rows.len() > 1, "one point alone is refused by name: {error}");
                let Rows::Stats(rows) = &part.rows else { panic!("samples") };
                let middle = rows.len() / 2;
                let half = |first: u64, rows: &[model::StatsRecord]| {
                    let last = first + rows.len() as u64 - 1;
                    let id = BatchId { first, last, ..part.id.clone() };
                    Batch { id, rows: Rows::Stats(rows.into()), ..part.clone() }
                };
                left.push(half(part.id.first, &rows[..middle]));
                left.push(half(part.id.first + middle as u64, &rows[middle..]));
            }
        }
    }
    receipt.rejected.sort_by_key(|rejection| rejection.sequence);
    (receipt, requests.into_inner())
}

#[tokio::test]
async fn of_a_request_that_is_partly_refused_every_good_point_is_stored_and_every_bad_one_named() {
    // Five names of containers, and no more.
    let server = InfluxDb::start_with(&["--values-per-tag", "5"]);
    let config = config(&server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 5)).await.unwrap();
    let Range { batches, .. } = samples(5, 200);
    let (receipt, requests) = bisected(&mut sink, batches[0].clone()).await;
    let known = |sequence: &u64| sequence % 7 < 5;
    let refused: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
    assert_eq!(refused, (5..205).filter(|sequence| !known(sequence)).collect::<Vec<_>>());
    assert!(receipt.rejected.iter().all(|of| of.error.contains("max-values-per-tag limit exceeded")), "{receipt:?}");
    assert_eq!(count(&server, &config), 5 + 200 - refused.len());
    assert!(requests > 50, "{requests}");
}

#[tokio::test]
async fn a_measurement_of_another_program_refuses_its_points_and_no_others() {
    let server = InfluxDb::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    // Somebody writes the same field as a text.
    server.query(name(&config), "SELECT mem_used::integer INTO copied FROM docker_container_stats");
    let mut lone = stats(1, noon());
    lone.sample = model::Sample::default();
    lone.sample.pids = Some(1);
    sink.deliver(&range(0, vec![batch(0, Rows::Stats(vec![lone].into()))])).await.unwrap();
    server.query(
        name(&config),
        "SELECT container_id AS mem_used INTO docker_container_stats FROM docker_container_stats",
    );
    let Range { mut batches, .. } = samples(1, 20);
    let Rows::Stats(rows_sent) = &batches[0].rows else { panic!("samples") };
    let mut mixed = rows_sent.to_vec();
    mixed.iter_mut().step_by(2).for_each(|row| row.sample.memory_usage_bytes = None);
    batches[0].rows = Rows::Stats(mixed.into());
    let (receipt, _) = bisected(&mut sink, batches.remove(0)).await;
    let refused: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
    assert_eq!(refused, (1..21).filter(|sequence| sequence % 2 == 0).collect::<Vec<_>>());
    assert!(receipt.rejected[0].error.contains("field type conflict"), "{receipt:?}");
    let stored = rows(server, &config, "docker_container_stats");
    assert_eq!(stored.iter().filter(|row| !row["pids"].is_null()).count(), 11);
}

#[tokio::test]
async fn points_beyond_the_retention_policy_are_refused_in_one_request() {
    let server = InfluxDb::shared();
    let config = InfluxConfig { create_database: false, ..config(server) };
    server.query("", &format!("CREATE DATABASE {} WITH DURATION 1h", name(&config)));
    let mut sink = ready(&config).await;
    let Range { batches, .. } = samples(0, 500);
    let (receipt, requests) = bisected(&mut sink, batches[0].clone()).await;
    assert_eq!((receipt.rejected.len(), requests), (500, 1));
    assert!(receipt.rejected[499].error.ends_with("points beyond retention policy dropped=500"), "{receipt:?}");
}
