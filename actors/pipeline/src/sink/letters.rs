//! What was refused of a range, as letters.

use model::Timestamp;

use super::attempt::slice;
use crate::ports::{Letter, Range, Receipt};

/// A letter for each row of `range` that `receipt` refuses.
pub(super) fn letters(sink: &str, range: &Range, receipt: &Receipt, now: Timestamp) -> Vec<Letter> {
    let letter = |rejection: &crate::ports::Rejection| {
        let of =
            |id: &model::BatchId| id.stream == rejection.stream && (id.first..=id.last).contains(&rejection.sequence);
        let batch = range.batches.iter().find(|batch| of(&batch.id))?;
        let index = usize::try_from(rejection.sequence - batch.id.first).ok()?;
        Some(Letter {
            sink: sink.to_owned(),
            batch: batch.id.clone(),
            refused_at: now,
            error: rejection.error.clone(),
            record: slice(batch, index, index + 1),
        })
    };
    receipt.rejected.iter().filter_map(letter).collect()
}
