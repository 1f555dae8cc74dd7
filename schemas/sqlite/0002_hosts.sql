-- What the configuration says of each host, and how reaching it goes.
ALTER TABLE hosts ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hosts ADD COLUMN status_since INTEGER;
ALTER TABLE hosts ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN retry_at INTEGER;

ALTER TABLE host_health ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
