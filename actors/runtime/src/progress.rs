//! Progress: what tells a stage that waits from one that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::MailboxGauge;

/// Shared by an actor, which reports, and its cell, which watches.
///
/// Handling a message counts as progress by itself. An actor whose work does not come by mailbox
/// reports with [`Progress::pending`] and [`Progress::tick`]; one that may rightly wait for long wraps
/// the wait in [`Progress::protect`].
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ticks: AtomicU64,
    pending: AtomicU64,
    protected: AtomicU32,
}

impl Progress {
    /// Something was done.
    pub fn tick(&self) {
        self.shared.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// States how much work waits outside the mailbox.
    pub fn pending(&self, count: u64) {
        self.shared.pending.store(count, Ordering::Relaxed);
    }

    /// While the guard lives, standing still is no stall.
    pub fn protect(&self) -> Protected {
        self.shared.protected.fetch_add(1, Ordering::Relaxed);
        Protected { shared: self.shared.clone() }
    }

    pub(crate) fn reset(&self) {
        self.pending(0);
    }
}

/// Guard of [`Progress::protect`].
#[derive(Debug)]
pub struct Protected {
    shared: Arc<Shared>,
}

impl Drop for Protected {
    fn drop(&mut self) {
        self.shared.ticks.fetch_add(1, Ordering::Relaxed);
        self.shared.protected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Watches one actor: asked now and then, says when it has stood still too long.
#[derive(Debug)]
pub(crate) struct StallWatch {
    after: Duration,
    last_count: u64,
    still_since: Option<Instant>,
}

impl StallWatch {
    pub fn new(after: Duration) -> Self {
        Self { after, last_count: 0, still_since: None }
    }

    /// True where there has been work, and no progress, for the time allowed.
    pub fn is_stalled(&mut self, progress: &Progress, gauge: &MailboxGauge, now: Instant) -> bool {
        let shared = &progress.shared;
        let count = shared.ticks.load(Ordering::Relaxed).wrapping_add(gauge.settled());
        let has_work = gauge.has_work() || shared.pending.load(Ordering::Relaxed) > 0;
        let is_protected = shared.protected.load(Ordering::Relaxed) > 0;
        if count != self.last_count || !has_work || is_protected {
            self.last_count = count;
            self.still_since = None;
            return false;
        }
        now.duration_since(*self.still_since.get_or_insert(now)) >= self.after
    }

    pub fn reset(&mut self) {
        self.still_since = None;
    }
}
