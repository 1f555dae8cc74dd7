-- Unknown is NULL. Codecs, sorting keys and windows were chosen by measurement: counters with jitter pack best as
-- Delta and T64, page multiples as GCD and Delta; repeated names cost next to nothing where they are sorted.
--
-- Every table has a deduplication window: an insert that is sent again under its token is dropped.

CREATE TABLE IF NOT EXISTS container_stats (
    host                        LowCardinality(String),
    container_id                LowCardinality(String),
    container_name              LowCardinality(String),
    image                       LowCardinality(String),
    compose_project             LowCardinality(Nullable(String)),
    compose_service             LowCardinality(Nullable(String)),
    run                         Nullable(DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),
    timestamp                   DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at                 DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    network_scope               LowCardinality(Nullable(String)),
    cpu_usage_percent           Nullable(Float64) CODEC(ZSTD(1)),
    cpu_usage_ns                Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    cpu_user_ns                 Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    cpu_kernel_ns               Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    system_cpu_ns               Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    online_cpus                 Nullable(UInt32) CODEC(Delta, ZSTD(1)),
    cpu_throttled_periods       Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    cpu_throttled_ns            Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    memory_usage_bytes          Nullable(UInt64) CODEC(GCD, Delta, ZSTD(1)),
    memory_total_bytes          Nullable(UInt64) CODEC(GCD, Delta, ZSTD(1)),
    memory_limit_bytes          Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    memory_usage_percent        Nullable(Float64) CODEC(ZSTD(1)),
    memory_cache_bytes          Nullable(UInt64) CODEC(GCD, Delta, ZSTD(1)),
    network_rx_bytes            Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    network_tx_bytes            Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    network_rx_packets          Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    network_tx_packets          Nullable(UInt64) CODEC(Delta, T64, ZSTD(1)),
    network_rx_errors           Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    network_tx_errors           Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    network_rx_dropped          Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    network_tx_dropped          Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    block_read_bytes            Nullable(UInt64) CODEC(GCD, Delta, ZSTD(1)),
    block_write_bytes           Nullable(UInt64) CODEC(GCD, Delta, ZSTD(1)),
    pids                        Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    pids_limit                  Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    interval_ns                 Nullable(UInt64) CODEC(T64, ZSTD(1)),
    cpu_usage_delta_ns          Nullable(UInt64) CODEC(T64, ZSTD(1)),
    cpu_throttled_delta_ns      Nullable(UInt64) CODEC(T64, ZSTD(1)),
    network_rx_delta_bytes      Nullable(UInt64) CODEC(T64, ZSTD(1)),
    network_tx_delta_bytes      Nullable(UInt64) CODEC(T64, ZSTD(1)),
    block_read_delta_bytes      Nullable(UInt64) CODEC(T64, ZSTD(1)),
    block_write_delta_bytes     Nullable(UInt64) CODEC(T64, ZSTD(1)),
    labels                      Map(LowCardinality(String), String) CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(timestamp)
ORDER BY (toStartOfHour(timestamp), host, container_id, timestamp)
TTL toDateTime(timestamp) + INTERVAL 7 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;

-- An event that was told twice is the same event: the engine of the table forgets the second.
CREATE TABLE IF NOT EXISTS container_events (
    host            LowCardinality(String),
    timestamp       DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at     DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    type            LowCardinality(String),
    action          LowCardinality(String),
    argument        Nullable(String) CODEC(ZSTD(1)),
    actor_id        String CODEC(ZSTD(1)),
    actor_name      Nullable(String) CODEC(ZSTD(1)),
    container_id    LowCardinality(Nullable(String)),
    container_name  LowCardinality(Nullable(String)),
    image           LowCardinality(Nullable(String)),
    compose_project LowCardinality(Nullable(String)),
    compose_service LowCardinality(Nullable(String)),
    exit_code       Nullable(Int64),
    signal          LowCardinality(Nullable(String)),
    synthetic       Bool,
    attributes      Map(LowCardinality(String), String) CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toMonday(timestamp)
ORDER BY (host, type, timestamp, action, actor_id)
TTL toDateTime(timestamp) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;

-- The latest state of each container: read it with FINAL.
CREATE TABLE IF NOT EXISTS containers (
    host                  LowCardinality(String),
    container_id          String,
    container_name        String,
    image                 LowCardinality(String),
    image_id              LowCardinality(Nullable(String)),
    image_digest          LowCardinality(Nullable(String)),
    compose_project       LowCardinality(Nullable(String)),
    compose_service       LowCardinality(Nullable(String)),
    state                 LowCardinality(String),
    status                Nullable(String),
    pid                   Nullable(UInt64),
    exit_code             Nullable(Int64),
    oom_killed            Nullable(Bool),
    error                 Nullable(String),
    created_at            Nullable(DateTime64(9, 'UTC')),
    started_at            Nullable(DateTime64(9, 'UTC')),
    finished_at           Nullable(DateTime64(9, 'UTC')),
    health_status         LowCardinality(Nullable(String)),
    health_failing_streak Nullable(UInt32),
    health_last_output    Nullable(String),
    labels                Map(LowCardinality(String), String),
    environment           Map(LowCardinality(String), Nullable(String)),
    ports                 Array(Tuple(container_port UInt16, protocol String, host_ip Nullable(String), host_port Nullable(UInt16))),
    networks              Array(Tuple(name String, network_id Nullable(String), ip_address Nullable(String), ipv6_address Nullable(String), mac_address Nullable(String))),
    mounts                Array(Tuple(kind String, source String, destination String, writable Bool)),
    network_scope         LowCardinality(Nullable(String)),
    restart_policy        LowCardinality(Nullable(String)),
    restart_count         Nullable(UInt64),
    cpu_limit_cores       Nullable(Float64),
    memory_limit_bytes    Nullable(UInt64),
    pids_limit            Nullable(UInt64),
    cpu_shares            Nullable(UInt64),
    cpuset_cpus           Nullable(String),
    memory_reservation_bytes Nullable(UInt64),
    memory_swap_limit_bytes  Nullable(UInt64),
    revp                  Nullable(String),
    observed_at           DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree(observed_at)
ORDER BY (host, container_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- The latest state of each image: read it with FINAL. Where its users are not known, `containers` is NULL.
CREATE TABLE IF NOT EXISTS docker_images (
    host        LowCardinality(String),
    image_id    String,
    state       LowCardinality(String),
    tags        Array(String),
    digests     Array(String),
    created_at  Nullable(DateTime64(9, 'UTC')),
    size_bytes  Nullable(UInt64),
    labels      Map(LowCardinality(String), String),
    used_by     Array(String),
    containers  Nullable(UInt64),
    observed_at DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree(observed_at)
ORDER BY (host, image_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS image_versions (
    host          LowCardinality(String),
    observed_at   DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    change        LowCardinality(String),
    reference     String CODEC(ZSTD(1)),
    from_image_id Nullable(String) CODEC(ZSTD(1)),
    to_image_id   Nullable(String) CODEC(ZSTD(1)),
    from_digest   Nullable(String) CODEC(ZSTD(1)),
    to_digest     Nullable(String) CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toMonday(observed_at)
ORDER BY (host, reference, observed_at)
TTL toDateTime(observed_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS host_health (
    host               LowCardinality(String),
    url                LowCardinality(String),
    status             LowCardinality(String),
    last_error         Nullable(String) CODEC(ZSTD(1)),
    engine             LowCardinality(Nullable(String)),
    engine_version     LowCardinality(Nullable(String)),
    api_version        LowCardinality(Nullable(String)),
    os                 LowCardinality(Nullable(String)),
    kernel             LowCardinality(Nullable(String)),
    cgroup_version     Nullable(UInt8),
    cpus               Nullable(UInt32),
    memory_bytes       Nullable(UInt64),
    response_ns        Nullable(UInt64) CODEC(T64, ZSTD(1)),
    containers         Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    containers_running Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    observed_at        DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toMonday(observed_at)
ORDER BY (host, observed_at)
TTL toDateTime(observed_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS losses (
    node     LowCardinality(String),
    epoch    UInt64,
    sequence UInt64,
    stream   LowCardinality(String),
    sink     LowCardinality(Nullable(String)),
    reason   LowCardinality(String),
    count    UInt64,
    first_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    last_at  DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toMonday(last_at)
ORDER BY (last_at, stream, reason)
TTL toDateTime(last_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;
