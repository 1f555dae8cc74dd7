//! One range, delivered whole or in halves until what is refused stands alone.

use std::collections::VecDeque;

use model::{Batch, BatchId, Rows};

use crate::ports::{Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};

/// Delivers `range`. A range that is refused, or too large, is halved; a single row that is refused is
/// a rejection. Any other error is returned, and the whole range may be tried again.
pub(super) async fn deliver_or_halve(deliver: &mut dyn Deliver, range: &Range) -> Result<Receipt, DeliverError> {
    let mut receipt = Receipt::default();
    let mut parts = VecDeque::from([range.clone()]);
    while let Some(part) = parts.pop_front() {
        match deliver.deliver(&part).await {
            Ok(partial) => receipt.rejected.extend(partial.rejected),
            Err(error) if matches!(error.class, FailureClass::Poison | FailureClass::Split) => match halve(&part) {
                Some((left, right)) => {
                    parts.push_front(right);
                    parts.push_front(left);
                }
                None => receipt.rejected.extend(part.batches.iter().map(|batch| Rejection {
                    stream: batch.id.stream,
                    sequence: batch.id.first,
                    error: error.message.clone(),
                })),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(receipt)
}

/// Two halves of a range; `None` where it holds one row or none. The halves of a batch have ids of
/// their own: equal ids mean equal rows.
fn halve(range: &Range) -> Option<(Range, Range)> {
    let part = |batches: &[Batch]| Range { first: range.first, end: range.end, batches: batches.to_vec() };
    match range.batches.as_slice() {
        [] => None,
        [batch] => {
            let middle = batch.rows.len() / 2;
            (middle > 0).then(|| (part(&[slice(batch, 0, middle)]), part(&[slice(batch, middle, batch.rows.len())])))
        }
        batches => {
            let (left, right) = batches.split_at(batches.len() / 2);
            Some((part(left), part(right)))
        }
    }
}

fn slice(batch: &Batch, from: usize, to: usize) -> Batch {
    let rows = match &batch.rows {
        Rows::Stats(rows) => Rows::Stats(rows[from..to].into()),
        Rows::Events(rows) => Rows::Events(rows[from..to].into()),
        Rows::Containers(rows) => Rows::Containers(rows[from..to].into()),
        Rows::Hosts(rows) => Rows::Hosts(rows[from..to].into()),
        Rows::Losses(rows) => Rows::Losses(rows[from..to].into()),
    };
    let id = BatchId { first: batch.id.first + from as u64, last: batch.id.first + to as u64 - 1, ..batch.id.clone() };
    Batch { id, bytes: batch.bytes * (to - from) / batch.rows.len(), rows, ..batch.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use model::{LossReason, LossRecord, NodeName, Stream, Timestamp, Trigger};

    use super::*;
    use crate::ports::Appetite;

    /// Refuses every range that holds one of the poisoned rows, and remembers what it took.
    struct Picky {
        poisoned: Vec<u64>,
        taken: Vec<u64>,
    }

    #[async_trait]
    impl Deliver for Picky {
        fn kind(&self) -> &'static str {
            "picky"
        }
        fn target(&self) -> String {
            "memory".into()
        }
        fn appetite(&self) -> Appetite {
            Appetite { rows: 1000, bytes: 1000, linger: Duration::ZERO, streams: vec![Stream::Losses] }
        }
        async fn prepare(&mut self) -> Result<(), DeliverError> {
            Ok(())
        }
        async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
            let sequences: Vec<u64> = range.batches.iter().flat_map(|batch| batch.id.first..=batch.id.last).collect();
            if sequences.iter().any(|sequence| self.poisoned.contains(sequence)) {
                return Err(DeliverError::new(FailureClass::Poison, "refused"));
            }
            self.taken.extend(sequences);
            Ok(Receipt::default())
        }
    }

    fn batch(first: u64, last: u64) -> Batch {
        let row = LossRecord {
            stream: Stream::Stats,
            sink: None,
            reason: LossReason::Panic,
            count: 1,
            first_at: Timestamp::default(),
            last_at: Timestamp::default(),
        };
        let rows: Arc<[LossRecord]> = vec![row; usize::try_from(last - first + 1).unwrap()].into();
        let node = NodeName::try_new("n").unwrap();
        Batch {
            id: BatchId { node, epoch: 1, stream: Stream::Losses, first, last },
            trigger: Trigger::Count,
            bytes: 100,
            opened_at: Timestamp::default(),
            rows: Rows::Losses(rows),
        }
    }

    #[tokio::test]
    async fn refused_rows_stand_alone_and_all_others_are_delivered_once() {
        let mut picky = Picky { poisoned: vec![0, 13, 29], taken: vec![] };
        let range = Range { first: 0, end: 3, batches: vec![batch(0, 9), batch(10, 10), batch(11, 29)] };
        let receipt = deliver_or_halve(&mut picky, &range).await.unwrap();
        let rejected: Vec<u64> = receipt.rejected.iter().map(|rejection| rejection.sequence).collect();
        assert_eq!(rejected, [0, 13, 29]);
        let expected: Vec<u64> = (0..30).filter(|sequence| !rejected.contains(sequence)).collect();
        assert_eq!(picky.taken, expected);
    }

    #[tokio::test]
    async fn an_empty_range_is_delivered_as_it_is() {
        let mut picky = Picky { poisoned: vec![], taken: vec![] };
        let range = Range { first: 4, end: 5, batches: vec![] };
        assert_eq!(deliver_or_halve(&mut picky, &range).await.unwrap(), Receipt::default());
    }
}
