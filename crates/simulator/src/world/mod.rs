//! The state of one simulated host, behind one lock: containers, events, connections, faults, counts.
//!
//! Everything here is synchronous. A change made through the control handle is complete, with its events written to
//! the sockets, when the call returns.

mod collect;
mod container;
mod images;
mod lifecycle;
mod log;
mod logs;
mod publish;
mod schedule;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use collect::SLOTS;
pub(crate) use container::{Container, Key, Watcher, Wish};
pub use container::{FrameCounts, Health, State};
pub(crate) use images::Image;
pub(crate) use lifecycle::{Removal, network_id, network_of};
pub use log::Call;
pub(crate) use log::Log;
pub(crate) use logs::LogRequest;
pub(crate) use publish::EventFaults;

use crate::churn::ChurnState;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::counters::Machine;
use crate::events::Ring;
use crate::faults::ApiFault;
use crate::http::Banner;
use crate::profile::Profile;
use crate::spec::ContainerSpec;
use publish::EventWatcher;
use schedule::Due;

/// A request that the engine refuses, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The HTTP status: 304 (nothing to do), 404, 409.
    pub status: u16,
    /// The engine's message.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What was served so far, and what is open now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections open now.
    pub connections: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Stats streams open now.
    pub stats_streams: usize,
    /// Event streams open now.
    pub event_streams: usize,
    /// Logs that are followed now.
    pub log_streams: usize,
    /// Requests by method and route, such as `GET /containers/{id}/json`.
    pub calls: BTreeMap<String, u64>,
    /// Frames of all containers, removed ones too.
    pub frames: FrameCounts,
    /// Event lines written to event streams.
    pub events_sent: u64,
    /// Events that a fault swallowed.
    pub events_lost: u64,
    /// Requests answered by a fault: an error, a delay, or never.
    pub calls_spoiled: u64,
}

/// What the builder decided.
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) machine: Machine,
    pub(crate) interval: Duration,
    pub(crate) truth_depth: usize,
    pub(crate) keeps_log: bool,
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    rng: fastrand::Rng,
    next_key: Key,
    containers: BTreeMap<Key, Container>,
    by_id: BTreeMap<String, Key>,
    by_name: HashMap<String, Key>,
    images: Vec<images::Image>,
    /// Images pulled so far.
    pulls: u64,
    /// Watched containers by the slot of their turn.
    agenda: Vec<BTreeSet<Key>>,
    ring: Ring,
    event_watchers: Vec<EventWatcher>,
    pub(crate) event_faults: EventFaults,
    pub(crate) api_faults: Vec<ApiFault>,
    due: BinaryHeap<Due>,
    scheduled: u64,
    pub(crate) churn: ChurnState,
    connections: HashMap<u64, Arc<Connection>>,
    served: Served,
    pub(crate) log: Log,
    scratch: Vec<u8>,
    /// Containers whose log has a follower without room.
    waiting_logs: BTreeSet<Key>,
}

impl World {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(settings.seed),
            log: Log::new(settings.keeps_log),
            settings,
            clock,
            next_key: 0,
            containers: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_name: HashMap::new(),
            images: Vec::new(),
            pulls: 0,
            agenda: vec![BTreeSet::new(); SLOTS],
            ring: Ring::default(),
            event_watchers: Vec::new(),
            event_faults: EventFaults::default(),
            api_faults: Vec::new(),
            due: BinaryHeap::new(),
            scheduled: 0,
            churn: ChurnState::default(),
            connections: HashMap::new(),
            served: Served::default(),
            scratch: Vec::new(),
            waiting_logs: BTreeSet::new(),
        }
    }

    pub(crate) fn banner(&self) -> Banner {
        Banner { profile: self.settings.profile, now: self.clock.now() }
    }

    /// Finds a container by full id, name (with or without slash), or a prefix of its id that no other has.
    pub(crate) fn find(&self, reference: &str) -> Result<Key, Refused> {
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(key) = self.by_id.get(reference).or_else(|| self.by_name.get(name)) {
            return Ok(*key);
        }
        let mut matches = self.by_id.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
        match (matches.next(), matches.next()) {
            (Some((_, key)), None) if !reference.is_empty() => Ok(*key),
            _ => Err(Refused::new(404, format!("No such container: {reference}"))),
        }
    }

    pub(crate) fn container(&self, key: Key) -> &Container {
        self.containers.get(&key).expect("keys come from find or create, and the lock is held since")
    }

    pub(crate) fn container_mut(&mut self, key: Key) -> &mut Container {
        self.containers.get_mut(&key).expect("keys come from find or create, and the lock is held since")
    }

    pub(crate) fn exists(&self, key: Key) -> bool {
        self.containers.contains_key(&key)
    }

    pub(crate) fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    pub(crate) fn containers(&self) -> impl DoubleEndedIterator<Item = &Container> {
        self.containers.values()
    }

    /// The state of every container counted: `(all, running, paused)`.
    pub(crate) fn census(&self) -> (usize, usize, usize) {
        let count = |state| self.containers.values().filter(|container| container.state == state).count();
        (self.containers.len(), count(State::Running), count(State::Paused))
    }

    /// CPU time of the whole machine since it booted, an hour before this host was started.
    pub(crate) fn system_ns(&self) -> u64 {
        let up = Duration::from_secs(3600) + self.clock.elapsed();
        u64::try_from(up.as_nanos()).unwrap_or(u64::MAX).saturating_mul(u64::from(self.settings.machine.cpus))
    }

    pub(crate) fn create(&mut self, spec: ContainerSpec) -> Result<Key, Refused> {
        if let Some(holder) = self.by_name.get(&spec.name) {
            let holder = &self.container(*holder).id;
            let name = &spec.name;
            return Err(Refused::new(
                409,
                format!("Conflict. The container name \"/{name}\" is already in use by container \"{holder}\"."),
            ));
        }
        let key = self.next_key;
        self.next_key += 1;
        let id: String = (0..4).map(|_| format!("{:016x}", self.rng.u64(..))).collect();
        let rng = fastrand::Rng::with_seed(self.settings.seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let now = self.clock.now();
        self.by_id.insert(id.clone(), key);
        self.by_name.insert(spec.name.clone(), key);
        let image_id = self.image_called(&spec.image);
        self.containers.insert(key, Container::new(key, id, image_id, spec, now, rng));
        self.tell(key, "create", &[]);
        Ok(key)
    }

    /// Takes a new connection in; its number is what [`World::forget`] wants.
    pub(crate) fn admit(&mut self, connection: Arc<Connection>) -> u64 {
        self.served.accepted += 1;
        let number = self.served.accepted;
        self.connections.insert(number, connection);
        number
    }

    /// Forgets a connection. Its stats watchers are broken now, and leave at the next visit of the collector.
    pub(crate) fn forget(&mut self, number: u64) {
        if let Some(gone) = self.connections.remove(&number) {
            gone.break_off();
            self.unwatch_events(&gone);
        }
    }

    /// Breaks every connection off, and forgets all events: what a daemon that is killed leaves behind.
    pub(crate) fn drop_everyone(&mut self) {
        for connection in self.connections.values() {
            connection.break_off();
        }
        self.connections.clear();
        self.event_watchers.clear();
        for container in self.containers.values_mut() {
            container.watchers.clear();
            container.log.forget_watchers();
        }
        self.agenda.iter_mut().for_each(BTreeSet::clear);
        self.ring.clear();
    }

    pub(crate) fn count_call(&mut self, route: &str) {
        match self.served.calls.get_mut(route) {
            Some(count) => *count += 1,
            None => {
                self.served.calls.insert(route.to_owned(), 1);
            }
        }
    }

    pub(crate) fn count_spoiled_call(&mut self) {
        self.served.calls_spoiled += 1;
    }

    pub(crate) fn served(&self) -> Served {
        let mut served = self.served.clone();
        served.connections = self.connections.len();
        served.event_streams = self.event_watchers.len();
        for container in self.containers.values() {
            served.frames += container.frames;
            served.log_streams += container.log.streams();
            served.stats_streams += container.watchers.iter().filter(|watcher| watcher.is_open_stream()).count();
        }
        served
    }

    /// Lets time that was given by hand pass, and does what falls due in it.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.run_due();
    }
}
