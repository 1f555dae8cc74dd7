//! The newest batches in memory: sinks that keep up read nothing from the file.

use std::collections::BTreeMap;

use model::Batch;

/// Bytes of them.
const RECENT: usize = 8 << 20;

/// The newest batches, by position.
#[derive(Default)]
pub(super) struct Recent {
    batches: BTreeMap<u64, Batch>,
    bytes: usize,
}

impl Recent {
    pub(super) fn get(&self, position: u64) -> Option<Batch> {
        self.batches.get(&position).cloned()
    }

    pub(super) fn put(&mut self, position: u64, batch: Batch) {
        self.bytes += batch.bytes;
        self.batches.insert(position, batch);
        while self.bytes > RECENT {
            self.pop();
        }
    }

    pub(super) fn forget_before(&mut self, position: u64) {
        while self.batches.first_key_value().is_some_and(|(oldest, _)| *oldest < position) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, batch)) = self.batches.pop_first() {
            self.bytes -= batch.bytes;
        }
    }
}
