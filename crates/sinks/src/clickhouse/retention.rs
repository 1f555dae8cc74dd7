//! How long tables keep their rows.

use std::time::Duration;

use super::{ClickHouseConfig, Retention};

const DAY: u64 = 86_400;

/// A table whose rows end, by the time in one of its columns.
pub(super) struct Kept {
    pub table: &'static str,
    time: &'static str,
    age: Duration,
}

impl Kept {
    /// The tables and what the configuration says of them. Those that are not there are nobody's concern.
    pub(super) fn all(config: &ClickHouseConfig) -> [Self; 9] {
        let Retention { raw, minutes, hours, days, logs, events } = config.retention;
        let kept = |table, time, age| Self { table, time, age };
        [
            kept("container_stats", "toDateTime(timestamp)", raw),
            kept("container_stats_1m", "timestamp", minutes),
            kept("container_stats_1h", "timestamp", hours),
            kept("container_stats_1d", "timestamp", days),
            kept("container_logs", "toDateTime(timestamp)", logs),
            kept("container_events", "toDateTime(timestamp)", events),
            kept("image_versions", "toDateTime(observed_at)", events),
            kept("host_health", "toDateTime(observed_at)", events),
            kept("losses", "toDateTime(last_at)", events),
        ]
    }

    /// As the server writes it back.
    pub(super) fn ttl(&self) -> String {
        let (count, unit) = self.interval();
        format!("{} + toInterval{unit}({count})", self.time)
    }

    /// How long, in words.
    pub(super) fn words(&self) -> String {
        let (count, unit) = self.interval();
        format!("{count} {}s", unit.to_lowercase())
    }

    fn interval(&self) -> (u64, &'static str) {
        let seconds = self.age.as_secs();
        if seconds.is_multiple_of(DAY) { (seconds / DAY, "Day") } else { (seconds, "Second") }
    }

    /// Whether a table that the server describes so keeps its rows that long.
    pub(super) fn holds(&self, engine_full: &str) -> bool {
        let ttl = engine_full.split_once(" TTL ").map_or("", |(_, rest)| rest);
        ttl.split(" SETTINGS ").next() == Some(self.ttl().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_written_in_days_where_it_is_days() {
        let config = ClickHouseConfig {
            retention: Retention { logs: Duration::from_secs(12 * 3600), ..Retention::default() },
            ..ClickHouseConfig::new("http://127.0.0.1:8123")
        };
        let ttl = |table| Kept::all(&config).into_iter().find(|kept| kept.table == table).map(|kept| kept.ttl());
        assert_eq!(ttl("container_stats").as_deref(), Some("toDateTime(timestamp) + toIntervalDay(7)"));
        assert_eq!(ttl("container_logs").as_deref(), Some("toDateTime(timestamp) + toIntervalSecond(43200)"));
    }
}
