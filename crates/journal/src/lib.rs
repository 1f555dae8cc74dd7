//! The log between the pipeline and its sinks: appended once, read by each sink at its own pace.
//!
//! [`MemoryJournal`] keeps batches in memory under a bound. When the bound is reached appends wait, or the oldest
//! batches go, and what a sink did not get is counted for that sink, by stream, with first and last time. A range that a
//! sink is delivering is never dropped: until it is settled nobody knows whether the server has it, so
//! counting it as lost could be a lie, and its memory is held by the delivery anyway.
//!
//! [`DiskJournal`] keeps them in a file: what was accepted outlives the process, and so does every sink's place.

mod codec;
#[cfg(test)]
mod conformance;
mod disk;
mod ledger;
mod memory;
mod repeats;
mod span;

pub use disk::{DiskJournal, OpenError, Options, Sync};
pub use memory::{Limits, MemoryJournal};

/// What happens when a journal is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Appends wait for room.
    Block,
    /// The oldest entries that are not under delivery go, counted.
    DropOldest,
}
