//! The delivery port: how the pipeline sees one sink's server.

use std::time::Duration;

use async_trait::async_trait;
use model::{Batch, Stream};
use serde::{Deserialize, Serialize};

/// One sink's client. Owned by one `Sink` actor; every retry policy lives there, not here.
#[async_trait]
pub trait Deliver: Send + 'static {
    /// The kind: `sqlite`, `kafka`, `clickhouse`, `postgres`, `influxdb`, `otlp`.
    fn kind(&self) -> &'static str;

    /// Where it delivers to, without secrets, for people.
    fn target(&self) -> String;

    /// How much it wants at once, and of which streams.
    fn appetite(&self) -> Appetite;

    /// Connects and makes sure that tables or topics are there. Called before the first delivery and again
    /// after a failure of class `Config`, `Schema` or a restart; does nothing where all is well.
    async fn prepare(&mut self) -> Result<(), DeliverError>;

    /// Delivers a range and returns when the server has it. Called again with the same range after an
    /// error: what has already been taken must not be stored twice.
    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError>;

    /// Rows that it took and does not keep, by reason, since it was asked before: of a sink that is a store of its own.
    fn take_unkept(&mut self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// What the server refused of deliveries it took, without saying which records that concerns, since this was called
    /// last: in units of its own (`data_points`, `log_records`), with their count. None of it is sent again.
    fn unnamed_refusals(&mut self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Ends the connection in order; nothing is in flight when it is called.
    async fn close(&mut self) {}
}

/// How much a sink takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appetite {
    /// Rows at most; a single batch may exceed it.
    pub rows: usize,
    /// Bytes at most; a single batch may exceed it.
    pub bytes: usize,
    /// How long to wait for a fuller range once something is there.
    pub linger: Duration,
    /// Streams it takes; others are passed over and not counted.
    pub streams: Vec<Stream>,
}

/// Consecutive journal entries, frozen: the same batches again on every retry.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Journal position of the first entry.
    pub first: u64,
    /// Journal position after the last entry.
    pub end: u64,
    /// The batches of the streams the sink takes, in journal order; may be empty.
    pub batches: Vec<Batch>,
}

impl Range {
    /// Records in all batches.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows.len()).sum()
    }

    /// Estimated bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }
}

/// What became of a delivered range: all rows not rejected are with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Rows the server will never take.
    pub rejected: Vec<Rejection>,
}

/// One row that will never be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its stream.
    pub stream: Stream,
    /// Its sequence number.
    pub sequence: u64,
    /// The server's words, without secrets.
    pub error: String,
}

/// How a delivery failed: decides what the `Sink` actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// May pass soon: retry fast.
    Retry,
    /// The server is overloaded: retry slowly.
    RetrySlow,
    /// Too large for the server: halve.
    Split,
    /// The table or topic is not what was expected: prepare again, then retry.
    Schema,
    /// Something in the range will never be taken: bisect.
    Poison,
    /// Credentials, addresses, rights: keep the data, tell a person, probe slowly.
    Config,
}

impl FailureClass {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::RetrySlow => "retry_slow",
            Self::Split => "split",
            Self::Schema => "schema",
            Self::Poison => "poison",
            Self::Config => "config",
        }
    }
}

/// A failed delivery, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliverError {
    /// What to do about it.
    pub class: FailureClass,
    /// One line without secrets.
    pub message: String,
    /// The server's own wish when to come back.
    pub retry_after: Option<Duration>,
}

impl DeliverError {
    /// An error of `class` with a message and no wish of the server's.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }
}
