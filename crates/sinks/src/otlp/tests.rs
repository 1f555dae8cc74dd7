//! Against the receiver of the OpenTelemetry Collector itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::{Rows, Sample, SampleValue, StatsRecord};
use pipeline::ports::{Deliver, FailureClass, Range};
use test_support::{Authority, Line, OtlpReceiver, Place, Proxy, Validity};

use super::read::{Point, points, records, taken};
use super::*;
use crate::client::Trust;
use crate::fixtures::{batch, noon, one_of_each, range, stats};

const SOON: Duration = Duration::from_secs(120);

pub(super) async fn ready(config: &OtlpConfig) -> OtlpSink {
    let mut sink = OtlpSink::new(config.clone());
    sink.prepare().await.unwrap();
    sink
}

/// `count` samples a millisecond apart, of seven containers.
pub(super) fn samples(first: u64, count: u64) -> Range {
    let rows: Vec<StatsRecord> =
        (first..first + count).map(|number| stats(number % 7, noon() + Duration::from_millis(number))).collect();
    range(first, vec![batch(first, Rows::Stats(rows.into()))])
}

/// Both ways to a receiver.
fn ways(server: &OtlpReceiver) -> [OtlpConfig; 2] {
    [OtlpConfig::new(server.grpc(), Protocol::Grpc), OtlpConfig::new(server.http(), Protocol::Http)]
}

/// The points of ranges, each once.
fn points_of(ranges: &[Range]) -> BTreeSet<Point> {
    ranges.iter().flat_map(|range| points(&encode::metrics(&range.batches, &[]).0)).collect()
}

fn points_taken(server: &OtlpReceiver) -> BTreeSet<Point> {
    taken(&server.taken()).0.into_iter().collect()
}

#[test]
fn every_value_of_a_sample_is_in_a_point_and_the_unknown_is_not() {
    let record = stats(1, noon() + Duration::from_secs(90));
    let all = points(&encode::metrics(&[batch(0, Rows::Stats(vec![record.clone()].into()))], &[]).0);
    let point = |metric: &str, word: &str| {
        let is = |point: &&Point| point.metric == metric && point.attributes.values().all(|of| of == word);
        let found: Vec<&Point> = all.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{metric} {word}");
        found[0].value.clone()
    };
    for (field, value) in Sample::FIELDS.iter().zip(record.sample.values()) {
        let (metric, word, per) = match *field {
            "cpu_usage_percent" => ("container.cpu.usage", "", 100.0),
            "cpu_user_ns" => ("container.cpu.time", "user", 1e9),
            "cpu_kernel_ns" => ("container.cpu.time", "kernel", 1e9),
            "cpu_usage_ns" => ("container.cpu.usage.total", "", 1.0),
            "system_cpu_ns" => ("container.cpu.usage.system", "", 1.0),
            "online_cpus" => ("container.cpu.logical.count", "", 1.0),
            "cpu_throttled_periods" => ("container.cpu.throttling_data.throttled_periods", "", 1.0),
            "cpu_throttled_ns" => ("container.cpu.throttling_data.throttled_time", "", 1.0),
            "memory_usage_bytes" => ("container.memory.working_set", "", 1.0),
            "memory_total_bytes" => ("container.memory.usage", "", 1.0),
            "memory_limit_bytes" => ("container.memory.usage.limit", "", 1.0),
            "memory_usage_percent" => ("container.memory.percent", "", 1.0),
            "memory_cache_bytes" => ("container.memory.cache", "", 1.0),
            "network_rx_bytes" => ("container.network.io", "receive", 1.0),
            "network_tx_bytes" => ("container.network.io", "transmit", 1.0),
            "network_rx_packets" => ("container.network.io.usage.rx_packets", "", 1.0),
            "network_tx_packets" => ("container.network.io.usage.tx_packets", "", 1.0),
            "network_rx_errors" => ("container.network.io.usage.rx_errors", "", 1.0),
            "network_tx_errors" => ("container.network.io.usage.tx_errors", "", 1.0),
            "network_rx_dropped" => ("container.network.io.usage.rx_dropped", "", 1.0),
            "network_tx_dropped" => ("container.network.io.usage.tx_dropped", "", 1.0),
            "block_read_bytes" => ("container.disk.io", "read", 1.0),
            "block_write_bytes" => ("container.disk.io", "write", 1.0),
            "pids" => ("container.pids.count", "", 1.0),
            "pids_limit" => ("container.pids.limit", "", 1.0),
            // What grew over an interval is for the receiver to reckon.
            delta => {
                assert!(delta.contains("delta") || delta == "interval_ns", "{delta} is nowhere");
                continue;
            }
        };
        let expected = match value {
            SampleValue::Float(value) => format!("{:?}", value.unwrap() / per),
            SampleValue::Unsigned(value) if per > 1.0 => format!("{:?}", value.unwrap() as f64 / per),
            SampleValue::Unsigned(value) => value.unwrap().to_string(),
        };
        assert_eq!(point(metric, word), expected, "{field}");
    }
    assert_eq!(point("container.uptime", ""), "90.0");
    let run = u64::try_from(noon().as_nanos()).unwrap();
    for point in &all {
        assert_eq!(point.since, if point.kind == "gauge" { 0 } else { run }, "{point:?}");
        assert_eq!(point.time, run + 90_000_000_000);
        assert_eq!(point.resource["container.name"], "web-1");
    }
    let nothing = crate::fixtures::unknown_stats(2, noon());
    assert_eq!(encode::metrics(&[batch(0, Rows::Stats(vec![nothing].into()))], &[]), Default::default());
}

#[tokio::test]
async fn the_collector_has_every_value_of_every_stream() {
    for gzip in [true, false] {
        let server = OtlpReceiver::start();
        for way in ways(&server) {
            let before = server.taken().len();
            let config = OtlpConfig { gzip, labels: vec!["team".into()], ..way };
            let mut sink = ready(&config).await;
            sink.deliver(&range(0, one_of_each())).await.unwrap();
            let (metrics, logs) = taken(&server.taken()[before..]);
            assert_eq!(metrics, points(&encode::metrics(&one_of_each(), &config.labels).0), "{config:?}");
            assert_eq!(logs, records(&encode::logs(&one_of_each()).0), "{config:?}");
            // One of what has nothing, and one each of what has: images are told by their versions.
            assert_eq!(logs.len(), 6, "{logs:#?}");
        }
    }
}

#[tokio::test]
async fn a_collector_killed_and_started_again_has_every_point() {
    for way in [0, 1] {
        let server = OtlpReceiver::start();
        let config = ways(&server)[way].clone();
        let mut sink = ready(&config).await;
        let (first, next) = (samples(0, 500), samples(500, 500));
        sink.deliver(&first).await.unwrap();
        server.kill9();
        let deadline = Instant::now() + SOON;
        loop {
            let error = sink.deliver(&next).await.unwrap_err();
            assert_eq!(error.class, FailureClass::Retry, "{error}");
            assert!(error.message.starts_with(&format!("otlp {}: ", config.endpoint)), "{error}");
            // Before that, a kept connection may be found closed.
            if error.message.contains("refused") {
                break;
            }
            assert!(Instant::now() < deadline, "{error}");
        }
        server.restart();
        delivered(&mut sink, &next).await;
        assert_eq!(points_taken(&server), points_of(&[first, next]));
    }
}

/// Delivers, however long that fails for a reason that passes.
async fn delivered(sink: &mut OtlpSink, work: &Range) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = sink.deliver(work).await {
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_other_point_and_no_other_log_record() {
    let server = OtlpReceiver::start();
    for (way, protocol) in ways(&server).into_iter().zip(["gRPC", "HTTP"]) {
        let before = server.taken().len();
        let proxy = Proxy::tcp();
        proxy.lead_to(Place::at(way.endpoint.trim_start_matches("http://")));
        let patient = OtlpConfig { endpoint: format!("http://{}", proxy.address()), timeout: SOON, ..way };
        let mut sink = ready(&patient).await;
        let work = range(0, one_of_each());
        let mut hasty = OtlpSink::new(OtlpConfig { timeout: Duration::from_secs(2), ..patient });
        proxy.set(Line::Deaf);
        for _ in 0..2 {
            let error = hasty.deliver(&work).await.unwrap_err();
            let told = (error.class, error.message.contains("no answer within 2s"));
            assert_eq!(told, (FailureClass::Retry, true), "{protocol}: {error}");
        }
        proxy.reset();
        proxy.set(Line::Clear);
        delivered(&mut hasty, &work).await;
        delivered(&mut sink, &work).await;
        let (points_seen, records_seen) = taken(&server.taken()[before..]);
        let once: BTreeSet<_> = points_seen.iter().cloned().collect();
        assert_eq!(once.into_iter().collect::<Vec<_>>(), points(&encode::metrics(&work.batches, &[]).0), "{protocol}");
        assert!(points_seen.len() > 1, "{protocol}");
        let names: BTreeSet<_> = records_seen.iter().map(|record| &record.attributes["log.record.uid"]).collect();
        let once: BTreeSet<_> = records_seen.iter().collect();
        assert_eq!((names.len(), once.len()), (6, 6), "{protocol}: a name is one record's: {once:#?}");
    }
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_made_anew() {
    let server = OtlpReceiver::start();
    for way in ways(&server) {
        let proxy = Proxy::tcp();
        proxy.lead_to(Place::at(way.endpoint.trim_start_matches("http://")));
        let config = OtlpConfig { endpoint: format!("http://{}", proxy.address()), ..way };
        let mut sink = ready(&config).await;
        let before = points_taken(&server);
        for round in 0..3 {
            sink.deliver(&samples(round * 10, 10)).await.unwrap();
            proxy.reset();
            delivered(&mut sink, &samples(round * 10, 10)).await;
        }
        let all: Vec<Range> = (0..3).map(|round| samples(round * 10, 10)).collect();
        let expected: BTreeSet<Point> = points_of(&all).into_iter().chain(before).collect();
        assert_eq!(points_taken(&server), expected);
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_collector_is_to_be_halved() {
    let server = OtlpReceiver::start_with(&["--mebibytes", "1"]);
    for way in ways(&server) {
        let mut sink = ready(&way).await;
        let error = sink.deliver(&samples(0, 4_000)).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Split, "{error}");
        sink.deliver(&samples(0, 200)).await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_both_sides_know_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder.path().join("ours"));
    let certificate = ours.server("otlp", &["127.0.0.1"], Validity::Now);
    let known = ours.client("known", Validity::Now);
    let server = OtlpReceiver::start_tls(&certificate);
    let identity = (known.join("cert.pem"), known.join("key.pem"));
    let trust = Trust { ca_file: Some(certificate.join("ca.pem")), identity: Some(identity.clone()) };
    let theirs = Authority::new(&folder.path().join("theirs")).server("x", &["127.0.0.1"], Validity::Now);
    for way in ways(&server) {
        let config = OtlpConfig { trust: trust.clone(), ..way };
        ready(&config).await.deliver(&samples(0, 10)).await.unwrap();
        let refused = [
            (Trust { ca_file: Some(theirs.join("ca.pem")), ..trust.clone() }, "invalid peer certificate"),
            (Trust { ca_file: Some(folder.path().join("none.pem")), ..trust.clone() }, "cannot be used: "),
            (Trust { identity: Some((identity.0.clone(), identity.0.clone())), ..trust.clone() }, "cannot be used: "),
        ];
        for (trust, words) in refused {
            let error = OtlpSink::new(OtlpConfig { trust, ..config.clone() }).prepare().await.unwrap_err();
            assert_eq!(error.class, FailureClass::Config, "{error}");
            assert!(error.message.contains(words), "{error}");
        }
        let stranger = OtlpConfig { trust: Trust { identity: None, ..trust.clone() }, ..config };
        assert!(OtlpSink::new(stranger).prepare().await.is_err(), "who shows no certificate sends nothing");
    }
    assert_eq!(points_taken(&server), points_of(&[samples(0, 10)]));
}

#[tokio::test]
async fn the_wrong_port_is_named() {
    let server = OtlpReceiver::shared();
    let [grpc, http] = ways(server);
    let crossed = [
        OtlpConfig { endpoint: http.endpoint.clone(), ..grpc.clone() },
        OtlpConfig { endpoint: grpc.endpoint.clone(), ..http.clone() },
    ];
    for config in crossed {
        let error = OtlpSink::new(config).prepare().await.unwrap_err();
        assert!(matches!(error.class, FailureClass::Retry | FailureClass::Config), "{error}");
    }
    for (protocol, port, hint) in
        [(Protocol::Grpc, 4318, "protocol = \"http\""), (Protocol::Http, 4317, "protocol = \"grpc\"")]
    {
        // Nothing listens there, or something else does.
        let config = OtlpConfig::new(format!("http://127.255.255.1:{port}"), protocol);
        let error = OtlpSink::new(config).prepare().await.unwrap_err();
        assert!(error.message.contains(hint), "{error}");
    }
}
