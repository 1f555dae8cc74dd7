//! What the process says of itself, and of its answers.

use model::{LossReason, Stream};
use serde_json::Value;

use super::{Field, Schema, array, boolean, count, field, integer, map, maybe, reference, text, time, words};
use crate::operation::STATES;
use crate::problem::ProblemKind;

pub(super) fn loss() -> Schema {
    let fields = vec![
        field("stream", words(&Stream::ALL.map(Stream::name)), "What was lost."),
        field("sink", maybe(text()), "The sink that did not get it; null where no sink would have."),
        field("reason", words(&LossReason::ALL.map(LossReason::name)), "Why."),
        field("count", count(), "Records lost."),
        field("first_at", time(), "Time of the first lost record; of what never became a record, when it was dropped."),
        field("last_at", time(), "Time of the last lost record; of what never became a record, when it was dropped."),
    ];
    Schema {
        name: "Loss",
        description: "What was lost, for one reason: before the journal since the start of the process, after it since the journal began.",
        fields,
    }
}

pub(super) fn pipeline() -> Schema {
    let fields = vec![
        field("generated_at", time(), "The moment described."),
        field("tree", reference("Node"), "The root of the supervision tree."),
        field("streams", array(reference("StreamBooks")), "The books of each stream before the journal."),
        field("journal", reference("Journal"), "What lies between collecting and delivering."),
        field("sinks", array(reference("Sink")), "Every sink with its books."),
        field("silent", array(reference("Silent")), "Running containers of which their engine gives no stats."),
    ];
    Schema { name: "Pipeline", description: "The pipeline at one moment.", fields }
}

pub(super) fn silent() -> Schema {
    let fields = vec![
        field("host", text(), "Its host."),
        field("container_id", text(), "Its full id."),
        field("container_name", text(), "Its name."),
        field("since", time(), "When stats of it came last, or were first asked for."),
    ];
    Schema { name: "Silent", description: "A running container of which its engine gives no stats.", fields }
}

pub(super) fn node() -> Schema {
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

pub(super) fn last_exit() -> Schema {
    let kinds = actor_runtime::ExitKind::ALL.map(actor_runtime::ExitKind::name);
    let fields = vec![
        field("kind", words(&kinds), "How."),
        field("text", text(), "How, with what was said."),
        field("at", maybe(time()), "When."),
    ];
    Schema { name: "LastExit", description: "How an actor or a group ended.", fields }
}

pub(super) fn journal() -> Schema {
    let fields = vec![
        field("kind", words(&["disk", "memory"]), "Where it is kept; on disk it outlives the process."),
        field("bytes", count(), "Bytes of records that some sink has not taken yet."),
        field("limit_bytes", count(), "How many there may be."),
        field("full", boolean(), "The pipeline waits for room in it."),
        field("failing", maybe(text()), "Why its storage fails at present; null while all is well."),
    ];
    Schema { name: "Journal", description: "The log between the pipeline and its sinks.", fields }
}

pub(super) fn sink() -> Schema {
    let fields = vec![
        field("sink", text(), "Its name."),
        field("journaled", count(), "Rows given to it: `delivered + rejected + dropped + pending`."),
        field("delivered", count(), "Rows its server has."),
        field("rejected", count(), "Rows its server refused for good."),
        field("dropped", count(), "Rows dropped because it was too far behind."),
        field("pending", count(), "Rows still to be delivered."),
        field("pending_bytes", count(), "Bytes still to be delivered (estimated)."),
        field("oldest_pending", maybe(time()), "When the oldest pending row was received."),
        field("kind", text(), "`sqlite`, `kafka`, `clickhouse`, `postgres`, `influxdb`."),
        field("target", text(), "Where it delivers to, without secrets."),
        field("failures", count(), "Failed attempts since the start."),
        field("delivered_at", maybe(time()), "When its server last took rows."),
        field("failing", maybe(text()), "Why the present attempt fails; null while all is well."),
    ];
    Schema { name: "Sink", description: "A sink and its books, in rows.", fields }
}

pub(super) fn stream_books() -> Schema {
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

pub(super) fn status() -> Schema {
    let fields = vec![
        field("name", words(&["dockstream"]), "Always that."),
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

pub(super) fn host_line() -> Schema {
    let fields = vec![
        field("host", text(), "Name."),
        field("status", words(&["connecting", "up", "down"]), "Whether it answers."),
        field("last_error", maybe(text()), "Why it does not."),
        field("containers_running", maybe(count()), "Running containers."),
    ];
    Schema { name: "HostLine", description: "A host in short.", fields }
}

pub(super) fn sink_line() -> Schema {
    let fields = vec![
        field("sink", text(), "Name."),
        field("delivered", count(), "Rows its server has."),
        field("pending", count(), "Rows still to be delivered."),
        field("dropped", count(), "Rows dropped."),
        field("failing", maybe(text()), "Why the present attempt fails."),
    ];
    Schema { name: "SinkLine", description: "A sink in short.", fields }
}

pub(super) fn link() -> Schema {
    let fields = vec![field("href", text(), "Path."), field("title", text(), "What is there.")];
    Schema { name: "Link", description: "Where to go on.", fields }
}

pub(super) fn health() -> Schema {
    let fields = vec![field("status", words(&["ok"]), "Always that.")];
    Schema { name: "Health", description: "A sign of life.", fields }
}

pub(super) fn readiness() -> Schema {
    let fields = vec![
        field("status", words(&["ready", "not_ready"]), "Whether it does."),
        field("reason", maybe(text()), "Why it is not ready, in one line."),
    ];
    Schema { name: "Readiness", description: "Whether the process does its job.", fields }
}

pub(super) fn problem() -> Schema {
    let types = ProblemKind::ALL.map(ProblemKind::uri);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
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
        optional("candidates", array(reference("Candidate")), "The containers or images it could be."),
        optional("container_id", text(), "The container concerned."),
        optional("state", words(STATES), "Its state."),
        optional("limit_bytes", count(), "The limit that was passed."),
    ];
    Schema { name: "Problem", description: "An error, by RFC 9457.", fields }
}

/// A field that may be missing.
fn optional(name: &'static str, shape: Value, description: &'static str) -> Field {
    Field { name, shape, description, required: false }
}

pub(super) fn candidate() -> Schema {
    let states: Vec<&str> = STATES.iter().copied().chain(["present"]).collect();
    let fields = vec![
        field("host", text(), "The host it is on."),
        field("state", words(&states), "Its state."),
        optional("container_id", text(), "Full id of a container."),
        optional("container_name", text(), "Name of a container."),
        optional("image_id", text(), "Id of an image."),
        optional("tags", array(text()), "Tags of an image."),
    ];
    Schema { name: "Candidate", description: "A container or an image that a name, tag or prefix could mean.", fields }
}

pub(super) fn page() -> Schema {
    let fields = vec![field("next_cursor", maybe(text()), "Give it as `cursor` for the next page; null on the last.")];
    Schema { name: "Page", description: "Where a list goes on.", fields }
}

pub(super) fn meta() -> Schema {
    let fields = vec![
        field("generated_at", time(), "When the answer was made."),
        field("source", words(&["live", "store"]), "What this process knows now, or what is stored."),
        field("stale", boolean(), "True where newer data could not be had."),
        field("data_age_ms", maybe(count()), "Since the newest item was seen; null where there are none."),
    ];
    Schema { name: "Meta", description: "About the answer.", fields }
}
