//! Messages in one form, from what is sent and from the JSON that the Collector makes of what it took, to be compared.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, NumberDataPoint};
use serde_json::Value;

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, String>;

/// A point of a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub resource: Attributes,
    pub metric: String,
    pub unit: String,
    pub help: String,
    /// `gauge`, `counter`, `up-down counter`.
    pub kind: String,
    pub attributes: Attributes,
    pub since: u64,
    pub time: u64,
    pub value: String,
}

/// A log record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub resource: Attributes,
    pub event: String,
    pub body: String,
    pub severity: i64,
    pub time: u64,
    pub seen: u64,
    pub attributes: Attributes,
}

/// The points of a request, in order of themselves.
pub(crate) fn points(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let mut all = Vec::new();
    for of in &request.resource_metrics {
        let resource = attributes(&of.resource.as_ref().unwrap().attributes);
        for metric in of.scope_metrics.iter().flat_map(|of| &of.metrics) {
            let (kind, points) = match metric.data.as_ref().unwrap() {
                Data::Gauge(of) => ("gauge", &of.data_points),
                Data::Sum(of) => {
                    assert_eq!(of.aggregation_temporality, AggregationTemporality::Cumulative as i32);
                    (if of.is_monotonic { "counter" } else { "up-down counter" }, &of.data_points)
                }
                other => panic!("{other:?}"),
            };
            all.extend(points.iter().map(|point: &NumberDataPoint| Point {
                resource: resource.clone(),
                metric: metric.name.clone(),
                unit: metric.unit.clone(),
                help: metric.description.clone(),
                kind: kind.into(),
                attributes: attributes(&point.attributes),
                since: point.start_time_unix_nano,
                time: point.time_unix_nano,
                value: match point.value.unwrap() {
                    Number::AsInt(value) => value.to_string(),
                    Number::AsDouble(value) => format!("{value:?}"),
                },
            }));
        }
    }
    all.sort();
    all
}

/// The log records of a request, in order of themselves.
pub(crate) fn records(request: &ExportLogsServiceRequest) -> Vec<Record> {
    let mut all = Vec::new();
    for of in &request.resource_logs {
        let resource = attributes(&of.resource.as_ref().unwrap().attributes);
        all.extend(of.scope_logs.iter().flat_map(|of| &of.log_records).map(|record| Record {
            resource: resource.clone(),
            event: record.event_name.clone(),
            body: record.body.as_ref().map(shown).unwrap_or_default(),
            severity: record.severity_number.into(),
            time: record.time_unix_nano,
            seen: record.observed_time_unix_nano,
            attributes: attributes(&record.attributes),
        }));
    }
    all.sort();
    all
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    let all: Attributes = pairs.iter().map(|of| (of.key.clone(), shown(of.value.as_ref().unwrap()))).collect();
    assert_eq!(all.len(), pairs.len(), "an attribute stands once: {pairs:?}");
    all
}

fn shown(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Any::StringValue(text) => text.clone(),
        Any::BoolValue(is) => is.to_string(),
        Any::IntValue(number) => number.to_string(),
        Any::ArrayValue(list) => list.values.iter().map(|of| format!("[{}]", shown(of))).collect(),
        other => panic!("{other:?}"),
    }
}

/// The points and the log records in requests as the Collector writes them, in order of themselves.
pub(crate) fn taken(lines: &[String]) -> (Vec<Point>, Vec<Record>) {
    let (mut points, mut records) = (Vec::new(), Vec::new());
    for line in lines {
        let request: Value = serde_json::from_str(line).unwrap();
        for of in list(&request["resourceMetrics"]) {
            let resource = named(&of["resource"]["attributes"]);
            for scope in list(&of["scopeMetrics"]) {
                assert_eq!(scope["scope"]["name"], "dockstream");
                list(&scope["metrics"]).for_each(|metric| points_of(metric, &resource, &mut points));
            }
        }
        for of in list(&request["resourceLogs"]) {
            let resource = named(&of["resource"]["attributes"]);
            let of_scopes = list(&of["scopeLogs"]).flat_map(|scope| list(&scope["logRecords"]));
            records.extend(of_scopes.map(|record| Record {
                resource: resource.clone(),
                event: text(&record["eventName"]),
                body: any(&record["body"]),
                severity: record["severityNumber"].as_i64().unwrap_or(0),
                time: nanos(&record["timeUnixNano"]),
                seen: nanos(&record["observedTimeUnixNano"]),
                attributes: named(&record["attributes"]),
            }));
        }
    }
    points.sort();
    records.sort();
    (points, records)
}

fn points_of(metric: &Value, resource: &Attributes, to: &mut Vec<Point>) {
    let (sum, gauge) = (&metric["sum"], &metric["gauge"]);
    let kind = match (sum.is_object(), sum["isMonotonic"].as_bool().unwrap_or(false)) {
        (false, _) => "gauge",
        (true, true) => "counter",
        (true, false) => "up-down counter",
    };
    let of = if sum.is_object() { sum } else { gauge };
    to.extend(list(&of["dataPoints"]).map(|point| Point {
        resource: resource.clone(),
        metric: text(&metric["name"]),
        unit: text(&metric["unit"]),
        help: text(&metric["description"]),
        kind: kind.into(),
        attributes: named(&point["attributes"]),
        since: nanos(&point["startTimeUnixNano"]),
        time: nanos(&point["timeUnixNano"]),
        value: match &point["asDouble"] {
            Value::Null => text(&point["asInt"]),
            double => format!("{:?}", double.as_f64().unwrap()),
        },
    }));
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn named(pairs: &Value) -> Attributes {
    list(pairs).map(|pair| (text(&pair["key"]), any(&pair["value"]))).collect()
}

fn any(value: &Value) -> String {
    let of = |key: &str| value.get(key).map(text);
    let array = || list(&value["arrayValue"]["values"]).map(|of| format!("[{}]", any(of))).collect();
    of("stringValue").or_else(|| of("intValue")).or_else(|| of("boolValue")).unwrap_or_else(array)
}

/// A text as it is; anything else as JSON; nothing where there is nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn nanos(value: &Value) -> u64 {
    text(value).parse().unwrap_or(0)
}
