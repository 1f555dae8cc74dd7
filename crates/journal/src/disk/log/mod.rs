//! What the journal on disk knows without reading: heads of entries, cursors, books. No I/O here.
//!
//! What changed and is not yet stored is handed out as [`Unsaved`], so that one transaction can carry it. What sinks
//! get is in `ranges`, what nobody gets in `bounds`.

mod bounds;
mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Clock;

use model::{BatchId, LossReason, LossRecord, Stream, Timestamp};
use pipeline::ports::{Appetite, Mark, SinkBooks};
use tokio::time::Instant;

pub(super) use ranges::{Look, Span};

use super::reader::{Reader, StoredSink};
use crate::codec::Head;
use crate::ledger::LossLedger;
use crate::repeats::Repeats;

/// The log. Positions count entries.
pub(super) struct Log {
    /// Entries some sink still needs, by position.
    entries: BTreeMap<u64, Entry>,
    /// Positions in no range under delivery: what may be dropped, oldest first.
    idle: BTreeSet<u64>,
    idle_bytes: u64,
    stored_bytes: u64,
    /// Position of the next entry.
    end: u64,
    closed: bool,
    readers: Vec<Reader>,
    losses: LossLedger,
    repeats: Repeats,
    /// Where sources begin again.
    marks: BTreeMap<String, Vec<u8>>,
    unsaved: Unsaved,
}

struct Entry {
    head: Head,
    /// Bytes on disk.
    stored: u64,
    /// When it came; `None` where it was there at the opening: no sink lingers for it.
    arrived: Option<Instant>,
    /// From when its age counts.
    since: Clock,
    /// Indexes of the sinks that still need it.
    needed_by: Vec<usize>,
    /// In how many ranges under delivery it is.
    in_flight: usize,
}

/// Changes since the last stored state.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Entries no sink needs any more.
    pub(super) gone: Vec<u64>,
    /// Sinks whose state changed.
    pub(super) sinks: BTreeSet<String>,
    /// Sinks to forget.
    pub(super) forgotten: BTreeSet<String>,
    /// Sources whose mark changed.
    pub(super) marks: BTreeSet<String>,
}

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.sinks.is_empty() && self.forgotten.is_empty() && self.marks.is_empty()
    }
}

/// An entry as it was found at an opening.
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) stored: u64,
    /// The head, or what the table says of a damaged one: stream and rows.
    pub(super) head: Result<Head, (Stream, u64)>,
}

impl Log {
    /// The log with the sinks and marks that were stored, and no entries yet.
    pub(super) fn restore(sinks: Vec<(String, StoredSink)>, marks: BTreeMap<String, Vec<u8>>) -> Self {
        let mut log = Self {
            entries: BTreeMap::new(),
            idle: BTreeSet::new(),
            idle_bytes: 0,
            stored_bytes: 0,
            end: 0,
            closed: false,
            readers: Vec::new(),
            losses: LossLedger::default(),
            repeats: Repeats::default(),
            marks,
            unsaved: Unsaved::default(),
        };
        for (name, stored) in sinks {
            for loss in &stored.losses {
                log.losses.add(&name, loss.stream, loss.reason, loss.count, (loss.first_at, loss.last_at));
            }
            log.end = log.end.max(stored.last_known());
            log.readers.push(Reader::restored(name, stored));
        }
        log
    }

    /// Puts an entry found at the opening back in its place. One that no known sink needs is removed, unless it
    /// is to be kept for sinks whose place is not known.
    pub(super) fn found(&mut self, found: Found, now: Timestamp, clock: Clock, keep: bool) {
        let Found { position, stored, head } = found;
        self.end = self.end.max(position + 1);
        let (stream, rows) = match &head {
            Ok(head) => (head.id.stream, head.rows()),
            Err(told) => *told,
        };
        let needed_by: Vec<usize> =
            (0..self.readers.len()).filter(|index| self.readers[*index].needs(position, stream)).collect();
        for index in &needed_by {
            let reader = &mut self.readers[*index];
            reader.journaled += rows;
            match &head {
                Ok(head) => {
                    reader.pending += rows;
                    reader.pending_bytes += head.bytes as u64;
                }
                Err(_) => {
                    reader.dropped += rows;
                    if reader.holds(position) {
                        // It speaks of rows by their number in the range.
                        reader.plan = None;
                    }
                    self.losses.add(&reader.name, stream, LossReason::Corrupt, rows, (now, now));
                    self.unsaved.sinks.insert(reader.name.clone());
                }
            }
        }
        let Ok(head) = head else {
            self.unsaved.gone.push(position);
            return;
        };
        if needed_by.is_empty() && !keep {
            self.unsaved.gone.push(position);
            return;
        }
        let in_flight = needed_by.iter().filter(|index| self.readers[**index].holds(position)).count();
        if in_flight == 0 {
            self.idle.insert(position);
            self.idle_bytes += stored;
        }
        self.stored_bytes += stored;
        let since = clock.checked_sub(now.since(head.opened_at)).unwrap_or(clock);
        self.entries.insert(position, Entry { head, stored, arrived: None, since, needed_by, in_flight });
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Bytes of all entries some sink needs.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Bytes of entries not under delivery.
    pub(super) fn idle_bytes(&self) -> u64 {
        self.idle_bytes
    }

    /// Position of the oldest entry.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.keys().next().copied()
    }

    /// Positions of all entries.
    pub(super) fn positions(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    pub(super) fn take_unsaved(&mut self) -> (Unsaved, Vec<(String, StoredSink)>) {
        let unsaved = std::mem::take(&mut self.unsaved);
        let states = self.readers.iter().filter(|reader| !reader.forgotten && unsaved.sinks.contains(&reader.name));
        let states = states.map(|reader| (reader.name.clone(), reader.stored(self.losses_of(&reader.name)))).collect();
        (unsaved, states)
    }

    /// What could not be stored is unsaved again.
    pub(super) fn put_back(&mut self, unsaved: Unsaved) {
        self.unsaved.gone.extend(unsaved.gone);
        self.unsaved.sinks.extend(unsaved.sinks);
        self.unsaved.forgotten.extend(unsaved.forgotten);
        self.unsaved.marks.extend(unsaved.marks);
    }

    /// Where each source begins again.
    pub(super) fn marks(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.marks
    }

    /// The marks that are to be stored.
    pub(super) fn marks_of(&self, unsaved: &Unsaved) -> Vec<Mark> {
        let mark = |source: &String| Mark { source: source.clone(), position: self.marks.get(source).cloned() };
        unsaved.marks.iter().map(mark).collect()
    }

    /// The mark is stored.
    pub(super) fn marked(&mut self, mark: Mark) {
        match mark.position {
            Some(position) => drop(self.marks.insert(mark.source, position)),
            None => drop(self.marks.remove(&mark.source)),
        }
    }

    /// The mark is to be stored.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.unsaved.marks.insert(mark.source.clone());
        self.marked(mark);
    }

    /// True where the log has, or had, this batch already.
    pub(super) fn has(&self, id: &BatchId) -> bool {
        self.repeats.contains(id)
    }

    /// Every sink's state and every mark have to be stored anew.
    pub(super) fn all_unsaved(&mut self) {
        self.unsaved.marks.extend(self.marks.keys().cloned());
        self.unsaved.sinks.extend(self.readers.iter().filter(|one| !one.forgotten).map(|one| one.name.clone()));
    }

    pub(super) fn register(&mut self, sink: &str, appetite: Appetite, from_oldest: bool) {
        let end = self.end;
        self.unsaved.sinks.insert(sink.to_owned());
        self.unsaved.forgotten.remove(sink);
        if let Some(index) = self.index(sink) {
            self.readers[index].wants(appetite, end);
            return;
        }
        let index = self.readers.len();
        let from = if from_oldest { self.entries.keys().next().copied().unwrap_or(end) } else { end };
        self.readers.push(Reader::new(sink, appetite, from));
        for (position, entry) in self.entries.range_mut(from..) {
            let reader = &mut self.readers[index];
            if reader.needs(*position, entry.head.id.stream) {
                reader.journaled += entry.head.rows();
                reader.pending += entry.head.rows();
                reader.pending_bytes += entry.head.bytes as u64;
                entry.needed_by.push(index);
            }
        }
    }

    /// Forgets every sink that is not in `kept`, and what only it needed. Gives the names and pending rows.
    pub(super) fn forget_except(&mut self, kept: &[&str]) -> Vec<(String, u64)> {
        let mut forgotten = Vec::new();
        for index in 0..self.readers.len() {
            let reader = &mut self.readers[index];
            if reader.forgotten || kept.contains(&reader.name.as_str()) {
                continue;
            }
            reader.forgotten = true;
            reader.ready.notify_one();
            let (name, held) = (reader.name.clone(), reader.in_flight.take());
            forgotten.push((name.clone(), reader.pending));
            self.losses.forget(&name);
            self.unsaved.sinks.remove(&name);
            self.unsaved.forgotten.insert(name);
            let cursor = self.readers[index].cursor;
            for position in self.needed_positions(index, cursor, u64::MAX) {
                if held.is_some_and(|end| position < end) {
                    self.entry(position).in_flight -= 1;
                }
                self.release(position, index);
            }
        }
        forgotten
    }

    /// True where some sink takes `stream`.
    pub(super) fn is_wanted(&self, stream: Stream) -> bool {
        self.readers.iter().any(|reader| reader.needs(self.end, stream))
    }

    /// An entry is stored: from here on readers see it.
    pub(super) fn publish(&mut self, position: u64, head: Head, stored: u64, arrived: Instant, since: Clock) {
        self.end = position + 1;
        self.repeats.remember(&head.id);
        let mut needed_by = Vec::new();
        for (index, reader) in self.readers.iter_mut().enumerate() {
            if reader.needs(position, head.id.stream) {
                reader.journaled += head.rows();
                reader.pending += head.rows();
                reader.pending_bytes += head.bytes as u64;
                reader.ready.notify_one();
                needed_by.push(index);
            }
        }
        if needed_by.is_empty() {
            self.unsaved.gone.push(position);
            return;
        }
        self.idle.insert(position);
        self.idle_bytes += stored;
        self.stored_bytes += stored;
        let entry = Entry { head, stored, arrived: Some(arrived), since, needed_by, in_flight: 0 };
        self.entries.insert(position, entry);
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        for reader in &self.readers {
            reader.ready.notify_one();
        }
    }

    pub(super) fn books(&self) -> Vec<SinkBooks> {
        let kept = self.readers.iter().enumerate().filter(|(_, reader)| !reader.forgotten);
        kept.map(|(index, reader)| {
            let oldest = self.needed(index, reader.cursor).next().map(|(_, entry)| entry.head.opened_at);
            reader.books(oldest)
        })
        .collect()
    }

    pub(super) fn losses(&self) -> Vec<LossRecord> {
        self.losses.records()
    }

    pub(super) fn fresh_losses(&mut self) -> Vec<LossRecord> {
        self.losses.fresh_records()
    }

    fn losses_of(&self, sink: &str) -> Vec<LossRecord> {
        self.losses.records().into_iter().filter(|loss| loss.sink.as_deref() == Some(sink)).collect()
    }

    fn index(&self, sink: &str) -> Option<usize> {
        self.readers.iter().position(|reader| !reader.forgotten && reader.name == sink)
    }

    /// The entries `index` still needs from `from` on, oldest first.
    fn needed(&self, index: usize, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .range(from..)
            .filter(move |(_, entry)| entry.needed_by.contains(&index))
            .map(|(position, entry)| (*position, entry))
    }

    fn needed_positions(&self, index: usize, from: u64, end: u64) -> Vec<u64> {
        self.needed(index, from).map(|(position, _)| position).take_while(|position| *position < end).collect()
    }

    fn entry(&mut self, position: u64) -> &mut Entry {
        self.entries.get_mut(&position).expect("the position was read under the same lock")
    }

    /// `index` needs the entry no more.
    fn release(&mut self, position: u64, index: usize) {
        let entry = self.entry(position);
        entry.needed_by.retain(|needing| *needing != index);
        let (stored, unneeded, idle) = (entry.stored, entry.needed_by.is_empty(), entry.in_flight == 0);
        if unneeded {
            self.entries.remove(&position);
            self.stored_bytes -= stored;
            self.unsaved.gone.push(position);
            if self.idle.remove(&position) {
                self.idle_bytes -= stored;
            }
        } else if idle && self.idle.insert(position) {
            self.idle_bytes += stored;
        }
    }
}
