//! How long stores with rollups keep their rows.

use std::time::Duration;

const DAY: u64 = 86_400;

/// How long rows are kept, by what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Samples.
    pub raw: Duration,
    /// Rollups by the minute.
    pub minutes: Duration,
    /// Rollups by the hour.
    pub hours: Duration,
    /// Rollups by the day.
    pub days: Duration,
    /// Log lines.
    pub logs: Duration,
    /// Events, changes of images, states of hosts, losses.
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |count| Duration::from_secs(count * DAY);
        Self { raw: days(7), minutes: days(30), hours: days(90), days: days(730), logs: days(3), events: days(30) }
    }
}
