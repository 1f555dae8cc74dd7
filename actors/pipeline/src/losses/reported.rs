//! What has been told of what was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{LossReason, LossRecord, Stream, Timestamp};

use super::mark;
use crate::books::{Books, Custody};
use crate::ports::Mark;
use crate::position::{Place, Source};

/// Of what was dropped, what has been put into records. Lent to the reporter: it outlives its panics and, by its mark
/// in the journal, the process.
///
/// A record that tells a loss has a place here until the journal has it. One that is lost before that gives back
/// what it told, and the next record tells it: nothing is told twice, and nothing is left out.
#[derive(Debug, Default)]
pub struct Reported {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: BTreeMap<Key, Account>,
    /// Records on their way to the journal, by their places.
    under_way: BTreeMap<u64, LossRecord>,
    next_place: u64,
}

/// Sink, stream, reason.
pub(super) type Key = (Option<String>, Stream, LossReason);

#[derive(Debug, Default)]
struct Account {
    /// Of the drops, how many are in a record that is in the journal or on its way there.
    told: u64,
    /// How many are in a record that is in the journal.
    journaled: u64,
    /// The times of those that are in no record.
    untold: Option<(Timestamp, Timestamp)>,
}

impl Reported {
    /// Begins where the journal's marks say that earlier lives of the process ended.
    pub fn resuming(marks: &BTreeMap<String, Vec<u8>>) -> Self {
        let told = marks.get(mark::SOURCE).map(|bytes| mark::decode(bytes)).unwrap_or_default();
        let account = |told| Account { told, journaled: told, untold: None };
        let accounts = told.into_iter().map(|(key, told)| (key, account(told))).collect();
        Self { state: Mutex::new(State { accounts, ..State::default() }) }
    }

    /// Records of what is in these counts and has not been told, with their custody.
    pub(super) fn report(
        self: &Arc<Self>,
        books: &Arc<Books>,
        totals: impl IntoIterator<Item = LossRecord>,
    ) -> (Vec<LossRecord>, Custody) {
        let (mut rows, mut custody) = (Vec::new(), Custody::empty(books, Stream::Losses));
        for total in totals {
            if let Some((place, record)) = self.lock().take(total) {
                let place = Place { source: self.clone(), number: place };
                custody.absorb(books.receive(Stream::Losses).at(place).parsed());
                rows.push(record);
            }
        }
        (rows, custody)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A record of what is in `total` and has not been told, and its place.
    fn take(&mut self, total: LossRecord) -> Option<(u64, LossRecord)> {
        let account = self.accounts.entry(key(&total)).or_default();
        if account.told > total.count {
            // Who counts it began anew: what was told is of another count.
            (account.told, account.journaled) = (0, 0);
        }
        let untold = total.count - account.told;
        if untold == 0 {
            return None;
        }
        account.told = total.count;
        let (first_at, last_at) = join(account.untold.take(), (total.first_at, total.last_at));
        let record = LossRecord { count: untold, first_at, last_at, ..total };
        let place = self.next_place;
        self.next_place += 1;
        self.under_way.insert(place, record.clone());
        Some((place, record))
    }
}

impl Source for Reported {
    fn mark(&self, places: &[u64]) -> Mark {
        let state = self.lock();
        // What was lost before the journal is counted anew by every life.
        let of_sinks = state.accounts.iter().filter(|((sink, _, _), _)| sink.is_some());
        let mut told: BTreeMap<Key, u64> = of_sinks.map(|(key, account)| (key.clone(), account.journaled)).collect();
        for record in places.iter().filter_map(|place| state.under_way.get(place)) {
            if let Some(told) = told.get_mut(&key(record)) {
                *told += record.count;
            }
        }
        Mark { source: mark::SOURCE.to_owned(), position: Some(mark::encode(&told)) }
    }

    fn kept(&self, places: &[u64]) {
        let mut state = self.lock();
        for place in places {
            let Some(record) = state.under_way.remove(place) else { continue };
            if let Some(account) = state.accounts.get_mut(&key(&record)) {
                account.journaled += record.count;
            }
        }
    }

    fn lost(&self, places: &[u64]) {
        let mut state = self.lock();
        for place in places {
            let Some(record) = state.under_way.remove(place) else { continue };
            if let Some(account) = state.accounts.get_mut(&key(&record)) {
                account.told = account.told.saturating_sub(record.count);
                account.untold = Some(join(account.untold, (record.first_at, record.last_at)));
            }
        }
    }
}

fn key(record: &LossRecord) -> Key {
    (record.sink.clone(), record.stream, record.reason)
}

fn join(one: Option<(Timestamp, Timestamp)>, other: (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
    one.map_or(other, |one| (one.0.min(other.0), one.1.max(other.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(count: u64, first: i64, last: i64) -> LossRecord {
        LossRecord {
            stream: Stream::Stats,
            sink: Some("kafka".into()),
            reason: LossReason::JournalFull,
            count,
            first_at: Timestamp::from_nanos(first),
            last_at: Timestamp::from_nanos(last),
        }
    }

    fn reported() -> (Arc<Books>, Arc<Reported>) {
        (Books::new(), Arc::default())
    }

    /// What is told of `total`, and journaled.
    fn told(books: &Arc<Books>, reported: &Arc<Reported>, total: LossRecord) -> Vec<LossRecord> {
        let (rows, custody) = reported.report(books, [total]);
        custody.journaled();
        rows
    }

    #[test]
    fn each_loss_is_told_once() {
        let (books, reported) = reported();
        assert_eq!(told(&books, &reported, lost(3, 10, 20)), [lost(3, 10, 20)]);
        assert_eq!(told(&books, &reported, lost(3, 10, 20)), []);
        assert_eq!(told(&books, &reported, lost(8, 30, 40)), [lost(5, 30, 40)]);
    }

    #[test]
    fn a_record_that_did_not_reach_the_journal_is_told_again_with_what_came_since() {
        let (books, reported) = reported();
        drop(reported.report(&books, [lost(3, 10, 20)]));
        assert_eq!(told(&books, &reported, lost(4, 30, 30)), [lost(4, 10, 30)]);
        assert!(books.of(Stream::Losses).is_settled());
    }

    #[test]
    fn a_count_that_began_anew_is_told_from_its_beginning() {
        let (books, reported) = reported();
        told(&books, &reported, lost(9, 10, 20));
        assert_eq!(told(&books, &reported, lost(2, 30, 40)), [lost(2, 30, 40)]);
    }

    #[test]
    fn of_records_in_one_custody_each_shares_its_own_fate() {
        let (books, reported) = reported();
        let of = |reason, count| LossRecord { reason, ..lost(count, 10, 20) };
        let totals = [of(LossReason::JournalFull, 3), of(LossReason::Rejected, 5)];
        let (_, mut custody) = reported.report(&books, totals.clone());
        custody.split_off(1).journaled();
        custody.lost(LossReason::Panic);
        assert_eq!(reported.report(&books, totals).0, [of(LossReason::Rejected, 5)]);
    }

    #[test]
    fn the_next_life_tells_what_no_mark_in_the_journal_says_was_told() {
        let (books, first) = reported();
        told(&books, &first, lost(3, 10, 20));
        let before = LossRecord { sink: None, reason: LossReason::Panic, ..lost(2, 10, 20) };
        told(&books, &first, before.clone());
        let (_, journaled) = first.report(&books, [lost(5, 30, 30)]);
        let places: Vec<u64> = journaled.places().iter().map(|place| place.number).collect();
        let mark = first.mark(&places);
        journaled.journaled();
        // This one is on its way when the process ends.
        let (_, _under_way) = first.report(&books, [lost(9, 40, 40)]);

        let marks = BTreeMap::from([(mark.source, mark.position.unwrap())]);
        let next = Arc::new(Reported::resuming(&marks));
        assert_eq!(told(&books, &next, lost(5, 10, 30)), []);
        assert_eq!(told(&books, &next, lost(9, 40, 40)), [lost(4, 40, 40)]);
        assert_eq!(told(&books, &next, before.clone()), [before], "the books begin with the process");
    }
}
