-- Times are nanoseconds since 1970-01-01T00:00:00Z. Unknown is NULL. Lists and maps are JSON text.
-- Integers beyond 2^63 - 1, which SQLite cannot hold, are NULL.

-- Who a sample belongs to: one row per run, name, image and set of labels of a container, so that the row of a
-- sample holds numbers only.
CREATE TABLE series (
    series          INTEGER PRIMARY KEY NOT NULL,
    host            TEXT NOT NULL,
    container_id    TEXT NOT NULL,
    container_name  TEXT NOT NULL,
    image           TEXT NOT NULL,
    compose_project TEXT,
    compose_service TEXT,
    run             INTEGER,
    labels          TEXT NOT NULL
) STRICT;
CREATE INDEX series_by_container ON series (host, container_id);
CREATE INDEX series_by_container_id ON series (container_id);

CREATE TABLE samples (
    series                      INTEGER NOT NULL,
    timestamp                   INTEGER NOT NULL,
    received_at                 INTEGER NOT NULL,
    network_scope               TEXT,
    cpu_usage_percent           REAL,
    cpu_usage_ns                INTEGER,
    cpu_user_ns                 INTEGER,
    cpu_kernel_ns               INTEGER,
    system_cpu_ns               INTEGER,
    online_cpus                 INTEGER,
    cpu_throttled_periods       INTEGER,
    cpu_throttled_ns            INTEGER,
    memory_usage_bytes          INTEGER,
    memory_total_bytes          INTEGER,
    memory_limit_bytes          INTEGER,
    memory_usage_percent        REAL,
    memory_cache_bytes          INTEGER,
    network_rx_bytes            INTEGER,
    network_tx_bytes            INTEGER,
    network_rx_packets          INTEGER,
    network_tx_packets          INTEGER,
    network_rx_errors           INTEGER,
    network_tx_errors           INTEGER,
    network_rx_dropped          INTEGER,
    network_tx_dropped          INTEGER,
    block_read_bytes            INTEGER,
    block_write_bytes           INTEGER,
    pids                        INTEGER,
    pids_limit                  INTEGER,
    interval_ns                 INTEGER,
    cpu_usage_delta_ns          INTEGER,
    cpu_throttled_delta_ns      INTEGER,
    network_rx_delta_bytes      INTEGER,
    network_tx_delta_bytes      INTEGER,
    block_read_delta_bytes      INTEGER,
    block_write_delta_bytes     INTEGER,
    PRIMARY KEY (series, timestamp)
) STRICT, WITHOUT ROWID;

-- The stats record under its public name and columns. A cross join keeps the order of the tables: each series is
-- searched, the samples are never scanned.
CREATE VIEW container_stats AS
SELECT
    series.host,
    series.container_id,
    series.container_name,
    series.image,
    series.compose_project,
    series.compose_service,
    series.run,
    samples.timestamp,
    samples.received_at,
    samples.network_scope,
    samples.cpu_usage_percent,
    samples.cpu_usage_ns,
    samples.cpu_user_ns,
    samples.cpu_kernel_ns,
    samples.system_cpu_ns,
    samples.online_cpus,
    samples.cpu_throttled_periods,
    samples.cpu_throttled_ns,
    samples.memory_usage_bytes,
    samples.memory_total_bytes,
    samples.memory_limit_bytes,
    samples.memory_usage_percent,
    samples.memory_cache_bytes,
    samples.network_rx_bytes,
    samples.network_tx_bytes,
    samples.network_rx_packets,
    samples.network_tx_packets,
    samples.network_rx_errors,
    samples.network_tx_errors,
    samples.network_rx_dropped,
    samples.network_tx_dropped,
    samples.block_read_bytes,
    samples.block_write_bytes,
    samples.pids,
    samples.pids_limit,
    samples.interval_ns,
    samples.cpu_usage_delta_ns,
    samples.cpu_throttled_delta_ns,
    samples.network_rx_delta_bytes,
    samples.network_tx_delta_bytes,
    samples.block_read_delta_bytes,
    samples.block_write_delta_bytes,
    series.labels
FROM series CROSS JOIN samples ON samples.series = series.series;

CREATE TABLE container_events (
    event           INTEGER PRIMARY KEY NOT NULL,
    host            TEXT NOT NULL,
    timestamp       INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    type            TEXT NOT NULL,
    action          TEXT NOT NULL,
    argument        TEXT,
    actor_id        TEXT NOT NULL,
    actor_name      TEXT,
    container_id    TEXT,
    container_name  TEXT,
    image           TEXT,
    compose_project TEXT,
    compose_service TEXT,
    exit_code       INTEGER,
    signal          TEXT,
    synthetic       INTEGER NOT NULL,
    attributes      TEXT NOT NULL,
    UNIQUE (timestamp, host, type, action, actor_id)
) STRICT;
CREATE INDEX container_events_by_container ON container_events (container_id, timestamp)
    WHERE container_id IS NOT NULL;

-- The latest state of each container.
CREATE TABLE containers (
    host                  TEXT NOT NULL,
    container_id          TEXT NOT NULL,
    container_name        TEXT NOT NULL,
    image                 TEXT NOT NULL,
    image_id              TEXT,
    image_digest          TEXT,
    compose_project       TEXT,
    compose_service       TEXT,
    state                 TEXT NOT NULL,
    status                TEXT,
    pid                   INTEGER,
    exit_code             INTEGER,
    oom_killed            INTEGER,
    error                 TEXT,
    created_at            INTEGER,
    started_at            INTEGER,
    finished_at           INTEGER,
    health_status         TEXT,
    health_failing_streak INTEGER,
    health_last_output    TEXT,
    labels                TEXT NOT NULL,
    environment           TEXT NOT NULL,
    ports                 TEXT NOT NULL,
    networks              TEXT NOT NULL,
    mounts                TEXT NOT NULL,
    network_scope         TEXT,
    restart_policy        TEXT,
    restart_count         INTEGER,
    cpu_limit_cores       REAL,
    memory_limit_bytes    INTEGER,
    pids_limit            INTEGER,
    cpu_shares            INTEGER,
    cpuset_cpus           TEXT,
    memory_reservation_bytes INTEGER,
    memory_swap_limit_bytes  INTEGER,
    revp                  TEXT,
    observed_at           INTEGER NOT NULL,
    PRIMARY KEY (host, container_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX containers_by_name ON containers (container_name);
CREATE INDEX containers_by_container_id ON containers (container_id);

-- The latest state of each image.
CREATE TABLE docker_images (
    host        TEXT NOT NULL,
    image_id    TEXT NOT NULL,
    state       TEXT NOT NULL,
    tags        TEXT NOT NULL,
    digests     TEXT NOT NULL,
    created_at  INTEGER,
    size_bytes  INTEGER,
    labels      TEXT NOT NULL,
    used_by     TEXT,
    observed_at INTEGER NOT NULL,
    PRIMARY KEY (host, image_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX docker_images_by_image_id ON docker_images (image_id);

-- What changed of tags, digests and images. No two versions of a host have the same time.
CREATE TABLE image_versions (
    host          TEXT NOT NULL,
    observed_at   INTEGER NOT NULL,
    change        TEXT NOT NULL,
    reference     TEXT NOT NULL,
    from_image_id TEXT,
    to_image_id   TEXT,
    from_digest   TEXT,
    to_digest     TEXT,
    PRIMARY KEY (host, observed_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_versions_by_time ON image_versions (observed_at);

-- The latest state of each host.
CREATE TABLE hosts (
    host               TEXT PRIMARY KEY NOT NULL,
    url                TEXT NOT NULL,
    status             TEXT NOT NULL,
    last_error         TEXT,
    engine             TEXT,
    engine_version     TEXT,
    api_version        TEXT,
    os                 TEXT,
    kernel             TEXT,
    cgroup_version     INTEGER,
    cpus               INTEGER,
    memory_bytes       INTEGER,
    response_ns        INTEGER,
    containers         INTEGER,
    containers_running INTEGER,
    observed_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How each host was over time.
CREATE TABLE host_health (
    host               TEXT NOT NULL,
    observed_at        INTEGER NOT NULL,
    status             TEXT NOT NULL,
    last_error         TEXT,
    response_ns        INTEGER,
    containers         INTEGER,
    containers_running INTEGER,
    PRIMARY KEY (host, observed_at)
) STRICT, WITHOUT ROWID;

-- What was dropped. Keyed by the record's own identity.
CREATE TABLE losses (
    node     TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    stream   TEXT NOT NULL,
    sink     TEXT,
    reason   TEXT NOT NULL,
    count    INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (node, epoch, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX losses_by_time ON losses (last_at);
