//! What sinks get: ranges, frozen from the moment they are given out until they are settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{BatchId, LossReason, Stream};
use pipeline::ports::{Plan, Range, Receipt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Log;
use crate::span::{continues, refused};

/// What a look at the log yields to a reader.
pub(in crate::disk) enum Look {
    /// A range is due: the bounds, and the positions to read.
    Due(Span),
    /// Nothing, or not enough yet: worth another look at that time, or when something arrives.
    Wait(Arc<Notify>, Option<Instant>),
    Ended,
}

/// A range without its rows.
pub(in crate::disk) struct Span {
    pub(in crate::disk) first: u64,
    pub(in crate::disk) end: u64,
    pub(in crate::disk) positions: Vec<u64>,
}

impl Log {
    /// What `sink` gets now.
    pub(in crate::disk) fn look(&mut self, sink: &str, now: Instant) -> Look {
        let Some(index) = self.index(sink) else { return Look::Ended };
        let reader = &self.readers[index];
        let first = reader.cursor;
        if let Some(end) = reader.in_flight {
            return Look::Due(Span { first, end, positions: self.needed_positions(index, first, end) });
        }
        let Some(appetite) = &reader.appetite else { return Look::Ended };
        let mut taken: Vec<u64> = Vec::new();
        let mut ids: BTreeMap<Stream, &BatchId> = BTreeMap::new();
        let (mut rows, mut bytes, mut full, mut due) = (0u64, 0, false, None);
        for (position, entry) in self.needed(index, first) {
            let head = &entry.head;
            let over = rows + head.rows() > appetite.rows as u64 || bytes + head.bytes > appetite.bytes;
            let breaks = ids.get(&head.id.stream).is_some_and(|before| !continues(before, &head.id));
            if !taken.is_empty() && (over || breaks) {
                full = true;
                break;
            }
            rows += head.rows();
            bytes += head.bytes;
            due.get_or_insert(entry.arrived.map_or(now, |arrived| arrived + appetite.linger));
            ids.insert(head.id.stream, &head.id);
            taken.push(position);
        }
        full |= rows >= appetite.rows as u64 || bytes >= appetite.bytes;
        match taken.last() {
            None if self.closed => Look::Ended,
            None => {
                let ready = reader.ready.clone();
                self.readers[index].cursor = self.end;
                Look::Wait(ready, None)
            }
            Some(last) if full || self.closed || due.is_some_and(|due| due <= now) => {
                Look::Due(Span { first, end: last + 1, positions: taken })
            }
            Some(_) => Look::Wait(reader.ready.clone(), due),
        }
    }

    /// The span is the sink's until it is committed. `false` where it already was.
    pub(in crate::disk) fn freeze(&mut self, sink: &str, span: &Span) -> bool {
        let Some(index) = self.index(sink) else { return false };
        let reader = &mut self.readers[index];
        if reader.in_flight.is_some() {
            return false;
        }
        (reader.cursor, reader.in_flight) = (span.first, Some(span.end));
        self.unsaved.sinks.insert(sink.to_owned());
        for position in &span.positions {
            let entry = self.entry(*position);
            entry.in_flight += 1;
            let stored = entry.stored;
            if self.idle.remove(position) {
                self.idle_bytes -= stored;
            }
        }
        true
    }

    /// True where the range under delivery of `sink` ends at `end`.
    pub(in crate::disk) fn holds(&self, sink: &str, end: u64) -> bool {
        self.index(sink).is_some_and(|index| self.readers[index].in_flight == Some(end))
    }

    /// Takes a freeze back that could not be stored.
    pub(in crate::disk) fn melt(&mut self, sink: &str) {
        let Some(index) = self.index(sink) else { return };
        let cursor = self.readers[index].cursor;
        let Some(end) = self.readers[index].in_flight.take() else { return };
        for position in self.needed_positions(index, cursor, end) {
            let entry = self.entry(position);
            entry.in_flight -= 1;
            let (stored, idle) = (entry.stored, entry.in_flight == 0);
            if idle && self.idle.insert(position) {
                self.idle_bytes += stored;
            }
        }
    }

    /// Settles a range; one that is not the cursor's changes nothing.
    pub(in crate::disk) fn commit(&mut self, sink: &str, range: &Range, receipt: &Receipt) {
        let Some(index) = self.index(sink) else { return };
        let reader = &self.readers[index];
        if reader.cursor != range.first || reader.in_flight != Some(range.end) {
            return;
        }
        let (mut rows, mut bytes) = (0, 0);
        let settled = self.needed_positions(index, range.first, range.end);
        let mut ids = BTreeSet::new();
        for position in settled {
            let entry = self.entry(position);
            entry.in_flight -= 1;
            rows += entry.head.rows();
            bytes += entry.head.bytes as u64;
            ids.insert(entry.head.id.clone());
            self.release(position, index);
        }
        let mut rejected = 0;
        for batch in range.batches.iter().filter(|batch| ids.contains(&batch.id)) {
            for time in refused(batch, receipt) {
                self.losses.add(sink, batch.id.stream, LossReason::Rejected, 1, (time, time));
                rejected += 1;
            }
        }
        let reader = &mut self.readers[index];
        reader.advance(range.end);
        reader.pending -= rows;
        reader.pending_bytes -= bytes;
        reader.rejected += rejected;
        reader.delivered += rows - rejected;
        self.unsaved.sinks.insert(sink.to_owned());
    }

    /// Remembers how far the range under delivery has come; one that is not the cursor's changes nothing.
    pub(in crate::disk) fn note(&mut self, sink: &str, range: &Range, plan: Plan) {
        let Some(index) = self.index(sink) else { return };
        let reader = &mut self.readers[index];
        if reader.cursor == range.first && reader.in_flight == Some(range.end) {
            reader.plan = Some(plan);
            self.unsaved.sinks.insert(sink.to_owned());
        }
    }

    /// How far the range under delivery has come.
    pub(in crate::disk) fn plan(&self, sink: &str, range: &Range) -> Option<Plan> {
        let reader = &self.readers[self.index(sink)?];
        reader.plan.clone().filter(|_| reader.cursor == range.first && reader.in_flight == Some(range.end))
    }
}
