//! What hosts have: containers and images.

use super::stored::{compose, identity, scope};
use super::{Field, Schema, array, boolean, count, field, integer, map, maybe, number, reference, text, time, words};
use crate::operation::STATES;

pub(super) fn container() -> Schema {
    let mut fields = identity();
    fields.push(field("image_id", maybe(text()), "Digest of the image's configuration."));
    fields.push(field("image_digest", maybe(text()), "Digest of the image in its repository."));
    fields.extend(compose());
    fields.extend([
        field("state", words(STATES), "What the engine says it is doing; `removed`: gone from the engine."),
        field("status", maybe(text()), "The state as a sentence, such as `Up 3 hours`."),
        field("pid", maybe(count()), "Process id of its first process on the host, while running."),
        field("exit_code", maybe(integer()), "Exit code of the last run."),
        field("exit_cause", maybe(text()), "The exit code in words: `finished`, `killed (SIGKILL), out of memory` …"),
        field("oom_killed", maybe(boolean()), "True where the kernel killed it for memory."),
        field("error", maybe(text()), "The engine's error at the last start."),
        field("created_at", maybe(time()), "When it was made."),
        field("started_at", maybe(time()), "When the last run started."),
        field("finished_at", maybe(time()), "When the last run ended."),
        field("health", maybe(reference("ContainerHealth")), "Its health check; null where it has none."),
        field("labels", map(text()), "All labels."),
        field(
            "environment",
            map(maybe(text())),
            "Environment variables by name; values only of those that `collect.environment` names.",
        ),
        field("ports", array(reference("Port")), "Ports, exposed and published."),
        field("networks", array(reference("Network")), "Networks."),
        field("mounts", array(reference("Mount")), "Mounts."),
        scope(),
        field("restart_policy", maybe(text()), "`no`, `always`, `unless-stopped`, `on-failure`."),
        field("restart_count", maybe(count()), "Restarts by that policy."),
        field("cpu_limit_cores", maybe(number()), "CPU limit in cores."),
        field("memory_limit_bytes", maybe(count()), "Memory limit."),
        field("pids_limit", maybe(count()), "Limit on processes."),
        field("cpu_shares", maybe(count()), "Weight among others where CPU is scarce."),
        field("cpuset_cpus", maybe(text()), "CPUs it may run on, such as `0-3`."),
        field("memory_reservation_bytes", maybe(count()), "Memory it is held to where memory is scarce."),
        field("memory_swap_limit_bytes", maybe(count()), "Limit on memory and swap together."),
        field("revp", maybe(reference("Revp")), "Its reverse proxy labels; null where it has none."),
        field("observed_at", time(), "When dockstream saw this state."),
    ]);
    Schema { name: "Container", description: "A container in its latest state.", fields }
}

pub(super) fn container_health() -> Schema {
    let fields = vec![
        field("status", text(), "`starting`, `healthy` or `unhealthy`."),
        field("failing_streak", count(), "Failures in a row."),
        field("last_output", maybe(text()), "What the last probe printed, at most 4 KiB."),
    ];
    Schema { name: "ContainerHealth", description: "The result of a container's health check.", fields }
}

pub(super) fn port() -> Schema {
    let fields = vec![
        field("container_port", count(), "Port inside the container."),
        field("protocol", text(), "`tcp`, `udp` or `sctp`."),
        field("host_ip", maybe(text()), "Address on the host, where published."),
        field("host_port", maybe(count()), "Port on the host, where published."),
    ];
    Schema { name: "Port", description: "A published or exposed port.", fields }
}

pub(super) fn network() -> Schema {
    let fields = vec![
        field("name", text(), "Name."),
        field("network_id", maybe(text()), "Network id."),
        field("ip_address", maybe(text()), "IPv4 address."),
        field("ipv6_address", maybe(text()), "IPv6 address."),
        field("mac_address", maybe(text()), "MAC address."),
    ];
    Schema { name: "Network", description: "A network the container is attached to.", fields }
}

pub(super) fn mount() -> Schema {
    let fields = vec![
        field("kind", text(), "`bind`, `volume`, `tmpfs` …"),
        field("source", text(), "Volume name, or path on the host."),
        field("destination", text(), "Path inside the container."),
        field("writable", boolean(), "True where it can be written."),
    ];
    Schema { name: "Mount", description: "A mount of the container.", fields }
}

fn revp_fields() -> Vec<Field> {
    vec![
        field("domain", maybe(text()), "The name it is reached by, in lower case."),
        field("backend_host", maybe(text()), "Where requests go: a name or an address."),
        field("backend_port", maybe(count()), "The backend's port."),
        field("backend_scheme", maybe(text()), "`http`, `https` or `h2c`."),
        field("strip_prefix", maybe(text()), "The path taken off before the backend sees it, or `true` or `false`."),
        field("load_balancer", maybe(text()), "How requests are spread, such as `round-robin`."),
        field("health_check", maybe(reference("RevpHealthCheck")), "How the backend's health is found out."),
        field("additional", map(text()), "Other labels under the prefix, which is left out of their names."),
        field("errors", array(reference("RevpError")), "What is wrong with the labels."),
    ]
}

pub(super) fn revp() -> Schema {
    let description = "What a container's labels `snadboy.revp.*` say of its reverse proxy.";
    Schema { name: "Revp", description, fields: revp_fields() }
}

pub(super) fn revp_health_check() -> Schema {
    let fields = vec![
        field("path", maybe(text()), "The path asked for."),
        field("port", maybe(count()), "The port asked at."),
        field("scheme", maybe(text()), "`http`, `https` or `h2c`."),
        field("interval_ms", maybe(count()), "Between two checks."),
        field("timeout_ms", maybe(count()), "How long an answer may take."),
        field("retries", maybe(count()), "Failures before it counts as unhealthy."),
        field("status", maybe(count()), "The status of a good answer."),
    ];
    Schema { name: "RevpHealthCheck", description: "How a proxy finds out whether a backend is well.", fields }
}

pub(super) fn revp_error() -> Schema {
    let fields = vec![
        field("label", text(), "The whole name of the label."),
        field("value", maybe(text()), "What it holds; null where it is missing."),
        field("message", text(), "What is wrong with it."),
    ];
    Schema { name: "RevpError", description: "A label that cannot be what it is meant to be, or is missing.", fields }
}

pub(super) fn revp_entry() -> Schema {
    let mut fields = vec![
        field("host", text(), "The host the container is on."),
        field("container_id", text(), "Its full id."),
        field("container_name", text(), "Its name."),
        field("state", words(STATES), "What the engine says it is doing."),
    ];
    fields.extend(revp_fields());
    Schema { name: "RevpEntry", description: "The reverse proxy labels of one container.", fields }
}

fn image_fields() -> Vec<Field> {
    vec![
        field("host", text(), "The host it is on."),
        field("image_id", text(), "Image id: `sha256:` and 64 digits."),
        field("state", words(&["present", "removed"]), "Whether the engine has it."),
        field("tags", array(text()), "Names and tags, sorted; empty for a dangling image."),
        field("digests", array(text()), "Repository digests, sorted."),
        field("created_at", maybe(time()), "When it was built."),
        field("size_bytes", maybe(count()), "Its size, shared layers included."),
        field("labels", map(text()), "All labels."),
        field("used_by", maybe(array(text())), "Ids of the containers made of it; null until they are known."),
        field("observed_at", time(), "When dockstream saw this state."),
    ]
}

pub(super) fn image() -> Schema {
    Schema { name: "Image", description: "An image in its latest state.", fields: image_fields() }
}

pub(super) fn image_detail() -> Schema {
    let mut fields = image_fields();
    fields.push(field(
        "containers",
        array(reference("ImageUser")),
        "The containers made of it, by name; 1 000 at most.",
    ));
    Schema { name: "ImageDetail", description: "An image with the containers made of it.", fields }
}

pub(super) fn image_user() -> Schema {
    let fields = vec![
        field("container_id", text(), "Its full id."),
        field("container_name", text(), "Its name."),
        field("state", words(STATES), "What the engine says it is doing."),
    ];
    Schema { name: "ImageUser", description: "A container made of an image.", fields }
}

pub(super) fn image_version() -> Schema {
    let changes = model::ImageChange::ALL.map(model::ImageChange::name);
    let fields = vec![
        field("host", text(), "The host it happened on."),
        field("observed_at", time(), "When dockstream saw it."),
        field("change", words(&changes), "What happened."),
        field("reference", text(), "What it happened to: a tag, the repository of a digest, or the image's own id."),
        field("from_image_id", maybe(text()), "The image it was."),
        field("to_image_id", maybe(text()), "The image it is."),
        field("from_digest", maybe(text()), "The digest it was, in the repository of the reference."),
        field("to_digest", maybe(text()), "The digest it is, in the repository of the reference."),
    ];
    Schema { name: "ImageVersion", description: "One change of a tag, a digest or an image.", fields }
}
