-- Unknown is NULL. Times are timestamptz, which ends at microseconds: `nanos` holds the nanoseconds beyond those of the time
-- that a row is kept by, `more_nanos` those of its other times, three digits each, the first in order of the columns lowest.
-- Integers beyond 2^63 - 1, which PostgreSQL cannot hold, are NULL; a NUL character, which no text of it holds, is `␀`.
--
-- What stands in a comment behind a table's columns holds without TimescaleDB, which makes hypertables of these tables.

CREATE TABLE container_stats (
    host                        text NOT NULL,
    container_id                text NOT NULL,
    container_name              text NOT NULL,
    image                       text NOT NULL,
    compose_project             text,
    compose_service             text,
    run                         timestamptz,
    timestamp                   timestamptz NOT NULL,
    received_at                 timestamptz NOT NULL,
    network_scope               text,
    cpu_usage_percent           double precision,
    cpu_usage_ns                bigint,
    cpu_user_ns                 bigint,
    cpu_kernel_ns               bigint,
    system_cpu_ns               bigint,
    online_cpus                 bigint,
    cpu_throttled_periods       bigint,
    cpu_throttled_ns            bigint,
    memory_usage_bytes          bigint,
    memory_total_bytes          bigint,
    memory_limit_bytes          bigint,
    memory_usage_percent        double precision,
    memory_cache_bytes          bigint,
    network_rx_bytes            bigint,
    network_tx_bytes            bigint,
    network_rx_packets          bigint,
    network_tx_packets          bigint,
    network_rx_errors           bigint,
    network_tx_errors           bigint,
    network_rx_dropped          bigint,
    network_tx_dropped          bigint,
    block_read_bytes            bigint,
    block_write_bytes           bigint,
    pids                        bigint,
    pids_limit                  bigint,
    interval_ns                 bigint,
    cpu_usage_delta_ns          bigint,
    cpu_throttled_delta_ns      bigint,
    network_rx_delta_bytes      bigint,
    network_tx_delta_bytes      bigint,
    block_read_delta_bytes      bigint,
    block_write_delta_bytes     bigint,
    labels                      jsonb NOT NULL,
    nanos                       smallint NOT NULL,
    more_nanos                  integer NOT NULL
)/* PARTITION BY RANGE (timestamp) */;
CREATE INDEX container_stats_by_time ON container_stats USING brin (timestamp) WITH (pages_per_range = 32);
CREATE INDEX container_stats_by_container ON container_stats (container_id, timestamp DESC);

CREATE TABLE container_logs (
    host                        text NOT NULL,
    container_id                text NOT NULL,
    container_name              text NOT NULL,
    image                       text NOT NULL,
    compose_project             text,
    compose_service             text,
    run                         timestamptz,
    timestamp                   timestamptz NOT NULL,
    received_at                 timestamptz NOT NULL,
    stream                      text NOT NULL,
    ordinal                     bigint NOT NULL,
    line                        text NOT NULL,
    partial                     boolean NOT NULL,
    truncated                   boolean NOT NULL,
    invalid_utf8                boolean NOT NULL,
    labels                      jsonb NOT NULL,
    nanos                       smallint NOT NULL,
    more_nanos                  integer NOT NULL
)/* PARTITION BY RANGE (timestamp) */;
CREATE INDEX container_logs_by_time ON container_logs USING brin (timestamp) WITH (pages_per_range = 32);
CREATE INDEX container_logs_by_container ON container_logs (container_id, timestamp DESC);

-- An event that was told twice is the same event.
CREATE TABLE container_events (
    host            text NOT NULL,
    timestamp       timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    type            text NOT NULL,
    action          text NOT NULL,
    argument        text,
    actor_id        text NOT NULL,
    actor_name      text,
    container_id    text,
    container_name  text,
    image           text,
    compose_project text,
    compose_service text,
    exit_code       bigint,
    exit_cause      text,
    signal          text,
    synthetic       boolean NOT NULL,
    attributes      jsonb NOT NULL,
    labels          jsonb NOT NULL,
    nanos           smallint NOT NULL,
    more_nanos      integer NOT NULL
)/* PARTITION BY RANGE (timestamp) */;
CREATE UNIQUE INDEX container_events_by_identity ON container_events (timestamp, nanos, host, type, action, actor_id);
CREATE INDEX container_events_by_container ON container_events (container_id, timestamp DESC) WHERE container_id IS NOT NULL;

-- What changed of tags, digests and images. No two versions of a host have the same time.
CREATE TABLE image_versions (
    host          text NOT NULL,
    observed_at   timestamptz NOT NULL,
    change        text NOT NULL,
    reference     text NOT NULL,
    from_image_id text,
    to_image_id   text,
    from_digest   text,
    to_digest     text,
    nanos         smallint NOT NULL
)/* PARTITION BY RANGE (observed_at) */;
CREATE UNIQUE INDEX image_versions_by_identity ON image_versions (observed_at, nanos, host);

-- The latest state of each container.
CREATE TABLE containers (
    host                     text NOT NULL,
    container_id             text NOT NULL,
    container_name           text NOT NULL,
    image                    text NOT NULL,
    image_id                 text,
    image_digest             text,
    compose_project          text,
    compose_service          text,
    state                    text NOT NULL,
    status                   text,
    pid                      bigint,
    exit_code                bigint,
    exit_cause               text,
    oom_killed               boolean,
    error                    text,
    created_at               timestamptz,
    started_at               timestamptz,
    finished_at              timestamptz,
    health_status            text,
    health_failing_streak    bigint,
    health_last_output       text,
    labels                   jsonb NOT NULL,
    environment              jsonb NOT NULL,
    ports                    jsonb NOT NULL,
    networks                 jsonb NOT NULL,
    mounts                   jsonb NOT NULL,
    network_scope            text,
    restart_policy           text,
    restart_count            bigint,
    cpu_limit_cores          double precision,
    memory_limit_bytes       bigint,
    pids_limit               bigint,
    cpu_shares               bigint,
    cpuset_cpus              text,
    memory_reservation_bytes bigint,
    memory_swap_limit_bytes  bigint,
    revp                     jsonb,
    observed_at              timestamptz NOT NULL,
    nanos                    smallint NOT NULL,
    more_nanos               integer NOT NULL,
    PRIMARY KEY (host, container_id)
);
CREATE INDEX containers_by_name ON containers (container_name);
CREATE INDEX containers_by_container_id ON containers (container_id text_pattern_ops);

-- The latest state of each image.
CREATE TABLE docker_images (
    host        text NOT NULL,
    image_id    text NOT NULL,
    state       text NOT NULL,
    tags        text[] NOT NULL,
    digests     text[] NOT NULL,
    created_at  timestamptz,
    size_bytes  bigint,
    labels      jsonb NOT NULL,
    used_by     text[],
    observed_at timestamptz NOT NULL,
    nanos       smallint NOT NULL,
    more_nanos  integer NOT NULL,
    PRIMARY KEY (host, image_id)
);
CREATE INDEX docker_images_by_image_id ON docker_images (image_id text_pattern_ops);

-- The latest state of each host.
CREATE TABLE hosts (
    host               text PRIMARY KEY,
    url                text NOT NULL,
    status             text NOT NULL,
    last_error         text,
    engine             text,
    engine_version     text,
    api_version        text,
    os                 text,
    kernel             text,
    cgroup_version     bigint,
    cpus               bigint,
    memory_bytes       bigint,
    response_ns        bigint,
    containers         bigint,
    containers_running bigint,
    observed_at        timestamptz NOT NULL,
    labels             jsonb NOT NULL,
    status_since       timestamptz,
    failures           bigint NOT NULL,
    retry_at           timestamptz,
    nanos              smallint NOT NULL,
    more_nanos         integer NOT NULL
);

-- How each host was over time.
CREATE TABLE host_health (
    host               text NOT NULL,
    observed_at        timestamptz NOT NULL,
    status             text NOT NULL,
    last_error         text,
    response_ns        bigint,
    containers         bigint,
    containers_running bigint,
    failures           bigint NOT NULL,
    nanos              smallint NOT NULL,
    PRIMARY KEY (host, observed_at, nanos)
);
CREATE INDEX host_health_by_time ON host_health USING brin (observed_at);

-- What was dropped. Keyed by the record's own identity.
CREATE TABLE losses (
    node       text NOT NULL,
    epoch      bigint NOT NULL,
    sequence   bigint NOT NULL,
    stream     text NOT NULL,
    sink       text,
    reason     text NOT NULL,
    count      bigint NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    nanos      smallint NOT NULL,
    more_nanos integer NOT NULL,
    PRIMARY KEY (node, epoch, sequence)
);
CREATE INDEX losses_by_time ON losses (last_at);

-- Which records are here, by the sequences of their streams. Written in the transaction that stores them: whoever sends them
-- again finds them here, and leaves them out.
CREATE TABLE dockstream_ledger (
    node      text NOT NULL,
    epoch     bigint NOT NULL,
    stream    text NOT NULL,
    first     bigint NOT NULL,
    last      bigint NOT NULL,
    landed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, epoch, stream, first)
);
