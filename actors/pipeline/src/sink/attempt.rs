//! One range, delivered whole or in halves until what is refused stands alone.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use model::{Batch, BatchId, Rows};
use tokio::time::{Instant, timeout};

use crate::ports::{Deliver, DeliverError, FailureClass, Plan, Range, Receipt, Rejection};

/// A range on its way: what is left of it, in parts, and what was refused.
///
/// It outlives failed attempts and, by the plan noted in the journal, the sink and the process: a part that was
/// taken is not sent again under the name of another, which its server would not recognise.
pub(super) struct Delivery<'a> {
    range: &'a Range,
    /// From which row to before which.
    left: VecDeque<(usize, usize)>,
    receipt: Receipt,
    notes: Notes,
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

/// A step of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is left.
    Done,
    /// The parts are others now. Before the next is sent, the plan is to be noted, if there is one.
    Changed(Option<Plan>),
}

impl<'a> Delivery<'a> {
    /// The delivery of `range`, from where `plan` says that it came to.
    pub fn new(range: &'a Range, plan: Option<Plan>) -> Self {
        let rows = range.rows();
        let fits = |plan: &Plan| plan.rows == rows && plan.left.iter().all(|(from, to)| from <= to && *to <= rows);
        let Plan { left, rejected, .. } =
            plan.filter(fits).unwrap_or_else(|| Plan { rows, left: vec![(0, rows)], rejected: Vec::new() });
        Self { range, left: left.into(), receipt: Receipt { rejected }, notes: Notes::default() }
    }

    pub fn into_receipt(self) -> Receipt {
        self.receipt
    }

    /// Delivers one part of what is left. A part that is refused, or too large, is halved; a single row that is
    /// refused is a rejection. Anything else is a setback.
    pub async fn advance(
        &mut self,
        deliver: &mut dyn Deliver,
        within: Duration,
        guard: Guard,
    ) -> Result<Step, Setback> {
        let Some(bounds) = self.left.front().copied() else { return Ok(Step::Done) };
        match attempt(deliver, &part(self.range, bounds), within, guard).await {
            Ok(Ok(partial)) => {
                self.receipt.rejected.extend(partial.rejected);
                self.left.pop_front();
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
        Ok(if self.left.is_empty() { Step::Done } else { Step::Changed(self.note()) })
    }

    /// Where it has come to, if that is to be noted now.
    pub fn note(&mut self) -> Option<Plan> {
        let rows = self.range.rows();
        let plan = || Plan { rows, left: self.left.iter().copied().collect(), rejected: self.receipt.rejected.clone() };
        self.notes.are_due().then(plan)
    }

    /// Halves the part in hand, or rejects its only row.
    fn refuse(&mut self, error: &str) {
        let Some(bounds) = self.left.pop_front() else { return };
        match middle(self.range, bounds) {
            Some(middle) => {
                self.left.push_front((middle, bounds.1));
                self.left.push_front((bounds.0, middle));
            }
            None => self.receipt.rejected.extend(part(self.range, bounds).batches.iter().map(|batch| Rejection {
                stream: batch.id.stream,
                sequence: batch.id.first,
                error: error.to_owned(),
            })),
        }
    }
}

/// How often a delivery was noted. A note is as long as what was refused, so where rows are refused one by one it is
/// not made for each.
#[derive(Debug, Default)]
struct Notes {
    made: u32,
    last: Option<Instant>,
}

impl Notes {
    /// Every change of a range is noted so many times; then, once a pause.
    const EACH: u32 = 256;
    const PAUSE: Duration = Duration::from_secs(1);

    fn are_due(&mut self) -> bool {
        if self.made >= Self::EACH && self.last.is_some_and(|last| last.elapsed() < Self::PAUSE) {
            return false;
        }
        (self.made, self.last) = (self.made.saturating_add(1), Some(Instant::now()));
        true
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

/// The rows of a range from one to before another. Parts of a batch have ids of their own: equal ids mean equal rows.
fn part(range: &Range, (from, to): (usize, usize)) -> Range {
    let (mut batches, mut first) = (Vec::new(), 0);
    for batch in &range.batches {
        let end = first + batch.rows.len();
        let (begin, until) = (from.max(first), to.min(end));
        if (begin, until) == (first, end) {
            batches.push(batch.clone());
        } else if begin < until {
            batches.push(slice(batch, begin - first, until - first));
        }
        first = end;
    }
    Range { first: range.first, end: range.end, batches }
}

/// Where a part is halved: between batches, where it holds more than one; `None` where it holds one row or none.
fn middle(range: &Range, (from, to): (usize, usize)) -> Option<usize> {
    let mut end = 0;
    let ends = range.batches.iter().map(|batch| {
        end += batch.rows.len();
        end
    });
    let between: Vec<usize> = ends.filter(|end| from < *end && *end < to).collect();
    match between.as_slice() {
        [] => Some(from + (to - from) / 2).filter(|middle| *middle > from),
        ends => Some(ends[ends.len() / 2]),
    }
}

/// The rows of a batch from one index up to another, under their own sequence numbers.
pub(super) fn slice(batch: &Batch, from: usize, to: usize) -> Batch {
    let rows = match &batch.rows {
        Rows::Stats(rows) => Rows::Stats(rows[from..to].into()),
        Rows::Events(rows) => Rows::Events(rows[from..to].into()),
        Rows::Containers(rows) => Rows::Containers(rows[from..to].into()),
        Rows::Images(rows) => Rows::Images(rows[from..to].into()),
        Rows::ImageVersions(rows) => Rows::ImageVersions(rows[from..to].into()),
        Rows::Hosts(rows) => Rows::Hosts(rows[from..to].into()),
        Rows::Losses(rows) => Rows::Losses(rows[from..to].into()),
        Rows::Logs(rows) => Rows::Logs(rows[from..to].into()),
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

    /// Advances to the end or the first setback; the plans that were to be noted, the newest last.
    async fn whole(delivery: &mut Delivery<'_>, client: &mut Picky) -> Result<Vec<Plan>, Setback> {
        let mut plans = Vec::new();
        while let Step::Changed(plan) = delivery.advance(client, WITHIN, Guard::None).await? {
            plans.extend(plan);
        }
        Ok(plans)
    }

    #[tokio::test]
    async fn a_delivery_that_begins_again_from_any_note_sends_no_row_under_another_name() {
        let range = Range { first: 0, end: 2, batches: vec![batch(0, 9), batch(10, 19)] };
        let mut once = Picky { poisoned: vec![3, 15], ..Picky::default() };
        let mut delivery = Delivery::new(&range, None);
        let plans = whole(&mut delivery, &mut once).await.unwrap();
        let receipt = delivery.into_receipt();
        assert!(plans.len() > 5, "{plans:?}");
        for plan in plans {
            let taken: Vec<u64> = (0..20)
                .filter(|row| !plan.left.iter().any(|(from, to)| (*from as u64..*to as u64).contains(row)))
                .filter(|row| ![3, 15].contains(row))
                .collect();
            let mut again = Picky { poisoned: vec![3, 15], ..Picky::default() };
            let mut delivery = Delivery::new(&range, Some(plan));
            whole(&mut delivery, &mut again).await.unwrap();
            assert_eq!(delivery.into_receipt(), receipt);
            assert_eq!([taken, again.taken].concat(), once.taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_refused_row_by_row_is_noted_once_a_second_in_the_end() {
        let range = Range { first: 0, end: 1, batches: vec![batch(0, 4999)] };
        let mut picky = Picky { poisoned: (0..5000).collect(), ..Picky::default() };
        let mut delivery = Delivery::new(&range, None);
        let plans = whole(&mut delivery, &mut picky).await.unwrap();
        assert_eq!((plans.len(), delivery.into_receipt().rejected.len()), (256, 5000));
    }

    #[tokio::test]
    async fn a_plan_that_is_not_of_this_range_is_not_followed() {
        let range = Range { first: 0, end: 1, batches: vec![batch(0, 9)] };
        for (rows, left) in [(10, (5, 50)), (20, (5, 10))] {
            let plan = Plan { rows, left: vec![left], rejected: Vec::new() };
            let (mut delivery, mut picky) = (Delivery::new(&range, Some(plan)), Picky::default());
            whole(&mut delivery, &mut picky).await.unwrap();
            assert_eq!(picky.taken, (0..10).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn refused_rows_stand_alone_and_all_others_are_delivered_once() {
        let mut picky = Picky { poisoned: vec![0, 13, 29], ..Picky::default() };
        let range = Range { first: 0, end: 3, batches: vec![batch(0, 9), batch(10, 10), batch(11, 29)] };
        let mut delivery = Delivery::new(&range, None);
        whole(&mut delivery, &mut picky).await.unwrap();
        let rejected: Vec<u64> = delivery.into_receipt().rejected.iter().map(|rejection| rejection.sequence).collect();
        assert_eq!(rejected, [0, 13, 29]);
        let expected: Vec<u64> = (0..30).filter(|sequence| !rejected.contains(sequence)).collect();
        assert_eq!(picky.taken, expected);
    }

    #[tokio::test]
    async fn a_half_that_was_taken_is_not_sent_again_when_the_other_half_fails() {
        let mut picky = Picky { poisoned: vec![0], failing_at: Some(7), ..Picky::default() };
        let range = Range { first: 0, end: 1, batches: vec![batch(0, 9)] };
        let mut delivery = Delivery::new(&range, None);
        let setback = whole(&mut delivery, &mut picky).await.unwrap_err();
        assert!(matches!(setback, Setback::Failed(error) if error.class == FailureClass::Retry));
        (picky.failing_at, picky.poisoned) = (None, vec![]);
        whole(&mut delivery, &mut picky).await.unwrap();
        assert_eq!(picky.taken, (1..10).collect::<Vec<_>>(), "each row once, under the name of its part");
        assert_eq!(delivery.into_receipt().rejected.len(), 1);
    }

    #[tokio::test]
    async fn under_guard_a_panic_of_the_client_refuses_what_it_was_given() {
        let range = Range { first: 0, end: 1, batches: vec![batch(0, 3)] };
        let mut delivery = Delivery::new(&range, None);
        let mut taken = Vec::new();
        for _ in 0..10 {
            let mut client = Picky { deadly: Some(2), ..Picky::default() };
            let outcome = delivery.advance(&mut client, WITHIN, Guard::Panics).await;
            taken.extend(client.taken);
            if outcome == Ok(Step::Done) {
                break;
            }
        }
        assert_eq!(taken, [0, 1, 3]);
        assert_eq!(delivery.into_receipt().rejected[0].sequence, 2);
    }

    #[tokio::test]
    async fn an_empty_range_is_delivered_as_it_is() {
        let range = Range { first: 4, end: 5, batches: vec![] };
        let mut delivery = Delivery::new(&range, None);
        whole(&mut delivery, &mut Picky::default()).await.unwrap();
        assert_eq!(delivery.into_receipt(), Receipt::default());
    }
}
