//! What outlives a panic of the journal's writer: batches that were sent to it and are not journaled yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_runtime::Permit;
use model::{Batch, LossReason};

use crate::messages::Append;
use crate::metrics::Metrics;
use crate::ports::Mark;
use crate::position::by_source;

/// Bytes appended in one step, at most; a single batch may exceed it.
const GROUP: usize = 4 << 20;

/// Lent to the writer by the topology. Clones share it.
#[derive(Clone, Default)]
pub struct Intake {
    waiting: Arc<Mutex<VecDeque<(Append, Permit)>>>,
}

impl Intake {
    pub(super) fn push(&self, append: Append, room: Permit) {
        self.lock().push_back((append, room));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The oldest batches, as many as go in one step, and where their sources begin again once they are kept.
    pub(super) fn group(&self) -> (Vec<Batch>, Vec<Mark>) {
        let waiting = self.lock();
        let mut bytes = 0;
        let fits = |append: &Append| {
            let is_first = bytes == 0;
            bytes += append.batch.bytes.max(1);
            is_first || bytes <= GROUP
        };
        let mut fits = fits;
        let group: Vec<&Append> = waiting.iter().map(|(append, _)| append).take_while(|append| fits(append)).collect();
        let mut marks = Vec::new();
        by_source(group.iter().flat_map(|append| append.custody.places()), |source, places| {
            marks.push(source.mark(places));
        });
        (group.into_iter().map(|append| append.batch.clone()).collect(), marks)
    }

    /// The journal has the oldest `count`.
    pub(super) fn kept(&self, count: usize, metrics: &Metrics) {
        let kept: Vec<_> = self.lock().drain(..count).collect();
        for (Append { batch, custody }, _room) in kept {
            custody.journaled();
            metrics.batch(&batch);
        }
    }

    /// Nothing is kept any more.
    pub(super) fn lost(&self, reason: LossReason) {
        let lost = std::mem::take(&mut *self.lock());
        for (append, _room) in lost {
            append.custody.lost(reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Append, Permit)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
