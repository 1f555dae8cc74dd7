//! What dockstream tells of itself, as an OpenTelemetry collector hears it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use simulator::Simulator;
use test_support::wait_until;

use crate::binary::{Launch, SOON};

/// Path and body of what arrived.
type Export = (String, Vec<u8>);

/// The address of a small collector, and what arrives there.
fn collector() -> (String, Receiver<Export>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (exports, arrived) = channel();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut request = BufReader::new(connection.try_clone().expect("a second handle"));
            let (mut path, mut length) = (String::new(), 0);
            for line in request.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                } else if path.is_empty() {
                    path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
            }
            let mut body = vec![0; length];
            if request.read_exact(&mut body).is_err() || exports.send((path, body)).is_err() {
                break;
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
        }
    });
    (endpoint, arrived)
}

#[test]
fn metrics_and_traces_arrive_at_a_collector_and_once_more_at_the_end() {
    let engine = Simulator::host("simulated").containers(3).start().expect("a simulated host");
    let (endpoint, arrived) = collector();
    let dockstream = Launch::watching(engine.socket(), "")
        .variable("DOCKSTREAM_NODE", "node-7")
        .variable("DOCKSTREAM_TELEMETRY_OTLP_ENDPOINT", &endpoint)
        .variable("DOCKSTREAM_TELEMETRY_OTLP_INTERVAL", "500ms")
        .variable("DOCKSTREAM_COLLECT_STATS_INTERVAL", "1s")
        .start();
    dockstream.ready();
    let mut exports = Vec::new();
    wait_until(SOON, "an export with parsed records", || {
        exports.extend(arrived.try_iter());
        exports
            .iter()
            .any(|export| metrics(export).get("dockstream_parsed_total").is_some_and(|metric| sum(metric) > 0.0))
    });
    let page = dockstream.ask("/metrics").1;
    let page = page.as_str().expect("a text");
    for name in exports.iter().flat_map(metrics).map(|(name, _)| name) {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is not at /metrics");
    }
    exports.extend(arrived.try_iter());
    assert_eq!(dockstream.terminate().code, Some(0));
    let last: Vec<_> = arrived.try_iter().collect();
    assert!(last.iter().any(|export| !metrics(export).is_empty()), "the end is exported too");
    let spans: BTreeSet<String> = exports.iter().chain(&last).flat_map(spans).collect();
    assert!(spans.contains("request") && spans.contains("deliver"), "{spans:?}");
}

/// The metrics of an export, by name.
fn metrics((path, body): &Export) -> BTreeMap<String, Metric> {
    let resources = match path.as_str() {
        "/v1/metrics" => ExportMetricsServiceRequest::decode(&**body).expect("protobuf").resource_metrics,
        _ => Vec::new(),
    };
    resources.iter().for_each(|metrics| assert_ours(metrics.resource.as_ref()));
    let scopes = resources.into_iter().flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).map(|metric| (metric.name.clone(), metric)).collect()
}

/// The names of the spans of an export.
fn spans((path, body): &Export) -> Vec<String> {
    let resources = match path.as_str() {
        "/v1/traces" => ExportTraceServiceRequest::decode(&**body).expect("protobuf").resource_spans,
        _ => Vec::new(),
    };
    resources.iter().for_each(|spans| assert_ours(spans.resource.as_ref()));
    let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect()
}

/// Fails where an export does not say whose it is.
fn assert_ours(resource: Option<&Resource>) {
    let attributes = &resource.expect("a resource").attributes;
    for (name, expected) in [("service.name", "dockstream"), ("service.instance.id", "node-7")] {
        let attribute = attributes.iter().find(|attribute| attribute.key == name);
        let value = attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
        assert_eq!(value, Some(&Value::StringValue(expected.to_owned())), "{name}");
    }
}

/// A counter over all its labels.
fn sum(metric: &Metric) -> f64 {
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{} is no counter", metric.name) };
    let value = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsDouble(value)) => *value,
        Some(number_data_point::Value::AsInt(value)) => *value as f64,
        None => 0.0,
    };
    sum.data_points.iter().map(|point| value(&point.value)).sum()
}
