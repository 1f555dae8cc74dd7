//! First and last time of the records of a batch.

use model::{Rows, Timestamp};

/// The time that says when the record at `index` happened.
pub(crate) fn time_of(rows: &Rows, index: usize) -> Option<Timestamp> {
    match rows {
        Rows::Stats(rows) => rows.get(index).map(|row| row.timestamp),
        Rows::Events(rows) => rows.get(index).map(|row| row.timestamp),
        Rows::Containers(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::Hosts(rows) => rows.get(index).map(|row| row.observed_at),
        Rows::Losses(rows) => rows.get(index).map(|row| row.last_at),
    }
}

/// The earliest and the latest time in `rows`; `None` where there are no rows.
pub(crate) fn span_of(rows: &Rows) -> Option<(Timestamp, Timestamp)> {
    (0..rows.len()).filter_map(|index| time_of(rows, index)).fold(None, |span, time| {
        let (first, last) = span.unwrap_or((time, time));
        Some((first.min(time), last.max(time)))
    })
}
