-- How a run ended, in words; and the chosen labels on events.
ALTER TABLE container_events ADD COLUMN exit_cause TEXT;
ALTER TABLE container_events ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE containers ADD COLUMN exit_cause TEXT;
