-- With TimescaleDB: hypertables by day, continuous aggregates in the place of rollups that are kept by who writes, and columns in
-- the place of rows for what is older than a day. How long each is kept, and how far back aggregates are refreshed, follows from
-- the configuration.

SELECT create_hypertable('container_stats', 'timestamp', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
SELECT create_hypertable('container_logs', 'timestamp', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
SELECT create_hypertable('container_events', 'timestamp', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
SELECT create_hypertable('image_versions', 'observed_at', chunk_time_interval => INTERVAL '7 days', create_default_indexes => false);

ALTER TABLE container_stats SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'host, container_id', timescaledb.compress_orderby = 'timestamp DESC');
ALTER TABLE container_logs SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'host, container_id', timescaledb.compress_orderby = 'timestamp DESC');
SELECT add_compression_policy('container_stats', INTERVAL '1 day');
SELECT add_compression_policy('container_logs', INTERVAL '1 day');

CREATE MATERIALIZED VIEW container_stats_1m WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS SELECT
    host, container_id, time_bucket(INTERVAL '1 minute', timestamp) AS timestamp,
    last(container_name, timestamp) AS container_name,
    last(image, timestamp) AS image,
    last(compose_project, timestamp) AS compose_project,
    last(compose_service, timestamp) AS compose_service,
    max(run) AS run, last(labels, timestamp) AS labels, count(*) AS samples,
    sum(interval_ns) AS interval_ns,
    sum(cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(block_read_delta_bytes) AS block_read_delta_bytes,
    sum(block_write_delta_bytes) AS block_write_delta_bytes,
    sum(interval_ns) FILTER (WHERE cpu_throttled_delta_ns IS NOT NULL) AS cpu_throttled_interval_ns,
    sum(interval_ns) FILTER (WHERE network_rx_delta_bytes IS NOT NULL) AS network_rx_interval_ns,
    sum(interval_ns) FILTER (WHERE network_tx_delta_bytes IS NOT NULL) AS network_tx_interval_ns,
    sum(interval_ns) FILTER (WHERE block_read_delta_bytes IS NOT NULL) AS block_read_interval_ns,
    sum(interval_ns) FILTER (WHERE block_write_delta_bytes IS NOT NULL) AS block_write_interval_ns,
    min(cpu_usage_percent) AS cpu_usage_percent_min, avg(cpu_usage_percent)::double precision AS cpu_usage_percent_avg,
    max(cpu_usage_percent) AS cpu_usage_percent_max, sum(cpu_usage_percent) AS cpu_usage_percent_sum, count(cpu_usage_percent) AS cpu_usage_percent_samples,
    min(memory_usage_bytes) AS memory_usage_bytes_min, avg(memory_usage_bytes)::double precision AS memory_usage_bytes_avg,
    max(memory_usage_bytes) AS memory_usage_bytes_max, sum(memory_usage_bytes) AS memory_usage_bytes_sum, count(memory_usage_bytes) AS memory_usage_bytes_samples,
    min(memory_usage_percent) AS memory_usage_percent_min, avg(memory_usage_percent)::double precision AS memory_usage_percent_avg,
    max(memory_usage_percent) AS memory_usage_percent_max, sum(memory_usage_percent) AS memory_usage_percent_sum, count(memory_usage_percent) AS memory_usage_percent_samples,
    min(pids) AS pids_min, avg(pids)::double precision AS pids_avg,
    max(pids) AS pids_max, sum(pids) AS pids_sum, count(pids) AS pids_samples,
    max(memory_limit_bytes) AS memory_limit_bytes, max(online_cpus) AS online_cpus, max(pids_limit) AS pids_limit
FROM container_stats
GROUP BY host, container_id, time_bucket(INTERVAL '1 minute', timestamp)
WITH NO DATA;

CREATE MATERIALIZED VIEW container_stats_hourly WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS SELECT
    host, container_id, time_bucket(INTERVAL '1 hour', timestamp) AS timestamp,
    last(container_name, timestamp) AS container_name,
    last(image, timestamp) AS image,
    last(compose_project, timestamp) AS compose_project,
    last(compose_service, timestamp) AS compose_service,
    max(run) AS run, last(labels, timestamp) AS labels, count(*) AS samples,
    sum(interval_ns) AS interval_ns,
    sum(cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(block_read_delta_bytes) AS block_read_delta_bytes,
    sum(block_write_delta_bytes) AS block_write_delta_bytes,
    sum(interval_ns) FILTER (WHERE cpu_throttled_delta_ns IS NOT NULL) AS cpu_throttled_interval_ns,
    sum(interval_ns) FILTER (WHERE network_rx_delta_bytes IS NOT NULL) AS network_rx_interval_ns,
    sum(interval_ns) FILTER (WHERE network_tx_delta_bytes IS NOT NULL) AS network_tx_interval_ns,
    sum(interval_ns) FILTER (WHERE block_read_delta_bytes IS NOT NULL) AS block_read_interval_ns,
    sum(interval_ns) FILTER (WHERE block_write_delta_bytes IS NOT NULL) AS block_write_interval_ns,
    min(cpu_usage_percent) AS cpu_usage_percent_min, avg(cpu_usage_percent)::double precision AS cpu_usage_percent_avg,
    max(cpu_usage_percent) AS cpu_usage_percent_max, sum(cpu_usage_percent) AS cpu_usage_percent_sum, count(cpu_usage_percent) AS cpu_usage_percent_samples,
    min(memory_usage_bytes) AS memory_usage_bytes_min, avg(memory_usage_bytes)::double precision AS memory_usage_bytes_avg,
    max(memory_usage_bytes) AS memory_usage_bytes_max, sum(memory_usage_bytes) AS memory_usage_bytes_sum, count(memory_usage_bytes) AS memory_usage_bytes_samples,
    min(memory_usage_percent) AS memory_usage_percent_min, avg(memory_usage_percent)::double precision AS memory_usage_percent_avg,
    max(memory_usage_percent) AS memory_usage_percent_max, sum(memory_usage_percent) AS memory_usage_percent_sum, count(memory_usage_percent) AS memory_usage_percent_samples,
    min(pids) AS pids_min, avg(pids)::double precision AS pids_avg,
    max(pids) AS pids_max, sum(pids) AS pids_sum, count(pids) AS pids_samples,
    max(memory_limit_bytes) AS memory_limit_bytes, max(online_cpus) AS online_cpus, max(pids_limit) AS pids_limit
FROM container_stats
GROUP BY host, container_id, time_bucket(INTERVAL '1 hour', timestamp)
WITH NO DATA;

CREATE MATERIALIZED VIEW container_stats_daily WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS SELECT
    host, container_id, time_bucket(INTERVAL '1 day', timestamp) AS timestamp,
    last(container_name, timestamp) AS container_name,
    last(image, timestamp) AS image,
    last(compose_project, timestamp) AS compose_project,
    last(compose_service, timestamp) AS compose_service,
    max(run) AS run, last(labels, timestamp) AS labels, count(*) AS samples,
    sum(interval_ns) AS interval_ns,
    sum(cpu_usage_delta_ns) AS cpu_usage_delta_ns,
    sum(cpu_throttled_delta_ns) AS cpu_throttled_delta_ns,
    sum(network_rx_delta_bytes) AS network_rx_delta_bytes,
    sum(network_tx_delta_bytes) AS network_tx_delta_bytes,
    sum(block_read_delta_bytes) AS block_read_delta_bytes,
    sum(block_write_delta_bytes) AS block_write_delta_bytes,
    sum(interval_ns) FILTER (WHERE cpu_throttled_delta_ns IS NOT NULL) AS cpu_throttled_interval_ns,
    sum(interval_ns) FILTER (WHERE network_rx_delta_bytes IS NOT NULL) AS network_rx_interval_ns,
    sum(interval_ns) FILTER (WHERE network_tx_delta_bytes IS NOT NULL) AS network_tx_interval_ns,
    sum(interval_ns) FILTER (WHERE block_read_delta_bytes IS NOT NULL) AS block_read_interval_ns,
    sum(interval_ns) FILTER (WHERE block_write_delta_bytes IS NOT NULL) AS block_write_interval_ns,
    min(cpu_usage_percent) AS cpu_usage_percent_min, avg(cpu_usage_percent)::double precision AS cpu_usage_percent_avg,
    max(cpu_usage_percent) AS cpu_usage_percent_max, sum(cpu_usage_percent) AS cpu_usage_percent_sum, count(cpu_usage_percent) AS cpu_usage_percent_samples,
    min(memory_usage_bytes) AS memory_usage_bytes_min, avg(memory_usage_bytes)::double precision AS memory_usage_bytes_avg,
    max(memory_usage_bytes) AS memory_usage_bytes_max, sum(memory_usage_bytes) AS memory_usage_bytes_sum, count(memory_usage_bytes) AS memory_usage_bytes_samples,
    min(memory_usage_percent) AS memory_usage_percent_min, avg(memory_usage_percent)::double precision AS memory_usage_percent_avg,
    max(memory_usage_percent) AS memory_usage_percent_max, sum(memory_usage_percent) AS memory_usage_percent_sum, count(memory_usage_percent) AS memory_usage_percent_samples,
    min(pids) AS pids_min, avg(pids)::double precision AS pids_avg,
    max(pids) AS pids_max, sum(pids) AS pids_sum, count(pids) AS pids_samples,
    max(memory_limit_bytes) AS memory_limit_bytes, max(online_cpus) AS online_cpus, max(pids_limit) AS pids_limit
FROM container_stats
GROUP BY host, container_id, time_bucket(INTERVAL '1 day', timestamp)
WITH NO DATA;
