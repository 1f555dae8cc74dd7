//! What logs, traces and metrics promise, against a small collector in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue as Attribute};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};
use prost::Message;
use test_support::{Line, Place, Proxy};

use super::log::Look;
use super::*;
use crate::config::LogFormat;

const DEADLINE: Duration = Duration::from_secs(60);

/// A collector that notes each request's path and body, and answers with `status`.
struct TestCollector {
    address: SocketAddr,
    requests: Receiver<(String, Vec<u8>)>,
}

impl TestCollector {
    fn answering(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), status, &sender);
            }
        });
        Self { address, requests }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn next<M: Message + Default>(&self, path: &str) -> M {
        let (asked, body) = self.requests.recv_timeout(DEADLINE).expect("an export in time");
        assert_eq!(asked, format!("POST {path} HTTP/1.1"));
        M::decode(body.as_slice()).expect("the body is protobuf")
    }
}

fn serve(mut stream: TcpStream, status: u16, requests: &Sender<(String, Vec<u8>)>) {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..read]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        while text.len() < end + 4 + length {
            let read = stream.read(&mut buffer).unwrap();
            text.extend_from_slice(&buffer[..read]);
        }
        let request = String::from_utf8_lossy(&text[..end]).lines().next().unwrap().to_owned();
        stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
        let _ = requests.send((request, text[end + 4..].to_vec()));
        return;
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(log: &str, endpoint: Option<String>) -> config::Telemetry {
    config::Telemetry {
        log: log.to_owned(),
        otlp_endpoint: endpoint,
        otlp_interval: Duration::from_millis(100),
        ..config::Telemetry::default()
    }
}

/// Runs `work` with logging to memory; gives the lines, and what exports.
fn logged(settings: &config::Telemetry, look: Look, work: impl FnOnce()) -> (Lines, Telemetry) {
    let lines = Lines::default();
    let writer = lines.clone();
    let (subscriber, telemetry) =
        subscriber(settings, &NodeName::try_new("n-1").unwrap(), look, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    (lines, telemetry)
}

fn text(attributes: &[Attribute], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn a_json_line_is_one_object_with_time_level_target_fields_and_the_ids_of_its_spans() {
    let (lines, _) = logged(&settings("info", None), Look::Json, || {
        let batch = tracing::info_span!(target: "pipeline", "batch", batch_id = "n-1/3/stats/1-9");
        let _inside = batch.enter();
        tracing::warn!(target: "sinks", rows = 9, sink = "kafka", "a \"range\"\nwaits");
    });
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "\"level\":\"WARN\"",
        "\"target\":\"sinks\"",
        "\"rows\":9",
        "\"sink\":\"kafka\"",
        "\"message\":\"a \\\"range\\\"\\nwaits\"",
        "\"spans\":[{\"batch_id\":\"n-1/3/stats/1-9\",\"name\":\"batch\"}]",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let time = text.split_once("\"timestamp\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap();
    assert!(time.parse::<model::Timestamp>().is_ok() && time.len() == 30, "{time}");
}

#[test]
fn a_line_for_people_has_colours_on_a_terminal_only() {
    let hello = || tracing::info!(target: "dockstream", port = 8080, "hello");
    let (plain, _) = logged(&settings("info", None), Look::Pretty { colours: false }, hello);
    assert!(plain.text().ends_with("Z  INFO dockstream: hello port=8080\n"), "{}", plain.text());
    let (colourful, _) = logged(&settings("info", None), Look::Pretty { colours: true }, hello);
    assert!(colourful.text().contains('\u{1b}'));
}

#[test]
fn lines_look_as_the_place_where_they_go_needs_it() {
    let pretty = |colours| Look::Pretty { colours };
    assert_eq!(Look::fitting(LogFormat::Auto, true, false), pretty(true));
    assert_eq!(Look::fitting(LogFormat::Auto, true, true), pretty(false));
    assert_eq!(Look::fitting(LogFormat::Auto, false, false), Look::Json);
    assert_eq!(Look::fitting(LogFormat::Pretty, false, false), pretty(false));
    assert_eq!(Look::fitting(LogFormat::Json, true, false), Look::Json);
}

#[test]
fn libraries_are_silent_until_they_are_named() {
    let talk = || {
        tracing::debug!(target: "hyper::client", "chatter");
        tracing::debug!(target: "sinks::kafka", "work");
        tracing::warn!(target: "rdkafka", "trouble");
    };
    let said = |log: &str| logged(&settings(log, None), Look::Pretty { colours: false }, talk).0.text();
    let all = said("debug");
    assert!(!all.contains("chatter") && all.contains("work") && all.contains("trouble"), "{all}");
    assert!(said("debug,hyper=debug").contains("chatter"));
    let one = said("error,sinks=debug");
    assert!(one.contains("work") && !one.contains("trouble"), "a library is never louder than everything else: {one}");
    assert_eq!(said("off"), "");
    assert_eq!(said("sinks=debug").lines().count(), 1);
    assert!(log_filter("loud=very").is_err());
}

#[test]
fn spans_reach_the_collector_under_the_services_name_and_only_our_own() {
    let collector = TestCollector::answering(200);
    let (_, telemetry) = logged(&settings("info", Some(collector.endpoint())), Look::Json, || {
        let batch = tracing::info_span!(target: "pipeline", "batch", batch_id = "b-1");
        batch.in_scope(|| tracing::info_span!(target: "sinks", "deliver", sink = "kafka").in_scope(|| ()));
        tracing::info_span!(target: "somebody::else", "foreign").in_scope(|| ());
        tracing::debug_span!(target: "pipeline", "detail").in_scope(|| ());
    });
    telemetry.shutdown(DEADLINE);
    let request: ExportTraceServiceRequest = collector.next("/v1/traces");
    let resource = &request.resource_spans[0];
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(text(attributes, "service.name").as_deref(), Some("dockstream"));
    assert_eq!(text(attributes, "service.instance.id").as_deref(), Some("n-1"));
    let mut spans: Vec<_> = resource.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["batch", "deliver"]);
    assert_eq!(text(&spans[0].attributes, "batch_id").as_deref(), Some("b-1"));
    assert_eq!(text(&spans[1].attributes, "sink").as_deref(), Some("kafka"));
    assert_eq!((&spans[1].trace_id, &spans[1].parent_span_id), (&spans[0].trace_id, &spans[0].span_id), "one trace");
}

fn registry() -> Registry {
    let registry = Registry::new();
    let frames = IntCounterVec::new(Opts::new("dockstream_frames_total", "Frames received."), &["host"]).unwrap();
    let depth = IntGauge::new("dockstream_depth", "Messages waiting.").unwrap();
    let latency = HistogramVec::new(
        HistogramOpts::new("dockstream_latency_seconds", "Time to ack.").buckets(vec![0.1, 1.0]),
        &["sink"],
    )
    .unwrap();
    frames.with_label_values(&["edge"]).inc_by(7);
    frames.with_label_values(&["local"]).inc_by(1);
    depth.set(-3);
    for seconds in [0.05, 0.5, 0.6, 30.0] {
        latency.with_label_values(&["kafka"]).observe(seconds);
    }
    registry.register(Box::new(frames)).unwrap();
    registry.register(Box::new(depth)).unwrap();
    registry.register(Box::new(latency)).unwrap();
    registry
}

#[test]
fn every_metric_reaches_the_collector_as_it_stands_in_the_registry() {
    let collector = TestCollector::answering(200);
    let (_, mut telemetry) = logged(&settings("info", Some(collector.endpoint())), Look::Json, || ());
    telemetry.export_metrics(registry()).unwrap();
    let request: ExportMetricsServiceRequest = collector.next("/v1/metrics");
    let resource = &request.resource_metrics[0];
    assert_eq!(text(&resource.resource.as_ref().unwrap().attributes, "service.name").as_deref(), Some("dockstream"));
    let metrics = &resource.scope_metrics[0].metrics;
    assert_eq!(
        metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(),
        ["dockstream_depth", "dockstream_frames_total", "dockstream_latency_seconds"]
    );

    let Some(Data::Gauge(depth)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
    assert_eq!(depth.data_points[0].value, Some(AsDouble(-3.0)));

    let Some(Data::Sum(frames)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
    assert_eq!(
        (frames.is_monotonic, frames.aggregation_temporality()),
        (true, opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::Cumulative)
    );
    let by_host: Vec<_> = frames
        .data_points
        .iter()
        .map(|point| (text(&point.attributes, "host").unwrap(), point.value.unwrap()))
        .collect();
    assert_eq!(by_host, [("edge".to_owned(), AsDouble(7.0)), ("local".to_owned(), AsDouble(1.0))]);
    assert!(
        frames.data_points[0].start_time_unix_nano > 0
            && frames.data_points[0].time_unix_nano > frames.data_points[0].start_time_unix_nano
    );
    assert_eq!(metrics[1].description, "Frames received.");

    let Some(Data::Histogram(latency)) = &metrics[2].data else { panic!("{:?}", metrics[2]) };
    let point = &latency.data_points[0];
    assert_eq!((point.count, &point.explicit_bounds, &point.bucket_counts), (4, &vec![0.1, 1.0], &vec![1, 2, 1]));
    assert!((point.sum.unwrap() - 31.15).abs() < 1e-9);
    telemetry.shutdown(DEADLINE);
}

#[test]
fn what_was_counted_last_is_exported_at_the_end() {
    let collector = TestCollector::answering(200);
    let slow =
        config::Telemetry { otlp_interval: Duration::from_secs(3600), ..settings("info", Some(collector.endpoint())) };
    let (_, mut telemetry) = logged(&slow, Look::Json, || ());
    telemetry.export_metrics(registry()).unwrap();
    telemetry.shutdown(DEADLINE);
    let request: ExportMetricsServiceRequest = collector.next("/v1/metrics");
    assert_eq!(request.resource_metrics[0].scope_metrics[0].metrics.len(), 3);
}

#[test]
fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let slow = config::Telemetry { otlp_interval: Duration::from_secs(3600), ..settings("info", Some(endpoint)) };
    let (_, mut telemetry) =
        logged(&slow, Look::Json, || tracing::info_span!(target: "pipeline", "batch").in_scope(|| ()));
    telemetry.export_metrics(registry()).unwrap();
    let (told, _) = logged(&settings("warn", None), Look::Json, || telemetry.shutdown(Duration::from_millis(300)));
    for what in ["the last traces could not be exported", "the last metrics could not be exported"] {
        assert!(told.text().contains(what), "{}", told.text());
    }
}

#[test]
fn a_collector_that_is_away_is_told_once_and_so_is_its_return() {
    // Nobody else takes its address while it is away.
    let (back, proxy) = (TestCollector::answering(200), Proxy::tcp());
    proxy.lead_to(Place::Tcp(back.address));
    proxy.set(Line::Cut);
    let (lines, _) = logged(&settings("info", None), Look::Pretty { colours: false }, || {
        let collector = Collector::new(&format!("http://{}", proxy.address())).unwrap();
        for _ in 0..5 {
            collector.export("/v1/metrics", vec![0]).unwrap_err();
        }
        proxy.set(Line::Clear);
        for _ in 0..3 {
            collector.export("/v1/metrics", vec![0]).unwrap();
        }
    });
    let text = lines.text();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("WARN") && text.contains("telemetry cannot be exported") && text.contains("Connection refused"),
        "{text}"
    );
    assert!(text.lines().last().unwrap().contains("telemetry is exported again"), "{text}");
}

#[test]
fn a_collector_that_refuses_is_a_failure_too() {
    let collector = TestCollector::answering(403);
    let (lines, _) = logged(&settings("info", None), Look::Pretty { colours: false }, || {
        let error = Collector::new(&collector.endpoint()).unwrap().export("/v1/metrics", vec![0]).unwrap_err();
        assert_eq!(error.to_string(), "it answered 403 Forbidden");
    });
    assert!(lines.text().contains("it answered 403 Forbidden"), "{}", lines.text());
}

#[test]
fn without_a_collector_nothing_is_exported_and_the_end_is_at_once() {
    let (_, mut telemetry) = logged(&settings("info", None), Look::Json, || ());
    telemetry.export_metrics(registry()).unwrap();
    let begin = Instant::now();
    telemetry.shutdown(DEADLINE);
    assert!(begin.elapsed() < DEADLINE);
}

#[test]
fn a_collector_may_be_dropped_inside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(Collector::new("http://127.0.0.1:1").unwrap()) });
}
