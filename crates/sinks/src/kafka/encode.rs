//! Records into Kafka's: key, value, headers.

use model::{BatchId, ContainerState, HostStatus, ImageState, Rows, Stream, Timestamp};
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::to_vec;

use super::transactions::CURSOR_SCHEMA;

/// Header `content-type` of every record.
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
pub(super) fn encode(rows: &Rows, index: usize) -> Option<serde_json::Result<Encoded>> {
    let row = match rows {
        Rows::Stats(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.meta.host, row.meta.container_id);
            (key, Some(to_vec(row)), row.received_at)
        }
        Rows::Events(rows) => {
            let row = rows.get(index)?;
            let of = row.container_id.as_ref().map_or(row.actor_id.as_str(), |id| id.as_str());
            (format!("{}/{of}", row.host), Some(to_vec(row)), row.received_at)
        }
        Rows::Containers(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.host, row.container_id);
            let there = row.state != ContainerState::Removed;
            (key, there.then(|| to_vec(row)), row.observed_at)
        }
        Rows::Images(rows) => {
            let row = rows.get(index)?;
            let there = row.state != ImageState::Removed;
            (format!("{}/{}", row.host, row.image_id), there.then(|| to_vec(row)), row.observed_at)
        }
        Rows::ImageVersions(rows) => {
            let row = rows.get(index)?;
            (format!("{}/{}", row.host, row.reference), Some(to_vec(row)), row.observed_at)
        }
        Rows::Hosts(rows) => {
            let row = rows.get(index)?;
            let there = row.status != HostStatus::Removed;
            (row.host.to_string(), there.then(|| to_vec(row)), row.observed_at)
        }
        Rows::Logs(rows) => {
            let row = rows.get(index)?;
            let key = format!("{}/{}", row.meta.host, row.meta.container_id);
            (key, Some(to_vec(row)), row.received_at)
        }
        Rows::Losses(rows) => {
            let row = rows.get(index)?;
            let sink = row.sink.as_deref().unwrap_or("-");
            (format!("{sink}/{}/{}", row.stream, row.reason), Some(to_vec(row)), row.last_at)
        }
    };
    let (key, value, timestamp) = row;
    Some(value.transpose().map(|value| Encoded { key, value, timestamp }))
}

/// The headers of all records of a batch.
pub(super) fn headers(id: &BatchId) -> OwnedHeaders {
    let id_text = id.to_string();
    OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: "schema", value: Some(schema_name(id.stream)) })
        .insert(Header { key: "content-type", value: Some(CONTENT_TYPE) })
        .insert(Header { key: "batch-id", value: Some(&id_text) })
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

    use super::*;
    use crate::fixtures::{
        container, container_id, event, host, image, image_version, loss, network_event, noon, stats,
    };

    fn one(rows: &Rows) -> Encoded {
        encode(rows, 0).unwrap().unwrap()
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
