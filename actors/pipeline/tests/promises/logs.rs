//! A log that misbehaves as it is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use journal::{Limits, MemoryJournal, WhenFull};
use model::{Batch, LossRecord};
use pipeline::ports::{Appetite, Journal, JournalError, Mark, Plan, Range, Receipt, SinkBooks, StorageState};
use tokio::time::sleep;

pub struct OddLog {
    pub log: MemoryJournal,
    /// So many commits fail.
    pub failing: AtomicU32,
    /// How long an append takes.
    pub slowness: Duration,
    /// Appends that came to their end.
    pub appends: AtomicU32,
}

impl OddLog {
    /// A roomy one that does as it should.
    pub fn new() -> Self {
        Self {
            log: MemoryJournal::new(Limits { bytes: 1 << 30, when_full: WhenFull::Block }),
            failing: AtomicU32::new(0),
            slowness: Duration::ZERO,
            appends: AtomicU32::new(0),
        }
    }
}

#[async_trait]
impl Journal for OddLog {
    async fn append(&self, batches: Vec<Batch>, marks: Vec<Mark>) -> Result<(), JournalError> {
        if self.slowness > Duration::ZERO {
            sleep(self.slowness).await;
        }
        self.log.append(batches, marks).await?;
        self.appends.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    async fn mark(&self, mark: Mark) -> Result<(), JournalError> {
        self.log.mark(mark).await
    }
    fn marks(&self) -> BTreeMap<String, Vec<u8>> {
        self.log.marks()
    }
    fn register(&self, sink: &str, appetite: Appetite) {
        self.log.register(sink, appetite);
    }
    async fn next(&self, sink: &str) -> Option<Range> {
        self.log.next(sink).await
    }
    async fn commit(&self, sink: &str, range: &Range, receipt: &Receipt) -> Result<(), JournalError> {
        if self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(JournalError::Storage("no space left".into()));
        }
        self.log.commit(sink, range, receipt).await
    }
    async fn note(&self, sink: &str, range: &Range, plan: Plan) -> Result<(), JournalError> {
        self.log.note(sink, range, plan).await
    }
    fn plan(&self, sink: &str, range: &Range) -> Option<Plan> {
        self.log.plan(sink, range)
    }
    fn last_call(&self) {
        self.log.last_call();
    }
    fn close(&self) {
        self.log.close();
    }
    async fn stop(&self) {
        self.log.stop().await;
    }
    fn forget_sinks_except(&self, sinks: &[&str]) {
        self.log.forget_sinks_except(sinks);
    }
    fn storage(&self) -> StorageState {
        self.log.storage()
    }
    fn books(&self) -> Vec<SinkBooks> {
        self.log.books()
    }
    fn losses(&self) -> Vec<LossRecord> {
        self.log.losses()
    }
    fn fresh_losses(&self) -> Vec<LossRecord> {
        self.log.fresh_losses()
    }
}
