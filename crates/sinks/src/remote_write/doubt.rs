//! Which records a server may have although it has not said so.

use model::{Batch, BatchId};

/// Records that were sent without an answer, in this life or perhaps in the one before.
///
/// A server keeps a series in its order: it refuses what it has, once it has something newer, as out of order. Of a record that
/// may be there, this says that it is there; of any other, that it came too late.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    unanswered: Vec<BatchId>,
    /// Something was sent in this life.
    begun: bool,
}

impl Doubt {
    /// Before a range is sent. The first of a life may have been sent by the life before.
    pub fn sending(&mut self, batches: &[Batch]) {
        if !self.begun {
            self.begun = true;
            self.unanswered(batches);
        }
    }

    /// There was no answer to this range.
    pub fn unanswered(&mut self, batches: &[Batch]) {
        if !self.is_of(batches) {
            self.unanswered.extend(batches.iter().map(|batch| batch.id.clone()));
        }
    }

    /// This range is settled. Once one is that was never in doubt, those before it are settled, too.
    pub fn settled(&mut self, batches: &[Batch]) {
        if !self.is_of(batches) {
            self.unanswered.clear();
        }
    }

    /// Whether the server may have all records of a range already.
    pub fn is_of(&self, batches: &[Batch]) -> bool {
        let within = |id: &BatchId, of: &BatchId| {
            (&id.node, id.epoch, id.stream) == (&of.node, of.epoch, of.stream)
                && of.first <= id.first
                && id.last <= of.last
        };
        batches.iter().all(|batch| self.unanswered.iter().any(|of| within(&batch.id, of)))
    }
}

#[cfg(test)]
mod tests {
    use model::Rows;

    use super::*;
    use crate::fixtures::{batch, noon, stats};

    fn samples(first: u64, count: usize) -> Vec<Batch> {
        vec![batch(first, Rows::Stats(vec![stats(1, noon()); count].into()))]
    }

    #[test]
    fn what_was_sent_without_an_answer_is_in_doubt_in_all_its_parts_until_something_else_is_settled() {
        let mut doubt = Doubt::default();
        doubt.sending(&samples(0, 10));
        assert!(doubt.is_of(&samples(0, 10)) && doubt.is_of(&samples(3, 2)), "the life before may have sent it");
        doubt.settled(&samples(0, 5));
        assert!(doubt.is_of(&samples(5, 5)), "the other half still is");
        doubt.sending(&samples(10, 10));
        assert!(!doubt.is_of(&samples(10, 10)));
        doubt.settled(&samples(10, 10));
        assert!(!doubt.is_of(&samples(5, 5)));
        doubt.unanswered(&samples(20, 10));
        assert!(doubt.is_of(&samples(29, 1)) && !doubt.is_of(&samples(29, 2)));
    }
}
