//! The truth about one host's containers, and what a change of it means: pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::{ContainerId, ContainerRecord, ContainerState, EngineEvent, Timestamp};
use tokio::time::Instant;

/// An event and a look at the same change may cross: so long the event may take.
pub const CROSSING: Duration = Duration::from_secs(2);

/// Containers whose last events are remembered before the old ones are forgotten.
const HEARD_CONTAINERS: usize = 10_000;

/// What is known of each container.
#[derive(Debug, Default)]
pub struct Table {
    entries: HashMap<ContainerId, Entry>,
    heard: HashMap<ContainerId, HashMap<String, Instant>>,
    has_looked: bool,
}

#[derive(Debug, Default)]
struct Entry {
    record: Option<ContainerRecord>,
    /// Raised whenever something may have changed; an older look is out of date.
    version: u64,
    is_looking: bool,
}

/// The result of a look, put in.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// It was out of date: look again, and put in the answer under this version.
    LookAgain(u64),
    /// Nothing is different.
    Same,
    /// It is different; `missed` is the action no event has told yet.
    Changed {
        /// What it was before, where it was known.
        before: Option<Box<ContainerRecord>>,
        /// The action that explains the change.
        missed: Option<&'static str>,
    },
}

impl Table {
    /// Something may have changed: true, with the version to look under, where nobody is looking yet.
    pub fn touch(&mut self, id: &ContainerId) -> Option<u64> {
        let entry = self.entries.entry(id.clone()).or_default();
        entry.version += 1;
        (!std::mem::replace(&mut entry.is_looking, true)).then_some(entry.version)
    }

    /// An event told of this container.
    pub fn hear(&mut self, id: &ContainerId, action: &str, now: Instant) {
        // Podman's word for the same.
        let action = if action == "remove" { "destroy" } else { action };
        self.heard.entry(id.clone()).or_default().insert(action.to_owned(), now);
        if self.heard.len() > HEARD_CONTAINERS {
            self.heard.retain(|_, actions| actions.values().any(|at| now.duration_since(*at) < 2 * CROSSING));
        }
    }

    /// True where an event told of this action around `at`.
    pub fn was_heard(&self, id: &ContainerId, action: &str, at: Instant) -> bool {
        self.heard.get(id).and_then(|actions| actions.get(action)).is_some_and(|heard| *heard + CROSSING >= at)
    }

    /// What a list shows against the table: the containers worth a look.
    pub fn differing(&self, list: &[(ContainerId, ContainerState)]) -> Vec<ContainerId> {
        let listed: HashMap<&ContainerId, ContainerState> = list.iter().map(|(id, state)| (id, *state)).collect();
        let changed = list.iter().filter(|(id, state)| self.state(id) != Some(*state)).map(|(id, _)| id);
        let missing = self
            .entries
            .iter()
            .filter(|(id, entry)| entry.record.is_some() && !listed.contains_key(id))
            .map(|(id, _)| id);
        changed.chain(missing).cloned().collect()
    }

    /// The first list has been worked through: from now on what is new was missed, not unknown.
    pub fn looked(&mut self) {
        self.has_looked = true;
    }

    /// True once everything was looked at.
    pub fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// Puts in what a look found; `None`: the container is gone.
    pub fn put(&mut self, id: &ContainerId, version: u64, found: Option<ContainerRecord>) -> Change {
        let has_looked = self.has_looked;
        let Some(entry) = self.entries.get_mut(id) else { return Change::Same };
        if entry.version != version {
            return Change::LookAgain(entry.version);
        }
        entry.is_looking = false;
        let before = entry.record.take();
        let missed = missed_action(before.as_ref(), found.as_ref()).filter(|_| has_looked || before.is_some());
        let is_same = match (&before, &found) {
            (Some(before), Some(found)) => same(before, found),
            (None, None) => true,
            _ => false,
        };
        match found {
            Some(record) => entry.record = Some(record),
            None => drop(self.entries.remove(id)),
        }
        if is_same { Change::Same } else { Change::Changed { before: before.map(Box::new), missed } }
    }

    /// A look failed for a reason that says nothing of the container.
    pub fn look_failed(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.is_looking = false;
            if entry.record.is_none() {
                self.entries.remove(id);
            }
        }
    }

    /// True while an answer is awaited.
    pub fn is_looking(&self) -> bool {
        self.entries.values().any(|entry| entry.is_looking)
    }

    /// All known containers.
    pub fn records(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.entries.values().filter_map(|entry| entry.record.as_ref())
    }

    /// How many containers are in each state.
    pub fn states(&self) -> BTreeMap<&'static str, i64> {
        let mut states = BTreeMap::from([("running", 0), ("paused", 0), ("exited", 0), ("created", 0)]);
        for record in self.records() {
            *states.entry(record.state.name()).or_insert(0) += 1;
        }
        states
    }

    fn state(&self, id: &ContainerId) -> Option<ContainerState> {
        self.entries.get(id)?.record.as_ref().map(|record| record.state)
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
mod tests {
    use model::HostName;

    use super::*;

    fn id(letter: char) -> ContainerId {
        ContainerId::try_new(&letter.to_string().repeat(64)).unwrap()
    }

    fn record(letter: char, state: ContainerState, started: i64) -> ContainerRecord {
        ContainerRecord {
            host: HostName::try_new("h").unwrap(),
            container_id: id(letter),
            container_name: format!("c-{letter}"),
            image: "busybox".into(),
            image_id: None,
            compose_project: None,
            compose_service: None,
            state,
            status: None,
            pid: None,
            exit_code: None,
            oom_killed: None,
            error: None,
            created_at: None,
            started_at: Some(Timestamp::from_nanos(started)),
            finished_at: None,
            health: None,
            labels: BTreeMap::new(),
            ports: Vec::new(),
            networks: Vec::new(),
            mounts: Vec::new(),
            network_scope: None,
            restart_policy: None,
            restart_count: None,
            cpu_limit_cores: None,
            memory_limit_bytes: None,
            pids_limit: None,
            observed_at: Timestamp::default(),
        }
    }

    /// Puts `found` in as the answer to a look that nothing overtook.
    fn put(table: &mut Table, letter: char, found: Option<ContainerRecord>) -> Change {
        let version = table.touch(&id(letter)).expect("nobody is looking");
        table.put(&id(letter), version, found)
    }

    fn missed(change: Change) -> Option<&'static str> {
        match change {
            Change::Changed { missed, .. } => missed,
            _ => None,
        }
    }

    #[test]
    fn a_look_that_an_event_overtook_is_taken_again() {
        let mut table = Table::default();
        let version = table.touch(&id('a')).unwrap();
        assert_eq!(table.touch(&id('a')), None, "one look at a time");
        let stale = table.put(&id('a'), version, Some(record('a', ContainerState::Running, 1)));
        assert_eq!(stale, Change::LookAgain(version + 1));
        let fresh = table.put(&id('a'), version + 1, Some(record('a', ContainerState::Exited, 1)));
        assert!(matches!(fresh, Change::Changed { .. }));
    }

    #[test]
    fn what_the_first_look_finds_was_not_missed() {
        let mut table = Table::default();
        assert_eq!(missed(put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)))), None);
        table.looked();
        assert_eq!(missed(put(&mut table, 'b', Some(record('b', ContainerState::Running, 1)))), Some("start"));
    }

    #[test]
    fn every_missed_change_is_named_in_the_engines_words() {
        use ContainerState::{Created, Exited, Paused, Running};
        let cases = [
            (Some((Running, 1)), Some((Exited, 1)), Some("die")),
            (Some((Exited, 1)), Some((Running, 2)), Some("start")),
            (Some((Running, 1)), Some((Running, 2)), Some("start")),
            (Some((Running, 1)), Some((Paused, 1)), Some("pause")),
            (Some((Paused, 1)), Some((Running, 1)), Some("unpause")),
            (Some((Created, 0)), Some((Exited, 0)), None),
            (Some((Exited, 1)), None, Some("destroy")),
            (Some((Running, 1)), Some((Running, 1)), None),
        ];
        for (before, after, expected) in cases {
            let mut table = Table::default();
            table.looked();
            if let Some((state, started)) = before {
                put(&mut table, 'a', Some(record('a', state, started)));
            }
            let found = after.map(|(state, started)| record('a', state, started));
            assert_eq!(missed(put(&mut table, 'a', found)), expected, "{before:?} → {after:?}");
        }
    }

    #[test]
    fn the_engines_words_for_how_long_it_is_up_are_no_change() {
        let mut table = Table::default();
        put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
        let mut later = record('a', ContainerState::Running, 1);
        (later.status, later.observed_at) = (Some("Up 3 hours".into()), Timestamp::from_nanos(99));
        assert_eq!(put(&mut table, 'a', Some(later)), Change::Same);
    }

    #[test]
    fn a_list_is_compared_by_state_and_by_absence() {
        let mut table = Table::default();
        for letter in ['a', 'b', 'c'] {
            put(&mut table, letter, Some(record(letter, ContainerState::Running, 1)));
        }
        let list =
            [(id('a'), ContainerState::Running), (id('b'), ContainerState::Exited), (id('d'), ContainerState::Created)];
        let mut differing = table.differing(&list);
        differing.sort();
        assert_eq!(differing, [id('b'), id('c'), id('d')]);
    }

    #[test]
    fn an_event_explains_only_its_own_action() {
        let (mut table, now) = (Table::default(), Instant::now());
        table.hear(&id('a'), "start", now);
        table.hear(&id('b'), "remove", now);
        assert!(table.was_heard(&id('a'), "start", now) && !table.was_heard(&id('a'), "die", now));
        assert!(table.was_heard(&id('b'), "destroy", now));
        assert!(!table.was_heard(&id('a'), "start", now + 2 * CROSSING), "that was another start");
    }

    #[test]
    fn a_failed_look_keeps_what_was_known() {
        let mut table = Table::default();
        put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
        table.touch(&id('a')).unwrap();
        table.look_failed(&id('a'));
        assert_eq!(table.records().count(), 1);
        table.touch(&id('b')).unwrap();
        table.look_failed(&id('b'));
        assert_eq!(table.records().count(), 1, "a container that was never seen leaves nothing behind");
    }
}
