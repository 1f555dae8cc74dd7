//! Whom selection takes, and what is still told of those it does not.

use std::collections::HashSet;

use model::{ContainerId, ContainerRecord};

use super::Inventory;

/// The containers that are there and not wanted.
#[derive(Debug, Default)]
pub struct Unselected {
    ids: HashSet<ContainerId>,
}

impl Inventory {
    /// True where the data of a container that was looked at are wanted; counts those that are not.
    pub(super) fn pick(&mut self, id: &ContainerId, found: Option<&ContainerRecord>) -> bool {
        let is_selected = found.is_some_and(|record| self.deps.selection.takes(record));
        let unselected = &mut self.state.unselected.ids;
        let is_other = match found {
            Some(_) if !is_selected => !unselected.contains(id) && unselected.insert(id.clone()),
            _ => unselected.remove(id),
        };
        if is_other {
            self.count_unselected();
        }
        is_selected
    }

    /// Shows how many containers are not wanted.
    pub(super) fn count_unselected(&self) {
        self.deps.metrics.unselected(self.deps.engine.host().as_str(), self.state.unselected.ids.len());
    }

    /// The record to tell of what a look found; `None` where nobody is to hear of it.
    ///
    /// Of a container that is not wanted two things are told: the change by which it went out, and that it is gone,
    /// where somebody has a record of it. What they know of it would be wrong for ever.
    pub(super) fn worth_telling(
        &self,
        id: &ContainerId,
        found: Option<ContainerRecord>,
        is_selected: bool,
        before: Option<Box<ContainerRecord>>,
    ) -> Option<ContainerRecord> {
        if is_selected {
            return found;
        }
        let takes = |record: &ContainerRecord| self.deps.selection.takes(record);
        let is_gone = found.is_none();
        let told = before.map(|before| *before).filter(takes);
        let told = told.or_else(|| self.deps.memory.last(id).filter(|last| is_gone || takes(last)))?;
        Some(found.unwrap_or(told))
    }
}
