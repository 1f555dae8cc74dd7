//! What the cache did, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one cache, for any thread.
#[derive(Debug, Default)]
pub struct CacheCounts {
    pub(super) memory_hits: AtomicU64,
    pub(super) redis_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) redis_errors: AtomicU64,
    pub(super) redis_skipped: AtomicU64,
}

/// The counters at one moment, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheSnapshot {
    /// Answers from memory, those that others were waiting for among them.
    pub memory_hits: u64,
    /// Answers from Redis.
    pub redis_hits: u64,
    /// Questions that went on to the store.
    pub misses: u64,
    /// Answers that were given though they were too old, as the store was away.
    pub stale: u64,
    /// Calls of Redis that failed or took too long.
    pub redis_errors: u64,
    /// Calls of Redis that were not made, as it had failed before.
    pub redis_skipped: u64,
}

impl CacheCounts {
    /// The counters now.
    pub fn snapshot(&self) -> CacheSnapshot {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheSnapshot {
            memory_hits: of(&self.memory_hits),
            redis_hits: of(&self.redis_hits),
            misses: of(&self.misses),
            stale: of(&self.stale),
            redis_errors: of(&self.redis_errors),
            redis_skipped: of(&self.redis_skipped),
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
