//! Which batches came lately: one that comes again, because its writer does not know that it came, is recognised.

use std::collections::VecDeque;

use model::BatchId;

/// Batches remembered: many times what a writer has in hand.
const REMEMBERED: usize = 256;

/// The newest batches, by name.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    ids: VecDeque<BatchId>,
}

impl Repeats {
    pub(crate) fn remember(&mut self, id: &BatchId) {
        if self.ids.len() == REMEMBERED {
            self.ids.pop_front();
        }
        self.ids.push_back(id.clone());
    }

    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        // Numbers first: they tell nearly all apart.
        let same = |one: &BatchId| (one.first, one.last) == (id.first, id.last) && one == id;
        self.ids.iter().rev().any(same)
    }
}
