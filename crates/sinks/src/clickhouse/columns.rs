//! The columns of each table, in the order in which rows are encoded.

use std::sync::LazyLock;

use model::{Sample, SampleKind, Stream};

const TEXT: &str = "String";
const WORD: &str = "LowCardinality(String)";
const MAYBE_TEXT: &str = "Nullable(String)";
const MAYBE_WORD: &str = "LowCardinality(Nullable(String))";
const TIME: &str = "DateTime64(9, 'UTC')";
const MAYBE_TIME: &str = "Nullable(DateTime64(9, 'UTC'))";
const COUNT: &str = "UInt64";
const MAYBE_COUNT: &str = "Nullable(UInt64)";
const MAP: &str = "Map(LowCardinality(String), String)";

/// The table of `stream`.
pub const fn table_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stats => "container_stats",
        Stream::Events => "container_events",
        Stream::Containers => "containers",
        Stream::Images => "docker_images",
        Stream::ImageVersions => "image_versions",
        Stream::Hosts => "host_health",
        Stream::Losses => "losses",
        Stream::Logs => "container_logs",
    }
}

/// Names and types of the columns of `stream`'s table.
pub fn columns(stream: Stream) -> &'static [(&'static str, &'static str)] {
    match stream {
        Stream::Stats => &STATS,
        Stream::Events => EVENTS,
        Stream::Containers => CONTAINERS,
        Stream::Images => IMAGES,
        Stream::ImageVersions => IMAGE_VERSIONS,
        Stream::Hosts => HOSTS,
        Stream::Losses => LOSSES,
        Stream::Logs => LOGS,
    }
}

static STATS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let identity = [
        ("host", WORD),
        ("container_id", WORD),
        ("container_name", WORD),
        ("image", WORD),
        ("compose_project", MAYBE_WORD),
        ("compose_service", MAYBE_WORD),
        ("run", MAYBE_TIME),
        ("timestamp", TIME),
        ("received_at", TIME),
        ("network_scope", MAYBE_WORD),
    ];
    let sample = Sample::FIELDS.iter().zip(Sample::KINDS).map(|(field, kind)| {
        let kind = match kind {
            SampleKind::Float64 => "Nullable(Float64)",
            SampleKind::UInt32 => "Nullable(UInt32)",
            SampleKind::UInt64 => MAYBE_COUNT,
        };
        (*field, kind)
    });
    identity.into_iter().chain(sample).chain([("labels", MAP)]).collect()
});

const EVENTS: &[(&str, &str)] = &[
    ("host", WORD),
    ("timestamp", TIME),
    ("received_at", TIME),
    ("type", WORD),
    ("action", WORD),
    ("argument", MAYBE_TEXT),
    ("actor_id", TEXT),
    ("actor_name", MAYBE_TEXT),
    ("container_id", MAYBE_WORD),
    ("container_name", MAYBE_WORD),
    ("image", MAYBE_WORD),
    ("compose_project", MAYBE_WORD),
    ("compose_service", MAYBE_WORD),
    ("exit_code", "Nullable(Int64)"),
    ("exit_cause", MAYBE_WORD),
    ("signal", MAYBE_WORD),
    ("synthetic", "Bool"),
    ("attributes", MAP),
    ("labels", MAP),
];

const CONTAINERS: &[(&str, &str)] = &[
    ("host", WORD),
    ("container_id", TEXT),
    ("container_name", TEXT),
    ("image", WORD),
    ("image_id", MAYBE_WORD),
    ("image_digest", MAYBE_WORD),
    ("compose_project", MAYBE_WORD),
    ("compose_service", MAYBE_WORD),
    ("state", WORD),
    ("status", MAYBE_TEXT),
    ("pid", MAYBE_COUNT),
    ("exit_code", "Nullable(Int64)"),
    ("exit_cause", MAYBE_WORD),
    ("oom_killed", "Nullable(Bool)"),
    ("error", MAYBE_TEXT),
    ("created_at", MAYBE_TIME),
    ("started_at", MAYBE_TIME),
    ("finished_at", MAYBE_TIME),
    ("health_status", MAYBE_WORD),
    ("health_failing_streak", "Nullable(UInt32)"),
    ("health_last_output", MAYBE_TEXT),
    ("labels", MAP),
    ("environment", "Map(LowCardinality(String), Nullable(String))"),
    (
        "ports",
        "Array(Tuple(container_port UInt16, protocol String, host_ip Nullable(String), host_port Nullable(UInt16)))",
    ),
    (
        "networks",
        "Array(Tuple(name String, network_id Nullable(String), ip_address Nullable(String), ipv6_address Nullable(String), mac_address Nullable(String)))",
    ),
    ("mounts", "Array(Tuple(kind String, source String, destination String, writable Bool))"),
    ("network_scope", MAYBE_WORD),
    ("restart_policy", MAYBE_WORD),
    ("restart_count", MAYBE_COUNT),
    ("cpu_limit_cores", "Nullable(Float64)"),
    ("memory_limit_bytes", MAYBE_COUNT),
    ("pids_limit", MAYBE_COUNT),
    ("cpu_shares", MAYBE_COUNT),
    ("cpuset_cpus", MAYBE_TEXT),
    ("memory_reservation_bytes", MAYBE_COUNT),
    ("memory_swap_limit_bytes", MAYBE_COUNT),
    ("revp", MAYBE_TEXT),
    ("observed_at", TIME),
];

const IMAGES: &[(&str, &str)] = &[
    ("host", WORD),
    ("image_id", TEXT),
    ("state", WORD),
    ("tags", "Array(String)"),
    ("digests", "Array(String)"),
    ("created_at", MAYBE_TIME),
    ("size_bytes", MAYBE_COUNT),
    ("labels", MAP),
    ("used_by", "Array(String)"),
    ("containers", MAYBE_COUNT),
    ("observed_at", TIME),
];

const IMAGE_VERSIONS: &[(&str, &str)] = &[
    ("host", WORD),
    ("observed_at", TIME),
    ("change", WORD),
    ("reference", TEXT),
    ("from_image_id", MAYBE_TEXT),
    ("to_image_id", MAYBE_TEXT),
    ("from_digest", MAYBE_TEXT),
    ("to_digest", MAYBE_TEXT),
];

const HOSTS: &[(&str, &str)] = &[
    ("host", WORD),
    ("url", WORD),
    ("status", WORD),
    ("last_error", MAYBE_TEXT),
    ("engine", MAYBE_WORD),
    ("engine_version", MAYBE_WORD),
    ("api_version", MAYBE_WORD),
    ("os", MAYBE_WORD),
    ("kernel", MAYBE_WORD),
    ("cgroup_version", "Nullable(UInt8)"),
    ("cpus", "Nullable(UInt32)"),
    ("memory_bytes", MAYBE_COUNT),
    ("response_ns", MAYBE_COUNT),
    ("containers", MAYBE_COUNT),
    ("containers_running", MAYBE_COUNT),
    ("observed_at", TIME),
    ("labels", MAP),
    ("status_since", MAYBE_TIME),
    ("failures", COUNT),
    ("retry_at", MAYBE_TIME),
];

const LOSSES: &[(&str, &str)] = &[
    ("node", WORD),
    ("epoch", COUNT),
    ("sequence", COUNT),
    ("stream", WORD),
    ("sink", MAYBE_WORD),
    ("reason", WORD),
    ("count", COUNT),
    ("first_at", TIME),
    ("last_at", TIME),
];

const LOGS: &[(&str, &str)] = &[
    ("host", WORD),
    ("container_id", WORD),
    ("container_name", WORD),
    ("image", WORD),
    ("compose_project", MAYBE_WORD),
    ("compose_service", MAYBE_WORD),
    ("run", MAYBE_TIME),
    ("timestamp", TIME),
    ("received_at", TIME),
    ("stream", WORD),
    ("ordinal", "UInt32"),
    ("line", TEXT),
    ("partial", "Bool"),
    ("truncated", "Bool"),
    ("invalid_utf8", "Bool"),
    ("labels", MAP),
];
