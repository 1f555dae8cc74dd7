//! Where tests make stages fail. In production nothing is armed and a strike is one comparison.

use std::fmt;
use std::sync::Arc;

/// A place at which a stage can be made to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// `EventMonitor`, with an event in hand.
    EventMonitor,
    /// `Inventory`, about to look.
    Inventory,
    /// `Images`, with what a look found in hand.
    Images,
    /// `StreamSet`, with a list in hand.
    StreamSet,
    /// `StatsStream`, with a frame in hand.
    StatsStream,
    /// `LogStream`, with lines in hand.
    LogStream,
    /// `Parser`, with a frame in hand.
    Parser,
    /// `Parser`, with decoded records in hand.
    ParserChunk,
    /// `Batcher`, with records in hand.
    Batcher,
    /// `Batcher`, with a closed batch in the ledger.
    BatcherHandOver,
    /// `LossReporter`, with records of losses in hand.
    LossReporter,
    /// `Journal`, with batches in hand.
    Journal,
    /// `Journal`, after the log took batches and before their sources know.
    JournalAfter,
    /// `Sink`, before it sends a range.
    SinkBefore,
    /// `Sink`, after its server took a range and before the journal knows.
    SinkAfter,
}

impl Point {
    /// Every place there is, in the order in which data pass.
    pub const ALL: [Self; 15] = [
        Self::EventMonitor,
        Self::Inventory,
        Self::Images,
        Self::StreamSet,
        Self::StatsStream,
        Self::LogStream,
        Self::Parser,
        Self::ParserChunk,
        Self::LossReporter,
        Self::Batcher,
        Self::BatcherHandOver,
        Self::Journal,
        Self::JournalAfter,
        Self::SinkBefore,
        Self::SinkAfter,
    ];

    /// Whether the stage is one of the group that delivers.
    pub fn delivers(self) -> bool {
        match self {
            Self::EventMonitor
            | Self::Inventory
            | Self::Images
            | Self::StreamSet
            | Self::StatsStream
            | Self::LogStream
            | Self::Parser
            | Self::ParserChunk => false,
            Self::LossReporter
            | Self::Batcher
            | Self::BatcherHandOver
            | Self::Journal
            | Self::JournalAfter
            | Self::SinkBefore
            | Self::SinkAfter => true,
        }
    }
}

type Strike = Arc<dyn Fn(Point) + Send + Sync>;

/// The faults that are armed: none, outside of tests.
#[derive(Clone, Default)]
pub struct Faults {
    strike: Option<Strike>,
}

impl Faults {
    /// Nothing fails.
    pub const NONE: Self = Self { strike: None };

    /// Calls `strike` whenever a stage passes a point; it may panic.
    pub fn armed(strike: impl Fn(Point) + Send + Sync + 'static) -> Self {
        Self { strike: Some(Arc::new(strike)) }
    }

    /// Passes `point`.
    #[inline]
    pub fn strike(&self, point: Point) {
        if let Some(strike) = &self.strike {
            strike(point);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.strike.is_some() { "Faults(armed)" } else { "Faults(none)" })
    }
}
