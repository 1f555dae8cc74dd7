//! Which containers are looked at, and when a full look is over: pure.

use std::collections::{HashSet, VecDeque};

use model::ContainerId;
use tokio::time::Instant;

use super::table::Table;

/// Looks under way at once: an engine has other things to do, and a wedged container holds up one of them.
const AT_ONCE: usize = 8;

/// The looks to take. Whose state is in doubt goes before those a full look only passes by.
#[derive(Debug, Default)]
pub struct Looks {
    urgent: VecDeque<ContainerId>,
    patrol: VecDeque<ContainerId>,
    under_way: usize,
}

impl Looks {
    /// To be looked at before all that is not urgent.
    pub fn urgent(&mut self, id: ContainerId) {
        self.urgent.push_back(id);
    }

    /// To be looked at when its turn comes.
    pub fn patrol(&mut self, id: ContainerId) {
        self.patrol.push_back(id);
    }

    /// The next look to take now, with the version to put its answer in under.
    pub fn next(&mut self, table: &mut Table) -> Option<(ContainerId, u64)> {
        if self.under_way >= AT_ONCE {
            return None;
        }
        loop {
            let id = self.urgent.pop_front().or_else(|| self.patrol.pop_front())?;
            // It may be in both queues, and looked at already.
            if let Some(version) = table.begin(&id) {
                self.under_way += 1;
                return Some((id, version));
            }
        }
    }

    /// A look is over.
    pub fn done(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

/// A full look under way.
#[derive(Debug)]
pub struct Round {
    /// When the list was asked for.
    pub since: Instant,
    left: HashSet<ContainerId>,
    has_failed: bool,
}

impl Round {
    /// All of `ids` are to be looked at.
    pub fn new(since: Instant, ids: &[ContainerId]) -> Self {
        Self { since, left: ids.iter().cloned().collect(), has_failed: false }
    }

    /// A container was looked at, or could not be.
    pub fn settled(&mut self, id: &ContainerId, is_known: bool) {
        if self.left.remove(id) {
            self.has_failed |= !is_known;
        }
    }

    /// True once none is left.
    pub fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// True where nothing failed and nothing is left.
    pub fn is_whole(&self) -> bool {
        self.is_over() && !self.has_failed
    }
}
