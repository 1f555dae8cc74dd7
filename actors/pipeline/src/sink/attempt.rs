//! One range, delivered whole or in halves until what is refused stands alone.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use model::{Batch, BatchId, Rows};
use tokio::time::timeout;

use crate::ports::{Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};

/// A range on its way: what is left of it, in parts, and what was refused.
///
/// It outlives failed attempts: a part that was taken is not sent again under the name of the whole, which
/// its server would not recognise. It does not outlive the sink: after a restart the range begins as a whole
/// again, and a server that knows rows by the name of their insert may store those of a part twice.
pub(super) struct Delivery {
    parts: VecDeque<Range>,
    receipt: Receipt,
}

/// Whether a panic of the client ends the sink's life, or is taken as a refusal of what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    None,
    Panics,
}

/// Why a delivery did not get to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setback {
    /// The client says so; the part in hand may be tried again.
    Failed(DeliverError),
    /// The client panicked, and what it panicked on was refused. It is not to be used again.
    Panicked,
}

impl Delivery {
    pub fn new(range: &Range) -> Self {
        Self { parts: VecDeque::from([range.clone()]), receipt: Receipt::default() }
    }

    pub fn into_receipt(self) -> Receipt {
        self.receipt
    }

    /// Delivers what is left. A part that is refused, or too large, is halved; a single row that is refused is
    /// a rejection. Anything else is a setback.
    pub async fn advance(&mut self, deliver: &mut dyn Deliver, within: Duration, guard: Guard) -> Result<(), Setback> {
        while let Some(part) = self.parts.front() {
            match attempt(deliver, part, within, guard).await {
                Ok(Ok(partial)) => {
                    self.receipt.rejected.extend(partial.rejected);
                    self.parts.pop_front();
                }
                Ok(Err(error)) if matches!(error.class, FailureClass::Poison | FailureClass::Split) => {
                    self.refuse(&error.message);
                }
                Ok(Err(error)) => return Err(Setback::Failed(error)),
                Err(Panicked) => {
                    self.refuse("the client panicked");
                    return Err(Setback::Panicked);
                }
            }
        }
        Ok(())
    }

    /// Halves the part in hand, or rejects its only row.
    fn refuse(&mut self, error: &str) {
        let Some(part) = self.parts.pop_front() else { return };
        match halve(&part) {
            Some((left, right)) => {
                self.parts.push_front(right);
                self.parts.push_front(left);
            }
            None => self.receipt.rejected.extend(part.batches.iter().map(|batch| Rejection {
                stream: batch.id.stream,
                sequence: batch.id.first,
                error: error.to_owned(),
            })),
        }
    }
}

struct Panicked;

async fn attempt(
    deliver: &mut dyn Deliver,
    part: &Range,
    within: Duration,
    guard: Guard,
) -> Result<Result<Receipt, DeliverError>, Panicked> {
    let bounded = async {
        let silent = || DeliverError::new(FailureClass::Retry, format!("the client has not returned for {within:?}"));
        timeout(within, deliver.deliver(part)).await.unwrap_or_else(|_| Err(silent()))
    };
    match guard {
        Guard::None => Ok(bounded.await),
        // Whoever asks for this guard throws the client away.
        Guard::Panics => AssertUnwindSafe(bounded).catch_unwind().await.map_err(|_| Panicked),
    }
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

    use async_trait::async_trait;
    use model::{LossReason, LossRecord, NodeName, Stream, Timestamp, Trigger};

    use super::*;
    use crate::ports::Appetite;

    /// Refuses every range that holds one of the poisoned rows, and remembers what it took.
    #[derive(Default)]
    struct Picky {
        poisoned: Vec<u64>,
        failing_at: Option<u64>,
        deadly: Option<u64>,
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
            assert!(self.deadly.is_none_or(|deadly| !sequences.contains(&deadly)), "deadly");
            if self.failing_at.is_some_and(|at| sequences.contains(&at)) {
                return Err(DeliverError::new(FailureClass::Retry, "reset"));
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

    const WITHIN: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn refused_rows_stand_alone_and_all_others_are_delivered_once() {
        let mut picky = Picky { poisoned: vec![0, 13, 29], ..Picky::default() };
        let mut delivery =
            Delivery::new(&Range { first: 0, end: 3, batches: vec![batch(0, 9), batch(10, 10), batch(11, 29)] });
        delivery.advance(&mut picky, WITHIN, Guard::None).await.unwrap();
        let rejected: Vec<u64> = delivery.into_receipt().rejected.iter().map(|rejection| rejection.sequence).collect();
        assert_eq!(rejected, [0, 13, 29]);
        let expected: Vec<u64> = (0..30).filter(|sequence| !rejected.contains(sequence)).collect();
        assert_eq!(picky.taken, expected);
    }

    #[tokio::test]
    async fn a_half_that_was_taken_is_not_sent_again_when_the_other_half_fails() {
        let mut picky = Picky { poisoned: vec![0], failing_at: Some(7), ..Picky::default() };
        let mut delivery = Delivery::new(&Range { first: 0, end: 1, batches: vec![batch(0, 9)] });
        let setback = delivery.advance(&mut picky, WITHIN, Guard::None).await.unwrap_err();
        assert!(matches!(setback, Setback::Failed(error) if error.class == FailureClass::Retry));
        (picky.failing_at, picky.poisoned) = (None, vec![]);
        delivery.advance(&mut picky, WITHIN, Guard::None).await.unwrap();
        assert_eq!(picky.taken, (1..10).collect::<Vec<_>>(), "each row once, under the name of its part");
        assert_eq!(delivery.into_receipt().rejected.len(), 1);
    }

    #[tokio::test]
    async fn under_guard_a_panic_of_the_client_refuses_what_it_was_given() {
        let mut delivery = Delivery::new(&Range { first: 0, end: 1, batches: vec![batch(0, 3)] });
        let mut taken = Vec::new();
        for _ in 0..10 {
            let mut client = Picky { deadly: Some(2), ..Picky::default() };
            let outcome = delivery.advance(&mut client, WITHIN, Guard::Panics).await;
            taken.extend(client.taken);
            if outcome.is_ok() {
                break;
            }
        }
        assert_eq!(taken, [0, 1, 3]);
        assert_eq!(delivery.into_receipt().rejected[0].sequence, 2);
    }

    #[tokio::test]
    async fn an_empty_range_is_delivered_as_it_is() {
        let mut delivery = Delivery::new(&Range { first: 4, end: 5, batches: vec![] });
        delivery.advance(&mut Picky::default(), WITHIN, Guard::None).await.unwrap();
        assert_eq!(delivery.into_receipt(), Receipt::default());
    }
}
