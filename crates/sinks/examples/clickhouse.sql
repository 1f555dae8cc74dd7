-- An hour of {containers} containers at a sample a second, which begins at {start}: 35 % idle, 40 % light, 20 % busy, 5 % heavy.
-- CPU time in microseconds as cgroup v2 counts it, memory in pages, clocks with milliseconds of jitter in nanoseconds.
INSERT INTO hour (
    host, container_id, container_name, image, compose_project, compose_service, run, timestamp, received_at, network_scope,
    cpu_usage_percent, cpu_usage_ns, cpu_user_ns, cpu_kernel_ns, system_cpu_ns, online_cpus, cpu_throttled_periods, cpu_throttled_ns,
    memory_usage_bytes, memory_total_bytes, memory_limit_bytes, memory_usage_percent, memory_cache_bytes, network_rx_bytes,
    network_tx_bytes, network_rx_packets, network_tx_packets, network_rx_errors, network_tx_errors, network_rx_dropped,
    network_tx_dropped, block_read_bytes, block_write_bytes, pids, interval_ns, cpu_usage_delta_ns, cpu_throttled_delta_ns,
    network_rx_delta_bytes, network_tx_delta_bytes, block_read_delta_bytes, block_write_delta_bytes, labels)
SELECT
    concat('edge-', toString(container % 20)), id, concat('web-', toString(container)), concat('registry/app-', toString(container % 50)),
    concat('project-', toString(container % 30)), concat('service-', toString(container % 60)), toDateTime64('2026-01-01 00:00:00', 9, 'UTC'),
    fromUnixTimestamp64Nano(toInt64(read), 'UTC'), fromUnixTimestamp64Nano(toInt64(read + 300000 + noise % 2700000), 'UTC'), 'own',
    100 * 4 * used / system, sum(used) OVER life, sum(used_by_user) OVER life, sum(used - used_by_user) OVER life,
    1000000000000000 + sum(system) OVER life, 4, sum(throttled > 0) OVER life, sum(throttled) OVER life,
    4096 * (50000 + container + abs(sum(pages) OVER life)) AS memory, memory + cache, 8589934592, 100 * memory / 8589934592,
    4096 * (20000 + sum(cached) OVER life) AS cache,
    sum(received) OVER life, sum(sent) OVER life, sum(packets) OVER life, sum(packets) OVER life + container, 0, 0, 0, 0,
    0, sum(written) OVER life, 3 + level * 8 + (noise % 100 = 0), interval, used, throttled, received, sent, 0, written, map('team', 'blue')
FROM (
    SELECT
        number DIV 3600 AS container, number % 3600 AS second, lower(hex(SHA256(toString(container)))) AS id,
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3][1 + container % 20] AS level,
        rand(1) AS noise, rand(2) AS other, (rand(3) + 1) / 4294967297 AS uniform, (rand(4) + 1) / 4294967297 AS again,
        1000000000 + noise % 3000000 AS interval,
        {start} * 1000000000 + second * 1001500000 + noise % 3000000 AS read,
        10000000 * intDiv(4 * interval, 10000000 + 0 * noise) AS system,
        1000 * toUInt64(if(level = 0, (other % 20 = 0) * (noise % 2000), -log(uniform * again) * [0, 5000, 150000, 750000][1 + level])) AS used,
        1000 * intDiv(used * 7, 10000) AS used_by_user,
        if(used > 1800000000, 1000 * (other % 90000), 0) AS throttled,
        if(other % 100 < [2, 30, 80, 100][1 + level], toInt64(noise % 41) - 20, 0) AS pages,
        if(noise % 100 < [1, 10, 40, 80][1 + level], other % 3, 0) AS cached,
        toUInt64(-log(again) * [0, 5, 200, 2000][1 + level]) AS packets,
        packets * (66 + other % 840) AS received, packets * (66 + noise % 1140) AS sent,
        if(other % 100 < [1, 10, 40, 80][1 + level], 4096 * (noise % 50), 0) AS written
    FROM numbers({containers} * 3600)
)
WINDOW life AS (PARTITION BY container ORDER BY second ROWS UNBOUNDED PRECEDING)
