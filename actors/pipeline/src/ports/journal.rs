//! The journal port: one log between Batcher and sinks, one cursor per sink.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use model::{Batch, LossRecord, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Appetite, Range, Receipt, Rejection};

/// The log. Shared by the `Journal` actor, which appends, and the `Sink` actors, which read.
///
/// Each sink has a cursor of its own: a slow one never holds back another. Positions count entries.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Keeps batches in their order, and the marks that are true once they are kept: all of it or nothing. When it
    /// returns `Ok` they are as durable as the journal's mode promises.
    ///
    /// A batch that the log has, or had, in this life of the process is not kept twice: who does not know whether an
    /// append came to its end appends again. Where the journal is full and is to block, it waits for room.
    async fn append(&self, batches: Vec<Batch>, marks: Vec<Mark>) -> Result<(), JournalError>;

    /// Keeps a mark by itself.
    async fn mark(&self, mark: Mark) -> Result<(), JournalError>;

    /// The newest mark of each source, by its name.
    fn marks(&self) -> BTreeMap<String, Vec<u8>>;

    /// Gives `sink` a cursor: at its last committed position, or at the end of the log if it is new.
    /// Called again with the same name (a restarted sink) it keeps the cursor.
    fn register(&self, sink: &str, appetite: Appetite);

    /// Waits for the next range after the cursor of `sink`. The same range is returned until it is
    /// committed or dropped. `None`: the journal is closed and the sink has had everything.
    async fn next(&self, sink: &str) -> Option<Range>;

    /// Settles a range: moves the cursor of `sink` to its end and counts delivered and rejected rows.
    /// A range that is no longer the cursor's (dropped meanwhile) changes nothing.
    async fn commit(&self, sink: &str, range: &Range, receipt: &Receipt) -> Result<(), JournalError>;

    /// Remembers how far a range has come that is delivered in parts, until it is committed.
    async fn note(&self, sink: &str, range: &Range, plan: Plan) -> Result<(), JournalError>;

    /// What was noted last of this range, in this life of the process or one before.
    fn plan(&self, sink: &str, range: &Range) -> Option<Plan>;

    /// Collecting ends: what is on its way is taken although the journal is full, for it can be kept nowhere else.
    fn last_call(&self);

    /// No more appends: readers get what is left, then `None`.
    fn close(&self);

    /// Ends the log: what callers still wait for fails, and all is where it is kept when it returns.
    async fn stop(&self);

    /// Forgets every sink not named: what only they needed is removed, and their books end.
    fn forget_sinks_except(&self, sinks: &[&str]);

    /// How it is with the storage.
    fn storage(&self) -> StorageState;

    /// The books of every sink.
    fn books(&self) -> Vec<SinkBooks>;

    /// Everything dropped so far, by sink, stream and reason.
    fn losses(&self) -> Vec<LossRecord>;

    /// The same counts, with the times of what was dropped since the last call. For the one who reports them.
    fn fresh_losses(&self) -> Vec<LossRecord>;
}

/// Where a source begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The source's name, such as `events/edge`.
    pub source: String,
    /// Its position, in bytes of its own; `None` where it never begins again.
    pub position: Option<Vec<u8>>,
}

/// How far a range has come that is delivered in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Rows of the range when this was noted. One that has lost an entry since is another range: its rows have other numbers.
    pub rows: usize,
    /// The parts that are left, in order: from which row of the range to before which.
    pub left: Vec<(usize, usize)>,
    /// Rows of the others that were refused for good.
    pub rejected: Vec<Rejection>,
}

/// The books of one sink, in rows: `journaled = delivered + rejected + dropped + pending`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkBooks {
    /// The sink.
    pub sink: String,
    /// Rows appended since it registered, of the streams it takes.
    pub journaled: u64,
    /// Rows its server has.
    pub delivered: u64,
    /// Rows its server refused for good.
    pub rejected: u64,
    /// Rows dropped because the journal was full.
    pub dropped: u64,
    /// Rows still to be delivered.
    pub pending: u64,
    /// Bytes still to be delivered (estimated).
    pub pending_bytes: u64,
    /// When the oldest pending row was received.
    pub oldest_pending: Option<Timestamp>,
}

/// How it is with the journal's storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageState {
    /// `disk`, which outlives the process, or `memory`.
    pub kind: &'static str,
    /// Bytes of entries some sink still needs.
    pub bytes: u64,
    /// How many there may be.
    pub limit_bytes: u64,
    /// Appends wait for room.
    pub is_full: bool,
    /// Why it fails at present; `None` while all is well.
    pub failing: Option<String>,
    /// How often it has waited for the disk since the start, and how long in all.
    pub syncs: (u64, Duration),
}

/// The journal cannot keep a batch.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It is closed.
    #[error("journal is closed")]
    Closed,
    /// Its storage failed.
    #[error("journal storage failed: {0}")]
    Storage(String),
}
