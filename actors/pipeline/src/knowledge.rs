//! What is known of a host's containers, for events that only name one: a cache, bounded by age and number.
//!
//! The inventory fills it with every look, and a container's own events do as soon as they come, so the events that
//! follow them find it. What is missing in it is looked for at the engine, once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{ContainerId, ContainerRecord, ContainerState, EngineEvent, HostName};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::parser::is_of_engine;
use crate::selection::Who;

/// A container in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its name.
    pub name: String,
    /// Its image, as named at creation.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state, as far as it is known.
    pub state: ContainerState,
}

impl Default for Brief {
    fn default() -> Self {
        Self { name: String::new(), image: String::new(), labels: BTreeMap::new(), state: ContainerState::Unknown }
    }
}

impl From<&ContainerRecord> for Brief {
    fn from(record: &ContainerRecord) -> Self {
        Self {
            name: record.container_name.clone(),
            image: record.image.clone(),
            labels: record.labels.clone(),
            state: record.state,
        }
    }
}

impl<'a> From<&'a Brief> for Who<'a> {
    fn from(brief: &'a Brief) -> Self {
        Self { name: &brief.name, image: &brief.image, labels: &brief.labels, state: brief.state }
    }
}

/// What a lookup finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The container.
    Known(Arc<Brief>),
    /// That the engine does not know it.
    Absent,
    /// Nothing: the engine may know it.
    Missing,
}

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long what was told counts, unless it is told again.
    pub ttl: Duration,
    /// Containers at most; the ones told longest ago go first.
    pub containers: usize,
}

/// The containers of one host. Outlives restarts of the actors that share it.
pub struct Knowledge {
    host: HostName,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ContainerId, Entry>,
    /// In the order in which they were told.
    order: BTreeMap<u64, ContainerId>,
    turn: u64,
}

struct Entry {
    /// `None`: the engine does not know it.
    brief: Option<Arc<Brief>>,
    /// The kernel ended a process of the present run for memory.
    is_out_of_memory: bool,
    told: Instant,
    turn: u64,
}

impl Knowledge {
    /// Nothing is known yet.
    pub fn new(host: HostName, bounds: Bounds, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { host, bounds, metrics, state: Mutex::default() })
    }

    /// What the inventory found; `None`: the engine does not know it (any more).
    pub fn found(&self, id: &ContainerId, record: Option<&ContainerRecord>) {
        let mut state = self.lock();
        match record {
            Some(record) => self.put(&mut state, id, Some(Brief::from(record)), None),
            // Who it was still counts for the events that tell of its end.
            None if state.entries.contains_key(id) => {}
            None => self.put(&mut state, id, None, None),
        }
    }

    /// What a container is after an event of its own, by what was known `before`.
    pub fn after(before: Option<&Brief>, event: &EngineEvent) -> Brief {
        let known = before.cloned().unwrap_or_default();
        let attribute = |key: &str| event.attributes.get(key).cloned();
        let labels = || event.attributes.iter().filter(|(key, _)| !is_of_engine(key));
        Brief {
            name: attribute("name").unwrap_or(known.name),
            image: attribute("image").unwrap_or(known.image),
            // They do not change while it lives.
            labels: match known.labels.is_empty() {
                true => labels().map(|(key, value)| (key.clone(), value.clone())).collect(),
                false => known.labels,
            },
            state: state_after(&event.action).unwrap_or(known.state),
        }
    }

    /// An event with this action told of a container, which is that now.
    pub fn heard(&self, id: &ContainerId, action: &str, after: Brief) {
        let out_of_memory = match action {
            "oom" => Some(true),
            "start" => Some(false),
            _ => None,
        };
        self.put(&mut self.lock(), id, Some(after), out_of_memory);
    }

    /// What is known of it; not counted as a lookup.
    pub fn known(&self, id: &ContainerId) -> Option<Arc<Brief>> {
        self.lock().entries.get(id)?.brief.clone()
    }

    /// Whether the kernel ended a process of its present run for memory; `None` where nobody told of such an end.
    pub fn is_out_of_memory(&self, id: &ContainerId) -> Option<bool> {
        self.lock().entries.get(id).filter(|entry| entry.is_out_of_memory).map(|_| true)
    }

    /// Who it is; counted as a hit or a miss.
    pub fn lookup(&self, id: &ContainerId) -> Lookup {
        let mut state = self.lock();
        let fresh = state.entries.get(id).filter(|entry| entry.told.elapsed() < self.bounds.ttl);
        let found = fresh.map_or(Lookup::Missing, |entry| entry.brief.clone().map_or(Lookup::Absent, Lookup::Known));
        if found == Lookup::Missing {
            state.remove(id);
        }
        self.metrics.container_lookup(self.host.as_str(), if found == Lookup::Missing { "miss" } else { "hit" });
        found
    }

    fn put(&self, state: &mut State, id: &ContainerId, brief: Option<Brief>, out_of_memory: Option<bool>) {
        let before = state.remove(id);
        let is_out_of_memory =
            out_of_memory.unwrap_or_else(|| before.as_ref().is_some_and(|entry| entry.is_out_of_memory));
        // Most looks find what is known: then it is not kept twice.
        let same = before.and_then(|entry| entry.brief).filter(|known| Some(&**known) == brief.as_ref());
        let brief = same.or_else(|| brief.map(Arc::new));
        state.turn += 1;
        let turn = state.turn;
        state.order.insert(turn, id.clone());
        state.entries.insert(id.clone(), Entry { brief, is_out_of_memory, told: Instant::now(), turn });
        while let Some((_, oldest)) = state.order.first_key_value() {
            let is_old = state.entries.get(oldest).is_none_or(|entry| entry.told.elapsed() >= self.bounds.ttl);
            if state.entries.len() <= self.bounds.containers && !is_old {
                break;
            }
            let oldest = oldest.clone();
            state.remove(&oldest);
        }
        self.metrics.containers_cached(self.host.as_str(), state.entries.len());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, id: &ContainerId) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.order.remove(&entry.turn);
        Some(entry)
    }
}

/// The state in which an event leaves its container, where it tells of one.
fn state_after(action: &str) -> Option<ContainerState> {
    Some(match action {
        "create" => ContainerState::Created,
        "start" | "restart" | "unpause" => ContainerState::Running,
        "pause" => ContainerState::Paused,
        "die" | "stop" => ContainerState::Exited,
        "destroy" => ContainerState::Removed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use actor_runtime::testkit::run;
    use model::Timestamp;
    use tokio::time::sleep;

    use super::*;
    use crate::books::Books;

    fn knowledge(containers: usize) -> Arc<Knowledge> {
        let metrics = Metrics::new(Books::new()).unwrap();
        let bounds = Bounds { ttl: Duration::from_secs(60), containers };
        Knowledge::new(HostName::try_new("h").unwrap(), bounds, metrics)
    }

    fn id(number: u32) -> ContainerId {
        ContainerId::try_new(&format!("{number:064x}")).unwrap()
    }

    fn event(action: &str, attributes: &[(&str, &str)]) -> EngineEvent {
        EngineEvent {
            timestamp: Timestamp::default(),
            kind: "container".into(),
            action: action.into(),
            argument: None,
            actor_id: String::new(),
            attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        }
    }

    fn hear(knowledge: &Knowledge, number: u32, action: &str, attributes: &[(&str, &str)]) {
        let after = Knowledge::after(knowledge.known(&id(number)).as_deref(), &event(action, attributes));
        knowledge.heard(&id(number), action, after);
    }

    fn counted(knowledge: &Knowledge, outcome: &str) -> String {
        let name = format!("dockstream_container_cache_lookups_total{{host=\"h\",outcome=\"{outcome}\"}} ");
        let text = knowledge.metrics.text();
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0").to_owned()
    }

    #[test]
    fn a_container_is_known_as_soon_as_its_first_event_came() {
        run(async {
            let knowledge = knowledge(10);
            assert_eq!(knowledge.lookup(&id(1)), Lookup::Missing);
            hear(&knowledge, 1, "create", &[("name", "web"), ("image", "nginx"), ("team", "blue")]);
            let Lookup::Known(brief) = knowledge.lookup(&id(1)) else { panic!("it was heard of") };
            assert_eq!(
                (brief.name.as_str(), brief.image.as_str(), brief.state),
                ("web", "nginx", ContainerState::Created)
            );
            assert_eq!(brief.labels["team"], "blue");
            hear(&knowledge, 1, "rename", &[("name", "web-2")]);
            assert_eq!(knowledge.known(&id(1)).unwrap().name, "web-2");
            assert_eq!((counted(&knowledge, "hit"), counted(&knowledge, "miss")), ("1".into(), "1".into()));
        });
    }

    #[test]
    fn what_was_not_told_again_for_long_does_not_count_any_more() {
        run(async {
            let knowledge = knowledge(10);
            hear(&knowledge, 1, "start", &[]);
            sleep(Duration::from_secs(59)).await;
            assert!(matches!(knowledge.lookup(&id(1)), Lookup::Known(_)));
            sleep(Duration::from_secs(2)).await;
            assert_eq!(knowledge.lookup(&id(1)), Lookup::Missing);
        });
    }

    #[test]
    fn the_ones_told_longest_ago_make_room() {
        run(async {
            let knowledge = knowledge(3);
            (0..3).for_each(|number| hear(&knowledge, number, "start", &[]));
            hear(&knowledge, 0, "oom", &[]);
            hear(&knowledge, 3, "start", &[]);
            let known: Vec<_> = (0..4).filter(|number| knowledge.known(&id(*number)).is_some()).collect();
            assert_eq!(known, [0, 2, 3]);
        });
    }

    #[test]
    fn what_the_engine_does_not_know_is_not_asked_for_again_and_who_is_gone_is_still_known() {
        run(async {
            let knowledge = knowledge(10);
            knowledge.found(&id(1), None);
            assert_eq!(knowledge.lookup(&id(1)), Lookup::Absent);
            hear(&knowledge, 2, "destroy", &[("name", "web")]);
            knowledge.found(&id(2), None);
            assert!(matches!(knowledge.lookup(&id(2)), Lookup::Known(brief) if brief.name == "web"));
        });
    }

    #[test]
    fn memory_counts_for_the_run_in_which_it_ran_out() {
        run(async {
            let knowledge = knowledge(10);
            hear(&knowledge, 1, "start", &[]);
            assert_eq!(knowledge.is_out_of_memory(&id(1)), None);
            hear(&knowledge, 1, "oom", &[]);
            hear(&knowledge, 1, "die", &[]);
            assert_eq!(knowledge.is_out_of_memory(&id(1)), Some(true));
            hear(&knowledge, 1, "start", &[]);
            assert_eq!(knowledge.is_out_of_memory(&id(1)), None);
        });
    }
}
