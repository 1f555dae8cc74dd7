//! The journal in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{Batch, BatchId, LossReason, LossRecord, Stream};
use pipeline::ports::{Appetite, Journal, JournalError, Range, Receipt, SinkBooks, StorageState};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::LossLedger;
use crate::span::{continues, refused, span_of};

/// How much the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Estimated bytes of batches that wait for a sink. Ranges under delivery come on top: one per sink, each
    /// within its sink's appetite.
    pub bytes: usize,
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
}

struct State {
    limits: Limits,
    /// Entries some sink still needs, by position.
    entries: BTreeMap<u64, Entry>,
    /// Positions in no range under delivery: what may be dropped, oldest first.
    idle: BTreeSet<u64>,
    /// Bytes of `idle`.
    idle_bytes: usize,
    /// Position of the next entry.
    end: u64,
    closed: bool,
    sinks: Vec<Reader>,
    losses: LossLedger,
}

struct Entry {
    batch: Batch,
    arrived: Instant,
    /// Indexes of the sinks that still need it.
    needed_by: Vec<usize>,
    /// In how many ranges under delivery it is.
    in_flight: usize,
}

struct Reader {
    name: String,
    appetite: Appetite,
    cursor: u64,
    /// The end of the range under delivery, which starts at `cursor`.
    in_flight: Option<u64>,
    books: SinkBooks,
    ready: Arc<Notify>,
}

/// What a look at the log yields to a reader.
enum Look {
    Ready(Range),
    /// Nothing, or not enough yet: worth another look at that time, or when something arrives.
    Wait(Arc<Notify>, Option<Instant>),
    Ended,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::new(State {
                limits,
                entries: BTreeMap::new(),
                idle: BTreeSet::new(),
                idle_bytes: 0,
                end: 0,
                closed: false,
                sinks: Vec::new(),
                losses: LossLedger::default(),
            }),
        }
    }

    // A panic elsewhere while the lock was held must not wedge every sink: no step below leaves the state
    // half changed across a call that can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, batch: Batch) -> Result<(), JournalError> {
        let mut state = self.state();
        if state.closed {
            return Err(JournalError::Closed);
        }
        state.append(batch, Instant::now());
        Ok(())
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
        Ok(())
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for reader in &state.sinks {
            reader.ready.notify_one();
        }
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
}

impl State {
    fn append(&mut self, batch: Batch, now: Instant) {
        let position = self.end;
        self.end += 1;
        let (rows, bytes, stream) = (batch.rows.len() as u64, batch.bytes as u64, batch.rows.stream());
        let mut needed_by = Vec::new();
        for (index, reader) in self.sinks.iter_mut().enumerate() {
            if reader.appetite.streams.contains(&stream) {
                reader.books.journaled += rows;
                reader.books.pending += rows;
                reader.books.pending_bytes += bytes;
                reader.ready.notify_one();
                needed_by.push(index);
            }
        }
        if needed_by.is_empty() {
            return;
        }
        self.idle.insert(position);
        self.idle_bytes += batch.bytes;
        self.entries.insert(position, Entry { batch, arrived: now, needed_by, in_flight: 0 });
        self.keep_to_the_bound();
    }

    /// The entries `index` still needs from `from` on, oldest first.
    fn needed(&self, index: usize, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .range(from..)
            .filter(move |(_, entry)| entry.needed_by.contains(&index))
            .map(|(position, entry)| (*position, entry))
    }

    fn look(&mut self, sink: &str, now: Instant) -> Look {
        let Some(index) = self.sinks.iter().position(|reader| reader.name == sink) else {
            return Look::Ended;
        };
        let reader = &self.sinks[index];
        let first = reader.cursor;
        if let Some(end) = reader.in_flight {
            let batches = self
                .needed(index, first)
                .take_while(|(position, _)| *position < end)
                .map(|(_, entry)| entry.batch.clone())
                .collect();
            return Look::Ready(Range { first, end, batches });
        }

        let appetite = &reader.appetite;
        let mut taken: Vec<u64> = Vec::new();
        let mut ids: BTreeMap<Stream, &BatchId> = BTreeMap::new();
        let (mut rows, mut bytes, mut full, mut oldest) = (0, 0, false, None);
        for (position, entry) in self.needed(index, first) {
            let batch = &entry.batch;
            let over = rows + batch.rows.len() > appetite.rows || bytes + batch.bytes > appetite.bytes;
            let breaks = ids.get(&batch.id.stream).is_some_and(|before| !continues(before, &batch.id));
            if !taken.is_empty() && (over || breaks) {
                full = true;
                break;
            }
            rows += batch.rows.len();
            bytes += batch.bytes;
            oldest.get_or_insert(entry.arrived);
            ids.insert(batch.id.stream, &batch.id);
            taken.push(position);
        }
        full |= rows >= appetite.rows || bytes >= appetite.bytes;

        let due = oldest.map(|arrived| arrived + appetite.linger);
        match taken.last() {
            None if self.closed => Look::Ended,
            None => {
                let (ready, end) = (reader.ready.clone(), self.end);
                self.sinks[index].cursor = end;
                Look::Wait(ready, None)
            }
            Some(last) if full || self.closed || due.is_some_and(|due| due <= now) => {
                let end = last + 1;
                Look::Ready(self.freeze(index, first, end, &taken))
            }
            Some(_) => Look::Wait(reader.ready.clone(), due),
        }
    }

    fn freeze(&mut self, index: usize, first: u64, end: u64, taken: &[u64]) -> Range {
        self.sinks[index].in_flight = Some(end);
        let mut batches = Vec::with_capacity(taken.len());
        for position in taken {
            let entry = self.entries.get_mut(position).expect("positions were read under the same lock");
            entry.in_flight += 1;
            batches.push(entry.batch.clone());
            if self.idle.remove(position) {
                self.idle_bytes -= entry.batch.bytes;
            }
        }
        Range { first, end, batches }
    }

    fn commit(&mut self, sink: &str, range: &Range, receipt: &Receipt) {
        let Some(index) = self.sinks.iter().position(|reader| reader.name == sink) else { return };
        let reader = &self.sinks[index];
        if reader.cursor != range.first || reader.in_flight != Some(range.end) {
            return;
        }
        let settled: Vec<u64> = self
            .needed(index, range.first)
            .take_while(|(position, _)| *position < range.end)
            .map(|(position, _)| position)
            .collect();
        let (mut rows, mut bytes, mut rejected) = (0, 0, 0);
        for position in settled {
            let entry = self.entries.get_mut(&position).expect("positions were read under the same lock");
            rows += entry.batch.rows.len() as u64;
            bytes += entry.batch.bytes as u64;
            // Only rows of this range can have been rejected, each once.
            let stream = entry.batch.id.stream;
            for time in refused(&entry.batch, receipt) {
                self.losses.add(sink, stream, LossReason::Rejected, 1, (time, time));
                rejected += 1;
            }
            entry.in_flight -= 1;
            self.release(position, index);
        }
        let reader = &mut self.sinks[index];
        reader.cursor = range.end;
        reader.in_flight = None;
        reader.books.pending -= rows;
        reader.books.pending_bytes -= bytes;
        reader.books.rejected += rejected;
        reader.books.delivered += rows - rejected;
        self.keep_to_the_bound();
    }

    /// `index` needs the entry no more.
    fn release(&mut self, position: u64, index: usize) {
        let Some(entry) = self.entries.get_mut(&position) else { return };
        entry.needed_by.retain(|needing| *needing != index);
        if entry.needed_by.is_empty() {
            if self.idle.remove(&position) {
                self.idle_bytes -= entry.batch.bytes;
            }
            self.entries.remove(&position);
        } else if entry.in_flight == 0 && self.idle.insert(position) {
            self.idle_bytes += entry.batch.bytes;
        }
    }

    fn keep_to_the_bound(&mut self) {
        while self.idle_bytes > self.limits.bytes {
            let Some(oldest) = self.idle.pop_first() else { break };
            let entry = self.entries.remove(&oldest).expect("idle positions have entries");
            self.idle_bytes -= entry.batch.bytes;
            let rows = entry.batch.rows.len() as u64;
            for index in entry.needed_by {
                let reader = &mut self.sinks[index];
                reader.books.pending -= rows;
                reader.books.pending_bytes -= entry.batch.bytes as u64;
                reader.books.dropped += rows;
                if let Some(span) = span_of(&entry.batch.rows) {
                    let stream = entry.batch.rows.stream();
                    self.losses.add(&reader.name, stream, LossReason::JournalFull, rows, span);
                }
            }
        }
    }

    fn books_of(&self, index: usize, reader: &Reader) -> SinkBooks {
        let oldest_pending = self.needed(index, reader.cursor).next().map(|(_, entry)| entry.batch.opened_at);
        SinkBooks { oldest_pending, ..reader.books.clone() }
    }
}

#[cfg(test)]
mod tests;
