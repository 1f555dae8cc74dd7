//! What the journal has of a host's containers: who went while nobody looked is told as removed by the next look.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{ContainerId, ContainerRecord, ContainerState, HostName, Timestamp};

use crate::ports::Mark;
use crate::position::{Place, Source};

/// The last state of each container of one host that the journal has and that is not `removed`. It outlives restarts of
/// its `Inventory` and, by a mark for each container, the process.
#[derive(Debug)]
pub struct ContainerMemory {
    source: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<ContainerId, Known>,
    /// Containers of which a record was lost on the way.
    lost: HashSet<ContainerId>,
}

#[derive(Debug)]
struct Known {
    /// The record as JSON: the position in its mark.
    record: Arc<[u8]>,
    /// That it is removed is on its way.
    is_leaving: bool,
}

impl ContainerMemory {
    /// What the journal's marks say of the containers of `host`.
    pub fn new(host: &HostName, marks: &BTreeMap<String, Vec<u8>>) -> Self {
        let source = format!("containers/{host}/");
        let ours = marks.range(source.clone()..).take_while(|(name, _)| name.starts_with(&source));
        let known = ours.filter_map(|(name, record)| {
            let id = name[source.len()..].parse().ok()?;
            Some((id, Known { record: record.as_slice().into(), is_leaving: false }))
        });
        let state = State { known: known.collect(), lost: HashSet::new() };
        Self { source, state: Mutex::new(state) }
    }

    /// The containers beside `ids` that nobody was told are removed.
    pub(super) fn beside(&self, ids: &[ContainerId]) -> Vec<ContainerId> {
        let ids: HashSet<&ContainerId> = ids.iter().collect();
        let state = self.lock();
        let beside = state.known.iter().filter(|(id, known)| !known.is_leaving && !ids.contains(id));
        beside.map(|(id, _)| id.clone()).collect()
    }

    /// The host is watched no more: so many of its containers at most, as removed. Who is told of that already is not
    /// among them.
    pub(crate) fn leave(self: &Arc<Self>, most: usize, now: Timestamp) -> Vec<(ContainerRecord, Place)> {
        let last = |id: ContainerId| self.last(&id);
        let removed = |record| ContainerRecord { state: ContainerState::Removed, observed_at: now, ..record };
        let left = self.beside(&[]).into_iter().take(most).filter_map(last).map(removed);
        left.map(|record| (record.clone(), self.place(&record))).collect()
    }

    /// The last state of a container, unless that it is removed is on its way already.
    pub(super) fn last(&self, id: &ContainerId) -> Option<ContainerRecord> {
        let mut state = self.lock();
        let known = state.known.get(id).filter(|known| !known.is_leaving)?;
        match serde_json::from_slice(&known.record) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::error!(source = self.source, %id, %error, "the mark of a container cannot be read; it is forgotten");
                state.known.remove(id);
                None
            }
        }
    }

    /// The containers of which a record was lost on the way, since the last call.
    pub(super) fn take_lost(&self) -> HashSet<ContainerId> {
        std::mem::take(&mut self.lock().lost)
    }

    /// The place of a record that is about to be handed on.
    pub(super) fn place(self: &Arc<Self>, record: &ContainerRecord) -> Place {
        let is_removed = record.state == ContainerState::Removed;
        let json = (!is_removed).then(|| serde_json::to_vec(record).expect("texts and numbers are JSON").into());
        if let Some(known) = self.lock().known.get_mut(&record.container_id).filter(|_| is_removed) {
            known.is_leaving = true;
        }
        let step = Step { memory: self.clone(), id: record.container_id.clone(), record: json };
        Place { source: Arc::new(step), number: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One record on its way.
#[derive(Debug)]
struct Step {
    memory: Arc<ContainerMemory>,
    id: ContainerId,
    /// `None`: it is removed.
    record: Option<Arc<[u8]>>,
}

impl Source for Step {
    fn mark(&self, _: &[u64]) -> Mark {
        let position = self.record.as_ref().map(|record| record.to_vec());
        Mark { source: format!("{}{}", self.memory.source, self.id), position }
    }

    fn kept(&self, _: &[u64]) {
        let mut state = self.memory.lock();
        match &self.record {
            Some(record) => {
                let known = Known { record: record.clone(), is_leaving: false };
                state.known.insert(self.id.clone(), known);
            }
            None => {
                state.known.remove(&self.id);
            }
        }
    }

    fn lost(&self, _: &[u64]) {
        let mut state = self.memory.lock();
        match &self.record {
            Some(_) => {
                state.lost.insert(self.id.clone());
            }
            None => {
                if let Some(known) = state.known.get_mut(&self.id) {
                    known.is_leaving = false;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
