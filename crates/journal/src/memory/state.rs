//! What the journal in memory knows, behind its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Batch, BatchId, LossReason, Stream};
use pipeline::ports::{Appetite, Mark, Plan, Range, Receipt, SinkBooks};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;
use crate::WhenFull;
use crate::ledger::LossLedger;
use crate::repeats::Repeats;
use crate::span::{continues, refused, span_of};

pub(super) struct State {
    pub(super) limits: Limits,
    /// Entries some sink still needs, by position.
    pub(super) entries: BTreeMap<u64, Entry>,
    /// Positions in no range under delivery: what may be dropped, oldest first.
    pub(super) idle: BTreeSet<u64>,
    /// Bytes of `idle`.
    pub(super) idle_bytes: usize,
    /// Position of the next entry.
    pub(super) end: u64,
    pub(super) closed: bool,
    pub(super) is_full: bool,
    /// Appends wait for room no longer.
    pub(super) is_last_call: bool,
    pub(super) sinks: Vec<Reader>,
    pub(super) losses: LossLedger,
    pub(super) repeats: Repeats,
    pub(super) marks: BTreeMap<String, Vec<u8>>,
}

pub(super) struct Entry {
    pub(super) batch: Batch,
    pub(super) arrived: Instant,
    /// Indexes of the sinks that still need it.
    pub(super) needed_by: Vec<usize>,
    /// In how many ranges under delivery it is.
    pub(super) in_flight: usize,
}

pub(super) struct Reader {
    pub(super) name: String,
    pub(super) appetite: Appetite,
    pub(super) cursor: u64,
    /// The end of the range under delivery, which starts at `cursor`.
    pub(super) in_flight: Option<u64>,
    /// How far that range has come, where it is delivered in parts.
    pub(super) plan: Option<Plan>,
    pub(super) books: SinkBooks,
    pub(super) ready: Arc<Notify>,
}

/// What a look at the log yields to a reader.
pub(super) enum Look {
    Ready(Range),
    /// Nothing, or not enough yet: worth another look at that time, or when something arrives.
    Wait(Arc<Notify>, Option<Instant>),
    Ended,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            idle: BTreeSet::new(),
            idle_bytes: 0,
            end: 0,
            closed: false,
            is_full: false,
            is_last_call: false,
            sinks: Vec::new(),
            losses: LossLedger::default(),
            repeats: Repeats::default(),
            marks: BTreeMap::new(),
        }
    }

    /// True where the log has, or had, this batch already.
    pub(super) fn has(&self, id: &BatchId) -> bool {
        self.repeats.contains(id)
    }

    /// True where `batches` may come in now: always, unless they have to wait for room.
    pub(super) fn has_room(&mut self, batches: &[Batch]) -> bool {
        let wanted = |batch: &&Batch| self.sinks.iter().any(|sink| sink.appetite.streams.contains(&batch.id.stream));
        let bytes: usize = batches.iter().filter(wanted).map(|batch| batch.bytes).sum();
        self.is_full = self.limits.when_full == WhenFull::Block
            && !self.is_last_call
            && bytes > 0
            && self.idle_bytes > 0
            && self.idle_bytes + bytes > self.limits.bytes;
        !self.is_full
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        match mark.position {
            Some(position) => drop(self.marks.insert(mark.source, position)),
            None => drop(self.marks.remove(&mark.source)),
        }
    }

    /// The sink, where this is the range it is delivering.
    pub(super) fn delivering(&mut self, sink: &str, range: &Range) -> Option<&mut Reader> {
        let reader = self.sinks.iter_mut().find(|reader| reader.name == sink)?;
        (reader.cursor == range.first && reader.in_flight == Some(range.end)).then_some(reader)
    }

    pub(super) fn append(&mut self, batch: Batch, now: Instant) {
        let position = self.end;
        self.end += 1;
        self.repeats.remember(&batch.id);
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
    pub(super) fn needed(&self, index: usize, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .range(from..)
            .filter(move |(_, entry)| entry.needed_by.contains(&index))
            .map(|(position, entry)| (*position, entry))
    }

    pub(super) fn look(&mut self, sink: &str, now: Instant) -> Look {
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

    pub(super) fn freeze(&mut self, index: usize, first: u64, end: u64, taken: &[u64]) -> Range {
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

    pub(super) fn commit(&mut self, sink: &str, range: &Range, receipt: &Receipt) {
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
        reader.plan = None;
        reader.books.pending -= rows;
        reader.books.pending_bytes -= bytes;
        reader.books.rejected += rejected;
        reader.books.delivered += rows - rejected;
        self.keep_to_the_bound();
    }

    /// `index` needs the entry no more.
    pub(super) fn release(&mut self, position: u64, index: usize) {
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

    pub(super) fn keep_to_the_bound(&mut self) {
        while self.limits.when_full == WhenFull::DropOldest && self.idle_bytes > self.limits.bytes {
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

    pub(super) fn books_of(&self, index: usize, reader: &Reader) -> SinkBooks {
        let oldest_pending = self.needed(index, reader.cursor).next().map(|(_, entry)| entry.batch.opened_at);
        SinkBooks { oldest_pending, ..reader.books.clone() }
    }
}
