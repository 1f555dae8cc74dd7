//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the SQLite sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. Made with mode 0600, folders included, where it is missing.
    pub path: PathBuf,
    /// How old samples are when they leave their rows for packed chunks.
    pub pack_after: Duration,
    /// How long samples and host health are kept.
    pub retention_raw: Duration,
    /// How long the rollups by the minute are kept.
    pub retention_1m: Duration,
    /// How long the rollups by the hour are kept.
    pub retention_1h: Duration,
    /// How long the rollups by the day are kept.
    pub retention_1d: Duration,
    /// How long log lines are kept.
    pub retention_logs: Duration,
    /// How long events and losses are kept, and containers after they are gone.
    pub retention_events: Duration,
    /// Size of the file at which the oldest samples and lines go before their time, in bytes.
    pub max_bytes: u64,
    /// How often samples are packed, and old rows looked for.
    pub housekeeping: Duration,
    /// Rows in one transaction, at most.
    pub rows: usize,
    /// Estimated bytes in one transaction, at most.
    pub bytes: usize,
    /// How long to wait for a fuller transaction.
    pub linger: Duration,
}

impl SqliteConfig {
    /// The defaults, for a file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            pack_after: Duration::from_secs(60 * 60),
            retention_raw: 7 * DAY,
            retention_1m: 30 * DAY,
            retention_1h: 90 * DAY,
            retention_1d: 730 * DAY,
            retention_logs: 3 * DAY,
            retention_events: 30 * DAY,
            max_bytes: 16 << 30,
            housekeeping: Duration::from_secs(5 * 60),
            rows: 10_000,
            bytes: 8 << 20,
            linger: Duration::ZERO,
        }
    }
}
