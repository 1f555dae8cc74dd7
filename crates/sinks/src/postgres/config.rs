//! What can be set.

use std::time::Duration;

use wire::postgres::Place;

use crate::retention::Retention;

/// Whether tables are made for the extension TimescaleDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timescale {
    /// Where the database has it, with the licence that its continuous aggregates need.
    Auto,
    /// Yes; without it there is an error of configuration.
    On,
    /// No.
    Off,
}

/// Settings of the PostgreSQL sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The server, and the schema for the tables.
    pub place: Place,
    /// Makes the schema and the tables where they are missing or old; otherwise that is an error of configuration.
    pub create_tables: bool,
    /// Whether tables are made for TimescaleDB. Those that are there stay what they are.
    pub timescale: Timescale,
    /// How long rows are kept.
    pub retention: Retention,
    /// How often old rows are looked for, and partitions made for the days to come.
    pub housekeeping: Duration,
    /// Rows in one transaction, at most.
    pub rows: usize,
    /// Estimated bytes in one transaction, at most.
    pub bytes: usize,
    /// How long to wait for a fuller transaction.
    pub linger: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a transaction may take.
    pub timeout: Duration,
    /// How long a statement waits for a lock of somebody's.
    pub lock_timeout: Duration,
}

impl PostgresConfig {
    /// The defaults, for the server at `host`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            place: Place::new(host),
            create_tables: true,
            timescale: Timescale::Auto,
            retention: Retention::default(),
            housekeeping: Duration::from_secs(5 * 60),
            rows: 10_000,
            bytes: 8 << 20,
            linger: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(20),
        }
    }
}
