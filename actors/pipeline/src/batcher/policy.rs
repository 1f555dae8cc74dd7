//! When a batch closes: pure.

use std::time::Duration;

use model::Trigger;

/// When a batch closes. Count and bytes are hard limits: a batch without them is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    count: usize,
    bytes: usize,
    age: Duration,
}

/// A policy under which a batch would never close, or always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch needs limits above zero for count, bytes and age")]
pub struct InvalidBatchPolicy;

impl BatchPolicy {
    /// All three limits must be above zero.
    pub fn try_new(count: usize, bytes: usize, age: Duration) -> Result<Self, InvalidBatchPolicy> {
        if count == 0 || bytes == 0 || age.is_zero() { Err(InvalidBatchPolicy) } else { Ok(Self { count, bytes, age }) }
    }

    /// Rows at most.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How old the first row may get.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// What closes a batch of so many rows and bytes, if anything does.
    pub fn full(&self, rows: usize, bytes: usize) -> Option<Trigger> {
        if rows >= self.count {
            Some(Trigger::Count)
        } else if bytes >= self.bytes {
            Some(Trigger::Bytes)
        } else {
            None
        }
    }
}
