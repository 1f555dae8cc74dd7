//! How often something was dropped, and when first and last: counted without a lock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

use model::Timestamp;

/// Drops of one stream, stage and reason.
#[derive(Debug, Default)]
pub(super) struct Drops {
    count: AtomicU64,
    all: Times,
    fresh: Times,
}

/// First and last time; the first is later than the last where there was none.
#[derive(Debug)]
struct Times {
    first: AtomicI64,
    last: AtomicI64,
}

/// From a first time to a last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Drops {
    /// Counts, in one addition.
    pub fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Release);
    }

    /// Counts, and notes the time.
    pub fn add_now(&self, count: u64) {
        let now = Timestamp::from(SystemTime::now()).as_nanos();
        self.all.note(now);
        self.fresh.note(now);
        // Last, so that whoever sees the count finds its time.
        self.add(count);
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// When the first and the last were dropped.
    pub fn span(&self) -> Option<Span> {
        let Times { first, last } = &self.all;
        Span::of(first.load(Ordering::Relaxed), last.load(Ordering::Relaxed))
    }

    /// When the first and the last were dropped since this was last asked.
    pub fn take_fresh_span(&self) -> Option<Span> {
        let Times { first, last } = &self.fresh;
        Span::of(first.swap(i64::MAX, Ordering::Relaxed), last.swap(i64::MIN, Ordering::Relaxed))
    }
}

impl Times {
    fn note(&self, time: i64) {
        self.first.fetch_min(time, Ordering::Relaxed);
        self.last.fetch_max(time, Ordering::Relaxed);
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { first: AtomicI64::new(i64::MAX), last: AtomicI64::new(i64::MIN) }
    }
}

impl Span {
    /// One of the two may be missing where somebody is just noting them: then both are the other.
    fn of(first: i64, last: i64) -> Option<Self> {
        let (first, last) = match (first, last) {
            (i64::MAX, i64::MIN) => return None,
            (i64::MAX, last) => (last, last),
            (first, i64::MIN) => (first, first),
            both => both,
        };
        Some(Self { first: Timestamp::from_nanos(first), last: Timestamp::from_nanos(last) })
    }

    pub fn now() -> Self {
        let now = Timestamp::from(SystemTime::now());
        Self { first: now, last: now }
    }

    pub fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}
