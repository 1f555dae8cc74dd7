//! Whom selection takes, and what is still told of those it does not.

use std::collections::HashSet;
use std::time::SystemTime;

use model::{ContainerId, ContainerRecord, ContainerState, Timestamp};

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

    /// What to tell of what a look found; `None` where nobody is to hear of it.
    ///
    /// Of a container that is not wanted is told the change by which it went out. Whoever has a record of it hears of
    /// nothing that comes after: for them it is removed, lest what they know of it be wrong for ever. One that another
    /// state would bring in again keeps its place, and its state is told on.
    pub(super) fn worth_telling(
        &self,
        id: &ContainerId,
        found: Option<ContainerRecord>,
        is_selected: bool,
        before: Option<Box<ContainerRecord>>,
    ) -> Option<News> {
        let now = Timestamp::from(SystemTime::now());
        let removed = |last| ContainerRecord { state: ContainerState::Removed, observed_at: now, ..last };
        let selection = &self.deps.selection;
        let was_in = before.map(|before| *before).filter(|before| selection.takes(before));
        let is_wanted = is_selected || was_in.is_some();
        let record = match (found, was_in) {
            (Some(found), _) if is_wanted => Some(found),
            (None, Some(before)) => Some(removed(before)),
            (found, _) => {
                let last = self.deps.memory.last(id)?;
                match found.filter(|found| selection.takes_in_another_state(found)) {
                    Some(found) => Some(found).filter(|found| found.state != last.state),
                    None => Some(removed(last)),
                }
            }
        };
        record.map(|record| News { record, is_wanted })
    }
}

/// What is to be told of a container.
pub(super) struct News {
    /// What it is now.
    pub record: ContainerRecord,
    /// Events of it are told, too, and made up for where nobody heard them.
    pub is_wanted: bool,
}
