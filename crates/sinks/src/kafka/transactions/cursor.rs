//! How far Kafka is: written in the transaction of the records, so that both are there, or neither.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{Batch, BatchId, NodeName, Stream};
use pipeline::ports::Rejection;
use serde::{Deserialize, Serialize};

use crate::kafka::config::Writer;

/// Header `schema` of a cursor.
pub(crate) const SCHEMA: &str = "dockstream.cursors.v1";

/// Runs of refused records in a cursor, at most: it has to fit into a message.
const REFUSED: usize = 1_000;

/// The last record of each stream that is in Kafka, and what was refused on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    streams: BTreeMap<Stream, Position>,
    /// Of the range under delivery. A range that is delivered again after a crash must not take for delivered what
    /// was refused: it lies before the cursor like the rest.
    #[serde(default)]
    refused: Vec<Refused>,
}

/// Epochs rise, and sequences rise within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Position {
    epoch: u64,
    sequence: u64,
}

/// Consecutive records refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    stream: Stream,
    epoch: u64,
    first: u64,
    last: u64,
    error: String,
}

/// The value of a cursor's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    node: NodeName,
    sink: String,
    folder: String,
    /// Epoch of the process that wrote it.
    epoch: u64,
    /// Name of that process.
    start: String,
    #[serde(flatten)]
    cursor: Cursor,
}

/// Why a cursor that was read back is not gone by.
#[derive(Debug, thiserror::Error)]
pub(super) enum CursorError {
    #[error("it was written by another version of dockstream: {0}")]
    Unknown(#[from] serde_json::Error),
    /// Its sequences were used before, for other records: those would be taken for delivered.
    #[error(
        "it was written in epoch {theirs}, and this start has epoch {ours}: the data folder is an older copy of itself; \
         remove the file `identity` in it, so that it counts as a new one"
    )]
    Ahead { theirs: u64, ours: u64 },
}

impl Cursor {
    /// The rows of `batch` that Kafka does not have, by index.
    pub(super) fn left(&self, batch: &Batch) -> Range<usize> {
        let (id, rows) = (&batch.id, batch.rows.len());
        let Some(there) = self.streams.get(&id.stream) else { return 0..rows };
        let position = |sequence| Position { epoch: id.epoch, sequence };
        if position(id.last) <= *there {
            return rows..rows;
        }
        if position(id.first) > *there {
            return 0..rows;
        }
        let delivered = usize::try_from(there.sequence - id.first).unwrap_or(usize::MAX);
        delivered.saturating_add(1).min(rows)..rows
    }

    /// All rows of the batch are in Kafka, or refused.
    pub(super) fn advance(&mut self, id: &BatchId) {
        self.streams.insert(id.stream, Position { epoch: id.epoch, sequence: id.last });
    }

    /// The row at `index` of the batch will never be there.
    pub(super) fn refuse(&mut self, id: &BatchId, index: usize, error: &str) {
        let sequence = id.first + index as u64;
        if let Some(run) = self.refused.last_mut()
            && (run.stream, run.epoch, run.last + 1, &*run.error) == (id.stream, id.epoch, sequence, error)
        {
            run.last = sequence;
            return;
        }
        let error = error.chars().take(200).collect();
        self.refused.push(Refused { stream: id.stream, epoch: id.epoch, first: sequence, last: sequence, error });
    }

    /// Those rows of `batches` that were refused.
    pub(super) fn rejections(&self, batches: &[Batch]) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        for id in batches.iter().map(|batch| &batch.id) {
            for run in self.refused.iter().filter(|run| (run.stream, run.epoch) == (id.stream, id.epoch)) {
                let both = run.first.max(id.first)..=run.last.min(id.last);
                rejections.extend(both.map(|sequence| Rejection {
                    stream: id.stream,
                    sequence,
                    error: run.error.clone(),
                }));
            }
        }
        rejections
    }

    /// The range is behind: what was refused of it has been told.
    pub(super) fn forget_refused(&mut self) {
        self.refused.clear();
    }

    /// The value of the record that carries it.
    pub(super) fn value(&self, writer: &Writer) -> Vec<u8> {
        let mut cursor = self.clone();
        if let Some(over) = cursor.refused.len().checked_sub(REFUSED).filter(|over| *over > 0) {
            tracing::warn!(over, "so many records refused apart from each other do not fit into the cursor");
            cursor.refused.drain(..over);
        }
        let Writer { node, sink, folder, epoch, start } = writer.clone();
        serde_json::to_vec(&Value { node, sink, folder, epoch, start, cursor }).expect("a cursor is written as JSON")
    }

    /// From the value of the writer's record.
    pub(super) fn from_value(value: &[u8], writer: &Writer) -> Result<Self, CursorError> {
        let value: Value = serde_json::from_slice(value)?;
        if value.epoch > writer.epoch || (value.epoch == writer.epoch && value.start != writer.start) {
            return Err(CursorError::Ahead { theirs: value.epoch, ours: writer.epoch });
        }
        Ok(value.cursor)
    }
}

/// The key of the writer's cursor. Compaction keeps the last of each.
pub(super) fn key(writer: &Writer) -> String {
    format!("{}/{}/{}", writer.node, writer.sink, writer.folder)
}

/// The value of a cursor with something in every field.
#[cfg(test)]
pub(crate) fn example() -> Vec<u8> {
    let batch = crate::fixtures::one_of_each().remove(0);
    let mut cursor = Cursor::default();
    cursor.refuse(&batch.id, 0, "too large");
    cursor.advance(&batch.id);
    let (node, sink) = (batch.id.node, "kafka".to_owned());
    cursor.value(&Writer { node, sink, folder: "f".into(), epoch: 7, start: "s".into() })
}

#[cfg(test)]
mod tests {
    use model::Rows;

    use super::*;
    use crate::fixtures::{batch, loss, noon};

    fn losses(epoch: u64, first: u64, rows: usize) -> Batch {
        let mut batch = batch(first, Rows::Losses(vec![loss(noon()); rows].into()));
        batch.id.epoch = epoch;
        batch
    }

    fn after(batches: &[Batch]) -> Cursor {
        let mut cursor = Cursor::default();
        batches.iter().for_each(|batch| cursor.advance(&batch.id));
        cursor
    }

    fn writer(epoch: u64, start: &str) -> Writer {
        let node = "n".parse().unwrap();
        Writer { node, sink: "kafka".into(), folder: "f".into(), epoch, start: start.into() }
    }

    #[test]
    fn a_cursor_from_a_later_life_of_the_data_folder_is_not_gone_by() {
        let value = Cursor::default().value(&writer(7, "a"));
        assert!(Cursor::from_value(&value, &writer(7, "a")).is_ok());
        assert!(Cursor::from_value(&value, &writer(8, "b")).is_ok());
        for older in [writer(7, "b"), writer(6, "b")] {
            let error = Cursor::from_value(&value, &older).unwrap_err().to_string();
            assert!(error.starts_with("it was written in epoch 7, and this start has epoch "), "{error}");
        }
        let error = Cursor::from_value(b"{}", &writer(8, "b")).unwrap_err().to_string();
        assert!(error.starts_with("it was written by another version"), "{error}");
    }

    #[test]
    fn what_lies_behind_the_cursor_is_left_out() {
        let cursor = after(&[losses(3, 1, 10)]);
        assert_eq!(cursor.left(&losses(3, 1, 10)), 10..10);
        assert_eq!(cursor.left(&losses(3, 1, 5)), 5..5);
        assert_eq!(cursor.left(&losses(3, 6, 10)), 5..10);
        assert_eq!(cursor.left(&losses(3, 11, 4)), 0..4);
        assert_eq!(Cursor::default().left(&losses(3, 1, 4)), 0..4);
    }

    #[test]
    fn a_new_epoch_begins_its_sequences_anew() {
        let cursor = after(&[losses(3, 1, 10)]);
        assert_eq!(cursor.left(&losses(4, 1, 10)), 0..10);
        assert_eq!(cursor.left(&losses(2, 100, 10)), 10..10);
    }

    #[test]
    fn streams_do_not_know_of_each_other() {
        let cursor = after(&[batch(1, Rows::Stats([].into()))]);
        assert_eq!(cursor.left(&losses(1, 1, 3)), 0..3);
    }

    #[test]
    fn refused_rows_stay_refused_when_their_range_comes_again() {
        let whole = losses(3, 1, 10);
        let mut cursor = Cursor::default();
        for index in [2, 3, 7] {
            cursor.refuse(&whole.id, index, "too large");
        }
        cursor.advance(&whole.id);
        let writer = writer(3, "a");
        let back = Cursor::from_value(&cursor.value(&writer), &writer).unwrap();
        assert_eq!(back, cursor);
        let sequences = |batches: &[Batch]| -> Vec<u64> {
            back.rejections(batches).iter().map(|rejection| rejection.sequence).collect()
        };
        assert_eq!(sequences(&[whole]), [3, 4, 8]);
        assert_eq!(sequences(&[losses(3, 4, 2), losses(3, 9, 2)]), [4]);
        assert!(sequences(&[losses(4, 1, 10)]).is_empty());
    }

    #[test]
    fn a_cursor_has_room_for_a_bounded_number_of_refusals() {
        let mut cursor = Cursor::default();
        let whole = losses(1, 0, 1);
        (0..3_000).for_each(|sequence| cursor.refuse(&whole.id, 2 * sequence, "too large"));
        let writer = writer(3, "a");
        let value = cursor.value(&writer);
        assert!(value.len() < 200_000, "{}", value.len());
        assert_eq!(Cursor::from_value(&value, &writer).unwrap().refused, cursor.refused[2_000..]);
    }
}
