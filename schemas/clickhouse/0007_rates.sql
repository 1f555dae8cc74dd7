-- Over which part of `interval_ns` a delta is not known: what is known divided by the rest is its rate, also in a minute
-- in which a counter began anew. It is 0 nearly always, so it takes no room.
--
-- Columns come before the views that fill them, and the last table's view first.

ALTER TABLE container_stats_1d
    ADD COLUMN IF NOT EXISTS cpu_throttled_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_rx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_tx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_read_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_write_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1));

ALTER TABLE container_stats_1h
    ADD COLUMN IF NOT EXISTS cpu_throttled_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_rx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_tx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_read_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_write_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1));

ALTER TABLE container_stats_1m
    ADD COLUMN IF NOT EXISTS cpu_throttled_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_rx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS network_tx_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_read_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS block_write_unknown_ns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1));

ALTER TABLE container_stats_1d_view MODIFY QUERY SELECT
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
    sum(source.cpu_throttled_unknown_ns) AS cpu_throttled_unknown_ns,
    sum(source.network_rx_unknown_ns) AS network_rx_unknown_ns,
    sum(source.network_tx_unknown_ns) AS network_tx_unknown_ns,
    sum(source.block_read_unknown_ns) AS block_read_unknown_ns,
    sum(source.block_write_unknown_ns) AS block_write_unknown_ns,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats_1h AS source
GROUP BY host, container_id, timestamp;

ALTER TABLE container_stats_1h_view MODIFY QUERY SELECT
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
    sum(source.cpu_throttled_unknown_ns) AS cpu_throttled_unknown_ns,
    sum(source.network_rx_unknown_ns) AS network_rx_unknown_ns,
    sum(source.network_tx_unknown_ns) AS network_tx_unknown_ns,
    sum(source.block_read_unknown_ns) AS block_read_unknown_ns,
    sum(source.block_write_unknown_ns) AS block_write_unknown_ns,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats_1m AS source
GROUP BY host, container_id, timestamp;

ALTER TABLE container_stats_1m_view MODIFY QUERY SELECT
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
    sum(if(isNull(source.cpu_throttled_delta_ns), ifNull(source.interval_ns, 0), 0)) AS cpu_throttled_unknown_ns,
    sum(if(isNull(source.network_rx_delta_bytes), ifNull(source.interval_ns, 0), 0)) AS network_rx_unknown_ns,
    sum(if(isNull(source.network_tx_delta_bytes), ifNull(source.interval_ns, 0), 0)) AS network_tx_unknown_ns,
    sum(if(isNull(source.block_read_delta_bytes), ifNull(source.interval_ns, 0), 0)) AS block_read_unknown_ns,
    sum(if(isNull(source.block_write_delta_bytes), ifNull(source.interval_ns, 0), 0)) AS block_write_unknown_ns,
    max(source.memory_limit_bytes) AS memory_limit_bytes, max(source.online_cpus) AS online_cpus, max(source.pids_limit) AS pids_limit
FROM container_stats AS source
GROUP BY host, container_id, timestamp;
