//! The truth about one host's containers, and what a change of it means: pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use model::{ContainerId, ContainerRecord, ContainerState, EngineEvent, Timestamp};
use tokio::time::Instant;

/// An event and a look at the same change may cross: so long the event may take.
pub const CROSSING: Duration = Duration::from_secs(2);

/// How often the verdict on a missed event is put off while nobody can hear events.
pub const PUT_OFF: u32 = 15;

/// So long an event counts that may explain a change: longer than a verdict takes.
const MEMORY: Duration = CROSSING.saturating_mul(PUT_OFF + 5);

/// Between two full looks, so many containers are heard of, or twice as many as still count, before what does not
/// count any more goes.
const HEARD: usize = 256;

/// What is known of each container.
#[derive(Debug, Default)]
pub struct Table {
    entries: HashMap<ContainerId, Entry>,
    heard: HashMap<ContainerId, HashMap<String, Instant>>,
    /// Of so many containers something was heard that still counted, when that was looked at last.
    counting: usize,
    has_looked: bool,
}

#[derive(Debug)]
struct Entry {
    record: Option<ContainerRecord>,
    /// Raised whenever something may have changed; an older look is out of date.
    version: u64,
    phase: Phase,
    /// When a look was first wanted, since the last one that succeeded.
    wanted: Option<Instant>,
    /// No list had been worked through when it was first heard of: it is not new, only not known yet.
    is_initial: bool,
    /// Its record could not be handed on.
    is_unsent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What is known of it is not in doubt.
    Idle,
    /// It is to be looked at.
    Waiting,
    /// It is being looked at.
    Looking,
}

/// The result of a look, put in.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// It was out of date: look again.
    LookAgain,
    /// Nothing is different.
    Same,
    /// It is different, or was not handed on the last time.
    Changed {
        /// What it was before, where it was known.
        before: Option<Box<ContainerRecord>>,
        /// What explains the change; an event may have told of it.
        missed: Option<Missed>,
    },
}

/// An action that explains a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// In the engine's own words.
    pub action: &'static str,
    /// When the look that found it was wanted: an event of before explains another change.
    pub wanted: Instant,
}

impl Table {
    /// Something may have changed: true where nobody is to look at it yet.
    pub fn touch(&mut self, id: &ContainerId, now: Instant) -> bool {
        let is_initial = !self.has_looked;
        let entry = self.entries.entry(id.clone()).or_insert(Entry {
            record: None,
            version: 0,
            phase: Phase::Idle,
            wanted: None,
            is_initial,
            is_unsent: false,
        });
        entry.version += 1;
        entry.wanted.get_or_insert(now);
        let is_first = entry.phase == Phase::Idle;
        if is_first {
            entry.phase = Phase::Waiting;
        }
        is_first
    }

    /// A look begins: the version to put its answer in under, where one is wanted.
    pub fn begin(&mut self, id: &ContainerId) -> Option<u64> {
        let entry = self.entries.get_mut(id).filter(|entry| entry.phase == Phase::Waiting)?;
        entry.phase = Phase::Looking;
        Some(entry.version)
    }

    /// An event told of this container.
    pub fn hear(&mut self, id: &ContainerId, action: &str, now: Instant) {
        // Podman's word for the same.
        let action = if action == "remove" { "destroy" } else { action };
        self.heard.entry(id.clone()).or_default().insert(action.to_owned(), now);
        if self.heard.len() > (2 * self.counting).max(HEARD) {
            self.forget(now);
        }
    }

    /// Forgets the events that can explain nothing any more: the look they led to is over, and its verdict too.
    fn forget(&mut self, now: Instant) {
        let is_awaited = |id: &ContainerId| self.entries.get(id).is_some_and(|entry| entry.wanted.is_some());
        self.heard.retain(|id, actions| {
            is_awaited(id) || actions.values().any(|at| now.saturating_duration_since(*at) < MEMORY)
        });
        self.counting = self.heard.len();
        self.heard.shrink_to(2 * self.counting);
    }

    /// True where an event told of this.
    pub fn was_heard(&self, id: &ContainerId, missed: &Missed) -> bool {
        let heard = self.heard.get(id).and_then(|actions| actions.get(missed.action));
        heard.is_some_and(|heard| *heard + CROSSING >= missed.wanted)
    }

    /// The containers to look at after a list: first those that differ from the table, then the others, for a
    /// list does not tell of a restart or a new name.
    pub fn worth_a_look(&mut self, list: &[(ContainerId, ContainerState)]) -> Vec<ContainerId> {
        let listed: HashMap<&ContainerId, ContainerState> = list.iter().map(|(id, state)| (id, *state)).collect();
        self.entries
            .retain(|id, entry| entry.record.is_some() || entry.phase != Phase::Idle || listed.contains_key(id));
        let missing = self.entries.keys().filter(|id| !listed.contains_key(id));
        let is_known = |id: &ContainerId, state| self.record(id).is_some_and(|record| record.state == state);
        let (known, differing): (Vec<_>, Vec<_>) = list.iter().partition(|(id, state)| is_known(id, *state));
        // Those with stats first: their frames are what somebody waits for.
        let (running, other): (Vec<_>, Vec<_>) = differing.into_iter().partition(|(_, state)| state.has_stats());
        let ids = running.into_iter().chain(other).map(|(id, _)| id);
        ids.chain(missing).chain(known.into_iter().map(|(id, _)| id)).cloned().collect()
    }

    /// A list has been worked through: from now on what is new was missed, not unknown.
    pub fn looked(&mut self, now: Instant) {
        self.has_looked = true;
        self.forget(now);
    }

    /// True once everything was looked at.
    pub fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// Puts in what a look found; `None`: the container is gone.
    pub fn put(&mut self, id: &ContainerId, version: u64, found: Option<ContainerRecord>) -> Change {
        let Some(entry) = self.entries.get_mut(id) else { return Change::Same };
        if entry.version != version {
            entry.phase = Phase::Waiting;
            return Change::LookAgain;
        }
        entry.phase = Phase::Idle;
        let wanted = entry.wanted.take();
        let before = entry.record.take();
        let missed = missed_action(before.as_ref(), found.as_ref())
            .filter(|_| before.is_some() || !entry.is_initial)
            .zip(wanted)
            .map(|(action, wanted)| Missed { action, wanted });
        let is_same = match (&before, &found) {
            (Some(before), Some(found)) => same(before, found),
            (None, None) => true,
            _ => false,
        };
        let was_sent = !std::mem::take(&mut entry.is_unsent);
        match found {
            Some(record) => entry.record = Some(record),
            None => drop(self.entries.remove(id)),
        }
        if is_same && was_sent { Change::Same } else { Change::Changed { before: before.map(Box::new), missed } }
    }

    /// A look failed for a reason that says nothing of the container.
    pub fn look_failed(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.phase = Phase::Idle;
        }
    }

    /// What was found could not be handed on: the next look is to show it again.
    pub fn not_sent(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.is_unsent = true;
        }
    }

    /// Fills in the digest of each image of which the container itself does not tell; the records that changed by it.
    pub fn fill_digests(
        &mut self,
        digest_of: impl Fn(&ContainerRecord) -> Option<String>,
        now: Timestamp,
    ) -> Vec<ContainerRecord> {
        let mut changed = Vec::new();
        for record in self.entries.values_mut().filter_map(|entry| entry.record.as_mut()) {
            // A container made by a digest has told it itself.
            let digest = digest_of(record).filter(|_| !record.image.contains('@'));
            if digest.is_some() && record.image_digest != digest {
                (record.image_digest, record.observed_at) = (digest, now);
                changed.push(record.clone());
            }
        }
        changed
    }

    /// What is known of a container.
    pub fn record(&self, id: &ContainerId) -> Option<&ContainerRecord> {
        self.entries.get(id)?.record.as_ref()
    }

    /// The containers whose state is certain.
    pub fn certain(&self) -> impl Iterator<Item = &ContainerRecord> {
        let certain = self.entries.values().filter(|entry| entry.phase == Phase::Idle);
        certain.filter_map(|entry| entry.record.as_ref())
    }

    /// The containers in doubt: to be looked at, or not known although they are there.
    pub fn unsure(&self) -> HashSet<ContainerId> {
        let unsure = self.entries.iter().filter(|(_, entry)| entry.phase != Phase::Idle || entry.record.is_none());
        unsure.map(|(id, _)| id.clone()).collect()
    }

    /// All known containers.
    pub fn records(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.entries.values().filter_map(|entry| entry.record.as_ref())
    }

    /// How many containers are in each state.
    pub fn states(&self) -> BTreeMap<&'static str, i64> {
        let mut states: BTreeMap<_, _> = ContainerState::OF_ENGINES.map(|state| (state.name(), 0)).into();
        for record in self.records() {
            *states.entry(record.state.name()).or_insert(0) += 1;
        }
        states
    }
}

/// Equal but for when and in what words it was seen.
fn same(before: &ContainerRecord, found: &ContainerRecord) -> bool {
    let plain = |record: &ContainerRecord| ContainerRecord {
        observed_at: Timestamp::default(),
        status: None,
        ..record.clone()
    };
    plain(before) == plain(found)
}

/// The action that explains a change, in the engine's own words.
fn missed_action(before: Option<&ContainerRecord>, found: Option<&ContainerRecord>) -> Option<&'static str> {
    let (before, found) = match (before, found) {
        (None, None) => return None,
        (Some(_), None) => return Some("destroy"),
        (None, Some(found)) => return Some(if found.state.has_stats() { "start" } else { "create" }),
        (Some(before), Some(found)) => (before, found),
    };
    match (before.state, found.state) {
        (ContainerState::Running, ContainerState::Paused) => Some("pause"),
        (ContainerState::Paused, ContainerState::Running) if before.started_at == found.started_at => Some("unpause"),
        (was, is) if is.has_stats() && (!was.has_stats() || before.started_at != found.started_at) => Some("start"),
        (was, is) if was.has_stats() && !is.has_stats() => Some("die"),
        _ if before.container_name != found.container_name => Some("rename"),
        _ => None,
    }
}

/// The event an engine would have told.
pub fn missed_event(record: &ContainerRecord, action: &'static str, now: Timestamp) -> EngineEvent {
    let timestamp = match action {
        "start" => record.started_at,
        "die" => record.finished_at,
        "create" => record.created_at,
        _ => None,
    };
    let mut attributes: BTreeMap<String, String> = record.labels.clone();
    attributes.insert("name".into(), record.container_name.clone());
    attributes.insert("image".into(), record.image.clone());
    if let Some(code) = record.exit_code.filter(|_| action == "die") {
        attributes.insert("exitCode".into(), code.to_string());
    }
    EngineEvent {
        timestamp: timestamp.unwrap_or(now),
        kind: "container".into(),
        action: action.into(),
        argument: None,
        actor_id: record.container_id.as_str().into(),
        attributes,
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub(super) mod tests;
