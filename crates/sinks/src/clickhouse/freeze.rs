//! A range as inserts: encoded once, each under a token that names its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use model::{Batch, BatchId, Rows, Stream, Timestamp};

use super::encode::RowBinary;

/// One insert: the rows of one stream that lie within one partition.
#[derive(Debug)]
pub(super) struct Insert {
    /// What it holds, by name.
    pub part: Part,
    pub rows: usize,
    pub body: Bytes,
    /// The server has it.
    pub done: bool,
}

/// The rows of a run of sequences that belong to one day. Equal parts have equal rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The run; rows of other days in it are not meant.
    run: BatchId,
    /// Days since the epoch, for tables in parts of days.
    day: Option<i64>,
}

impl Part {
    /// `node/epoch/stream/first-last`, with `@day` for tables in parts of days.
    pub(super) fn token(&self) -> String {
        match self.day {
            None => self.run.to_string(),
            Some(day) => format!("{}@{}", self.run, date(day)),
        }
    }

    pub(super) fn stream(&self) -> Stream {
        self.run.stream
    }

    fn is_of(&self, id: &BatchId) -> bool {
        self.run.stream == id.stream && self.run.node == id.node && self.run.epoch == id.epoch
    }

    fn holds(&self, other: &Self) -> bool {
        self.is_of(&other.run)
            && self.day == other.day
            && (self.run.first..=self.run.last).contains(&other.run.first)
            && (self.run.first..=self.run.last).contains(&other.run.last)
    }
}

/// The inserts of one range.
#[derive(Debug)]
pub(super) struct Frozen {
    /// What it was made of: ids name content.
    ids: Vec<BatchId>,
    pub inserts: Vec<Insert>,
}

impl Frozen {
    pub(super) fn is_of(&self, batches: &[Batch]) -> bool {
        self.ids.iter().eq(batches.iter().map(|batch| &batch.id))
    }

    /// Encodes `batches` without the rows that have `landed`: a range that is halved after a part of it was
    /// stored must not store that part again under another name. Takes a few microseconds a row.
    pub(super) fn new(batches: &[Batch], landed: &[Part]) -> Self {
        let mut inserts = Vec::new();
        for run in runs(batches, landed) {
            let mut days: BTreeMap<Option<i64>, (RowBinary, usize)> = BTreeMap::new();
            for (batch, rows) in &run.rows {
                for index in rows.clone() {
                    let (to, rows) =
                        days.entry(day(&batch.rows, index)).or_insert_with(|| (RowBinary::new(run.id.stream), 0));
                    *rows += usize::from(to.row(&batch.id, &batch.rows, index));
                }
            }
            for (day, (to, rows)) in days {
                let part = Part { run: run.id.clone(), day };
                if !landed.iter().any(|landed| landed.holds(&part)) {
                    inserts.push(Insert { part, rows, body: to.into_bytes().into(), done: false });
                }
            }
        }
        Self { ids: batches.iter().map(|batch| batch.id.clone()).collect(), inserts }
    }
}

/// Rows of one stream that follow each other without a gap.
struct Run<'a> {
    id: BatchId,
    rows: Vec<(&'a Batch, Range<usize>)>,
}

/// The runs of `batches`, cut also where a part that has landed begins or ends.
fn runs<'a>(batches: &'a [Batch], landed: &[Part]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for batch in batches {
        let id = &batch.id;
        let ends = landed.iter().filter(|part| part.is_of(id)).flat_map(|part| [part.run.first, part.run.last + 1]);
        let cuts: BTreeSet<u64> = ends.collect();
        let inside = cuts.iter().copied().filter(|cut| (id.first + 1..=id.last).contains(cut));
        let starts: Vec<u64> = [id.first].into_iter().chain(inside).collect();
        for (position, &first) in starts.iter().enumerate() {
            let last = starts.get(position + 1).map_or(id.last, |next| next - 1);
            let index = |sequence: u64| usize::try_from(sequence - id.first).unwrap_or(usize::MAX);
            let rows = index(first)..index(last).saturating_add(1).min(batch.rows.len());
            let before = runs.iter_mut().find(|run| {
                let of = &run.id;
                of.stream == id.stream && of.node == id.node && of.epoch == id.epoch && of.last + 1 == first
            });
            match before {
                Some(run) if !cuts.contains(&first) => {
                    run.id.last = last;
                    run.rows.push((batch, rows));
                }
                _ => runs.push(Run { id: BatchId { first, last, ..id.clone() }, rows: vec![(batch, rows)] }),
            }
        }
    }
    runs
}

/// The day, UTC, whose part of the table the row belongs to; `None` for a table without such parts.
fn day(rows: &Rows, index: usize) -> Option<i64> {
    match rows {
        Rows::Stats(rows) => Some(rows.get(index)?.timestamp.day()),
        Rows::Events(rows) => Some(rows.get(index)?.timestamp.day()),
        Rows::Hosts(rows) => Some(rows.get(index)?.observed_at.day()),
        Rows::Losses(rows) => Some(rows.get(index)?.last_at.day()),
        Rows::Logs(rows) => Some(rows.get(index)?.timestamp.day()),
        Rows::ImageVersions(rows) => Some(rows.get(index)?.observed_at.day()),
        Rows::Containers(_) | Rows::Images(_) => None,
    }
}

/// `2026-11-21`.
fn date(day: i64) -> String {
    let midnight = Timestamp::from_nanos(0) + Duration::from_secs(u64::try_from(day).unwrap_or(0) * 86_400);
    midnight.to_string()[..10].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{batch, container, event, noon, stats};
    use model::ContainerState;

    const DAY: Duration = Duration::from_secs(86_400);

    fn samples(first: u64, at: &[Timestamp]) -> Batch {
        batch(first, Rows::Stats(at.iter().map(|at| stats(1, *at)).collect()))
    }

    fn tokens(batches: &[Batch]) -> Vec<(String, usize)> {
        let frozen = Frozen::new(batches, &[]);
        frozen.inserts.into_iter().map(|insert| (insert.part.token(), insert.rows)).collect()
    }

    #[test]
    fn batches_that_follow_each_other_are_one_insert_and_a_gap_makes_another() {
        let at = [noon(); 5];
        let today = noon().to_string()[..10].to_owned();
        let batches = [
            samples(1, &at),
            batch(1, Rows::Events(vec![event(1, noon())].into())),
            samples(6, &at),
            samples(12, &at),
            batch(1, Rows::Containers(vec![container(1, ContainerState::Running, noon())].into())),
        ];
        let expected = [
            (format!("node-1/7/stats/1-10@{today}"), 10),
            (format!("node-1/7/events/1-1@{today}"), 1),
            (format!("node-1/7/stats/12-16@{today}"), 5),
            ("node-1/7/containers/1-1".to_owned(), 1),
        ];
        assert_eq!(tokens(&batches), expected);
    }

    #[test]
    fn rows_on_two_sides_of_midnight_are_two_inserts() {
        let [today, tomorrow] = [noon(), noon() + DAY].map(|at| at.to_string()[..10].to_owned());
        let batches = [samples(1, &[noon(), noon() + DAY, noon()]), samples(4, &[noon() + DAY])];
        let expected = [(format!("node-1/7/stats/1-4@{today}"), 2), (format!("node-1/7/stats/1-4@{tomorrow}"), 2)];
        assert_eq!(tokens(&batches), expected);
    }

    #[test]
    fn the_same_batches_give_the_same_bytes_and_tokens() {
        let batches = crate::fixtures::one_of_each();
        let (a, b) = (Frozen::new(&batches, &[]), Frozen::new(&batches, &[]));
        assert!(a.is_of(&batches));
        assert!(!a.is_of(&batches[1..]));
        for (a, b) in a.inserts.iter().zip(&b.inserts) {
            assert_eq!((a.part.token(), &a.body), (b.part.token(), &b.body));
        }
    }

    #[test]
    fn a_half_leaves_out_what_landed_with_the_whole_and_the_whole_what_landed_with_a_half() {
        let [today, tomorrow] = [noon(), noon() + DAY].map(|at| at.to_string()[..10].to_owned());
        let whole = [samples(1, &[noon(), noon() + DAY, noon(), noon() + DAY])];
        let first_day = Frozen::new(&whole, &[]).inserts[0].part.clone();
        assert_eq!(first_day.token(), format!("node-1/7/stats/1-4@{today}"));
        let tokens = |batches: &[Batch], landed: &[Part]| -> Vec<(String, usize)> {
            let frozen = Frozen::new(batches, landed);
            frozen.inserts.into_iter().map(|insert| (insert.part.token(), insert.rows)).collect()
        };
        // The second half, of which the rows of the first day are there.
        let half = [samples(3, &[noon(), noon() + DAY])];
        assert_eq!(tokens(&half, &[first_day]), [(format!("node-1/7/stats/3-4@{tomorrow}"), 1)]);
        // The whole again, after both days of the second half have landed.
        let landed: Vec<Part> = Frozen::new(&half, &[]).inserts.into_iter().map(|insert| insert.part).collect();
        let expected = [(format!("node-1/7/stats/1-2@{today}"), 1), (format!("node-1/7/stats/1-2@{tomorrow}"), 1)];
        assert_eq!(tokens(&whole, &landed), expected);
    }
}
