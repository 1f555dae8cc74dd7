//! Against Prometheus itself, and VictoriaMetrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{Batch, BatchId, Rows, StatsRecord};
use pipeline::ports::{Deliver, FailureClass, Range, Receipt};
use serde_json::Value;
use test_support::{Line, Place, Prometheus, Proxy, VictoriaMetrics, unique};

use super::encode::{WriteRequest, encode};
use super::*;
use crate::fixtures::{batch, noon, one_of_each, range, stats};

const SOON: Duration = Duration::from_secs(120);

/// Values by their times in milliseconds, of a series by its labels.
type Samples = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, f64>>;

pub(super) async fn ready(config: &RemoteWriteConfig) -> RemoteWriteSink {
    let mut sink = RemoteWriteSink::new(config.clone());
    sink.prepare().await.unwrap();
    sink
}

fn config(server: &Prometheus) -> RemoteWriteConfig {
    RemoteWriteConfig::new(format!("{}/api/v1/write", server.url()))
}

/// `count` samples ten milliseconds apart, of seven containers.
pub(super) fn samples(first: u64, count: u64) -> Range {
    let rows: Vec<StatsRecord> =
        (first..first + count).map(|number| stats(number % 7, noon() + Duration::from_millis(10 * number))).collect();
    range(first, vec![batch(first, Rows::Stats(rows.into()))])
}

fn sent(batches: &[Batch]) -> Samples {
    let WriteRequest { timeseries } = encode(batches, &[]);
    let labels = |of: &super::encode::TimeSeries| {
        of.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect::<BTreeMap<_, _>>()
    };
    let values = |of: &super::encode::TimeSeries| of.samples.iter().map(|of| (of.timestamp, of.value)).collect();
    timeseries.iter().map(|of| (labels(of), values(of))).collect()
}

/// Everything a Prometheus has of the hour after noon.
fn stored(server: &Prometheus) -> Samples {
    let at = noon().as_secs() + 1_800;
    let answer = server.query_at("{__name__=~\"docker_container_.+\"}[1h]", at);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let series = answer["data"]["result"].as_array().unwrap().iter().map(|of| {
        let labels = serde_json::from_value(of["metric"].clone()).unwrap();
        let value = |pair: &Value| {
            let millis = (pair[0].as_f64().unwrap() * 1e3).round() as i64;
            (millis, pair[1].as_str().unwrap().parse().unwrap())
        };
        (labels, of["values"].as_array().unwrap().iter().map(value).collect())
    });
    series.collect()
}

/// Delivers a range as the pipeline does: what is refused is halved until it stands alone.
async fn bisected(sink: &mut RemoteWriteSink, whole: &Batch) -> Receipt {
    let (mut left, mut receipt) = (vec![whole.clone()], Receipt::default());
    while let Some(part) = left.pop() {
        let Rows::Stats(rows) = &part.rows else { panic!("samples") };
        match sink.deliver(&range(part.id.first, vec![part.clone()])).await {
            Ok(of) => receipt.rejected.extend(of.rejected),
            Err(error) => {
                assert_eq!(error.class, FailureClass::Poison, "{error}");
                let part_of = |first: u64, rows: &[StatsRecord]| {
                    let id = BatchId { first, last: first + rows.len() as u64 - 1, ..part.id.clone() };
                    Batch { id, rows: Rows::Stats(rows.into()), ..part.clone() }
                };
                let middle = rows.len() / 2;
                if middle == 0 {
                    let (stream, sequence) = (part.id.stream, part.id.first);
                    receipt.rejected.push(pipeline::ports::Rejection { stream, sequence, error: error.message });
                    continue;
                }
                // The first half before the second: in the order of time.
                left.push(part_of(part.id.first + middle as u64, &rows[middle..]));
                left.push(part_of(part.id.first, &rows[..middle]));
            }
        }
    }
    receipt
}

#[tokio::test]
async fn prometheus_has_every_sample_at_its_own_time() {
    let server = Prometheus::receiving();
    let mut sink = ready(&config(&server)).await;
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    let expected = sent(&one_of_each());
    assert_eq!(stored(&server), expected);
    let names: BTreeSet<&String> = expected.keys().map(|labels| &labels["__name__"]).collect();
    assert_eq!(names.len(), model::FAMILIES.len());
}

#[tokio::test]
async fn a_range_sent_again_changes_nothing_and_refuses_nothing() {
    let server = Prometheus::receiving();
    let Range { batches, .. } = samples(0, 100);
    ready(&config(&server)).await.deliver(&range(0, batches.clone())).await.unwrap();
    // As after a restart, which does not know whether it was taken.
    let mut again = ready(&config(&server)).await;
    assert_eq!(bisected(&mut again, &batches[0]).await, Receipt::default());
    assert_eq!(stored(&server), sent(&batches));
    again.deliver(&samples(100, 100)).await.unwrap();
    assert_eq!(stored(&server), sent(&[batches, samples(100, 100).batches].concat()));
}

#[tokio::test]
async fn what_comes_too_late_is_refused_by_name_and_nothing_else_is() {
    let server = Prometheus::receiving();
    let mut sink = ready(&config(&server)).await;
    sink.deliver(&samples(500, 7)).await.unwrap();
    // Of each container one sample that is older than what is there, and one that is newer.
    let rows: Vec<StatsRecord> = [samples(0, 7), samples(600, 7)]
        .iter()
        .flat_map(|range| {
            let Rows::Stats(rows) = &range.batches[0].rows else { panic!("samples") };
            rows.to_vec()
        })
        .collect();
    let receipt = bisected(&mut sink, &batch(507, Rows::Stats(rows.into()))).await;
    let refused: Vec<u64> = receipt.rejected.iter().map(|of| of.sequence).collect();
    assert_eq!(refused, (507..514).collect::<Vec<_>>());
    assert!(receipt.rejected.iter().all(|of| of.error.contains("400 Bad Request: out of order sample")), "{receipt:?}");
    assert_eq!(stored(&server), sent(&[samples(500, 7).batches, samples(600, 7).batches].concat()));
}

#[tokio::test]
async fn an_answer_that_is_lost_doubles_no_sample_and_refuses_none() {
    let server = Prometheus::receiving();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::at(server.url().trim_start_matches("http://")));
    let url = format!("http://{}/api/v1/write", proxy.address());
    let patient = RemoteWriteConfig { timeout: SOON, ..RemoteWriteConfig::new(url) };
    ready(&patient).await.deliver(&samples(0, 50)).await.unwrap();
    let mut sink = RemoteWriteSink::new(RemoteWriteConfig { timeout: Duration::from_secs(2), ..patient });
    proxy.set(Line::Deaf);
    let work = samples(50, 50);
    for _ in 0..2 {
        let error = sink.deliver(&work).await.unwrap_err();
        let told = (error.class, error.message.contains("no answer within 2s"));
        assert_eq!(told, (FailureClass::Retry, true), "{error}");
    }
    proxy.reset();
    proxy.set(Line::Clear);
    let deadline = Instant::now() + SOON;
    loop {
        match sink.deliver(&work).await {
            Ok(receipt) => break assert_eq!(receipt, Receipt::default()),
            Err(error) if error.class == FailureClass::Poison => {
                break assert_eq!(bisected(&mut sink, &work.batches[0]).await, Receipt::default());
            }
            Err(error) => assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}"),
        }
    }
    assert_eq!(stored(&server), sent(&[samples(0, 50).batches, work.batches].concat()));
}

#[tokio::test]
async fn a_prometheus_killed_and_started_again_has_every_sample() {
    let server = Prometheus::receiving();
    let mut sink = ready(&config(&server)).await;
    sink.deliver(&samples(0, 100)).await.unwrap();
    server.kill9();
    let next = samples(100, 100);
    let deadline = Instant::now() + SOON;
    loop {
        let error = sink.deliver(&next).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry, "{error}");
        assert!(error.message.starts_with(&format!("remote write {}/api/v1/write: ", server.url())), "{error}");
        // Before that, a kept connection may be found closed.
        if error.message.contains("refused") {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
    }
    server.restart();
    while let Err(error) = sink.deliver(&next).await {
        assert!(
            matches!(error.class, FailureClass::Retry | FailureClass::RetrySlow) && Instant::now() < deadline,
            "{error}"
        );
    }
    assert_eq!(stored(&server), sent(&[samples(0, 100).batches, next.batches].concat()));
}

#[tokio::test]
async fn victoriametrics_has_every_sample_once_however_often_it_comes() {
    let server = VictoriaMetrics::shared();
    let host = unique("host");
    let Range { mut batches, .. } = samples(0, 200);
    let Rows::Stats(rows) = &batches[0].rows else { panic!("samples") };
    let ours = |row: &StatsRecord| {
        let meta = model::ContainerMeta { host: model::HostName::try_new(&host).unwrap(), ..row.meta.as_ref().clone() };
        StatsRecord { meta: meta.into(), ..row.clone() }
    };
    batches[0].rows = Rows::Stats(rows.iter().map(ours).collect());
    let config = RemoteWriteConfig::new(format!("{}/api/v1/write", server.url()));
    let mut sink = ready(&config).await;
    for _ in 0..2 {
        sink.deliver(&range(0, batches.clone())).await.unwrap();
    }
    let exported = server.export(&format!("{{__name__=~\"docker_container_.+\",host=\"{host}\"}}"));
    let series = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).map(|of| {
        let labels: BTreeMap<String, String> = serde_json::from_value(of["metric"].clone()).unwrap();
        let times = of["timestamps"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap());
        let values = of["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        (labels, times.zip(values).collect::<BTreeMap<_, _>>())
    });
    // A series can be exported in several lines.
    let mut stored = Samples::new();
    series.for_each(|(labels, values)| stored.entry(labels).or_default().extend(values));
    let expected = sent(&batches);
    assert_eq!(stored.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (labels, values) in expected {
        let found = &stored[&labels];
        assert_eq!(found.keys().collect::<Vec<_>>(), values.keys().collect::<Vec<_>>(), "{labels:?}");
        for (time, value) in values {
            // It keeps some fifteen digits.
            assert!((found[&time] - value).abs() <= value.abs() * 1e-12, "{labels:?} {time}: {} {value}", found[&time]);
        }
    }
}
