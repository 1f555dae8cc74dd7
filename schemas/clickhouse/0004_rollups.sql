-- What samples come to over a minute, an hour and a day, kept by views: each insert into a table adds to the next.
--
-- Deltas are summed: the difference of a counter's ends loses what passed between two buckets. A bucket is spread over
-- rows until parts are merged, so it is read with GROUP BY. Unknown stays NULL: a sum of nothing known is no 0.
--
-- Tables come before views, and the last table's view first: no row enters a table that does not hand it on yet.

CREATE TABLE IF NOT EXISTS container_stats_1m (
    host                     LowCardinality(String),
    container_id             LowCardinality(String),
    timestamp                DateTime('UTC') CODEC(Delta, ZSTD(1)),
    container_name           SimpleAggregateFunction(anyLast, LowCardinality(String)),
    image                    SimpleAggregateFunction(anyLast, LowCardinality(String)),
    compose_project          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    compose_service          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    run                      SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) CODEC(Delta, ZSTD(1)),
    labels                   SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(1)),
    samples                  SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    interval_ns              SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_delta_ns       SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_throttled_delta_ns   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_rx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_tx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_read_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_write_delta_bytes  SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_percent_min    SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_avg    AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_max    SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_min   SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_bytes_avg   AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_max   SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_percent_min SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_avg AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_max SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_min                 SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    pids_avg                 AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_max                 SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    memory_limit_bytes       SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    online_cpus              SimpleAggregateFunction(max, Nullable(UInt32)) CODEC(Delta, ZSTD(1)),
    pids_limit               SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toMonday(timestamp)
ORDER BY (host, container_id, timestamp)
TTL timestamp + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS container_stats_1h (
    host                     LowCardinality(String),
    container_id             LowCardinality(String),
    timestamp                DateTime('UTC') CODEC(Delta, ZSTD(1)),
    container_name           SimpleAggregateFunction(anyLast, LowCardinality(String)),
    image                    SimpleAggregateFunction(anyLast, LowCardinality(String)),
    compose_project          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    compose_service          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    run                      SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) CODEC(Delta, ZSTD(1)),
    labels                   SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(1)),
    samples                  SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    interval_ns              SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_delta_ns       SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_throttled_delta_ns   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_rx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_tx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_read_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_write_delta_bytes  SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_percent_min    SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_avg    AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_max    SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_min   SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_bytes_avg   AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_max   SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_percent_min SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_avg AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_max SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_min                 SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    pids_avg                 AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_max                 SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    memory_limit_bytes       SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    online_cpus              SimpleAggregateFunction(max, Nullable(UInt32)) CODEC(Delta, ZSTD(1)),
    pids_limit               SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (host, container_id, timestamp)
TTL timestamp + INTERVAL 90 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS container_stats_1d (
    host                     LowCardinality(String),
    container_id             LowCardinality(String),
    timestamp                DateTime('UTC') CODEC(Delta, ZSTD(1)),
    container_name           SimpleAggregateFunction(anyLast, LowCardinality(String)),
    image                    SimpleAggregateFunction(anyLast, LowCardinality(String)),
    compose_project          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    compose_service          SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String))),
    run                      SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) CODEC(Delta, ZSTD(1)),
    labels                   SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(1)),
    samples                  SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    interval_ns              SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_delta_ns       SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_throttled_delta_ns   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_rx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    network_tx_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_read_delta_bytes   SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    block_write_delta_bytes  SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(T64, ZSTD(1)),
    cpu_usage_percent_min    SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_avg    AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    cpu_usage_percent_max    SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_min   SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_bytes_avg   AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_bytes_max   SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(GCD, Delta, ZSTD(1)),
    memory_usage_percent_min SimpleAggregateFunction(min, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_avg AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    memory_usage_percent_max SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_min                 SimpleAggregateFunction(min, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    pids_avg                 AggregateFunction(avg, Nullable(Float64)) CODEC(ZSTD(1)),
    pids_max                 SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    memory_limit_bytes       SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1)),
    online_cpus              SimpleAggregateFunction(max, Nullable(UInt32)) CODEC(Delta, ZSTD(1)),
    pids_limit               SimpleAggregateFunction(max, Nullable(UInt64)) CODEC(Delta, ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toYear(timestamp)
ORDER BY (host, container_id, timestamp)
TTL timestamp + INTERVAL 730 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW IF NOT EXISTS container_stats_1d_view TO container_stats_1d AS SELECT
    host, container_id, toStartOfDay(source.timestamp) AS timestamp,
    anyLast(source.container_name) AS container_name, anyLast(source.image) AS image,
    anyLast(source.compose_project) AS compose_project, anyLast(source.compose_service) AS compose_service,
    max(source.run) AS run, anyLast(source.labels) AS labels, sum(source.samples) AS samples,
    sum(source.interval_ns) AS interval_ns,
    sum(source.cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(source.cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(source.network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(source.network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(source.block_read_delta_bytes) AS block_read_delta_bytes,
    sum(source.block_write_delta_bytes) AS block_write_delta_bytes,
    min(source.cpu_usage_percent_min) AS cpu_usage_percent_min,
    avgMergeState(source.cpu_usage_percent_avg) AS cpu_usage_percent_avg,
    max(source.cpu_usage_percent_max) AS cpu_usage_percent_max,
    min(source.memory_usage_bytes_min) AS memory_usage_bytes_min,
    avgMergeState(source.memory_usage_bytes_avg) AS memory_usage_bytes_avg,
    max(source.memory_usage_bytes_max) AS memory_usage_bytes_max,
    min(source.memory_usage_percent_min) AS memory_usage_percent_min,
    avgMergeState(source.memory_usage_percent_avg) AS memory_usage_percent_avg,
    max(source.memory_usage_percent_max) AS memory_usage_percent_max,
    min(source.pids_min) AS pids_min,
    avgMergeState(source.pids_avg) AS pids_avg,
    max(source.pids_max) AS pids_max,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats_1h AS source
GROUP BY host, container_id, timestamp;

CREATE MATERIALIZED VIEW IF NOT EXISTS container_stats_1h_view TO container_stats_1h AS SELECT
    host, container_id, toStartOfHour(source.timestamp) AS timestamp,
    anyLast(source.container_name) AS container_name, anyLast(source.image) AS image,
    anyLast(source.compose_project) AS compose_project, anyLast(source.compose_service) AS compose_service,
    max(source.run) AS run, anyLast(source.labels) AS labels, sum(source.samples) AS samples,
    sum(source.interval_ns) AS interval_ns,
    sum(source.cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(source.cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(source.network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(source.network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(source.block_read_delta_bytes) AS block_read_delta_bytes,
    sum(source.block_write_delta_bytes) AS block_write_delta_bytes,
    min(source.cpu_usage_percent_min) AS cpu_usage_percent_min,
    avgMergeState(source.cpu_usage_percent_avg) AS cpu_usage_percent_avg,
    max(source.cpu_usage_percent_max) AS cpu_usage_percent_max,
    min(source.memory_usage_bytes_min) AS memory_usage_bytes_min,
    avgMergeState(source.memory_usage_bytes_avg) AS memory_usage_bytes_avg,
    max(source.memory_usage_bytes_max) AS memory_usage_bytes_max,
    min(source.memory_usage_percent_min) AS memory_usage_percent_min,
    avgMergeState(source.memory_usage_percent_avg) AS memory_usage_percent_avg,
    max(source.memory_usage_percent_max) AS memory_usage_percent_max,
    min(source.pids_min) AS pids_min,
    avgMergeState(source.pids_avg) AS pids_avg,
    max(source.pids_max) AS pids_max,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats_1m AS source
GROUP BY host, container_id, timestamp;

CREATE MATERIALIZED VIEW IF NOT EXISTS container_stats_1m_view TO container_stats_1m AS SELECT
    host, container_id, toStartOfMinute(source.timestamp) AS timestamp,
    anyLast(source.container_name) AS container_name, anyLast(source.image) AS image,
    anyLast(source.compose_project) AS compose_project, anyLast(source.compose_service) AS compose_service,
    max(source.run) AS run, anyLast(source.labels) AS labels, count() AS samples,
    sum(source.interval_ns) AS interval_ns,
    sum(source.cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(source.cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(source.network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(source.network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(source.block_read_delta_bytes) AS block_read_delta_bytes,
    sum(source.block_write_delta_bytes) AS block_write_delta_bytes,
    min(source.cpu_usage_percent) AS cpu_usage_percent_min,
    avgState(source.cpu_usage_percent) AS cpu_usage_percent_avg,
    max(source.cpu_usage_percent) AS cpu_usage_percent_max,
    min(source.memory_usage_bytes) AS memory_usage_bytes_min,
    avgState(toFloat64(source.memory_usage_bytes)) AS memory_usage_bytes_avg,
    max(source.memory_usage_bytes) AS memory_usage_bytes_max,
    min(source.memory_usage_percent) AS memory_usage_percent_min,
    avgState(source.memory_usage_percent) AS memory_usage_percent_avg,
    max(source.memory_usage_percent) AS memory_usage_percent_max,
    min(source.pids) AS pids_min,
    avgState(toFloat64(source.pids)) AS pids_avg,
    max(source.pids) AS pids_max,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats AS source
GROUP BY host, container_id, timestamp;
