//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the SQLite sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. Made with mode 0600, folders included, where it is missing.
    pub path: PathBuf,
    /// How long samples and host health are kept.
    pub retention_raw: Duration,
    /// How long log lines are kept.
    pub retention_logs: Duration,
    /// How long events and losses are kept, and containers after they are gone.
    pub retention_events: Duration,
    /// How often old rows are looked for.
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
            retention_raw: 7 * DAY,
            retention_logs: 3 * DAY,
            retention_events: 30 * DAY,
            housekeeping: Duration::from_secs(5 * 60),
            rows: 10_000,
            bytes: 8 << 20,
            linger: Duration::ZERO,
        }
    }
}
