//! What is remembered of one container's log: which lines were handed on, and what became of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{ContainerId, HostName, LogStream, Timestamp};
use tokio::sync::Notify;

use super::mark::{self, Key, LogCursor, Reach, Span};
use super::wanted::Wanted;
use crate::ports::{LogLine, Mark};
use crate::position::Source;

/// A line that was lost on the way so often is not read again.
const TRIES: u8 = 2;

/// The log of one container: outlives its `LogStream` and, by its mark in the journal, the process.
///
/// Lines are handed on in the order of the log, and journaled in it, but for those that were lost. What was lost is
/// read again; until then the mark stays before it, and names what is journaled behind it.
#[derive(Debug)]
pub struct LogMemory {
    source: String,
    state: Mutex<State>,
    /// A line was lost, or nothing is on its way any more.
    news: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Up to here every line is journaled, or given up.
    settled: Reach,
    /// Up to here every line was handed on.
    pub taken: Reach,
    /// The lines behind `settled`, as the log has them, and the number of the first of them.
    lines: VecDeque<Line>,
    first: u64,
    pub on_their_way: usize,
    missing: usize,
    /// Times at which lines were lost.
    losses: u64,
    /// What lies behind `settled` and was journaled by an earlier life of the process.
    kept: Vec<Span>,
    /// The run that is over and was read to its end.
    pub finished: Option<Option<Timestamp>>,
    is_unreadable: bool,
    pub wanted: Wanted,
    /// Its container is gone.
    pub is_gone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    stream: LogStream,
    cursor: LogCursor,
    losses: u8,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    OnItsWay,
    /// Journaled, given up, or not wanted.
    Settled,
    Lost,
}

/// A line that is about to be handed on, or is settled as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    stream: LogStream,
    pub cursor: LogCursor,
    /// It was handed on before under this number, and lost.
    again: Option<u64>,
    /// What becomes of it.
    pub fate: Fate,
}

impl LogMemory {
    /// The memory of a log of which nothing is known.
    pub(super) fn new(host: &HostName, id: &ContainerId) -> Self {
        Self { source: Self::source_of(host, id), state: Mutex::default(), news: Notify::new() }
    }

    /// The memory of a log from its mark; `None` where that is none.
    pub(super) fn restore(host: &HostName, id: &ContainerId, mark: &[u8]) -> Option<Self> {
        let (reach, kept, is_passed_over) = mark::decode(mark)?;
        let wanted = if is_passed_over { Wanted::NotBefore } else { Wanted::On };
        let state = State { settled: reach, taken: reach, kept, wanted, ..State::default() };
        Some(Self { state: Mutex::new(state), ..Self::new(host, id) })
    }

    /// The name of its mark in the journal.
    pub(super) fn source_of(host: &HostName, id: &ContainerId) -> String {
        format!("logs/{host}/{id}")
    }

    /// Begins another reading: behind the last line that was handed on, or, where lines were lost, before those. Also
    /// the line behind which it begins, and its stream.
    pub(super) fn begin(&self) -> (Option<(LogStream, LogCursor)>, Reading) {
        let mut state = self.lock();
        if let Wanted::Since(from) = state.wanted {
            state.give_up_before(from);
        }
        let (reach, next) = if state.missing > 0 { (state.settled, Some(state.first)) } else { (state.taken, None) };
        let last = reach.last();
        let from = state.wanted.from(reach.last_at());
        // A line without an end may come back with an end.
        let expected = last.filter(|(_, cursor)| !cursor.is_partial && from.is_none()).map(|(stream, _)| stream);
        let (known, losses) = (reach.cursors, state.losses);
        (last, Reading { from, known, last: [None; 2], next, losses, expected, has_gap: false })
    }

    /// The last line that was handed on.
    pub(super) fn last(&self) -> Option<LogCursor> {
        self.lock().taken.last().map(|(_, cursor)| cursor)
    }

    /// Remembers lines in their order; the numbers of those that are on their way now.
    pub(super) fn take(&self, lines: &[Taken]) -> Vec<u64> {
        let mut state = self.lock();
        let mut numbers = Vec::with_capacity(lines.len());
        for Taken { stream, cursor, again, fate } in lines.iter().copied() {
            let number = again.unwrap_or_else(|| state.push(stream, cursor));
            state.turn(number, Fate::Lost, fate);
            if fate == Fate::OnItsWay {
                numbers.push(number);
            }
        }
        state.trim();
        numbers
    }

    /// Waits until lines were lost since this reading began.
    pub(super) async fn loss_behind(&self, reading: &Reading) {
        while self.lock().losses == reading.losses {
            self.news.notified().await;
        }
    }

    /// Waits until no line is on its way; true where none was lost.
    pub(super) async fn settled(&self) -> bool {
        loop {
            {
                let state = self.lock();
                if state.on_their_way == 0 {
                    return state.missing == 0;
                }
            }
            self.news.notified().await;
        }
    }

    /// This run is over, and there is nothing more to read of it.
    pub(super) fn finish(&self, run: Option<Timestamp>) {
        self.lock().finished = Some(run);
    }

    /// The engine cannot read this log; true where that is new. A container's log driver stays what it is.
    pub(super) fn found_unreadable(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_unreadable, true)
    }

    /// The mark goes, and with it what the journal knows of this log.
    pub(super) fn no_mark(&self) -> Mark {
        Mark { source: self.source.clone(), position: None }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok().filter(|index| *index < self.lines.len())
    }

    /// Another line of the log, on its way nowhere yet; its number.
    fn push(&mut self, stream: LogStream, cursor: LogCursor) -> u64 {
        self.lines.push_back(Line { stream, cursor, losses: 0, fate: Fate::Lost });
        self.missing += 1;
        self.taken.advance(stream, cursor);
        self.first + (self.lines.len() - 1) as u64
    }

    /// A line whose fate was `before` has another one now.
    fn turn(&mut self, number: u64, before: Fate, after: Fate) {
        let Some(line) = self.index(number).map(|index| &mut self.lines[index]).filter(|line| line.fate == before)
        else {
            return;
        };
        line.fate = after;
        for (fate, count) in [(Fate::OnItsWay, &mut self.on_their_way), (Fate::Lost, &mut self.missing)] {
            *count = *count + usize::from(after == fate) - usize::from(before == fate);
        }
    }

    /// The first of the lines from number `next` on that is this one. What was lost before it is not in the log any
    /// more, and is given up.
    fn find(&mut self, next: u64, stream: LogStream, key: Key) -> Option<u64> {
        let from = self.index(next.max(self.first))?;
        let mut ahead = self.lines.range(from..);
        let found = ahead.position(|line| line.stream == stream && line.cursor.key() == key);
        let found = found.map(|offset| self.first + (from + offset) as u64);
        self.give_up(next, found.unwrap_or(u64::MAX));
        found
    }

    fn give_up(&mut self, from: u64, to: u64) {
        let to = to.min(self.first + self.lines.len() as u64);
        (from.max(self.first)..to).for_each(|number| self.turn(number, Fate::Lost, Fate::Settled));
        self.trim();
    }

    /// What was lost of the time before is not wanted any more.
    fn give_up_before(&mut self, from: Timestamp) {
        let is_before = |line: &Line| line.fate == Fate::Lost && line.cursor.timestamp < from;
        let numbers: Vec<_> =
            (self.first..).zip(&self.lines).filter(|(_, line)| is_before(line)).map(|(number, _)| number).collect();
        numbers.into_iter().for_each(|number| self.turn(number, Fate::Lost, Fate::Settled));
        self.trim();
    }

    /// Moves on over what is settled.
    fn trim(&mut self) {
        while let Some(line) = self.lines.front().copied().filter(|line| line.fate == Fate::Settled) {
            self.lines.pop_front();
            self.first += 1;
            self.settled.advance(line.stream, line.cursor);
        }
        if self.lines.is_empty() {
            self.lines.shrink_to(IDLE);
        }
        let settled = self.settled;
        self.kept.retain(|span| is_ahead(span, &settled));
    }
}

/// Lines for which a log that is quiet keeps room.
const IDLE: usize = 16;

fn is_ahead(span: &Span, reach: &Reach) -> bool {
    reach.cursors[span.stream as usize].is_none_or(|cursor| cursor.key() < span.last)
}

impl Source for LogMemory {
    fn mark(&self, places: &[u64]) -> Mark {
        let mut places = places.to_vec();
        places.sort_unstable();
        let state = self.lock();
        let mut reach = state.settled;
        let mut spans: Vec<Span> = Vec::new();
        let mut open: [Option<usize>; 2] = [None; 2];
        let mut has_gap = false;
        for (number, line) in (state.first..).zip(&state.lines) {
            let is_kept = line.fate == Fate::Settled || places.binary_search(&number).is_ok();
            let Line { stream, cursor, .. } = *line;
            if !is_kept {
                has_gap = true;
                open[stream as usize] = None;
            } else if !has_gap {
                reach.advance(stream, cursor);
            } else if let Some(span) = open[stream as usize] {
                spans[span].last = cursor.key();
            } else {
                open[stream as usize] = Some(spans.len());
                spans.push(Span { stream, first: cursor.key(), last: cursor.key() });
            }
        }
        spans.extend(state.kept.iter().filter(|span| is_ahead(span, &reach)));
        // Until a line of it is journaled, what is wanted begins where the next life does.
        let is_passed_over = state.wanted.is_not() || state.wanted.from(reach.last_at()).is_some();
        Mark { source: self.source.clone(), position: Some(mark::encode(&reach, &spans, is_passed_over)) }
    }

    fn kept(&self, places: &[u64]) {
        let mut state = self.lock();
        places.iter().for_each(|number| state.turn(*number, Fate::OnItsWay, Fate::Settled));
        state.trim();
        let is_settled = state.on_their_way == 0;
        drop(state);
        if is_settled {
            self.news.notify_one();
        }
    }

    fn lost(&self, places: &[u64]) {
        let mut state = self.lock();
        for number in places {
            let Some(line) = state.index(*number).map(|index| &mut state.lines[index]) else { continue };
            line.losses = line.losses.saturating_add(1);
            let fate = if line.losses < TRIES { Fate::Lost } else { Fate::Settled };
            state.turn(*number, Fate::OnItsWay, fate);
        }
        state.losses += 1;
        state.trim();
        drop(state);
        self.news.notify_one();
    }
}

/// Numbers the lines of one reading, and recognises those that were read before.
#[derive(Debug)]
pub(super) struct Reading {
    /// What was written before is not wanted.
    pub from: Option<Timestamp>,
    /// The line of each stream behind which this reading begins; `None` once it has come, or is not there.
    known: [Option<LogCursor>; 2],
    /// The last line of this reading.
    last: [Option<Key>; 2],
    /// Behind that: where among the remembered lines this reading is; `None` once it is past them.
    next: Option<u64>,
    /// Losses when it began.
    losses: u64,
    /// The known line of this stream has to come, unless it is gone.
    expected: Option<LogStream>,
    has_gap: bool,
}

impl Reading {
    /// What of this line is to be remembered; `None` where it already is.
    pub fn see(&mut self, line: &LogLine, memory: &LogMemory) -> Option<Taken> {
        let (stream, index) = (line.stream, line.stream as usize);
        let ordinal = match self.last[index] {
            Some((timestamp, ordinal)) if timestamp == line.timestamp => ordinal.saturating_add(1),
            _ => 0,
        };
        let cursor = LogCursor { timestamp: line.timestamp, ordinal, is_partial: line.is_partial };
        let key = cursor.key();
        self.last[index] = Some(key);
        if let Some(known) = self.known[index] {
            // Behind the known line all is new, whatever an engine's clock did since.
            if key >= known.key() {
                self.known[index] = None;
            }
            if key <= known.key() {
                return None;
            }
            self.has_gap |= self.expected == Some(stream);
        }
        let mut state = memory.lock();
        if let Some(next) = self.next {
            let found = state.find(next, stream, key);
            self.next = found.map(|number| number + 1);
            if let Some(number) = found {
                let is_lost = state.index(number).is_some_and(|index| state.lines[index].fate == Fate::Lost);
                return is_lost.then_some(Taken { stream, cursor, again: Some(number), fate: Fate::OnItsWay });
            }
        }
        let is_kept = state.kept.iter().any(|span| span.has(stream, key));
        let fate = if is_kept { Fate::Settled } else { Fate::OnItsWay };
        Some(Taken { stream, cursor, again: None, fate })
    }

    /// The log has nothing more: what was lost and did not come is given up.
    pub fn ended(&self, memory: &LogMemory) {
        if let Some(next) = self.next {
            memory.lock().give_up(next, u64::MAX);
        }
    }

    /// True once where the line behind which it was to begin is gone, and maybe others with it.
    pub fn found_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
