//! Records into Kafka's: key, value, headers.

use super::format::{EncodeError, Encoder};
use super::transactions::CURSOR_SCHEMA;
use model::{BatchId, ContainerState, HostStatus, ImageState, Rows, Stream, Timestamp};
use opentelemetry::trace::TraceContextExt;
use rdkafka::message::{Header, OwnedHeaders};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Header `content-type` of a record in JSON.
pub const CONTENT_TYPE: &str = "application/json";

/// Header `schema` of the records of `stream`.
pub const fn schema_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stats => "dockstream.stats.v1",
        Stream::Events => "dockstream.events.v1",
        Stream::Containers => "dockstream.containers.v1",
        Stream::Images => "dockstream.images.v1",
        Stream::ImageVersions => "dockstream.image_versions.v1",
        Stream::Hosts => "dockstream.hosts.v1",
        Stream::Losses => "dockstream.losses.v1",
        Stream::Logs => "dockstream.logs.v1",
    }
}

/// A record as it is sent.
#[derive(Debug)]
pub(super) struct Encoded {
    pub key: String,
    /// `None` is a tombstone: compaction forgets the key.
    pub value: Option<Vec<u8>>,
    /// By dockstream's own clock: brokers refuse times ahead of theirs, and an engine's clock may be wrong.
    pub timestamp: Timestamp,
}

impl Encoded {
    /// In milliseconds, and no later than `now`: a clock that was set back leaves records from the future behind.
    pub(super) fn timestamp_ms(&self, now: Timestamp) -> i64 {
        self.timestamp.min(now).as_millis()
    }
}

/// The row at `index`; `None` beyond the end.
pub(super) fn encode(encoder: &Encoder, rows: &Rows, index: usize) -> Option<Result<Encoded, EncodeError>> {
    let stream = rows.stream();
    let row = match rows {
        Rows::Stats(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.meta.host, row.meta.container_id);
            (key, Some(encoder.value(stream, row)), row.received_at)
        }
        Rows::Events(rows) => {
            let row = rows.get(index)?;
            let of = row.container_id.as_ref().map_or(row.actor_id.as_str(), |id| id.as_str());
            (format!("{}/{of}", row.host), Some(encoder.value(stream, row)), row.received_at)
        }
        Rows::Containers(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.host, row.container_id);
            let there = row.state != ContainerState::Removed;
            (key, there.then(|| encoder.value(stream, row)), row.observed_at)
        }
        Rows::Images(rows) => {
            let row = rows.get(index)?;
            let there = row.state != ImageState::Removed;
            (format!("{}/{}", row.host, row.image_id), there.then(|| encoder.value(stream, row)), row.observed_at)
        }
        Rows::ImageVersions(rows) => {
            let row = rows.get(index)?;
            (format!("{}/{}", row.host, row.reference), Some(encoder.value(stream, row)), row.observed_at)
        }
        Rows::Hosts(rows) => {
            let row = rows.get(index)?;
            let there = row.status != HostStatus::Removed;
            (row.host.to_string(), there.then(|| encoder.value(stream, row)), row.observed_at)
        }
        Rows::Logs(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.meta.host, row.meta.container_id);
            (key, Some(encoder.value(stream, row)), row.received_at)
        }
        Rows::Losses(rows) => {
            let row = rows.get(index)?;
            let sink = row.sink.as_deref().unwrap_or("-");
            (format!("{sink}/{}/{}", row.stream, row.reason), Some(encoder.value(stream, row)), row.last_at)
        }
    };
    let (key, value, timestamp) = row;
    Some(value.transpose().map(|value| Encoded { key, value, timestamp }))
}

/// The headers of all records of a batch.
pub(super) fn headers(encoder: &Encoder, id: &BatchId) -> OwnedHeaders {
    let id_text = id.to_string();
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(Header { key: "schema", value: Some(schema_name(id.stream)) })
        .insert(Header { key: "content-type", value: Some(encoder.content_type()) })
        .insert(Header { key: "batch-id", value: Some(&id_text) });
    match traceparent() {
        Some(parent) => headers.insert(Header { key: "traceparent", value: Some(&parent) }),
        None => headers,
    }
}

/// The delivery under way, as W3C Trace Context names it; `None` where nothing is traced.
fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    let parent = || format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    span.is_valid().then(parent)
}

/// The headers of a cursor.
pub(super) fn cursor_headers() -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(2)
        .insert(Header { key: "schema", value: Some(CURSOR_SCHEMA) })
        .insert(Header { key: "content-type", value: Some(CONTENT_TYPE) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::HostRecord;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use rdkafka::message::Headers;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::format::Format;
    use super::*;
    use crate::fixtures::{
        batch, container, container_id, event, host, image, image_version, loss, network_event, noon, stats,
    };

    fn one(rows: &Rows) -> Encoded {
        encode(&Encoder::with_ids(Format::Json), rows, 0).unwrap().unwrap()
    }

    #[test]
    fn keys_keep_what_belongs_together_in_order() {
        let id = container_id(1);
        assert_eq!(one(&Rows::Stats([stats(1, noon())].into())).key, format!("edge-1/{id}"));
        assert_eq!(one(&Rows::Events([event(1, noon())].into())).key, format!("edge-1/{id}"));
        assert_eq!(one(&Rows::Events([network_event(noon())].into())).key, "edge-1/net-1");
        assert_eq!(one(&Rows::Hosts([host(noon())].into())).key, "edge-1");
        assert_eq!(one(&Rows::Losses([loss(noon())].into())).key, "kafka/stats/journal_full");
        assert_eq!(one(&Rows::Images([image(1, ImageState::Present, noon())].into())).key, "edge-1/sha256:0001");
        assert_eq!(one(&Rows::ImageVersions([image_version(noon())].into())).key, "edge-1/nginx:1.29");
        let running = container(1, ContainerState::Running, noon());
        assert_eq!(one(&Rows::Containers([running].into())).key, format!("edge-1/{id}"));
    }

    #[test]
    fn no_record_is_sent_with_a_time_to_come() {
        let record = one(&Rows::Stats([stats(1, noon())].into()));
        let (before, after) = (noon(), noon() + Duration::from_secs(5));
        assert_eq!(record.timestamp_ms(after), record.timestamp.as_millis());
        assert_eq!(record.timestamp_ms(before), before.as_millis());
    }

    #[test]
    fn a_removed_container_is_a_tombstone() {
        let gone = one(&Rows::Containers([container(1, ContainerState::Removed, noon())].into()));
        assert_eq!(gone.value, None);
        let paused = one(&Rows::Containers([container(1, ContainerState::Paused, noon())].into()));
        assert!(paused.value.is_some());
    }

    #[test]
    fn a_host_that_is_no_longer_watched_is_a_tombstone() {
        let removed = HostRecord { status: HostStatus::Removed, ..host(noon()) };
        assert_eq!(one(&Rows::Hosts([removed].into())).value, None);
        assert!(one(&Rows::Hosts([host(noon())].into())).value.is_some());
    }

    #[test]
    fn a_traced_delivery_is_named_in_its_records() {
        let encoder = Encoder::with_ids(Format::Json);
        let id = batch(1, Rows::Stats([stats(1, noon())].into())).id;
        let parent = || {
            let headers = headers(&encoder, &id);
            let found = headers.iter().find(|header| header.key == "traceparent");
            found.map(|header| String::from_utf8(header.value.unwrap().to_vec()).unwrap())
        };
        assert_eq!(parent(), None);
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("deliver");
            let trace = span.context().span().span_context().trace_id().to_string();
            let parent = span.in_scope(parent).unwrap();
            assert!(parent.starts_with(&format!("00-{trace}-")) && parent.len() == 55, "{parent}");
        });
    }

    #[test]
    fn a_removed_image_is_a_tombstone() {
        assert_eq!(one(&Rows::Images([image(1, ImageState::Removed, noon())].into())).value, None);
        assert!(one(&Rows::Images([image(1, ImageState::Present, noon())].into())).value.is_some());
    }

    #[test]
    fn the_value_is_the_record_as_json() {
        let record = stats(1, noon());
        let encoded = one(&Rows::Stats([record.clone()].into()));
        let back: model::StatsRecord = serde_json::from_slice(&encoded.value.unwrap()).unwrap();
        assert_eq!(back, record);
        assert_eq!(encoded.timestamp, record.received_at);
    }
}
