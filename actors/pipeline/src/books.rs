//! The books: what came in, what went on, what was dropped and why. They balance, always.
//!
//! `received = parsed + dropped before parsing + being parsed`, and
//! `parsed = journaled + dropped after parsing + being batched`.

mod drops;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::{LossReason, LossRecord, Stream};
use serde::Serialize;

use crate::position::{Place, by_source};
use drops::{Drops, Span};

/// The books of all streams. Shared by every stage; counting takes no lock.
#[derive(Debug, Default)]
pub struct Books {
    streams: [StreamLedger; Stream::ALL.len()],
    is_ending: AtomicBool,
}

#[derive(Debug, Default)]
struct StreamLedger {
    received: AtomicU64,
    parsed: AtomicU64,
    journaled: AtomicU64,
    dropped: [[Drops; LossReason::ALL.len()]; 2],
}

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Received,
    Parsed,
}

impl Books {
    /// Fresh books.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Counts one received item and takes it into custody.
    pub fn receive(self: &Arc<Self>, stream: Stream) -> Custody {
        self.receive_many(stream, 1)
    }

    /// Counts received items and takes them into custody.
    pub fn receive_many(self: &Arc<Self>, stream: Stream, count: u64) -> Custody {
        self.ledger(stream).received.fetch_add(count, Ordering::Relaxed);
        Custody { books: self.clone(), stream, stage: Stage::Received, count, places: Vec::new() }
    }

    /// The books of one stream. Exact once the pipeline stands still; while it runs, the counts are read
    /// one after the other.
    pub fn of(&self, stream: Stream) -> StreamBooks {
        let ledger = self.ledger(stream);
        let dropped = |stage: usize| -> Vec<(LossReason, u64)> {
            let counts = LossReason::ALL.iter().zip(&ledger.dropped[stage]);
            counts.map(|(reason, drops)| (*reason, drops.count())).filter(|(_, count)| *count > 0).collect()
        };
        // Read against the flow, so that nothing is seen to arrive that was not seen to leave.
        let journaled = ledger.journaled.load(Ordering::Relaxed);
        let dropped_after_parsing = dropped(1);
        let parsed = ledger.parsed.load(Ordering::Relaxed);
        let dropped_before_parsing = dropped(0);
        let received = ledger.received.load(Ordering::Relaxed);
        StreamBooks { stream, received, parsed, journaled, dropped_before_parsing, dropped_after_parsing }
    }

    /// Everything lost before the journal, by stream and reason, with the times at which the first and the last
    /// were dropped. Records of losses are not in it: what one of them tells is told by the next.
    pub fn losses(&self) -> Vec<LossRecord> {
        self.sums(Drops::span)
    }

    /// The same counts, with the times of what was dropped since the last call. For the one who reports them.
    pub fn fresh_losses(&self) -> Vec<LossRecord> {
        self.sums(Drops::take_fresh_span)
    }

    fn sums(&self, span: fn(&Drops) -> Option<Span>) -> Vec<LossRecord> {
        let mut sums = Vec::new();
        for stream in Stream::ALL.into_iter().filter(|stream| *stream != Stream::Losses) {
            let [received, parsed] = &self.ledger(stream).dropped;
            for ((reason, before), after) in LossReason::ALL.into_iter().zip(received).zip(parsed) {
                // Counts first: whatever is counted has left its time.
                let count = before.count() + after.count();
                let spans = [span(before), span(after)];
                if count == 0 || reason.is_expected() {
                    continue;
                }
                let span = spans.into_iter().flatten().reduce(Span::join).unwrap_or_else(Span::now);
                let (first_at, last_at) = (span.first, span.last);
                sums.push(LossRecord { stream, sink: None, reason, count, first_at, last_at });
            }
        }
        sums
    }

    /// From now on, what is dropped without a word is lost to the end of the process.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    fn ledger(&self, stream: Stream) -> &StreamLedger {
        &self.streams[stream as usize]
    }
}

/// The books of one stream, copied out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamBooks {
    /// The stream.
    pub stream: Stream,
    /// Frames, events or states that came from an engine.
    pub received: u64,
    /// Those that became records.
    pub parsed: u64,
    /// Records the journal has.
    pub journaled: u64,
    /// Items dropped before they became records, by reason.
    pub dropped_before_parsing: Vec<(LossReason, u64)>,
    /// Records dropped before the journal had them, by reason.
    pub dropped_after_parsing: Vec<(LossReason, u64)>,
}

impl StreamBooks {
    /// Items on their way from an engine to a record.
    pub fn in_parsing(&self) -> i128 {
        i128::from(self.received) - i128::from(self.parsed) - sum(&self.dropped_before_parsing)
    }

    /// Records on their way to the journal.
    pub fn in_batching(&self) -> i128 {
        i128::from(self.parsed) - i128::from(self.journaled) - sum(&self.dropped_after_parsing)
    }

    /// True where nothing is on its way: every item received is accounted for.
    pub fn is_settled(&self) -> bool {
        self.in_parsing() == 0 && self.in_batching() == 0
    }
}

fn sum(counts: &[(LossReason, u64)]) -> i128 {
    counts.iter().map(|(_, count)| i128::from(*count)).sum()
}

/// Who holds this answers for `count` items. Dropping it counts them as lost: to a panic while
/// unwinding, to the end of the process once [`Books::end`] was called, else to the restart of the stage
/// that held them. So nothing can be forgotten.
#[derive(Debug)]
pub struct Custody {
    books: Arc<Books>,
    stream: Stream,
    stage: Stage,
    count: u64,
    /// Places of records whose source can begin again: each is told what becomes of its own.
    places: Vec<Place>,
}

impl Custody {
    /// Custody of no records yet, to be filled by [`Custody::absorb`].
    pub fn empty(books: &Arc<Books>, stream: Stream) -> Self {
        Self { books: books.clone(), stream, stage: Stage::Parsed, count: 0, places: Vec::new() }
    }

    /// The stream of the items.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Items in custody.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The item is at this place of its source.
    pub fn at(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// The places of the items, as far as their sources can begin again.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The items became records.
    pub fn parsed(mut self) -> Self {
        if self.stage == Stage::Received {
            self.books.ledger(self.stream).parsed.fetch_add(self.count, Ordering::Relaxed);
            self.stage = Stage::Parsed;
        }
        self
    }

    /// Takes over the records of `other`, which must be parsed records of the same stream.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert!(other.stage == Stage::Parsed && other.stream == self.stream);
        self.count += std::mem::take(&mut other.count);
        self.places.append(&mut other.places);
    }

    /// Hands out the custody of the first `count` of the records, at most all. Where not every record has a place,
    /// the places stay with the last.
    pub fn split_off(&mut self, count: u64) -> Self {
        let count = count.min(self.count);
        let each_has_one = self.places.len() as u64 == self.count;
        self.count -= count;
        let rest = match usize::try_from(count) {
            _ if self.count == 0 => Vec::new(),
            Ok(count) if each_has_one => self.places.split_off(count),
            _ => std::mem::take(&mut self.places),
        };
        let places = std::mem::replace(&mut self.places, rest);
        Self { books: self.books.clone(), stream: self.stream, stage: self.stage, count, places }
    }

    /// The journal has the records.
    pub fn journaled(mut self) {
        let count = std::mem::take(&mut self.count);
        self.books.ledger(self.stream).journaled.fetch_add(count, Ordering::Relaxed);
        by_source(self.places.iter(), |source, places| source.kept(places));
        self.places.clear();
    }

    /// The items are lost, and this is why.
    pub fn lost(mut self, reason: LossReason) {
        self.settle_as_lost(reason);
    }

    fn settle_as_lost(&mut self, reason: LossReason) {
        let count = std::mem::take(&mut self.count);
        if count > 0 {
            let drops = &self.books.ledger(self.stream).dropped[self.stage as usize][reason as usize];
            // What is expected is frequent, and nobody asks when it was.
            if reason.is_expected() { drops.add(count) } else { drops.add_now(count) }
        }
        by_source(self.places.iter(), |source, places| source.lost(places));
        self.places.clear();
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let reason = if std::thread::panicking() {
            LossReason::Panic
        } else if self.books.is_ending.load(Ordering::Relaxed) {
            LossReason::Shutdown
        } else {
            LossReason::Restart
        };
        self.settle_as_lost(reason);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use model::Timestamp;

    use super::*;
    use crate::ports::Mark;
    use crate::position::Source;

    #[test]
    fn a_record_that_reaches_the_journal_is_counted_at_every_stage() {
        let books = Books::new();
        let custody = books.receive(Stream::Stats);
        assert_eq!(books.of(Stream::Stats).in_parsing(), 1);
        let custody = custody.parsed();
        assert_eq!(books.of(Stream::Stats).in_batching(), 1);
        custody.journaled();
        let books = books.of(Stream::Stats);
        assert_eq!((books.received, books.parsed, books.journaled), (1, 1, 1));
        assert!(books.is_settled());
    }

    #[test]
    fn what_is_dropped_while_unwinding_is_lost_to_a_panic() {
        let books = Books::new();
        let custody = books.receive(Stream::Events).parsed();
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = custody;
            std::panic::resume_unwind(Box::new("a stage failed"));
        }));
        assert!(unwound.is_err());
        assert_eq!(books.of(Stream::Events).dropped_after_parsing, [(LossReason::Panic, 1)]);
        assert!(books.of(Stream::Events).is_settled());
    }

    #[test]
    fn what_is_simply_dropped_is_lost_to_a_restart_and_at_the_end_to_the_shutdown() {
        let books = Books::new();
        drop(books.receive(Stream::Stats));
        books.end();
        drop(books.receive(Stream::Stats));
        let lost = [(LossReason::Restart, 1), (LossReason::Shutdown, 1)];
        assert_eq!(books.of(Stream::Stats).dropped_before_parsing, lost);
    }

    #[derive(Debug, Default)]
    struct Told(std::sync::Mutex<Vec<(&'static str, Vec<u64>)>>);

    impl Source for Told {
        fn mark(&self, _: &[u64]) -> Mark {
            Mark { source: "told".into(), position: None }
        }
        fn kept(&self, places: &[u64]) {
            self.0.lock().unwrap().push(("kept", places.to_vec()));
        }
        fn lost(&self, places: &[u64]) {
            self.0.lock().unwrap().push(("lost", places.to_vec()));
        }
    }

    #[test]
    fn every_source_is_told_once_what_became_of_each_of_its_records() {
        let (books, told) = (Books::new(), Arc::new(Told::default()));
        let at = |number| books.receive(Stream::Events).at(Place { source: told.clone(), number }).parsed();
        let mut all = Custody::empty(&books, Stream::Events);
        (0..6).for_each(|number| all.absorb(at(number)));
        all.split_off(2).journaled();
        all.absorb(books.receive(Stream::Events).parsed());
        drop(all.split_off(3));
        all.journaled();
        assert_eq!(*told.0.lock().unwrap(), [("kept", vec![0, 1]), ("kept", vec![2, 3, 4, 5])]);
        drop(at(9));
        assert_eq!(told.0.lock().unwrap()[2..], [("lost", vec![9])]);
    }

    #[test]
    fn splitting_and_absorbing_keep_the_count() {
        let books = Books::new();
        let mut all = Custody::empty(&books, Stream::Stats);
        for _ in 0..10 {
            all.absorb(books.receive(Stream::Stats).parsed());
        }
        let part = all.split_off(4);
        assert_eq!((all.count(), part.count()), (6, 4));
        part.journaled();
        all.lost(LossReason::JournalFull);
        let books = books.of(Stream::Stats);
        assert_eq!((books.journaled, sum(&books.dropped_after_parsing)), (4, 6));
        assert!(books.is_settled());
    }

    #[test]
    fn losses_are_told_with_their_times_and_the_fresh_ones_with_those_since_the_last_look() {
        let books = Books::new();
        let before = Timestamp::from(SystemTime::now());
        books.receive(Stream::Stats).lost(LossReason::Truncated);
        books.receive(Stream::Stats).parsed().lost(LossReason::Truncated);
        let first = books.fresh_losses();
        assert_eq!(books.losses(), first);
        assert_eq!((first.len(), first[0].count, first[0].sink.as_deref()), (1, 2, None));
        assert!(before <= first[0].first_at && first[0].first_at <= first[0].last_at, "{first:?}");
        books.receive(Stream::Stats).lost(LossReason::Truncated);
        let fresh = books.fresh_losses();
        assert_eq!((fresh[0].count, books.losses()[0].first_at), (3, first[0].first_at));
        assert!(fresh[0].first_at >= first[0].last_at, "{fresh:?} came after {first:?}");
    }

    #[test]
    fn what_is_expected_and_what_tells_of_losses_is_in_the_books_and_is_no_loss() {
        let books = Books::new();
        for reason in [LossReason::EmptyFrame, LossReason::DuplicateFrame, LossReason::BetweenIntervals] {
            books.receive(Stream::Stats).lost(reason);
        }
        books.receive(Stream::Losses).parsed().lost(LossReason::Panic);
        assert_eq!(books.losses(), []);
        assert_eq!(books.of(Stream::Stats).dropped_before_parsing.len(), 3);
        assert_eq!(books.of(Stream::Losses).dropped_after_parsing, [(LossReason::Panic, 1)]);
    }
}
