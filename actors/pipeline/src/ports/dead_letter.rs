//! The dead letter port: where records are kept that a server will never take.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::{Batch, BatchId, Stream, Timestamp};

/// Where refused records are kept until a person has seen to them. Shared by all sinks.
#[async_trait]
pub trait DeadLetter: Send + Sync + 'static {
    /// Keeps `letters`. When it returns `Ok` they outlive the process. One that is there already is not kept
    /// again: a sink that cannot commit its range comes with the same letters again.
    async fn keep(&self, letters: &[Letter]) -> Result<Kept, DeadLetterError>;
}

/// A record that a sink's server refused for good. `sink` with node, epoch, stream and sequence is its identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The sink whose server refused it.
    pub sink: String,
    /// The batch it came in.
    pub batch: BatchId,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// The server's words, without secrets.
    pub error: String,
    /// The record, as a batch of one under its own sequence number: as such it is delivered again.
    pub record: Batch,
}

impl Letter {
    /// Its stream.
    pub fn stream(&self) -> Stream {
        self.record.id.stream
    }

    /// Its sequence number.
    pub fn sequence(&self) -> u64 {
        self.record.id.first
    }
}

/// What became of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Letters that were not there before, by stream.
    pub new: BTreeMap<Stream, u64>,
    /// Older ones that had to go to make room, by sink and stream.
    pub removed: BTreeMap<(String, Stream), u64>,
}

/// Letters cannot be kept, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot keep refused records in {target}: {reason}")]
pub struct DeadLetterError {
    /// Where they should be kept.
    pub target: String,
    /// Why they cannot be, without secrets.
    pub reason: String,
}
