//! Records as samples of series: labels in their order, samples in that of their times.

use std::collections::BTreeMap;

use model::{Batch, ContainerMeta, FAMILIES, Known, Rows, Stream, Timestamp, family_labels};
use prost::Message;

/// What becomes samples.
pub(super) const STREAMS: [Stream; 2] = [Stream::Stats, Stream::Containers];

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// The series of `batches`, each once; `chosen` names the labels of a container's state that ride on its samples.
pub(crate) fn encode(batches: &[Batch], chosen: &[String]) -> WriteRequest {
    let mut series = Series::default();
    for batch in batches {
        match &batch.rows {
            Rows::Stats(rows) => rows.iter().for_each(|row| {
                series.add(&row.meta, &Known { record: None, stats: Some(row) }, row.timestamp);
            }),
            Rows::Containers(rows) => rows.iter().for_each(|row| {
                series.add(&row.meta(chosen), &Known { record: Some(row), stats: None }, row.observed_at);
            }),
            Rows::Events(_)
            | Rows::Images(_)
            | Rows::ImageVersions(_)
            | Rows::Hosts(_)
            | Rows::Losses(_)
            | Rows::Logs(_) => {}
        }
    }
    series.request()
}

/// Samples by their series.
#[derive(Default)]
struct Series(BTreeMap<Vec<Label>, Vec<Sample>>);

impl Series {
    fn add(&mut self, meta: &ContainerMeta, known: &Known<'_>, at: Timestamp) {
        let common: Vec<Label> =
            family_labels(meta).into_iter().map(|(name, value)| Label { name, value: value.to_owned() }).collect();
        for family in FAMILIES {
            let Some(reading) = (family.value)(known) else { continue };
            let mut labels = Vec::with_capacity(common.len() + 2);
            labels.push(Label { name: "__name__".into(), value: format!("{}{}", family.name, family.suffix()) });
            labels.extend(common.iter().cloned());
            labels.extend(reading.label.map(|(name, value)| Label { name: name.into(), value }));
            labels.sort();
            let sample = Sample { value: reading.figure.to_f64(), timestamp: at.as_millis() };
            self.0.entry(labels).or_default().push(sample);
        }
    }

    fn request(self) -> WriteRequest {
        let in_order = |(labels, mut samples): (Vec<Label>, Vec<Sample>)| {
            samples.sort_by_key(|sample| sample.timestamp);
            // Of two in one millisecond the later counts.
            samples.reverse();
            samples.dedup_by_key(|sample| sample.timestamp);
            samples.reverse();
            TimeSeries { labels, samples }
        };
        WriteRequest { timeseries: self.0.into_iter().map(in_order).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::{batch, noon, one_of_each, stats, unknown_stats};

    #[test]
    fn labels_are_in_their_order_and_samples_in_that_of_their_times() {
        let at = |millis| Timestamp::from_millis(noon().as_millis() + millis);
        let rows = vec![stats(1, at(5)), stats(1, at(0)), stats(2, at(0)), stats(1, at(5) + Duration::from_nanos(1))];
        let request = encode(&[batch(0, Rows::Stats(rows.into()))], &[]);
        for series in &request.timeseries {
            assert!(series.labels.is_sorted_by(|one, next| one.name < next.name), "{series:?}");
            assert!(series.samples.is_sorted_by(|one, next| one.timestamp < next.timestamp), "{series:?}");
        }
        let of_one = request.timeseries.iter().filter(|of| of.labels.iter().any(|label| label.value == "web-1"));
        assert!(of_one.into_iter().all(|of| of.samples.len() == 2));
        assert!(request.timeseries.is_sorted_by(|one, next| one.labels < next.labels), "a series stands once");
    }

    #[test]
    fn every_metric_of_the_page_is_sent_and_the_unknown_is_not() {
        let request = encode(&one_of_each(), &["team".to_owned()]);
        let name = |series: &TimeSeries| series.labels[0].value.clone();
        let sent: std::collections::BTreeSet<String> = request.timeseries.iter().map(name).collect();
        let known = FAMILIES.iter().map(|family| format!("{}{}", family.name, family.suffix())).collect();
        assert_eq!(sent, known);
        for series in &request.timeseries {
            let of = |name: &str| series.labels.iter().find(|label| label.name == name).map(|label| &*label.value);
            if of("container") == Some("web-1") {
                assert_eq!((of("host"), of("container_label_team")), (Some("edge-1"), Some("blue")), "{series:?}");
            }
        }
        let nothing = encode(&[batch(0, Rows::Stats(vec![unknown_stats(2, noon())].into()))], &[]);
        let names: Vec<String> = nothing.timeseries.iter().map(name).collect();
        assert_eq!(names, ["docker_container_last_seen_timestamp_seconds"]);
    }
}
