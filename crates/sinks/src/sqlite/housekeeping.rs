//! What is done between the writes: packing, then the removal of what is old, in small steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use model::Timestamp;
use rusqlite::Connection;

use super::SqliteConfig;
use super::encode::{Encoder, Passed};
use super::packer::Packer;
use super::pages::file_bytes;
use super::retention::{Removed, Scrub, Sweep};

/// Pause between two passes where the file is too large.
const URGENT: Duration = Duration::from_secs(5);

/// Pause before the first pass: at the start there is more urgent work.
const FIRST: Duration = Duration::from_secs(10);

/// Passes over the file, one after the other.
pub(super) struct Housekeeping {
    config: SqliteConfig,
    pass: Option<Pass>,
    ended: Option<Instant>,
    next: Instant,
    counted: Removed,
    scrub: Scrub,
    counts: Arc<Counts>,
}

enum Pass {
    Packing(Packer),
    Sweeping(Sweep),
}

/// Rows that were delivered and are not there.
#[derive(Debug, Default)]
pub(super) struct Counts {
    age: AtomicU64,
    size: AtomicU64,
    late: AtomicU64,
    damaged: AtomicU64,
}

impl Counts {
    /// Those since this was asked before, by reason.
    pub(super) fn take(&self) -> Vec<(&'static str, u64)> {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let counts = [("age", &self.age), ("size", &self.size), ("late", &self.late), ("damaged", &self.damaged)];
        counts.into_iter().map(|(reason, count)| (reason, taken(count))).filter(|(_, count)| *count > 0).collect()
    }

    /// Adds what the encoder did not store.
    pub(super) fn passed(&self, passed: Passed) {
        self.late.fetch_add(passed.late, Ordering::Relaxed);
        self.damaged.fetch_add(passed.damaged, Ordering::Relaxed);
    }
}

impl Housekeeping {
    pub(super) fn new(config: &SqliteConfig, counts: Arc<Counts>) -> Self {
        Self {
            config: config.clone(),
            pass: None,
            ended: None,
            next: Instant::now() + config.housekeeping.min(FIRST),
            counted: Removed::default(),
            scrub: Scrub::default(),
            counts,
        }
    }

    /// True while a pass is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.pass.is_some()
    }

    /// How long until there is something to do.
    pub(super) fn wait(&self) -> Duration {
        if self.is_busy() { Duration::ZERO } else { self.next.saturating_duration_since(Instant::now()) }
    }

    /// To be told after each write: a file that has become too large waits no longer than it must.
    pub(super) fn written(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let is_too_large = u64::try_from(file_bytes(connection)?).unwrap_or(0) > self.config.max_bytes;
        if is_too_large && !self.is_busy() {
            let soon = self.ended.map_or_else(Instant::now, |ended| ended + URGENT);
            self.next = self.next.min(soon);
        }
        Ok(())
    }

    /// Does a little.
    ///
    /// # Errors
    /// What the database says. The pass is given up, and begun again later.
    pub(super) fn step(&mut self, connection: &mut Connection, encoder: &mut Encoder) -> rusqlite::Result<()> {
        let now = || Timestamp::from(SystemTime::now());
        let pass = self.pass.take().unwrap_or_else(|| Pass::Packing(Packer::new(&self.config, now())));
        let stepped = match pass {
            Pass::Packing(mut packer) => packer.step(connection, &mut encoder.packed).map(|more| {
                Some(if more { Pass::Packing(packer) } else { Pass::Sweeping(Sweep::new(&self.config, now())) })
            }),
            Pass::Sweeping(mut sweep) => {
                let more = sweep.step(connection, encoder, &mut self.scrub);
                self.count(sweep.removed(), matches!(more, Ok(false)));
                more.map(|more| more.then_some(Pass::Sweeping(sweep)))
            }
        };
        if !matches!(stepped, Ok(Some(_))) {
            self.ended = Some(Instant::now());
            self.next = Instant::now() + self.config.housekeeping;
            self.counted = Removed::default();
        }
        self.pass = stepped?;
        Ok(())
    }

    fn count(&mut self, removed: Removed, is_end: bool) {
        let by_size = |removed: Removed| removed.samples_by_size + removed.lines_by_size;
        self.counts.age.fetch_add(removed.by_age - self.counted.by_age, Ordering::Relaxed);
        self.counts.size.fetch_add(by_size(removed) - by_size(self.counted), Ordering::Relaxed);
        self.counts.damaged.fetch_add(removed.damaged - self.counted.damaged, Ordering::Relaxed);
        self.counted = removed;
        if is_end && by_size(removed) > 0 {
            tracing::warn!(
                path = %self.config.path.display(),
                samples = removed.samples_by_size,
                lines = removed.lines_by_size,
                bytes = self.config.max_bytes,
                "the oldest samples and lines went before their time: the file has reached its size (`sinks.sqlite.bytes`)"
            );
        }
    }
}
