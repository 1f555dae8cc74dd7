//! Metrics by OTLP: the process's Prometheus registry, now and then, as it stands.
//!
//! Names and labels stay what they are at `/metrics`; counters and histograms are cumulative since the export began.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue as Attribute};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::Registry;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prost::Message;

use super::collector::Collector;

/// A thread that exports a registry; told to stop, it exports once more and ends.
#[derive(Debug)]
pub(super) struct MetricsExport {
    /// Dropped to stop.
    stop: Sender<()>,
    ended: Receiver<()>,
}

/// A thread that exports for the last time.
#[derive(Debug)]
pub(super) struct Ending(Receiver<()>);

impl MetricsExport {
    /// Exports `registry` every `interval`, the first time after one.
    pub fn begin(
        collector: Arc<Collector>,
        registry: Registry,
        interval: Duration,
        attributes: &[KeyValue],
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        let attributes: Vec<Attribute> = attributes.iter().map(Into::into).collect();
        let start = now();
        let export = move || {
            loop {
                let last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                let request = request(&registry.gather(), &attributes, start, now());
                let taken = collector.export("/v1/metrics", request.encode_to_vec()).is_ok();
                if last {
                    if taken {
                        // Nobody listens any more where the deadline has passed.
                        let _ = end.send(());
                    }
                    return;
                }
            }
        };
        std::thread::Builder::new().name("otlp-metrics".to_owned()).spawn(export)?;
        Ok(Self { stop, ended })
    }

    /// Tells the thread to end.
    pub fn stop(self) -> Ending {
        drop(self.stop);
        Ending(self.ended)
    }
}

impl Ending {
    /// Waits for the last export, no longer than `deadline`. `false`: the collector did not take it in time.
    pub fn wait(self, deadline: Duration) -> bool {
        self.0.recv_timeout(deadline).is_ok()
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// One export of all families.
fn request(
    families: &[MetricFamily],
    attributes: &[Attribute],
    start: Timestamp,
    now: Timestamp,
) -> ExportMetricsServiceRequest {
    let span = Span { start: nanos(start), end: nanos(now) };
    let scope = InstrumentationScope {
        name: "dockstream".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = families.iter().filter_map(|family| metric(family, span)).collect();
    let resource = Resource { attributes: attributes.to_vec(), ..Resource::default() };
    let scopes = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: scopes,
            schema_url: String::new(),
        }],
    }
}

/// What a cumulative value covers, in nanoseconds since the epoch.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(0)
}

/// `None`: a kind that this process does not have.
fn metric(family: &MetricFamily, span: Span) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let numbers = |value: fn(&prometheus::proto::Metric) -> f64| {
        family.get_metric().iter().map(|metric| number(metric, value(metric), span)).collect::<Vec<_>>()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: numbers(|metric| metric.get_counter().get_value()),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge { data_points: numbers(|metric| metric.get_gauge().get_value()) }),
        MetricType::HISTOGRAM => {
            let data_points = family.get_metric().iter().map(|metric| histogram(metric, span)).collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality: cumulative })
        }
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(metric: &prometheus::proto::Metric, value: f64, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(metric.get_label()),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts up to each bound, OTLP between them; the last bucket has no upper bound.
fn histogram(metric: &prometheus::proto::Metric, span: Span) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in finite {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(metric.get_label()),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(labels: &[LabelPair]) -> Vec<Attribute> {
    labels.iter().map(|label| (&KeyValue::new(label.name().to_owned(), label.value().to_owned())).into()).collect()
}
