//! Rows as the records' JSON: times with all their digits, records in records.

use std::sync::LazyLock;

use model::Sample;

/// A time as text, with the digits beyond the microsecond.
fn time(column: &str, nanos: &str) -> String {
    format!(
        "to_char(there.{column}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || lpad(({nanos})::text, 3, '0') || 'Z' AS {column}"
    )
}

fn joined(columns: &str, times: &[(&str, &str)]) -> String {
    let columns = columns.split(", ").map(|column| format!("there.{}", column.trim()));
    columns.chain(times.iter().map(|(column, nanos)| time(column, nanos))).collect::<Vec<_>>().join(", ")
}

const IDENTITY: &str = "host, container_id, container_name, image, compose_project, compose_service, labels";
const OF_A_RUN: [(&str, &str); 3] =
    [("run", "there.more_nanos % 1000"), ("timestamp", "there.nanos"), ("received_at", "there.more_nanos / 1000")];

pub(super) static STATS: LazyLock<String> =
    LazyLock::new(|| joined(&format!("{IDENTITY}, network_scope, {}", Sample::FIELDS.join(", ")), &OF_A_RUN));

pub(super) static LOGS: LazyLock<String> = LazyLock::new(|| {
    joined(&format!("{IDENTITY}, stream, ordinal, line, partial, truncated, invalid_utf8"), &OF_A_RUN)
});

pub(super) static EVENTS: LazyLock<String> = LazyLock::new(|| {
    joined(
        "host, type, action, argument, actor_id, actor_name, container_id, container_name, image, compose_project, \
         compose_service, exit_code, exit_cause, signal, synthetic, attributes, labels",
        &[("timestamp", "there.nanos"), ("received_at", "there.more_nanos")],
    )
});

pub(super) static CONTAINERS: LazyLock<String> = LazyLock::new(|| {
    let columns = joined(
        "host, container_id, container_name, image, image_id, image_digest, compose_project, compose_service, state, \
         status, pid, exit_code, exit_cause, oom_killed, error, labels, environment, ports, networks, mounts, \
         network_scope, restart_policy, restart_count, cpu_limit_cores, memory_limit_bytes, pids_limit, cpu_shares, \
         cpuset_cpus, memory_reservation_bytes, memory_swap_limit_bytes, revp",
        &[
            ("created_at", "there.more_nanos % 1000"),
            ("started_at", "there.more_nanos / 1000 % 1000"),
            ("finished_at", "there.more_nanos / 1000000"),
            ("observed_at", "there.nanos"),
        ],
    );
    format!(
        "{columns}, CASE WHEN there.health_status IS NOT NULL THEN json_build_object('status', there.health_status,
             'failing_streak', coalesce(there.health_failing_streak, 0), 'last_output', there.health_last_output) END AS health"
    )
});

pub(super) static IMAGES: LazyLock<String> = LazyLock::new(|| {
    joined(
        "host, image_id, state, tags, digests, size_bytes, labels, used_by",
        &[("created_at", "there.more_nanos"), ("observed_at", "there.nanos")],
    )
});

pub(super) static IMAGE_VERSIONS: LazyLock<String> = LazyLock::new(|| {
    joined(
        "host, change, reference, from_image_id, to_image_id, from_digest, to_digest",
        &[("observed_at", "there.nanos")],
    )
});

pub(super) static HOSTS: LazyLock<String> = LazyLock::new(|| {
    joined(
        "host, url, status, last_error, engine, engine_version, api_version, os, kernel, cgroup_version, cpus, \
         memory_bytes, response_ns, containers, containers_running, labels, failures",
        &[
            ("observed_at", "there.nanos"),
            ("status_since", "there.more_nanos % 1000"),
            ("retry_at", "there.more_nanos / 1000"),
        ],
    )
});

pub(super) static LOSSES: LazyLock<String> = LazyLock::new(|| {
    joined(
        "node, epoch, sequence, stream, sink, reason, count",
        &[("first_at", "there.more_nanos"), ("last_at", "there.nanos")],
    )
});
