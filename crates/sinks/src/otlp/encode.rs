//! Records as messages. The names are those of `docs/otlp.md`; a test compares them.

use model::{
    Batch, BatchId, EventRecord, ImageVersionRecord, LogRecord as Line, LossRecord, NodeName, Rows, Stream, Timestamp,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, Gauge, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};

use super::metrics::{Kind, Metric, OF_CONTAINERS, OF_HOSTS, OF_SAMPLES};
use super::resource::{Grouped, Owner, attribute, scope, text};

/// What becomes metrics.
pub(super) const METRICS: [Stream; 3] = [Stream::Stats, Stream::Containers, Stream::Hosts];

/// What becomes log records. The state of an image is a list of names: what changes of it is here as versions.
pub(super) const LOGS: [Stream; 4] = [Stream::Events, Stream::ImageVersions, Stream::Losses, Stream::Logs];

/// The metrics of `batches`, a resource for each container, and how many points they are.
pub(crate) fn metrics(batches: &[Batch], labels: &[String]) -> (ExportMetricsServiceRequest, u64) {
    let (mut samples, mut containers, mut hosts) = (Grouped::new(), Grouped::new(), Grouped::new());
    for batch in batches {
        match &batch.rows {
            Rows::Stats(rows) => rows.iter().for_each(|row| {
                let points = samples.of(Owner::of_meta(&row.meta), || Points::new(OF_SAMPLES));
                points.add(row, row.meta.run, row.timestamp);
            }),
            Rows::Containers(rows) => rows.iter().for_each(|row| {
                let points = containers.of(Owner::of_state(row, labels), || Points::new(OF_CONTAINERS));
                points.add(row, row.created_at, row.observed_at);
            }),
            Rows::Hosts(rows) => rows.iter().for_each(|row| {
                let points = hosts.of(Owner::Machine(row), || Points::new(OF_HOSTS));
                points.add(row, None, row.observed_at);
            }),
            Rows::Events(_) | Rows::Images(_) | Rows::ImageVersions(_) | Rows::Losses(_) | Rows::Logs(_) => {}
        }
    }
    let mut request = ExportMetricsServiceRequest::default();
    let mut count = 0;
    collect(samples, &mut request, &mut count);
    collect(containers, &mut request, &mut count);
    collect(hosts, &mut request, &mut count);
    (request, count)
}

/// The points of one resource, by metric.
struct Points<R: 'static> {
    metrics: &'static [Metric<R>],
    of: Vec<Vec<NumberDataPoint>>,
}

impl<R> Points<R> {
    fn new(metrics: &'static [Metric<R>]) -> Self {
        Self { metrics, of: metrics.iter().map(|_| Vec::new()).collect() }
    }

    /// A point for each series of each metric of which `record` knows the value.
    fn add(&mut self, record: &R, since: Option<Timestamp>, at: Timestamp) {
        for (metric, to) in self.metrics.iter().zip(&mut self.of) {
            // A start that lies behind the point would be no start: clocks differ.
            let since = since.filter(|since| metric.kind != Kind::Gauge && *since <= at);
            to.extend(metric.points.iter().filter_map(|point| {
                Some(NumberDataPoint {
                    attributes: point.attribute.iter().map(|(key, word)| text(*key, *word)).collect(),
                    start_time_unix_nano: since.map_or(0, unix_nanos),
                    time_unix_nano: unix_nanos(at),
                    value: Some((point.value)(record)?),
                    ..NumberDataPoint::default()
                })
            }));
        }
    }
}

fn collect<R>(grouped: Grouped<'_, Points<R>>, into: &mut ExportMetricsServiceRequest, count: &mut u64) {
    for (owner, points) in grouped.all {
        let named = points.metrics.iter().zip(points.of).filter(|(_, points)| !points.is_empty());
        let metrics: Vec<proto::Metric> = named
            .map(|(metric, points)| {
                *count += points.len() as u64;
                message(metric, points)
            })
            .collect();
        if !metrics.is_empty() {
            let of_scope = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
            let resource = Some(owner.resource());
            into.resource_metrics.push(ResourceMetrics {
                resource,
                scope_metrics: vec![of_scope],
                ..Default::default()
            });
        }
    }
}

fn message<R>(metric: &Metric<R>, data_points: Vec<NumberDataPoint>) -> proto::Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match metric.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points }),
        Kind::Counter => Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true }),
        Kind::UpDown => Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: false }),
    };
    proto::Metric {
        name: metric.name.into(),
        unit: metric.unit.into(),
        description: metric.help.into(),
        data: Some(data),
        ..proto::Metric::default()
    }
}

/// The log records of `batches`, a resource for each container, and how many they are: one for each row.
pub(crate) fn logs(batches: &[Batch]) -> (ExportLogsServiceRequest, u64) {
    let mut grouped: Grouped<'_, Vec<LogRecord>> = Grouped::new();
    for Batch { id, rows, .. } in batches {
        let mut add = |owner, record| grouped.of(owner, Vec::new).push(record);
        let numbered = id.first..;
        match rows {
            Rows::Logs(rows) => {
                numbered.zip(rows.iter()).for_each(|(at, row)| add(Owner::of_meta(&row.meta), line(id, at, row)));
            }
            Rows::Events(rows) => {
                numbered.zip(rows.iter()).for_each(|(at, row)| add(Owner::of_event(row), event(id, at, row)));
            }
            Rows::ImageVersions(rows) => numbered
                .zip(rows.iter())
                .for_each(|(at, row)| add(Owner::Host(row.host.as_str()), image_version(id, at, row))),
            Rows::Losses(rows) => {
                numbered.zip(rows.iter()).for_each(|(at, row)| add(Owner::Node(&id.node), loss(id, at, row)));
            }
            Rows::Stats(_) | Rows::Containers(_) | Rows::Images(_) | Rows::Hosts(_) => {}
        }
    }
    let count = grouped.all.iter().map(|(_, records)| records.len() as u64).sum();
    let of_resource = |(owner, log_records): (Owner<'_>, _)| {
        let of_scope = ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() };
        ResourceLogs { resource: Some(owner.resource()), scope_logs: vec![of_scope], ..ResourceLogs::default() }
    };
    (ExportLogsServiceRequest { resource_logs: grouped.all.into_iter().map(of_resource).collect() }, count)
}

fn line(id: &BatchId, sequence: u64, row: &Line) -> LogRecord {
    let mut of = Attributes::new(id, sequence);
    of.text("log.iostream", Some(row.stream.name()));
    // What is so of nearly no line is told where it is.
    for (key, is) in [
        ("dockstream.log.partial", row.partial),
        ("dockstream.log.truncated", row.truncated),
        ("dockstream.log.invalid_utf8", row.invalid_utf8),
    ] {
        of.flag(key, is);
    }
    LogRecord { body: body(row.line.clone()), ..of.record(row.timestamp, Some(row.received_at)) }
}

fn event(id: &BatchId, sequence: u64, row: &EventRecord) -> LogRecord {
    let mut of = Attributes::new(id, sequence);
    of.text("docker.event.type", Some(&row.kind));
    of.text("docker.event.action", Some(&row.action));
    of.text("docker.event.argument", row.argument.as_deref());
    of.text("docker.event.actor.id", Some(&row.actor_id));
    of.text("docker.event.actor.name", row.actor_name.as_deref());
    of.whole("docker.event.exit_code", row.exit_code);
    of.text("docker.event.exit_cause", row.exit_cause.as_deref());
    of.text("docker.event.signal", row.signal.as_deref());
    of.flag("docker.event.synthetic", row.synthetic);
    for (key, value) in &row.attributes {
        of.0.push(text(format!("docker.event.attribute.{key}"), value.as_str()));
    }
    let whom = row.container_name.as_deref().or(row.actor_name.as_deref()).unwrap_or(&row.actor_id);
    let cause = row.exit_cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    LogRecord {
        event_name: format!("docker.{}.{}", row.kind, row.action),
        body: body(format!("{} {whom} {}{cause}", row.kind, row.action)),
        ..of.info(row.timestamp, Some(row.received_at))
    }
}

fn image_version(id: &BatchId, sequence: u64, row: &ImageVersionRecord) -> LogRecord {
    let mut of = Attributes::new(id, sequence);
    of.text("dockstream.image.reference", Some(&row.reference));
    of.text("dockstream.image.from.id", row.from_image_id.as_deref());
    of.text("dockstream.image.to.id", row.to_image_id.as_deref());
    of.text("dockstream.image.from.digest", row.from_digest.as_deref());
    of.text("dockstream.image.to.digest", row.to_digest.as_deref());
    LogRecord {
        event_name: format!("dockstream.image.{}", row.change.name()),
        body: body(format!("image {} {}", row.reference, row.change.name())),
        ..of.info(row.observed_at, None)
    }
}

fn loss(id: &BatchId, sequence: u64, row: &LossRecord) -> LogRecord {
    let mut of = Attributes::new(id, sequence);
    of.text("dockstream.loss.stream", Some(row.stream.name()));
    of.text("dockstream.loss.sink", row.sink.as_deref());
    of.text("dockstream.loss.reason", Some(row.reason.name()));
    of.whole("dockstream.loss.count", i64::try_from(row.count).ok());
    of.whole("dockstream.loss.first_at", Some(row.first_at.as_nanos()));
    LogRecord {
        event_name: "dockstream.loss".into(),
        body: body(format!("{} of {} lost: {}", row.count, row.stream.name(), row.reason.name())),
        severity_number: SeverityNumber::Warn.into(),
        severity_text: "WARN".into(),
        ..of.record(row.last_at, None)
    }
}

/// The attributes of a log record.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Its name to begin with: records with the same are the same.
    fn new(id: &BatchId, sequence: u64) -> Self {
        let BatchId { node, epoch, stream, .. } = id;
        Self(vec![text("log.record.uid", uid(node, *epoch, *stream, sequence))])
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        self.0.extend(value.map(|value| text(key, value)));
    }

    fn whole(&mut self, key: &str, value: Option<i64>) {
        self.0.extend(value.map(|value| attribute(key, Value::IntValue(value))));
    }

    /// An attribute where it is so, none where not.
    fn flag(&mut self, key: &str, is: bool) {
        self.0.extend(is.then(|| attribute(key, Value::BoolValue(true))));
    }

    fn record(self, at: Timestamp, seen: Option<Timestamp>) -> LogRecord {
        let observed_time_unix_nano = unix_nanos(seen.unwrap_or(at));
        LogRecord {
            time_unix_nano: unix_nanos(at),
            observed_time_unix_nano,
            attributes: self.0,
            ..LogRecord::default()
        }
    }

    fn info(self, at: Timestamp, seen: Option<Timestamp>) -> LogRecord {
        let record = self.record(at, seen);
        LogRecord { severity_number: SeverityNumber::Info.into(), severity_text: "INFO".into(), ..record }
    }
}

/// The name of a record, over all that dockstreams have told: `node/epoch/stream/sequence`.
fn uid(node: &NodeName, epoch: u64, stream: Stream, sequence: u64) -> String {
    format!("{node}/{epoch}/{stream}/{sequence}")
}

fn body(text: String) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(text)) })
}

/// What was before 1970 has no time.
fn unix_nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(0)
}
