//! The columns of each table, in the order in which rows are encoded.

use std::sync::LazyLock;

use model::{Sample, SampleKind, Stream};
use tokio_postgres::types::Type;

const TEXT: &str = "text";
const TIME: &str = "timestamptz";
const INTEGER: &str = "bigint";
const FLOAT: &str = "double precision";
const TRUTH: &str = "boolean";
const JSON: &str = "jsonb";
const TEXTS: &str = "text[]";
const SMALL: &str = "smallint";
const NANOS: &str = "integer";

/// Name and type of a column.
pub type Column = (&'static str, &'static str);

/// The tables that `stream` is written to, the one of the record itself first.
pub const fn table_names(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::Stats => &["container_stats"],
        Stream::Events => &["container_events"],
        Stream::Containers => &["containers"],
        Stream::Images => &["docker_images"],
        Stream::ImageVersions => &["image_versions"],
        Stream::Hosts => &["hosts", "host_health"],
        Stream::Losses => &["losses"],
        Stream::Logs => &["container_logs"],
    }
}

/// Names and types of the columns of a table.
///
/// # Panics
/// There is no such table.
pub fn columns(table: &str) -> &'static [Column] {
    match table {
        "container_stats" => &STATS,
        "container_events" => EVENTS,
        "containers" => CONTAINERS,
        "docker_images" => IMAGES,
        "image_versions" => IMAGE_VERSIONS,
        "hosts" => HOSTS,
        "host_health" => HOST_HEALTH,
        "losses" => LOSSES,
        "container_logs" => LOGS,
        "dockstream_ledger" => LEDGER,
        other => panic!("no table {other}"),
    }
}

/// The type by its name.
pub(super) fn type_of(name: &str) -> Type {
    match name {
        TIME => Type::TIMESTAMPTZ,
        INTEGER => Type::INT8,
        FLOAT => Type::FLOAT8,
        TRUTH => Type::BOOL,
        JSON => Type::JSONB,
        TEXTS => Type::TEXT_ARRAY,
        SMALL => Type::INT2,
        NANOS => Type::INT4,
        _ => Type::TEXT,
    }
}

static STATS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let identity = [
        ("host", TEXT),
        ("container_id", TEXT),
        ("container_name", TEXT),
        ("image", TEXT),
        ("compose_project", TEXT),
        ("compose_service", TEXT),
        ("run", TIME),
        ("timestamp", TIME),
        ("received_at", TIME),
        ("network_scope", TEXT),
    ];
    let sample = Sample::FIELDS
        .iter()
        .zip(Sample::KINDS)
        .map(|(field, kind)| (*field, if *kind == SampleKind::Float64 { FLOAT } else { INTEGER }));
    let rest = [("labels", JSON), ("nanos", SMALL), ("more_nanos", NANOS)];
    identity.into_iter().chain(sample).chain(rest).collect()
});

const EVENTS: &[Column] = &[
    ("host", TEXT),
    ("timestamp", TIME),
    ("received_at", TIME),
    ("type", TEXT),
    ("action", TEXT),
    ("argument", TEXT),
    ("actor_id", TEXT),
    ("actor_name", TEXT),
    ("container_id", TEXT),
    ("container_name", TEXT),
    ("image", TEXT),
    ("compose_project", TEXT),
    ("compose_service", TEXT),
    ("exit_code", INTEGER),
    ("exit_cause", TEXT),
    ("signal", TEXT),
    ("synthetic", TRUTH),
    ("attributes", JSON),
    ("labels", JSON),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const CONTAINERS: &[Column] = &[
    ("host", TEXT),
    ("container_id", TEXT),
    ("container_name", TEXT),
    ("image", TEXT),
    ("image_id", TEXT),
    ("image_digest", TEXT),
    ("compose_project", TEXT),
    ("compose_service", TEXT),
    ("state", TEXT),
    ("status", TEXT),
    ("pid", INTEGER),
    ("exit_code", INTEGER),
    ("exit_cause", TEXT),
    ("oom_killed", TRUTH),
    ("error", TEXT),
    ("created_at", TIME),
    ("started_at", TIME),
    ("finished_at", TIME),
    ("health_status", TEXT),
    ("health_failing_streak", INTEGER),
    ("health_last_output", TEXT),
    ("labels", JSON),
    ("environment", JSON),
    ("ports", JSON),
    ("networks", JSON),
    ("mounts", JSON),
    ("network_scope", TEXT),
    ("restart_policy", TEXT),
    ("restart_count", INTEGER),
    ("cpu_limit_cores", FLOAT),
    ("memory_limit_bytes", INTEGER),
    ("pids_limit", INTEGER),
    ("cpu_shares", INTEGER),
    ("cpuset_cpus", TEXT),
    ("memory_reservation_bytes", INTEGER),
    ("memory_swap_limit_bytes", INTEGER),
    ("revp", JSON),
    ("observed_at", TIME),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const IMAGES: &[Column] = &[
    ("host", TEXT),
    ("image_id", TEXT),
    ("state", TEXT),
    ("tags", TEXTS),
    ("digests", TEXTS),
    ("created_at", TIME),
    ("size_bytes", INTEGER),
    ("labels", JSON),
    ("used_by", TEXTS),
    ("observed_at", TIME),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const IMAGE_VERSIONS: &[Column] = &[
    ("host", TEXT),
    ("observed_at", TIME),
    ("change", TEXT),
    ("reference", TEXT),
    ("from_image_id", TEXT),
    ("to_image_id", TEXT),
    ("from_digest", TEXT),
    ("to_digest", TEXT),
    ("nanos", SMALL),
];

const HOSTS: &[Column] = &[
    ("host", TEXT),
    ("url", TEXT),
    ("status", TEXT),
    ("last_error", TEXT),
    ("engine", TEXT),
    ("engine_version", TEXT),
    ("api_version", TEXT),
    ("os", TEXT),
    ("kernel", TEXT),
    ("cgroup_version", INTEGER),
    ("cpus", INTEGER),
    ("memory_bytes", INTEGER),
    ("response_ns", INTEGER),
    ("containers", INTEGER),
    ("containers_running", INTEGER),
    ("observed_at", TIME),
    ("labels", JSON),
    ("status_since", TIME),
    ("failures", INTEGER),
    ("retry_at", TIME),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const HOST_HEALTH: &[Column] = &[
    ("host", TEXT),
    ("observed_at", TIME),
    ("status", TEXT),
    ("last_error", TEXT),
    ("response_ns", INTEGER),
    ("containers", INTEGER),
    ("containers_running", INTEGER),
    ("failures", INTEGER),
    ("nanos", SMALL),
];

const LOSSES: &[Column] = &[
    ("node", TEXT),
    ("epoch", INTEGER),
    ("sequence", INTEGER),
    ("stream", TEXT),
    ("sink", TEXT),
    ("reason", TEXT),
    ("count", INTEGER),
    ("first_at", TIME),
    ("last_at", TIME),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const LOGS: &[Column] = &[
    ("host", TEXT),
    ("container_id", TEXT),
    ("container_name", TEXT),
    ("image", TEXT),
    ("compose_project", TEXT),
    ("compose_service", TEXT),
    ("run", TIME),
    ("timestamp", TIME),
    ("received_at", TIME),
    ("stream", TEXT),
    ("ordinal", INTEGER),
    ("line", TEXT),
    ("partial", TRUTH),
    ("truncated", TRUTH),
    ("invalid_utf8", TRUTH),
    ("labels", JSON),
    ("nanos", SMALL),
    ("more_nanos", NANOS),
];

const LEDGER: &[Column] =
    &[("node", TEXT), ("epoch", INTEGER), ("stream", TEXT), ("first", INTEGER), ("last", INTEGER), ("landed_at", TIME)];
