//! The journal in memory.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{Batch, LossRecord};
use pipeline::ports::{Appetite, Journal, JournalError, Mark, Plan, Range, Receipt, SinkBooks, StorageState};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::WhenFull;
use state::{Look, Reader, State};

/// How much the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Estimated bytes of batches that wait for a sink. Ranges under delivery come on top: one per sink, each
    /// within its sink's appetite.
    pub bytes: usize,
    /// What happens when they are reached.
    pub when_full: WhenFull,
}

/// A journal that lives as long as the process. Cheap to share behind an `Arc`; usable from any runtime.
///
/// What it promises beyond the port:
/// - a range never mixes epochs or nodes of one stream and never spans a gap in its sequence, so its first and
///   last sequence name its content exactly;
/// - a range that was given out is kept until it is committed, however full the journal is;
/// - an entry's memory is free as soon as no sink needs it.
pub struct MemoryJournal {
    state: Mutex<State>,
    /// Appends go in one after the other, also where they have to wait.
    turn: Semaphore,
    /// Something may have left.
    room: Notify,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new(limits: Limits) -> Self {
        Self { state: Mutex::new(State::new(limits)), turn: Semaphore::new(1), room: Notify::new() }
    }

    // A panic elsewhere while the lock was held must not wedge every sink: no step below leaves the state
    // half changed across a call that can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, mut batches: Vec<Batch>, marks: Vec<Mark>) -> Result<(), JournalError> {
        let _turn = self.turn.acquire().await.expect("it is never closed");
        loop {
            {
                let mut state = self.state();
                if state.closed {
                    return Err(JournalError::Closed);
                }
                batches.retain(|batch| !state.has(&batch.id));
                if state.has_room(&batches) {
                    let now = Instant::now();
                    batches.into_iter().for_each(|batch| state.append(batch, now));
                    marks.into_iter().for_each(|mark| state.mark(mark));
                    return Ok(());
                }
            }
            self.room.notified().await;
        }
    }

    async fn mark(&self, mark: Mark) -> Result<(), JournalError> {
        self.state().mark(mark);
        Ok(())
    }

    fn marks(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().marks.clone()
    }

    fn register(&self, sink: &str, appetite: Appetite) {
        let mut state = self.state();
        let end = state.end;
        match state.sinks.iter_mut().find(|reader| reader.name == sink) {
            Some(reader) => reader.appetite = appetite,
            None => state.sinks.push(Reader {
                name: sink.to_owned(),
                appetite,
                cursor: end,
                in_flight: None,
                plan: None,
                books: SinkBooks { sink: sink.to_owned(), ..SinkBooks::default() },
                ready: Arc::new(Notify::new()),
            }),
        }
    }

    async fn next(&self, sink: &str) -> Option<Range> {
        loop {
            let look = self.state().look(sink, Instant::now());
            match look {
                Look::Ready(range) => return Some(range),
                Look::Ended => return None,
                Look::Wait(ready, None) => ready.notified().await,
                Look::Wait(ready, Some(until)) => {
                    // Either way the next look decides.
                    let _ = tokio::time::timeout_at(until, ready.notified()).await;
                }
            }
        }
    }

    async fn commit(&self, sink: &str, range: &Range, receipt: &Receipt) -> Result<(), JournalError> {
        self.state().commit(sink, range, receipt);
        self.room.notify_one();
        Ok(())
    }

    async fn note(&self, sink: &str, range: &Range, plan: Plan) -> Result<(), JournalError> {
        if let Some(reader) = self.state().delivering(sink, range) {
            reader.plan = Some(plan);
        }
        Ok(())
    }

    fn plan(&self, sink: &str, range: &Range) -> Option<Plan> {
        self.state().delivering(sink, range)?.plan.clone()
    }

    fn last_call(&self) {
        self.state().is_last_call = true;
        self.room.notify_one();
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for reader in &state.sinks {
            reader.ready.notify_one();
        }
        self.room.notify_one();
    }

    async fn stop(&self) {
        self.close();
    }

    fn forget_sinks_except(&self, _: &[&str]) {
        // It knows those that registered in this life alone.
    }

    fn storage(&self) -> StorageState {
        let state = self.state();
        StorageState {
            kind: "memory",
            bytes: state.idle_bytes as u64,
            limit_bytes: state.limits.bytes as u64,
            is_full: state.is_full,
            ..StorageState::default()
        }
    }

    fn books(&self) -> Vec<SinkBooks> {
        let state = self.state();
        state.sinks.iter().enumerate().map(|(index, reader)| state.books_of(index, reader)).collect()
    }

    fn losses(&self) -> Vec<LossRecord> {
        self.state().losses.records()
    }

    fn fresh_losses(&self) -> Vec<LossRecord> {
        self.state().losses.fresh_records()
    }
}

#[cfg(test)]
mod tests;
