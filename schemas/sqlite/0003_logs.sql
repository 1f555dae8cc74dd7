-- The containers that have lines.
CREATE TABLE logged (
    container    INTEGER PRIMARY KEY NOT NULL,
    host         TEXT NOT NULL,
    container_id TEXT NOT NULL,
    UNIQUE (host, container_id)
) STRICT;

-- What they wrote, in the order in which it was stored. A line is named by its container, time, stream and ordinal.
CREATE TABLE log_lines (
    number       INTEGER PRIMARY KEY NOT NULL,
    container    INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,
    series       INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    line         TEXT NOT NULL,
    partial      INTEGER NOT NULL,
    truncated    INTEGER NOT NULL,
    invalid_utf8 INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_lines_by_identity ON log_lines (container, timestamp, stream, ordinal);

-- The log record under its public name and columns.
CREATE VIEW container_logs AS
SELECT
    logged.host,
    logged.container_id,
    series.container_name,
    series.image,
    series.compose_project,
    series.compose_service,
    series.run,
    log_lines.timestamp,
    log_lines.received_at,
    log_lines.stream,
    log_lines.ordinal,
    log_lines.line,
    log_lines.partial,
    log_lines.truncated,
    log_lines.invalid_utf8,
    series.labels
FROM logged
CROSS JOIN log_lines ON log_lines.container = logged.container
CROSS JOIN series ON series.series = log_lines.series;
