//! Answers that refuse: all that the table lists, from a server that says what it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use pipeline::ports::{Deliver, DeliverError, FailureClass, Receipt};

use super::tests::{ready, samples};
use super::*;
use crate::parrot::{Parrot, locally};

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// What one delivery comes to with a server that gives this answer.
async fn answered(head: &str, body: &str) -> DeliverError {
    let parrot = Parrot::saying(answer(head, body)).await;
    RemoteWriteSink::new(RemoteWriteConfig::new(&parrot.url)).deliver(&samples(0, 10)).await.unwrap_err()
}

#[tokio::test]
async fn every_status_is_told_apart_as_the_table_says() {
    locally(async {
        for (verdict, status) in VERDICTS.iter().flat_map(|of| of.codes.iter().map(move |code| (of, code))) {
            let error = answered(&format!("{status} Any"), "some\nwords").await;
            assert_eq!(error.class, verdict.course.at(1), "{status}: {error}");
            assert!(error.message.ends_with(": some words"), "{error}");
        }
        for (status, class) in [
            (500, FailureClass::Retry),
            (502, FailureClass::Retry),
            (409, FailureClass::Retry),
            (302, FailureClass::Config),
        ] {
            let error = answered(&format!("{status} Any"), "").await;
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
        }
    })
    .await;
}

#[tokio::test]
async fn out_of_order_is_taken_for_stored_only_where_that_may_be() {
    locally(async {
        let parrot = Parrot::saying(answer("400 Bad Request", "out of order sample\n")).await;
        let mut sink = RemoteWriteSink::new(RemoteWriteConfig::new(&parrot.url));
        // The life before may have sent it, and only a record that stands alone says anything.
        assert_eq!(sink.deliver(&samples(0, 2)).await.unwrap_err().class, FailureClass::Poison);
        assert_eq!(sink.deliver(&samples(0, 1)).await, Ok(Receipt::default()));
        // This life has not sent it before.
        assert_eq!(sink.deliver(&samples(2, 1)).await.unwrap_err().class, FailureClass::Poison);
        let parrot = Parrot::saying(answer("400 Bad Request", "label name \"\" is not valid")).await;
        let mut sink = RemoteWriteSink::new(RemoteWriteConfig::new(&parrot.url));
        assert_eq!(sink.deliver(&samples(0, 1)).await.unwrap_err().class, FailureClass::Poison);
    })
    .await;
}

#[tokio::test]
async fn who_this_is_goes_with_every_request_and_into_no_message() {
    locally(async {
        let parrot = Parrot::saying("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".into()).await;
        let user = Credentials::User { name: "admin".into(), password: "open sesame".into() };
        for (credentials, header) in [
            (Credentials::Token("open-sesame".into()), "authorization: Bearer open-sesame"),
            (user, "authorization: Basic YWRtaW46b3BlbiBzZXNhbWU="),
        ] {
            let headers = BTreeMap::from([("x-scope-orgid".to_owned(), "house".to_owned())]);
            let url = format!("{}/api/v1/write?tenant=a", parrot.url);
            let config = RemoteWriteConfig { credentials, headers, ..RemoteWriteConfig::new(url) };
            ready(&config).await.deliver(&samples(0, 10)).await.unwrap();
            let head = parrot.heard.lock().await.clone();
            assert!(head.starts_with("POST /api/v1/write?tenant=a HTTP/1.1\r\n"), "{head}");
            for line in [
                header,
                "x-scope-orgid: house",
                "content-encoding: snappy",
                "content-type: application/x-protobuf",
                "x-prometheus-remote-write-version: 0.1.0",
            ] {
                assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
            }
        }
        for unsayable in [
            RemoteWriteConfig {
                credentials: Credentials::Token("sesame\n".into()),
                ..RemoteWriteConfig::new(&parrot.url)
            },
            RemoteWriteConfig {
                headers: BTreeMap::from([("x".into(), "sesame\n".into())]),
                ..RemoteWriteConfig::new(&parrot.url)
            },
        ] {
            let error = RemoteWriteSink::new(unsayable).prepare().await.unwrap_err();
            assert!(error.class == FailureClass::Config && !error.message.contains("sesame"), "{error}");
        }
    })
    .await;
}
