-- What containers write. The index finds words in lines: `hasToken(line, 'timeout')`.

CREATE TABLE IF NOT EXISTS container_logs (
    host            LowCardinality(String),
    container_id    LowCardinality(String),
    container_name  LowCardinality(String),
    image           LowCardinality(String),
    compose_project LowCardinality(Nullable(String)),
    compose_service LowCardinality(Nullable(String)),
    run             Nullable(DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),
    timestamp       DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at     DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stream          LowCardinality(String),
    ordinal         UInt32 CODEC(T64, ZSTD(1)),
    line            String CODEC(ZSTD(3)),
    partial         Bool,
    truncated       Bool,
    invalid_utf8    Bool,
    labels          Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    INDEX line_words line TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(timestamp)
ORDER BY (toStartOfHour(timestamp), host, container_id, timestamp, stream, ordinal)
TTL toDateTime(timestamp) + INTERVAL 3 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000;
