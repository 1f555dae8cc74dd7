//! Answers that refuse, whole or in part: all that the tables list, from a receiver that says what it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Rows, Stream};
use pipeline::ports::{Deliver, DeliverError, FailureClass, Range};
use prost::Message;

use super::grpc::RpcStatus;
use super::receiver::{Receiver, Say};
use super::tests::{ready, samples};
use super::*;
use crate::fixtures::{batch, log, noon, one_of_each, range};

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

fn lines(first: u64, count: u64) -> Range {
    let rows: Vec<_> =
        (first..first + count).map(|number| log(number % 3, noon() + Duration::from_millis(number))).collect();
    range(first, vec![batch(first, Rows::Logs(rows.into()))])
}

async fn refused(protocol: Protocol, say: Say) -> DeliverError {
    let receiver = Receiver::saying(protocol, [say]).await;
    OtlpSink::new(receiver.config()).deliver(&samples(0, 10)).await.unwrap_err()
}

#[tokio::test]
async fn every_code_of_grpc_is_told_apart_as_the_table_says() {
    for (verdict, (code, name)) in VERDICTS.iter().flat_map(|of| of.codes.iter().map(move |code| (of, code))) {
        let error = refused(Protocol::Grpc, Say::Code(*code, "some%20words", None)).await;
        assert_eq!(error.class, verdict.course.at(1), "{name}: {error}");
        assert!(error.message.ends_with(&format!(": metrics: {name}: some words")), "{error}");
    }
    let error = refused(Protocol::Grpc, Say::Code(8, "received message larger than max (9 vs. 4)", None)).await;
    assert_eq!(error.class, FailureClass::Split, "{error}");
}

#[tokio::test]
async fn every_status_of_http_is_told_apart_as_the_table_says() {
    let words = RpcStatus { code: 3, message: "some\nwords".into(), details: Vec::new() }.encode_to_vec();
    for (verdict, status) in HTTP.iter().flat_map(|of| of.codes.iter().map(move |code| (of, *code))) {
        let say = Say::Status(status, ("content-type", "application/x-protobuf"), words.clone());
        let error = refused(Protocol::Http, say).await;
        assert_eq!(error.class, verdict.course.at(1), "{status}: {error}");
        assert!(error.message.ends_with(": some words"), "{error}");
        // The same from a proxy, also before a receiver of gRPC.
        for protocol in BOTH {
            let error =
                refused(protocol, Say::Status(status, ("content-type", "text/html"), b"<p>no</p>".into())).await;
            assert_eq!(error.class, verdict.course.at(1), "{status}: {error}");
            assert!(error.message.ends_with(": <p>no</p>"), "{error}");
        }
    }
    let error = refused(Protocol::Http, Say::Status(502, ("a", "b"), Vec::new())).await;
    assert_eq!(error.class, FailureClass::Retry, "{error}");
}

#[tokio::test]
async fn a_receiver_that_wants_to_be_left_alone_says_for_how_long() {
    let after = Some(Duration::from_secs(17));
    for (protocol, say) in [
        (Protocol::Grpc, Say::Code(8, "quota", after)),
        (Protocol::Grpc, Say::Code(14, "away", after)),
        (Protocol::Http, Say::Status(429, ("retry-after", "17"), Vec::new())),
        (Protocol::Http, Say::Status(503, ("retry-after", "17"), Vec::new())),
    ] {
        let error = refused(protocol, say.clone()).await;
        assert_eq!(error.retry_after, after, "{say:?}: {error}");
        assert!(matches!(error.class, FailureClass::Retry | FailureClass::RetrySlow), "{error}");
    }
}

#[tokio::test]
async fn an_answer_in_another_tongue_is_no_receivers() {
    for protocol in BOTH {
        let error = refused(protocol, Say::Status(200, ("content-type", "text/html"), b"<p>hello</p>".into())).await;
        assert_eq!(error.class, FailureClass::Config, "{error}");
        assert!(error.message.contains("200 OK with text/html, which is no answer to OTLP over"), "{error}");
    }
    let receiver = Receiver::saying(Protocol::Http, [Say::Status(204, ("a", "b"), Vec::new())]).await;
    OtlpSink::new(receiver.config()).deliver(&samples(0, 10)).await.unwrap();
}

#[tokio::test]
async fn what_is_refused_of_a_request_that_is_taken_is_told_and_never_sent_again() {
    for protocol in BOTH {
        // All of it: each row by its name.
        let receiver = Receiver::saying(protocol, [Say::Partly(10, "too old")]).await;
        let mut sink = OtlpSink::new(receiver.config());
        let receipt = sink.deliver(&lines(5, 10)).await.unwrap();
        let told: Vec<_> = receipt.rejected.iter().map(|of| (of.stream, of.sequence)).collect();
        assert_eq!(told, (5..15).map(|sequence| (Stream::Logs, sequence)).collect::<Vec<_>>());
        let words = format!("otlp {}: logs: refused: too old", receiver.url);
        assert!(receipt.rejected.iter().all(|of| of.error == words), "{receipt:?}");
        assert_eq!((sink.unnamed_refusals(), receiver.heard().len()), (vec![], 1));

        // A part of it: counted, for it has no name.
        let receiver = Receiver::saying(protocol, [Say::Partly(3, "too old"), Say::Partly(7, "too new")]).await;
        let mut sink = OtlpSink::new(receiver.config());
        assert_eq!(sink.deliver(&lines(0, 10)).await.unwrap().rejected, []);
        assert_eq!(sink.deliver(&samples(0, 10)).await.unwrap().rejected, []);
        assert_eq!(sink.unnamed_refusals(), [("data_points", 7), ("log_records", 3)]);
        assert_eq!((sink.unnamed_refusals(), receiver.heard().len()), (vec![], 2));

        // A warning.
        let receiver = Receiver::saying(protocol, [Say::Partly(0, "deprecated")]).await;
        let mut sink = OtlpSink::new(receiver.config());
        assert_eq!(sink.deliver(&lines(0, 10)).await.unwrap().rejected, []);
        assert_eq!((sink.unnamed_refusals(), receiver.heard().len()), (vec![], 1));
    }
    let json = br#"{"partialSuccess":{"rejectedLogRecords":"4","errorMessage":"no"}}"#.to_vec();
    let receiver =
        Receiver::saying(Protocol::Http, [Say::Status(200, ("content-type", "application/json"), json)]).await;
    let mut sink = OtlpSink::new(receiver.config());
    sink.deliver(&lines(0, 10)).await.unwrap();
    assert_eq!(sink.unnamed_refusals(), [("log_records", 4)]);
}

#[tokio::test]
async fn metrics_that_were_taken_are_not_sent_again_because_logs_were_not() {
    for protocol in BOTH {
        let script = [Say::Partly(2, "two"), Say::Status(503, ("a", "b"), Vec::new()), Say::Code(14, "away", None)];
        let script = script.into_iter().take(if protocol == Protocol::Grpc { 3 } else { 2 });
        let receiver = Receiver::saying(protocol, script).await;
        let mut sink = OtlpSink::new(receiver.config());
        let whole = range(0, one_of_each());
        while let Err(error) = sink.deliver(&whole).await {
            assert!(error.message.contains(": logs: "), "{error}");
        }
        let paths: Vec<String> = receiver.heard().into_iter().map(|heard| heard.path).collect();
        let metrics = |path: &&String| path.to_lowercase().contains("metrics");
        assert_eq!(paths.iter().filter(metrics).count(), 1, "{paths:?}");
        assert_eq!(sink.unnamed_refusals(), [("data_points", 2)]);
        let logs: Vec<_> = receiver.heard().into_iter().filter(|heard| !metrics(&&heard.path)).collect();
        assert!(logs.iter().all(|heard| heard.message == logs[0].message), "the same bytes again");
    }
}

#[tokio::test]
async fn a_token_and_headers_go_with_every_request_and_into_no_message() {
    for protocol in BOTH {
        let receiver = Receiver::saying(protocol, []).await;
        let config = OtlpConfig {
            token: Some("open-sesame".into()),
            headers: BTreeMap::from([("x-scope-orgid".into(), "house".into())]),
            ..receiver.config()
        };
        ready(&config).await.deliver(&samples(0, 10)).await.unwrap();
        let heard = receiver.heard();
        let of = |name: &str| heard[0].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(of("authorization").as_deref(), Some("Bearer open-sesame"));
        assert_eq!(of("x-scope-orgid").as_deref(), Some("house"));
        assert!(of("user-agent").unwrap().starts_with("dockstream/"));
        let (kind, encoding) = match protocol {
            Protocol::Grpc => ("application/grpc", "grpc-encoding"),
            Protocol::Http => ("application/x-protobuf", "content-encoding"),
        };
        assert_eq!((of("content-type").as_deref(), of(encoding).as_deref()), (Some(kind), Some("gzip")));
        for unsayable in [
            OtlpConfig { token: Some("sesame\n".into()), ..config.clone() },
            OtlpConfig { headers: BTreeMap::from([("x".into(), "sesame\n".into())]), ..config.clone() },
            OtlpConfig { headers: BTreeMap::from([("a b".into(), "sesame".into())]), ..config.clone() },
        ] {
            let error = OtlpSink::new(unsayable).prepare().await.unwrap_err();
            assert!(error.class == FailureClass::Config && !error.message.contains("sesame"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_left_out_is_neither_asked_for_nor_sent() {
    for (metrics, path) in [(true, "/v1/metrics"), (false, "/v1/logs")] {
        let receiver = Receiver::saying(Protocol::Http, []).await;
        let config = OtlpConfig { metrics, logs: !metrics, ..receiver.config() };
        let mut sink = ready(&config).await;
        let streams = sink.appetite().streams;
        assert_eq!((streams.contains(&Stream::Stats), streams.contains(&Stream::Logs)), (metrics, !metrics));
        sink.deliver(&range(0, one_of_each())).await.unwrap();
        assert_eq!(receiver.heard().iter().map(|heard| heard.path.as_str()).collect::<Vec<_>>(), [path]);
    }
}
