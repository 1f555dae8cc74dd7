-- How a run ended, in words; and the chosen labels on events.

ALTER TABLE container_events
    ADD COLUMN IF NOT EXISTS exit_cause LowCardinality(Nullable(String)) AFTER exit_code,
    ADD COLUMN IF NOT EXISTS labels Map(LowCardinality(String), String) CODEC(ZSTD(1)) AFTER attributes;

ALTER TABLE containers
    ADD COLUMN IF NOT EXISTS exit_cause LowCardinality(Nullable(String)) AFTER exit_code;
