//! What is stored of what happens: stats, events, hosts.

use std::sync::LazyLock;

use model::{Sample, SampleKind};
use serde_json::Value;

use super::{Field, Schema, array, boolean, count, field, integer, map, maybe, number, reference, text, time, words};

pub(super) fn identity() -> Vec<Field> {
    vec![
        field("host", text(), "The host it is on."),
        field("container_id", text(), "Its full id."),
        field("container_name", text(), "Its name, without the leading slash."),
        field("image", text(), "Its image, as named at creation."),
    ]
}

pub(super) fn compose() -> Vec<Field> {
    vec![
        field("compose_project", maybe(text()), "Label `com.docker.compose.project`."),
        field("compose_service", maybe(text()), "Label `com.docker.compose.service`."),
    ]
}

pub(super) fn scope() -> Field {
    field(
        "network_scope",
        maybe(text()),
        "Why there are, or are not, network counters: `own`, `shared:<id>`, `host`, `none`.",
    )
}

/// The contract of the topic that carries the same record.
static TOPIC: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../../../schemas/topics/docker.stats.schema.json");
    serde_json::from_str(text).expect("the topic's schema is JSON")
});

/// What the topic says of a field.
fn described(name: &str) -> &'static str {
    TOPIC["properties"][name]["description"].as_str().unwrap_or_default()
}

pub(super) fn stats() -> Schema {
    let mut fields = identity();
    fields.extend(compose());
    fields.extend([
        field("run", maybe(time()), "When this run started; a restart keeps the id and changes the run."),
        field("timestamp", time(), "When the engine read the counters, by its clock."),
        field("received_at", time(), "When dockstream received them, by its own clock."),
        scope(),
    ]);
    fields.extend(Sample::FIELDS.iter().zip(Sample::KINDS).map(|(name, kind)| {
        let shape = match kind {
            SampleKind::Float64 => number(),
            SampleKind::UInt32 | SampleKind::UInt64 => count(),
        };
        field(name, maybe(shape), described(name))
    }));
    fields.push(Field {
        name: "labels",
        shape: map(text()),
        description: "The labels chosen to ride on records.",
        required: false,
    });
    fields.extend(rates());
    let description = "One sample. Counters without `_delta` are cumulative since the container started; `_delta` is the growth over \
                       `interval_ns`, the time since the sample before. `cpu_usage_percent` is 100 for one full core.";
    Schema { name: "Stats", description, fields }
}

fn rates() -> Vec<Field> {
    vec![
        field("cpu_throttled_ns_per_second", maybe(number()), "Throttled nanoseconds per second."),
        field("network_rx_bytes_per_second", maybe(number()), "Received bytes per second."),
        field("network_tx_bytes_per_second", maybe(number()), "Sent bytes per second."),
        field("block_read_bytes_per_second", maybe(number()), "Bytes read from block devices per second."),
        field("block_write_bytes_per_second", maybe(number()), "Bytes written to block devices per second."),
    ]
}

pub(super) fn history() -> Schema {
    let fields = vec![
        field("resolution", words(&["raw", "1m", "1h", "1d"]), "What the points are made from."),
        field("step_ns", maybe(count()), "Length of a step; null where every point is one sample."),
        field("from", time(), "The first moment asked for."),
        field("to", time(), "The moment after the last."),
        field("points", array(reference("HistoryPoint")), "Oldest first. A step without samples has no point."),
    ];
    Schema { name: "History", description: "A container's stats over time.", fields }
}

pub(super) fn history_point() -> Schema {
    let mut fields = vec![
        field("timestamp", time(), "Begin of the step, or time of the sample."),
        field("samples", count(), "Samples in it."),
        field("interval_ns", maybe(count()), "Time covered by them."),
        field("cpu_usage_percent", maybe(number()), "Mean CPU use: 100 is one full core."),
        field("cpu_usage_percent_min", maybe(number()), "Lowest CPU use."),
        field("cpu_usage_percent_max", maybe(number()), "Highest CPU use."),
        field("cpu_usage_delta_ns", maybe(count()), "CPU time used."),
        field("cpu_throttled_delta_ns", maybe(count()), "Time throttled."),
        field("memory_usage_bytes", maybe(count()), "Mean memory in use."),
        field("memory_usage_bytes_min", maybe(count()), "Lowest memory in use."),
        field("memory_usage_bytes_max", maybe(count()), "Highest memory in use."),
        field("memory_usage_percent", maybe(number()), "Mean part of the limit in use."),
        field("memory_usage_percent_min", maybe(number()), "Lowest part of the limit in use."),
        field("memory_usage_percent_max", maybe(number()), "Highest part of the limit in use."),
        field("memory_limit_bytes", maybe(count()), "Highest limit."),
        field("network_rx_delta_bytes", maybe(count()), "Bytes received."),
        field("network_tx_delta_bytes", maybe(count()), "Bytes sent."),
        field("block_read_delta_bytes", maybe(count()), "Bytes read from block devices."),
        field("block_write_delta_bytes", maybe(count()), "Bytes written to block devices."),
        field("pids", maybe(count()), "Most processes and threads."),
    ];
    fields.extend(rates());
    Schema { name: "HistoryPoint", description: "One step of a history, or one sample.", fields }
}

pub(super) fn log_line() -> Schema {
    let mut fields = identity();
    fields.extend(compose());
    fields.extend([
        field("run", maybe(time()), "When the run that wrote it started; null for an earlier run than the one known."),
        field("timestamp", time(), "When the engine took it, by the engine's clock."),
        field("received_at", time(), "When dockstream received it."),
        field("stream", words(&["stdout", "stderr"]), "Where it was written; a terminal has `stdout` only."),
        field("ordinal", count(), "Its number among the lines of this stream with the same timestamp."),
        field("line", text(), "The line without its end, at most 1 MiB, with its terminal sequences."),
        field("partial", boolean(), "True where it has no end: the container ended in the middle of it."),
        field("truncated", boolean(), "True where it was longer."),
        field("invalid_utf8", boolean(), "True where bytes that are no UTF-8 were replaced by U+FFFD."),
        Field { required: false, ..field("labels", map(text()), "The labels chosen to ride on records.") },
    ]);
    Schema { name: "LogLine", description: "A line that a container wrote.", fields }
}

pub(super) fn event() -> Schema {
    let mut fields = vec![
        field("host", text(), "The host it happened on."),
        field("timestamp", time(), "When, by the engine's clock."),
        field("received_at", time(), "When dockstream received it."),
        field("type", text(), "`container`, `image`, `network`, `volume`, `daemon`, or a word of a newer engine."),
        field("action", text(), "`start`, `die`, `health_status` …"),
        field("argument", maybe(text()), "The action's argument, where it may be kept."),
        field("actor_id", text(), "Id of what it happened to."),
        field("actor_name", maybe(text()), "Its name."),
        field("container_id", maybe(text()), "The container concerned."),
        field("container_name", maybe(text()), "Its name at that moment."),
        field("image", maybe(text()), "Its image."),
    ];
    fields.extend(compose());
    fields.extend([
        field("exit_code", maybe(integer()), "Exit code, for `die`."),
        field("exit_cause", maybe(text()), "The exit code in words: `finished`, `killed (SIGKILL), out of memory` …"),
        field("signal", maybe(text()), "Name of the signal, for `kill`: `SIGTERM`."),
        field("synthetic", boolean(), "True where the inventory found it out."),
        field("attributes", map(text()), "The engine's attributes, labels apart."),
        field("labels", map(text()), "Of the container's labels those chosen to ride on records."),
    ]);
    Schema { name: "Event", description: "Something that happened on a host.", fields }
}

pub(super) fn host() -> Schema {
    let fields = vec![
        field("host", text(), "Its name in dockstream."),
        field("url", text(), "Address of its engine, without secrets."),
        field("labels", map(text()), "The configuration's own words about it."),
        field("status", words(&["connecting", "up", "down"]), "Whether it answers."),
        field("status_since", maybe(time()), "Since when it does, or does not."),
        field("last_error", maybe(text()), "Why it does not."),
        field("failures", count(), "Attempts to reach it that failed in a row; 0 while it answers."),
        field("retry_at", maybe(time()), "When it is tried again; null while it answers."),
        field("engine", maybe(text()), "`docker` or `podman`."),
        field("engine_version", maybe(text()), "Engine version."),
        field("api_version", maybe(text()), "Engine API version in use."),
        field("os", maybe(text()), "`linux` or `windows`."),
        field("kernel", maybe(text()), "Kernel version."),
        field("cgroup_version", maybe(count()), "1 or 2."),
        field("cpus", maybe(count()), "CPUs."),
        field("memory_bytes", maybe(count()), "Memory of the machine."),
        field("response_ns", maybe(count()), "Time of the last ping's answer."),
        field("containers", maybe(count()), "Containers by the last inventory."),
        field("containers_running", maybe(count()), "Running containers by the last inventory."),
        field("observed_at", time(), "When this state was seen."),
    ];
    Schema { name: "Host", description: "A Docker host.", fields }
}
