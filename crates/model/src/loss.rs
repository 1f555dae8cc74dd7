//! Losses are data: what was dropped, where, why, how much.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Stream, Timestamp};

/// Why something was dropped. Every drop in dockstream has one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The frame is not JSON.
    NotJson,
    /// The frame ends before its JSON does.
    Truncated,
    /// The frame is JSON of another shape than a stats frame.
    UnexpectedShape,
    /// The engine put an error object into the stream.
    EngineError,
    /// The engine's placeholder for a container that does not run: it holds no values.
    EmptyFrame,
    /// The engine's time did not move since the frame before.
    DuplicateFrame,
    /// The frame came before the next one was due: the engine's pace is faster than `stats_interval`.
    BetweenIntervals,
    /// A newer frame of the same container replaced it while the pipeline was busy.
    Coalesced,
    /// It came faster than the pipeline takes it, and nothing may hold back its engine.
    Overflow,
    /// The stage that held it panicked.
    Panic,
    /// The stage that held it was restarted for another reason than its own panic.
    Restart,
    /// The process ended before it could be handed on.
    Shutdown,
    /// The journal was full, and the sink too far behind.
    JournalFull,
    /// It grew older in the journal than the journal keeps.
    Expired,
    /// Its bytes in the journal are damaged.
    Corrupt,
    /// The sink's server will never take it.
    Rejected,
    /// Its container wrote more lines than `collect.logs.rate_limit` allows.
    RateLimited,
}

impl LossReason {
    /// All reasons.
    pub const ALL: [Self; 17] = [
        Self::NotJson,
        Self::Truncated,
        Self::UnexpectedShape,
        Self::EngineError,
        Self::EmptyFrame,
        Self::DuplicateFrame,
        Self::BetweenIntervals,
        Self::Coalesced,
        Self::Overflow,
        Self::Panic,
        Self::Restart,
        Self::Shutdown,
        Self::JournalFull,
        Self::Expired,
        Self::Corrupt,
        Self::Rejected,
        Self::RateLimited,
    ];

    /// True where nothing that was wanted is missing: the engine sent what holds no sample, or more than was asked
    /// for. It is counted like every drop, but it is no loss.
    pub const fn is_expected(self) -> bool {
        matches!(self, Self::EmptyFrame | Self::DuplicateFrame | Self::BetweenIntervals)
    }

    /// The word in metrics, JSON and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Truncated => "truncated",
            Self::UnexpectedShape => "unexpected_shape",
            Self::EngineError => "engine_error",
            Self::EmptyFrame => "empty_frame",
            Self::DuplicateFrame => "duplicate_frame",
            Self::BetweenIntervals => "between_intervals",
            Self::Coalesced => "coalesced",
            Self::Overflow => "overflow",
            Self::Panic => "panic",
            Self::Restart => "restart",
            Self::Shutdown => "shutdown",
            Self::JournalFull => "journal_full",
            Self::Expired => "expired",
            Self::Corrupt => "corrupt",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
        }
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One loss, or a run of equal ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRecord {
    /// What was lost.
    pub stream: Stream,
    /// The sink that did not get it; `None` where no sink would have.
    pub sink: Option<String>,
    /// Why.
    pub reason: LossReason,
    /// Records lost.
    pub count: u64,
    /// Time of the first lost record; of those that never became records, when the first was dropped.
    pub first_at: Timestamp,
    /// Time of the last lost record; of those that never became records, when the last was dropped.
    pub last_at: Timestamp,
}
