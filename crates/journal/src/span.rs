//! What a batch's records and sequence say: their times, what was refused, what follows what.

use std::collections::BTreeSet;

use model::{Batch, BatchId, Rows, Timestamp};
use pipeline::ports::Receipt;

/// The time that says when the record at `index` happened.
fn time_of(rows: &Rows, index: usize) -> Option<Timestamp> {
    match rows {
        Rows::Stats(rows) => rows.get(index).map(|row| row.timestamp),
        Rows::Events(rows) => rows.get(index).map(|row| row.timestamp),
        Rows::Containers(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::Images(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::ImageVersions(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::Hosts(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::Losses(rows) => rows.get(index).map(|row| row.last_at),
        Rows::Logs(rows) => rows.get(index).map(|row| row.timestamp),
    }
}

/// The earliest and the latest time in `rows`; `None` where there are no rows.
pub(crate) fn span_of(rows: &Rows) -> Option<(Timestamp, Timestamp)> {
    (0..rows.len()).filter_map(|index| time_of(rows, index)).fold(None, |span, time| {
        let (first, last) = span.unwrap_or((time, time));
        Some((first.min(time), last.max(time)))
    })
}

/// The times of the rows of `batch` that `receipt` refuses, each once.
pub(crate) fn refused(batch: &Batch, receipt: &Receipt) -> Vec<Timestamp> {
    let id = &batch.id;
    let sequences: BTreeSet<u64> = receipt
        .rejected
        .iter()
        .filter(|rejection| rejection.stream == id.stream)
        .map(|rejection| rejection.sequence)
        .filter(|sequence| (id.first..=id.last).contains(sequence))
        .collect();
    let row = |sequence: u64| usize::try_from(sequence - id.first).unwrap_or(usize::MAX);
    sequences.into_iter().filter_map(|sequence| time_of(&batch.rows, row(sequence))).collect()
}

/// True where `next` follows `before` without a gap.
pub(crate) fn continues(before: &BatchId, next: &BatchId) -> bool {
    before.node == next.node && before.epoch == next.epoch && before.last.checked_add(1) == Some(next.first)
}
