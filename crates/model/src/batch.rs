//! Batches: what the journal keeps and the sinks send.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossRecord, NodeName,
    StatsRecord, Stream, Timestamp,
};

/// Names content for ever: equal ids mean equal records. Text: `node/epoch/stream/first-last`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId {
    /// The process that made it.
    pub node: NodeName,
    /// Raised at every start of that process.
    pub epoch: u64,
    /// The stream; each has its own sequence.
    pub stream: Stream,
    /// Sequence number of the first record.
    pub first: u64,
    /// Sequence number of the last record.
    pub last: u64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}-{}", self.node, self.epoch, self.stream, self.first, self.last)
    }
}

/// What closed a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// It reached the row limit.
    Count,
    /// It reached the byte limit.
    Bytes,
    /// Its first record grew old.
    Age,
    /// The pipeline drains.
    Drain,
}

impl Trigger {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Drain => "drain",
        }
    }
}

/// The records of a batch: all of one stream, shared and immutable.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Samples.
    Stats(Arc<[StatsRecord]>),
    /// Events.
    Events(Arc<[EventRecord]>),
    /// Container states.
    Containers(Arc<[ContainerRecord]>),
    /// Image states.
    Images(Arc<[ImageRecord]>),
    /// Changes of images.
    ImageVersions(Arc<[ImageVersionRecord]>),
    /// Host states.
    Hosts(Arc<[HostRecord]>),
    /// Losses.
    Losses(Arc<[LossRecord]>),
    /// Log lines.
    Logs(Arc<[LogRecord]>),
}

impl Rows {
    /// The stream the records belong to.
    pub fn stream(&self) -> Stream {
        match self {
            Self::Stats(_) => Stream::Stats,
            Self::Events(_) => Stream::Events,
            Self::Containers(_) => Stream::Containers,
            Self::Images(_) => Stream::Images,
            Self::ImageVersions(_) => Stream::ImageVersions,
            Self::Hosts(_) => Stream::Hosts,
            Self::Losses(_) => Stream::Losses,
            Self::Logs(_) => Stream::Logs,
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        match self {
            Self::Stats(rows) => rows.len(),
            Self::Events(rows) => rows.len(),
            Self::Containers(rows) => rows.len(),
            Self::Images(rows) => rows.len(),
            Self::ImageVersions(rows) => rows.len(),
            Self::Hosts(rows) => rows.len(),
            Self::Losses(rows) => rows.len(),
            Self::Logs(rows) => rows.len(),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A closed batch. Immutable from here to the last sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its name, and the token under which it is sent.
    pub id: BatchId,
    /// What closed it.
    pub trigger: Trigger,
    /// Estimated size in memory, in bytes: what bounds are kept by.
    pub bytes: usize,
    /// When its first record was received.
    pub opened_at: Timestamp,
    /// Its records; `rows.len() == last - first + 1`.
    pub rows: Rows,
}
