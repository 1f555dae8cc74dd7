-- What the configuration says of each host, and how reaching it goes.
ALTER TABLE host_health
    ADD COLUMN IF NOT EXISTS labels       Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS status_since Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS failures     UInt64 CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS retry_at     Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1));
