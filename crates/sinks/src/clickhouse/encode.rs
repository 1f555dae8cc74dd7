//! Records into `RowBinaryWithNamesAndTypes`, in the order of [`columns`].

use std::collections::BTreeMap;

use model::{
    BatchId, ContainerId, ContainerMeta, ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord,
    LogRecord, LossRecord, Rows, SampleKind, SampleValue, StatsRecord, Stream, Timestamp,
};

use super::columns;

/// Rows of one table, as bytes.
#[derive(Debug, Default)]
pub(super) struct RowBinary {
    bytes: Vec<u8>,
}

impl RowBinary {
    /// The head: the columns that every row has, so that the server checks them.
    pub(super) fn new(stream: Stream) -> Self {
        let mut head = Self::default();
        let columns = columns(stream);
        head.length(columns.len());
        columns.iter().for_each(|(name, _)| head.text(name));
        columns.iter().for_each(|(_, kind)| head.text(kind));
        head
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds the row at `index` of a batch. False where there is none.
    pub(super) fn row(&mut self, id: &BatchId, rows: &Rows, index: usize) -> bool {
        match rows {
            Rows::Stats(rows) => rows.get(index).map(|row| self.stats(row)),
            Rows::Events(rows) => rows.get(index).map(|row| self.event(row)),
            Rows::Containers(rows) => rows.get(index).map(|row| self.container(row)),
            Rows::Images(rows) => rows.get(index).map(|row| self.image(row)),
            Rows::ImageVersions(rows) => rows.get(index).map(|row| self.image_version(row)),
            Rows::Hosts(rows) => rows.get(index).map(|row| self.host(row)),
            Rows::Logs(rows) => rows.get(index).map(|row| self.log(row)),
            Rows::Losses(rows) => rows.get(index).map(|row| self.loss(id, id.first + index as u64, row)),
        }
        .is_some()
    }

    fn stats(&mut self, row: &StatsRecord) {
        let meta = &row.meta;
        self.identity(meta);
        self.time(row.timestamp);
        self.time(row.received_at);
        self.maybe(row.network_scope.as_ref().map(ToString::to_string).as_deref(), Self::text);
        for (value, kind) in row.sample.values().zip(model::Sample::KINDS) {
            match (value, kind) {
                (SampleValue::Float(value), _) => self.maybe(value, Self::float),
                (SampleValue::Unsigned(value), SampleKind::UInt32) => {
                    self.maybe(value.and_then(|value| u32::try_from(value).ok()), Self::u32);
                }
                (SampleValue::Unsigned(value), _) => self.maybe(value, Self::u64),
            }
        }
        self.map(&meta.labels);
    }

    fn identity(&mut self, meta: &ContainerMeta) {
        self.text(meta.host.as_str());
        self.text(meta.container_id.as_str());
        self.text(&meta.container_name);
        self.text(&meta.image);
        self.maybe(meta.compose_project.as_deref(), Self::text);
        self.maybe(meta.compose_service.as_deref(), Self::text);
        self.maybe(meta.run, Self::time);
    }

    fn log(&mut self, row: &LogRecord) {
        self.identity(&row.meta);
        self.time(row.timestamp);
        self.time(row.received_at);
        self.text(row.stream.name());
        self.u32(row.ordinal);
        self.text(&row.line);
        self.bool(row.partial);
        self.bool(row.truncated);
        self.bool(row.invalid_utf8);
        self.map(&row.meta.labels);
    }

    fn event(&mut self, row: &EventRecord) {
        self.text(row.host.as_str());
        self.time(row.timestamp);
        self.time(row.received_at);
        self.text(&row.kind);
        self.text(&row.action);
        self.maybe(row.argument.as_deref(), Self::text);
        self.text(&row.actor_id);
        self.maybe(row.actor_name.as_deref(), Self::text);
        self.maybe(row.container_id.as_ref().map(ContainerId::as_str), Self::text);
        self.maybe(row.container_name.as_deref(), Self::text);
        self.maybe(row.image.as_deref(), Self::text);
        self.maybe(row.compose_project.as_deref(), Self::text);
        self.maybe(row.compose_service.as_deref(), Self::text);
        self.maybe(row.exit_code, Self::i64);
        self.maybe(row.exit_cause.as_deref(), Self::text);
        self.maybe(row.signal.as_deref(), Self::text);
        self.bool(row.synthetic);
        self.map(&row.attributes);
        self.map(&row.labels);
    }

    fn container(&mut self, row: &ContainerRecord) {
        let health = row.health.as_ref();
        self.text(row.host.as_str());
        self.text(row.container_id.as_str());
        self.text(&row.container_name);
        self.text(&row.image);
        self.maybe(row.image_id.as_deref(), Self::text);
        self.maybe(row.image_digest.as_deref(), Self::text);
        self.maybe(row.compose_project.as_deref(), Self::text);
        self.maybe(row.compose_service.as_deref(), Self::text);
        self.text(row.state.name());
        self.maybe(row.status.as_deref(), Self::text);
        self.maybe(row.pid, Self::u64);
        self.maybe(row.exit_code, Self::i64);
        self.maybe(row.exit_cause.as_deref(), Self::text);
        self.maybe(row.oom_killed, Self::bool);
        self.maybe(row.error.as_deref(), Self::text);
        self.maybe(row.created_at, Self::time);
        self.maybe(row.started_at, Self::time);
        self.maybe(row.finished_at, Self::time);
        self.maybe(health.map(|health| health.status.as_str()), Self::text);
        self.maybe(health.map(|health| health.failing_streak), Self::u32);
        self.maybe(health.and_then(|health| health.last_output.as_deref()), Self::text);
        self.map(&row.labels);
        self.length(row.environment.len());
        for (name, value) in &row.environment {
            self.text(name);
            self.maybe(value.as_deref(), Self::text);
        }
        self.list(&row.ports, |to, port| {
            to.u16(port.container_port);
            to.text(&port.protocol);
            to.maybe(port.host_ip.as_deref(), Self::text);
            to.maybe(port.host_port, Self::u16);
        });
        self.list(&row.networks, |to, network| {
            to.text(&network.name);
            to.maybe(network.network_id.as_deref(), Self::text);
            to.maybe(network.ip_address.as_deref(), Self::text);
            to.maybe(network.ipv6_address.as_deref(), Self::text);
            to.maybe(network.mac_address.as_deref(), Self::text);
        });
        self.list(&row.mounts, |to, mount| {
            to.text(&mount.kind);
            to.text(&mount.source);
            to.text(&mount.destination);
            to.bool(mount.writable);
        });
        self.maybe(row.network_scope.as_ref().map(ToString::to_string).as_deref(), Self::text);
        self.maybe(row.restart_policy.as_deref(), Self::text);
        self.maybe(row.restart_count, Self::u64);
        self.maybe(row.cpu_limit_cores, Self::float);
        self.maybe(row.memory_limit_bytes, Self::u64);
        self.maybe(row.pids_limit, Self::u64);
        self.maybe(row.cpu_shares, Self::u64);
        self.maybe(row.cpuset_cpus.as_deref(), Self::text);
        self.maybe(row.memory_reservation_bytes, Self::u64);
        self.maybe(row.memory_swap_limit_bytes, Self::u64);
        let revp = row.revp.as_ref().map(|revp| serde_json::to_string(revp).expect("texts and numbers are JSON"));
        self.maybe(revp.as_deref(), Self::text);
        self.time(row.observed_at);
    }

    fn image(&mut self, row: &ImageRecord) {
        self.text(row.host.as_str());
        self.text(&row.image_id);
        self.text(row.state.name());
        self.list(&row.tags, |to, tag| to.text(tag));
        self.list(&row.digests, |to, digest| to.text(digest));
        self.maybe(row.created_at, Self::time);
        self.maybe(row.size_bytes, Self::u64);
        self.map(&row.labels);
        // An array cannot be NULL: whether the users are known is told by their number.
        self.list(row.used_by.as_deref().unwrap_or_default(), |to, id| to.text(id.as_str()));
        self.maybe(row.used_by.as_ref().map(|used_by| used_by.len() as u64), Self::u64);
        self.time(row.observed_at);
    }

    fn image_version(&mut self, row: &ImageVersionRecord) {
        self.text(row.host.as_str());
        self.time(row.observed_at);
        self.text(row.change.name());
        self.text(&row.reference);
        self.maybe(row.from_image_id.as_deref(), Self::text);
        self.maybe(row.to_image_id.as_deref(), Self::text);
        self.maybe(row.from_digest.as_deref(), Self::text);
        self.maybe(row.to_digest.as_deref(), Self::text);
    }

    fn host(&mut self, row: &HostRecord) {
        self.text(row.host.as_str());
        self.text(&row.url);
        self.text(row.status.name());
        self.maybe(row.last_error.as_deref(), Self::text);
        self.maybe(row.engine.as_deref(), Self::text);
        self.maybe(row.engine_version.as_deref(), Self::text);
        self.maybe(row.api_version.as_deref(), Self::text);
        self.maybe(row.os.as_deref(), Self::text);
        self.maybe(row.kernel.as_deref(), Self::text);
        self.maybe(row.cgroup_version, |to, value| to.bytes.push(value));
        self.maybe(row.cpus, Self::u32);
        self.maybe(row.memory_bytes, Self::u64);
        self.maybe(row.response_ns, Self::u64);
        self.maybe(row.containers, Self::u64);
        self.maybe(row.containers_running, Self::u64);
        self.time(row.observed_at);
        self.map(&row.labels);
        self.maybe(row.status_since, Self::time);
        self.u64(row.failures);
        self.maybe(row.retry_at, Self::time);
    }

    fn loss(&mut self, id: &BatchId, sequence: u64, row: &LossRecord) {
        self.text(id.node.as_str());
        self.u64(id.epoch);
        self.u64(sequence);
        self.text(row.stream.name());
        self.maybe(row.sink.as_deref(), Self::text);
        self.text(row.reason.name());
        self.u64(row.count);
        self.time(row.first_at);
        self.time(row.last_at);
    }

    /// LEB128.
    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A byte says whether the value is absent.
    fn maybe<T>(&mut self, value: Option<T>, write: impl Fn(&mut Self, T)) {
        self.bytes.push(u8::from(value.is_none()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.length(items.len());
        items.iter().for_each(|item| write(self, item));
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.length(map.len());
        for (key, value) in map {
            self.text(key);
            self.text(value);
        }
    }

    fn time(&mut self, time: Timestamp) {
        self.i64(time.as_nanos());
    }

    fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        for (length, expected) in [(0, vec![0]), (127, vec![0x7f]), (128, vec![0x80, 1]), (300, vec![0xac, 2])] {
            let mut to = RowBinary::default();
            to.length(length);
            assert_eq!(to.into_bytes(), expected);
        }
    }

    #[test]
    fn the_unknown_is_one_byte_and_the_known_follows_a_zero() {
        let mut to = RowBinary::default();
        to.maybe(None, RowBinary::u64);
        to.maybe(Some(258), RowBinary::u16);
        assert_eq!(to.into_bytes(), [1, 0, 2, 1]);
    }
}
