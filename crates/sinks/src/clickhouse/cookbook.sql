-- What the cookbook asks about: five containers on two hosts. Every 10 s through the last hour, and for 10 minutes on
-- each of the five days before. The test puts a time of its own in the place of now().

INSERT INTO container_stats (
    host, container_id, container_name, image, compose_project, compose_service, run, timestamp, received_at, network_scope,
    online_cpus, interval_ns, cpu_usage_percent, cpu_usage_delta_ns, cpu_throttled_delta_ns, memory_usage_bytes, memory_limit_bytes,
    memory_usage_percent, network_rx_delta_bytes, network_tx_delta_bytes, block_read_delta_bytes, block_write_delta_bytes, pids, labels)
WITH
    containers AS (SELECT * FROM values(
        'host String, name String, image String, project Nullable(String), service Nullable(String), team String,
         cpu Float64, memory UInt64, ceiling UInt64, received UInt64, sent UInt64, read UInt64, written UInt64',
        ('edge-1', 'shop-web-1', 'nginx:1.29', 'shop', 'web', 'blue', 50, 256, 512, 100000, 300000, 0, 0),
        ('edge-1', 'shop-db-1', 'postgres:17', 'shop', 'db', 'blue', 25, 1024, 2048, 20000, 60000, 1048576, 4194304),
        ('edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker', 'red', 40, 128, 256, 5000, 5000, 0, 524288),
        ('edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'red', 10, 100, 1024, 8000, 90000, 0, 65536),
        ('edge-2', 'cache', 'redis:8', NULL, NULL, '', 2, 32, 8192, 1000, 1000, 0, 0))),
    moments AS (
        SELECT 0 AS day, number, now() - 3590 + 10 * number AS at FROM numbers(360)
        UNION ALL
        SELECT toInt64(1 + number DIV 60) AS day, number % 60 AS number, now() - 86400 * day + 10 * (number % 60) AS at FROM numbers(300))
SELECT
    host, lower(hex(SHA256(name))), name, image, project, service, toDateTime64(now() - 10 * 86400, 9, 'UTC'),
    toDateTime64(at, 9, 'UTC') AS timestamp, timestamp, 'own',
    4, 10000000000,
    -- In the last ten minutes the worker takes all it can get, and is throttled.
    if(name = 'jobs-worker-1' AND day = 0 AND number >= 300, 320, cpu) AS percent,
    toUInt64(percent * 100000000),
    if(percent = 320, 2000000000, 0),
    -- The blog leaks 1 MiB with every sample.
    1048576 * (memory + if(name = 'blog-app-1' AND day = 0, number, 0)) AS used, 1048576 * ceiling, 100 * used / (1048576 * ceiling),
    received, sent, read, written, 5,
    if(team = '', map(), map('team', team))
FROM containers CROSS JOIN moments
-- Nothing is heard of the cache for 20 minutes.
WHERE NOT (name = 'cache' AND day = 0 AND number >= 240);

INSERT INTO container_events (host, timestamp, received_at, type, action, actor_id, actor_name, container_id, container_name, image, compose_project, compose_service, exit_code, signal, synthetic, attributes)
SELECT host, toDateTime64(now() - ago, 9, 'UTC') AS timestamp, timestamp, 'container', action, lower(hex(SHA256(name))) AS id, name, id, name, image, project, service, exit_code, NULL, false, map()
FROM values(
    'ago UInt32, host String, name String, image String, project Nullable(String), service Nullable(String), action String, exit_code Nullable(Int64)',
    (7300, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'oom', NULL),
    (7299, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'die', 137),
    (7298, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'start', NULL),
    (3700, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'oom', NULL),
    (3699, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'die', 137),
    (3698, 'edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app', 'start', NULL),
    (900, 'edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker', 'die', 1),
    (899, 'edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker', 'start', NULL),
    (620, 'edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker', 'die', 0),
    (610, 'edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker', 'start', NULL));

INSERT INTO containers (host, container_id, container_name, image, compose_project, compose_service, state, started_at, observed_at)
SELECT host, lower(hex(SHA256(name))), name, image, project, service, 'running', toDateTime64(now() - 10 * 86400, 9, 'UTC'), toDateTime64(now() - 30, 9, 'UTC')
FROM values('host String, name String, image String, project Nullable(String), service Nullable(String)',
    ('edge-1', 'shop-web-1', 'nginx:1.29', 'shop', 'web'),
    ('edge-1', 'shop-db-1', 'postgres:17', 'shop', 'db'),
    ('edge-1', 'jobs-worker-1', 'acme/worker:2', 'jobs', 'worker'),
    ('edge-2', 'blog-app-1', 'ghost:6', 'blog', 'app'),
    ('edge-2', 'cache', 'redis:8', NULL, NULL));

INSERT INTO losses (node, epoch, sequence, stream, sink, reason, count, first_at, last_at)
SELECT 'node-1', 3, 1, 'stats', NULL, 'coalesced', 12, toDateTime64(now() - 1200, 9, 'UTC'), toDateTime64(now() - 1190, 9, 'UTC');
