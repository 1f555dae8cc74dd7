//! What answers look like: one schema a type, its fields in the order in which they are written.

use model::{LossReason, Sample, SampleKind, Stream};
use serde_json::{Map, Value, json};

use crate::problem::ProblemKind;

/// One object type.
pub(super) struct Schema {
    pub name: &'static str,
    pub description: &'static str,
    pub fields: Vec<Field>,
}

/// One field of an object.
pub(super) struct Field {
    pub name: &'static str,
    pub shape: Value,
    pub description: &'static str,
    /// False where the field may be missing; one that is not known is there, and null.
    pub required: bool,
}

impl Schema {
    /// As JSON Schema.
    pub fn to_json(&self) -> Value {
        let required: Vec<_> = self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let properties: Map<String, Value> = self
            .fields
            .iter()
            .map(|field| {
                let mut shape = field.shape.clone();
                if !field.description.is_empty() {
                    shape["description"] = field.description.into();
                }
                (field.name.to_owned(), shape)
            })
            .collect();
        json!({"type": "object", "description": self.description, "required": required, "properties": properties})
    }
}

/// All schemas, in reading order.
pub(super) fn all() -> Vec<Schema> {
    vec![
        container(),
        container_health(),
        port(),
        network(),
        mount(),
        stats(),
        history(),
        history_point(),
        event(),
        host(),
        loss(),
        pipeline(),
        node(),
        last_exit(),
        sink(),
        stream_books(),
        status(),
        host_line(),
        sink_line(),
        link(),
        health(),
        readiness(),
        problem(),
        candidate(),
        page(),
        meta(),
    ]
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The envelope of lists.
pub(super) fn list_of(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "page", "meta", "warnings"],
        "properties": {
            "data": array(reference(name)),
            "page": reference("Page"),
            "meta": reference("Meta"),
            "warnings": {"type": "array", "items": {"type": "string"}, "description": "What is missing in the answer, in words."},
        }
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn words(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn integer() -> Value {
    json!({"type": "integer"})
}

/// A count or a size: never negative, up to 2^64 − 1.
fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

/// Also null: not known.
fn maybe(mut shape: Value) -> Value {
    match shape["type"].as_str().map(str::to_owned) {
        Some(name) => {
            shape["type"] = json!([name, "null"]);
            shape
        }
        None => json!({"anyOf": [shape, {"type": "null"}]}),
    }
}

fn field(name: &'static str, shape: Value, description: &'static str) -> Field {
    Field { name, shape, description, required: true }
}

fn identity() -> Vec<Field> {
    vec![
        field("host", text(), "The host it is on."),
        field("container_id", text(), "Its full id."),
        field("container_name", text(), "Its name, without the leading slash."),
        field("image", text(), "Its image, as named at creation."),
    ]
}

fn compose() -> Vec<Field> {
    vec![
        field("compose_project", maybe(text()), "Label `com.docker.compose.project`."),
        field("compose_service", maybe(text()), "Label `com.docker.compose.service`."),
    ]
}

fn scope() -> Field {
    field(
        "network_scope",
        maybe(text()),
        "Why there are, or are not, network counters: `own`, `shared:<id>`, `host`, `none`.",
    )
}

const STATES: [&str; 9] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead", "removed", "unknown"];

fn container() -> Schema {
    let mut fields = identity();
    fields.push(field("image_id", maybe(text()), "Digest of the image's configuration."));
    fields.extend(compose());
    fields.extend([
        field("state", words(&STATES), "What the engine says it is doing; `removed`: gone from the engine."),
        field("status", maybe(text()), "The engine's own sentence, such as `Up 3 hours`."),
        field("pid", maybe(count()), "Process id of its first process on the host, while running."),
        field("exit_code", maybe(integer()), "Exit code of the last run."),
        field("oom_killed", maybe(boolean()), "True where the kernel killed it for memory."),
        field("error", maybe(text()), "The engine's error at the last start."),
        field("created_at", maybe(time()), "When it was made."),
        field("started_at", maybe(time()), "When the last run started."),
        field("finished_at", maybe(time()), "When the last run ended."),
        field("health", maybe(reference("ContainerHealth")), "Its health check; null where it has none."),
        field("labels", map(text()), "All labels."),
        field("ports", array(reference("Port")), "Ports, exposed and published."),
        field("networks", array(reference("Network")), "Networks."),
        field("mounts", array(reference("Mount")), "Mounts."),
        scope(),
        field("restart_policy", maybe(text()), "`no`, `always`, `unless-stopped`, `on-failure`."),
        field("restart_count", maybe(count()), "Restarts by that policy."),
        field("cpu_limit_cores", maybe(number()), "CPU limit in cores."),
        field("memory_limit_bytes", maybe(count()), "Memory limit."),
        field("pids_limit", maybe(count()), "Limit on processes."),
        field("observed_at", time(), "When dockstream saw this state."),
    ]);
    Schema { name: "Container", description: "A container in its latest state.", fields }
}

fn container_health() -> Schema {
    let fields = vec![
        field("status", text(), "`starting`, `healthy` or `unhealthy`."),
        field("failing_streak", count(), "Failures in a row."),
        field("last_output", maybe(text()), "What the last probe printed, at most 4 KiB."),
    ];
    Schema { name: "ContainerHealth", description: "The result of a container's health check.", fields }
}

fn port() -> Schema {
    let fields = vec![
        field("container_port", count(), "Port inside the container."),
        field("protocol", text(), "`tcp`, `udp` or `sctp`."),
        field("host_ip", maybe(text()), "Address on the host, where published."),
        field("host_port", maybe(count()), "Port on the host, where published."),
    ];
    Schema { name: "Port", description: "A published or exposed port.", fields }
}

fn network() -> Schema {
    let fields = vec![field("name", text(), "Name."), field("ip_address", maybe(text()), "IPv4 address.")];
    Schema { name: "Network", description: "A network the container is attached to.", fields }
}

fn mount() -> Schema {
    let fields = vec![
        field("kind", text(), "`bind`, `volume`, `tmpfs` …"),
        field("source", text(), "Volume name, or path on the host."),
        field("destination", text(), "Path inside the container."),
        field("writable", boolean(), "True where it can be written."),
    ];
    Schema { name: "Mount", description: "A mount of the container.", fields }
}

fn stats() -> Schema {
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
        field(name, maybe(shape), "")
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

fn history() -> Schema {
    let fields = vec![
        field("resolution", words(&["raw", "1m", "1h", "1d"]), "What the points are made from."),
        field("step_ns", maybe(count()), "Length of a step; null where every point is one sample."),
        field("from", time(), "The first moment asked for."),
        field("to", time(), "The moment after the last."),
        field("points", array(reference("HistoryPoint")), "Oldest first. A step without samples has no point."),
    ];
    Schema { name: "History", description: "A container's stats over time.", fields }
}

fn history_point() -> Schema {
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

fn event() -> Schema {
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
        field("signal", maybe(text()), "Signal, for `kill`."),
        field("synthetic", boolean(), "True where the inventory found it out."),
        field("attributes", map(text()), "The engine's attributes, labels apart."),
    ]);
    Schema { name: "Event", description: "Something that happened on a host.", fields }
}

fn host() -> Schema {
    let fields = vec![
        field("host", text(), "Its name in dockstream."),
        field("url", text(), "Address of its engine, without secrets."),
        field("status", words(&["connecting", "up", "down"]), "Whether it answers."),
        field("last_error", maybe(text()), "Why it does not."),
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

fn loss() -> Schema {
    let fields = vec![
        field("stream", words(&Stream::ALL.map(Stream::name)), "What was lost."),
        field("sink", maybe(text()), "The sink that did not get it; null where no sink would have."),
        field("reason", words(&LossReason::ALL.map(LossReason::name)), "Why."),
        field("count", count(), "Records lost."),
        field("first_at", time(), "Time of the first lost record."),
        field("last_at", time(), "Time of the last lost record."),
    ];
    Schema { name: "Loss", description: "What was dropped since the start, for one reason.", fields }
}

fn pipeline() -> Schema {
    let fields = vec![
        field("generated_at", time(), "The moment described."),
        field("tree", reference("Node"), "The root of the supervision tree."),
        field("streams", array(reference("StreamBooks")), "The books of each stream before the journal."),
        field("sinks", array(reference("Sink")), "Every sink with its books."),
    ];
    Schema { name: "Pipeline", description: "The pipeline at one moment.", fields }
}

fn node() -> Schema {
    let states = ["running", "restarting", "quarantined", "draining", "stopped"];
    let fields = vec![
        field("name", text(), "Its name inside its group."),
        field("kind", words(&["actor", "group"]), "An actor, or a supervisor of actors and groups."),
        field("state", words(&states), "What it is doing."),
        field("restarts", count(), "Restarts since it was made."),
        field("last_exit", maybe(reference("LastExit")), "How it last ended; null where it never did."),
        field("depth", maybe(count()), "Units queued or being handled; null for a group."),
        field("capacity", maybe(count()), "Units its mailbox holds at most; null for a group."),
        field("backpressure_ns", maybe(count()), "Time senders waited for its mailbox; null for a group."),
        field("children", array(reference("Node")), "In start order."),
    ];
    Schema { name: "Node", description: "One node of the supervision tree.", fields }
}

fn last_exit() -> Schema {
    let kinds = actor_runtime::ExitKind::ALL.map(actor_runtime::ExitKind::name);
    let fields = vec![
        field("kind", words(&kinds), "How."),
        field("text", text(), "How, with what was said."),
        field("at", maybe(time()), "When."),
    ];
    Schema { name: "LastExit", description: "How an actor or a group ended.", fields }
}

fn sink() -> Schema {
    let fields = vec![
        field("sink", text(), "Its name."),
        field("journaled", count(), "Rows given to it: `delivered + rejected + dropped + pending`."),
        field("delivered", count(), "Rows its server has."),
        field("rejected", count(), "Rows its server refused for good."),
        field("dropped", count(), "Rows dropped because it was too far behind."),
        field("pending", count(), "Rows still to be delivered."),
        field("pending_bytes", count(), "Bytes still to be delivered (estimated)."),
        field("oldest_pending", maybe(time()), "When the oldest pending row was received."),
        field("kind", text(), "`sqlite`, `kafka`, `clickhouse`."),
        field("target", text(), "Where it delivers to, without secrets."),
        field("failures", count(), "Failed attempts since the start."),
        field("delivered_at", maybe(time()), "When its server last took rows."),
        field("failing", maybe(text()), "Why the present attempt fails; null while all is well."),
    ];
    Schema { name: "Sink", description: "A sink and its books, in rows.", fields }
}

fn stream_books() -> Schema {
    let fields = vec![
        field("stream", words(&Stream::ALL.map(Stream::name)), "The stream."),
        field(
            "received",
            count(),
            "Frames, events or states from engines: `parsed + dropped_before_parsing + in_parsing`.",
        ),
        field("in_parsing", integer(), "On their way to a record."),
        field("parsed", count(), "Those that became records: `journaled + dropped_after_parsing + in_batching`."),
        field("in_batching", integer(), "Records on their way to the journal."),
        field("journaled", count(), "Records the journal has."),
        field("dropped_before_parsing", map(count()), "Dropped before they became records, by reason."),
        field("dropped_after_parsing", map(count()), "Records dropped before the journal had them, by reason."),
    ];
    Schema { name: "StreamBooks", description: "The books of one stream, from the engines to the journal.", fields }
}

fn status() -> Schema {
    let fields = vec![
        field("name", words(&["dockstream"]), ""),
        field("version", text(), "Its version."),
        field("node", text(), "The name of this process."),
        field("started_at", time(), "When it started."),
        field("uptime_seconds", count(), "Since then."),
        field("ready", boolean(), "Whether it does its job."),
        field("reason", maybe(text()), "Why it does not."),
        field("hosts", array(reference("HostLine")), "Its hosts, in short."),
        field("sinks", array(reference("SinkLine")), "Its sinks, in short."),
        field("links", array(reference("Link")), "Where to go on."),
    ];
    Schema { name: "Status", description: "Who answers, and how it does.", fields }
}

fn host_line() -> Schema {
    let fields = vec![
        field("host", text(), "Name."),
        field("status", words(&["connecting", "up", "down"]), "Whether it answers."),
        field("last_error", maybe(text()), "Why it does not."),
        field("containers_running", maybe(count()), "Running containers."),
    ];
    Schema { name: "HostLine", description: "A host in short.", fields }
}

fn sink_line() -> Schema {
    let fields = vec![
        field("sink", text(), "Name."),
        field("delivered", count(), "Rows its server has."),
        field("pending", count(), "Rows still to be delivered."),
        field("dropped", count(), "Rows dropped."),
        field("failing", maybe(text()), "Why the present attempt fails."),
    ];
    Schema { name: "SinkLine", description: "A sink in short.", fields }
}

fn link() -> Schema {
    let fields = vec![field("href", text(), "Path."), field("title", text(), "What is there.")];
    Schema { name: "Link", description: "Where to go on.", fields }
}

fn health() -> Schema {
    let fields = vec![field("status", words(&["ok"]), "")];
    Schema { name: "Health", description: "A sign of life.", fields }
}

fn readiness() -> Schema {
    let fields = vec![
        field("status", words(&["ready", "not_ready"]), ""),
        field("reason", maybe(text()), "Why it is not ready, in one line."),
    ];
    Schema { name: "Readiness", description: "Whether the process does its job.", fields }
}

fn problem() -> Schema {
    let types = ProblemKind::ALL.map(ProblemKind::uri);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let optional = |name, shape, description| Field { name, shape, description, required: false };
    let fields = vec![
        field("type", words(&types), "What kind of problem; leads to its explanation."),
        field("title", text(), "The same in words."),
        field("status", integer(), "The HTTP status."),
        field("detail", text(), "What was wrong this time."),
        field("instance", text(), "The path asked for."),
        field("request_id", text(), "`X-Request-ID`; the log has it too."),
        optional("parameter", text(), "The parameter concerned."),
        optional("nearest", maybe(text()), "The known name it resembles."),
        optional("known", array(text()), "All known names."),
        optional("candidates", array(reference("Candidate")), "The containers it could be."),
        optional("container_id", text(), "The container concerned."),
        optional("state", words(&STATES), "Its state."),
        optional("limit_bytes", count(), "The limit that was passed."),
    ];
    Schema { name: "Problem", description: "An error, by RFC 9457.", fields }
}

fn candidate() -> Schema {
    let mut fields = identity();
    fields.pop();
    fields.push(field("state", words(&STATES), "Its state."));
    Schema { name: "Candidate", description: "A container that a name or prefix could mean.", fields }
}

fn page() -> Schema {
    let fields = vec![field("next_cursor", maybe(text()), "Give it as `cursor` for the next page; null on the last.")];
    Schema { name: "Page", description: "Where a list goes on.", fields }
}

fn meta() -> Schema {
    let fields = vec![
        field("generated_at", time(), "When the answer was made."),
        field("source", words(&["live", "store"]), "What this process knows now, or what is stored."),
        field("stale", boolean(), "True where newer data could not be had."),
        field("data_age_ms", maybe(count()), "Since the newest item was seen; null where there are none."),
    ];
    Schema { name: "Meta", description: "About the answer.", fields }
}
