//! Records as points. The names are those of `docs/influxdb.md`; a test compares them.
//!
//! What bounds a series is what a person names: containers by their names, not their ids, which are fields. A container
//! made again under its name goes on with its series.

use std::collections::BTreeMap;

use model::{
    Batch, ContainerMeta, ContainerRecord, EventRecord, HostRecord, HostStatus, ImageVersionRecord, LossRecord, Rows,
    Sample, SampleValue, StatsRecord, Stream, Timestamp,
};

use super::line::{Line, cleaned};

/// What becomes points. The state of an image is a list of names: what changes of it is here as versions. A line of a log is
/// text, which is nothing to reckon with.
pub(super) const STREAMS: [Stream; 6] =
    [Stream::Stats, Stream::Events, Stream::Containers, Stream::ImageVersions, Stream::Hosts, Stream::Losses];

/// Bytes of a line, about: a sample has some forty fields.
const LINE: usize = 1_200;

/// The points of `batches`, a line each, in their order.
pub(crate) fn encode(batches: &[Batch]) -> String {
    let rows: usize = batches.iter().map(|batch| batch.rows.len()).sum();
    let mut text = String::with_capacity(rows * LINE);
    for batch in batches {
        match &batch.rows {
            Rows::Stats(rows) => rows.iter().for_each(|row| stats(&mut text, row)),
            Rows::Events(rows) => rows.iter().for_each(|row| event(&mut text, row)),
            Rows::Containers(rows) => rows.iter().for_each(|row| container(&mut text, row)),
            // Not asked for.
            Rows::Images(_) | Rows::Logs(_) => {}
            Rows::ImageVersions(rows) => rows.iter().for_each(|row| image_version(&mut text, row)),
            Rows::Hosts(rows) => rows.iter().for_each(|row| host(&mut text, row)),
            Rows::Losses(rows) => {
                (batch.id.first..).zip(rows.iter()).for_each(|(sequence, row)| loss(&mut text, batch, sequence, row));
            }
        }
    }
    text
}

fn stats(text: &mut String, record: &StatsRecord) {
    let meta: &ContainerMeta = &record.meta;
    let mut line = Line::new(text, "docker_container_stats");
    line.tag("compose_project", meta.compose_project.as_deref().unwrap_or(""));
    line.tag("compose_service", meta.compose_service.as_deref().unwrap_or(""));
    line.tag("container", &meta.container_name);
    line.tag("host", meta.host.as_str());
    line.tag("image", &meta.image);
    labels(&mut line, &meta.labels);
    for (name, value) in Sample::FIELDS.iter().zip(record.sample.values()) {
        match value {
            SampleValue::Float(value) => line.float(field(name), value),
            SampleValue::Unsigned(value) => line.whole(field(name), value),
        }
    }
    line.text("container_id", Some(meta.container_id.as_str()));
    line.text("network_scope", record.network_scope.as_ref().map(ToString::to_string).as_deref());
    line.time("received_at", Some(record.received_at));
    line.time("run", meta.run);
    line.at(record.timestamp);
}

/// The name of a field of a sample: the record's own, shorter where people expect it.
fn field(name: &'static str) -> &'static str {
    match name {
        "cpu_usage_percent" => "cpu_percent",
        "memory_usage_bytes" => "mem_used",
        "memory_total_bytes" => "mem_used_with_cache",
        "memory_limit_bytes" => "mem_limit",
        "memory_usage_percent" => "mem_percent",
        "memory_cache_bytes" => "mem_cache",
        other => other,
    }
}

/// The labels chosen to ride on records. Two that come out as one are one: a server refuses a tag that stands twice.
fn labels(line: &mut Line<'_>, labels: &BTreeMap<String, String>) {
    let named = labels.iter().map(|(key, value)| (format!("label_{key}"), value));
    let unique: BTreeMap<String, &String> = named.map(|(key, value)| (cleaned(&key).collect(), value)).collect();
    unique.iter().for_each(|(key, value)| line.tag(key, value));
}

fn event(text: &mut String, record: &EventRecord) {
    let mut line = Line::new(text, "docker_events");
    line.tag("action", &record.action);
    // An anonymous volume's name is an id: as a tag it would make a series of its own.
    let named = record.actor_name.as_deref().filter(|name| record.container_name.is_none() && !is_id(name));
    line.tag("actor", named.unwrap_or(""));
    line.tag("compose_project", record.compose_project.as_deref().unwrap_or(""));
    line.tag("compose_service", record.compose_service.as_deref().unwrap_or(""));
    line.tag("container", record.container_name.as_deref().unwrap_or(""));
    line.tag("host", record.host.as_str());
    line.tag("image", record.image.as_deref().unwrap_or(""));
    labels(&mut line, &record.labels);
    line.tag("type", &record.kind);
    line.text("actor_id", Some(&record.actor_id));
    line.text("actor_name", record.actor_name.as_deref());
    line.text("argument", record.argument.as_deref());
    let attributes = serde_json::to_string(&record.attributes).expect("texts by text are JSON");
    line.text("attributes", Some(&attributes));
    line.text("container_id", record.container_id.as_ref().map(|id| id.as_str()));
    line.text("exit_cause", record.exit_cause.as_deref());
    line.whole("exit_code", record.exit_code);
    line.time("received_at", Some(record.received_at));
    line.text("signal", record.signal.as_deref());
    line.flag("synthetic", Some(record.synthetic));
    line.at(record.timestamp);
}

fn is_id(name: &str) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn container(text: &mut String, record: &ContainerRecord) {
    let mut line = Line::new(text, "docker_containers");
    line.tag("compose_project", record.compose_project.as_deref().unwrap_or(""));
    line.tag("compose_service", record.compose_service.as_deref().unwrap_or(""));
    line.tag("container", &record.container_name);
    line.tag("host", record.host.as_str());
    line.tag("image", &record.image);
    line.text("container_id", Some(record.container_id.as_str()));
    line.float("cpu_limit_cores", record.cpu_limit_cores);
    line.whole("cpu_shares", record.cpu_shares);
    line.text("cpuset_cpus", record.cpuset_cpus.as_deref());
    line.time("created_at", record.created_at);
    line.text("error", record.error.as_deref());
    line.text("exit_cause", record.exit_cause.as_deref());
    line.whole("exit_code", record.exit_code);
    line.time("finished_at", record.finished_at);
    let health = record.health.as_ref();
    line.whole("health_failing_streak", health.map(|health| health.failing_streak));
    line.text("health_status", health.map(|health| health.status.as_str()));
    line.text("image_digest", record.image_digest.as_deref());
    line.text("image_id", record.image_id.as_deref());
    line.whole("mem_limit", record.memory_limit_bytes);
    line.whole("mem_reservation", record.memory_reservation_bytes);
    line.whole("mem_swap_limit", record.memory_swap_limit_bytes);
    line.text("network_scope", record.network_scope.as_ref().map(ToString::to_string).as_deref());
    line.flag("oom_killed", record.oom_killed);
    line.whole("pid", record.pid);
    line.whole("pids_limit", record.pids_limit);
    line.whole("restart_count", record.restart_count);
    line.text("restart_policy", record.restart_policy.as_deref());
    line.time("started_at", record.started_at);
    line.text("state", Some(record.state.name()));
    line.text("status", record.status.as_deref());
    line.at(record.observed_at);
}

fn image_version(text: &mut String, record: &ImageVersionRecord) {
    let mut line = Line::new(text, "docker_image_versions");
    line.tag("change", record.change.name());
    line.tag("host", record.host.as_str());
    line.tag("image", if is_id(&record.reference) { "" } else { &record.reference });
    line.text("from_digest", record.from_digest.as_deref());
    line.text("from_image_id", record.from_image_id.as_deref());
    line.text("reference", Some(&record.reference));
    line.text("to_digest", record.to_digest.as_deref());
    line.text("to_image_id", record.to_image_id.as_deref());
    line.at(record.observed_at);
}

fn host(text: &mut String, record: &HostRecord) {
    let mut line = Line::new(text, "docker_hosts");
    line.tag("host", record.host.as_str());
    labels(&mut line, &record.labels);
    line.text("api_version", record.api_version.as_deref());
    line.whole("cgroup_version", record.cgroup_version);
    line.whole("containers", record.containers);
    line.whole("containers_running", record.containers_running);
    line.whole("cpus", record.cpus);
    line.text("engine", record.engine.as_deref());
    line.text("engine_version", record.engine_version.as_deref());
    line.whole("failures", Some(record.failures));
    line.text("kernel", record.kernel.as_deref());
    line.text("last_error", record.last_error.as_deref());
    line.whole("mem_total", record.memory_bytes);
    line.text("os", record.os.as_deref());
    line.whole("response_ns", record.response_ns);
    line.time("retry_at", record.retry_at);
    line.text("status", Some(record.status.name()));
    line.time("status_since", record.status_since);
    line.flag("up", Some(record.status == HostStatus::Up));
    line.text("url", Some(&record.url));
    line.at(record.observed_at);
}

fn loss(text: &mut String, batch: &Batch, sequence: u64, record: &LossRecord) {
    let mut line = Line::new(text, "docker_losses");
    line.tag("node", batch.id.node.as_str());
    line.tag("reason", record.reason.name());
    line.tag("sink", record.sink.as_deref().unwrap_or(""));
    line.tag("stream", record.stream.name());
    line.whole("count", Some(record.count));
    line.whole("epoch", Some(batch.id.epoch));
    line.time("first_at", Some(record.first_at));
    line.time("last_at", Some(record.last_at));
    line.whole("sequence", Some(sequence));
    line.at(unique(record.last_at, sequence));
}

/// Losses are told in rounds, and the last one of two rounds can be the same: what sets their points apart is the order
/// in which they were told, within a microsecond.
fn unique(at: Timestamp, sequence: u64) -> Timestamp {
    let within = i64::try_from(sequence % 1_000).expect("less than a thousand");
    Timestamp::from_nanos(at.as_nanos().div_euclid(1_000) * 1_000 + within)
}
