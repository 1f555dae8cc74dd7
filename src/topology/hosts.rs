//! A group per Docker host, for those that are configured now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actor_runtime::{Backoff, ChildSpec, GroupSpec, Intensity, Quarantine, Strategy, mailbox};
use cgroup::Kernel;
use model::HostName;
use pipeline::event_monitor::{EventMonitor, EventMonitorDeps};
use pipeline::host_connection::{HostBoard, HostConnection, HostConnectionDeps, Link};
use pipeline::host_set::{Fleet, HostMemory, HostSet, HostSetDeps, Wanted};
use pipeline::images::{ImageBoard, Images, ImagesDeps};
use pipeline::inventory::{Inventory, InventoryDeps, Resync};
use pipeline::knowledge::{Bounds, Knowledge};
use pipeline::log_stream::{self, FirstSight, LogSelection, LogStreamDeps, RateLimit};
use pipeline::measured::Measured;
use pipeline::ports::EngineApi;
use pipeline::selection::Selection;
use pipeline::stats_stream::{LocalKernel, Polls, StatsMode, StatsStreamDeps};
use pipeline::stream_set::{Roster, StreamSet, StreamSetDeps};
use tokio::sync::Semaphore;

use super::{MINUTE, Shared, TopologyError};
use crate::config::{Collect, CollectMode, Config, Host, LogTail};

/// Signals on their way to an actor of a host are bounded by what is in flight; these actors get no data.
const SIGNALS_ONLY: u32 = 1;

/// Polls in flight at once on one host.
const POLLS: usize = 12;

/// The hosts that are watched, and how they are.
pub(super) struct Hosts {
    shared: Shared,
    policies: Policies,
    board: HostBoard,
    /// Messages of logs on their way to parsers: one number for all hosts.
    turns: Arc<Semaphore>,
    fleet: Fleet,
    settings: BTreeMap<HostName, Settings>,
    /// Counts the lives of hosts.
    version: u64,
}

/// What the configuration says of a host, its own and that of all. Where it differs, the host begins anew.
#[derive(Clone, PartialEq)]
struct Settings {
    host: Host,
    collect: Collect,
    selection: Arc<Selection>,
}

/// What another configuration changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostChanges {
    /// Watched from now on.
    pub added: Vec<HostName>,
    /// Begun anew, with other settings.
    pub changed: Vec<HostName>,
    /// Watched no more.
    pub removed: Vec<HostName>,
}

impl HostChanges {
    /// True where every host stays as it was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Hosts {
    pub fn new(shared: &Shared, board: HostBoard) -> Result<Self, TopologyError> {
        let (policies, fleet) = (Policies::new()?, Fleet::default());
        fleet.remember(&*shared.journal);
        let turns = Arc::new(Semaphore::new(log_stream::TURNS));
        Ok(Self { shared: shared.clone(), policies, board, turns, fleet, settings: BTreeMap::new(), version: 0 })
    }

    /// From now on these are watched: what is new begins, what is not named ends, what changed begins anew, and the
    /// rest is not touched. `engine` is asked for the client of each that begins; where one fails nothing is changed.
    pub fn want<E: From<TopologyError>>(
        &mut self,
        hosts: &[Host],
        config: &Config,
        mut engine: impl FnMut(&Host) -> Result<Arc<dyn EngineApi>, E>,
    ) -> Result<HostChanges, E> {
        let (before, mut version) = (self.fleet.wanted(), self.version);
        let (mut changes, mut wanted, mut all) = (HostChanges::default(), BTreeMap::new(), BTreeMap::new());
        for host in hosts {
            let (name, settings) = (host.name.clone(), Settings::new(host, config));
            let known = self.settings.get(&name);
            let same = before.get(&name).filter(|_| known == Some(&settings)).cloned();
            let watched = match same {
                Some(same) => same,
                None => {
                    let list = if known.is_some() { &mut changes.changed } else { &mut changes.added };
                    list.push(name.clone());
                    version += 1;
                    self.wanted(version, engine(host)?, settings.clone())?
                }
            };
            wanted.insert(name.clone(), watched);
            all.insert(name, settings);
        }
        changes.removed = self.settings.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
        (self.settings, self.version) = (all, version);
        if !changes.is_empty() {
            self.fleet.want(wanted);
        }
        Ok(changes)
    }

    /// Watches these engines, each as `config` says of the host of its name.
    pub fn want_engines(&mut self, config: &Config, engines: Vec<Arc<dyn EngineApi>>) -> Result<(), TopologyError> {
        let mut engines: BTreeMap<_, _> = engines.into_iter().map(|engine| (engine.host().clone(), engine)).collect();
        let configured = |name: &HostName| config.hosts.iter().find(|host| host.name == *name).cloned();
        let host = |name: &HostName| configured(name).unwrap_or_else(|| Host { name: name.clone(), ..Host::default() });
        let hosts: Vec<Host> = engines.keys().map(host).collect();
        let engine = |host: &Host| Ok(engines.remove(&host.name).expect("each name is that of an engine"));
        self.want::<TopologyError>(&hosts, config, engine).map(drop)
    }

    fn wanted(&self, version: u64, engine: Arc<dyn EngineApi>, settings: Settings) -> Result<Wanted, TopologyError> {
        let probe = Backoff::try_new(settings.host.reconnect_min, settings.host.reconnect_max, 0.3)?;
        let engine = Arc::new(Measured::new(engine, self.shared.metrics.clone()));
        let (board, turns, kernel) = (self.board.clone(), self.turns.clone(), local_kernel(&*engine, settings.mode()));
        let watched = Watched { engine, probe, board, turns, kernel, settings: Arc::new(settings) };
        let (shared, policies) = (self.shared.clone(), self.policies);
        Ok(Wanted { version, group: Arc::new(move |memory| host(&shared, &policies, &watched, memory)) })
    }

    /// The group of all hosts, which come and go in it.
    pub fn group(&self) -> Result<GroupSpec, TopologyError> {
        let (shared, fleet, board) = (self.shared.clone(), self.fleet.clone(), self.board.clone());
        let (intensity, ended) = (Intensity::try_new(5, MINUTE)?, self.fleet.clone());
        let group = GroupSpec::new("hosts", Strategy::OneForOne, intensity, self.policies.restart, move |group| {
            fleet.none_lives();
            let (_, inbox) = mailbox::<HostSet>(SIGNALS_ONLY);
            let deps = HostSetDeps {
                fleet: fleet.clone(),
                group: group.clone(),
                board: board.clone(),
                journal: shared.journal.clone(),
                router: shared.wiring.router.get(),
                books: shared.books.clone(),
                metrics: shared.metrics.clone(),
            };
            vec![ChildSpec::actor(SET, inbox, move |cell| HostSet::new(cell, deps))]
        });
        Ok(group.on_child_exit(move |exit| ended.ended(&exit.id)))
    }
}

/// Its name beside those of the hosts: no host can have it.
const SET: &str = "(set)";

impl Settings {
    fn new(host: &Host, config: &Config) -> Self {
        // What parsers make of events makes no host begin anew.
        let collect = Collect { event_arguments: Vec::new(), ..config.collect.clone() };
        Self { host: host.clone(), collect, selection: Arc::new(config.selection()) }
    }

    fn first_sight(&self) -> FirstSight {
        match self.collect.logs.tail {
            LogTail::Now => FirstSight::Now,
            LogTail::All => FirstSight::All,
        }
    }

    fn mode(&self) -> StatsMode {
        match self.collect.mode {
            CollectMode::Auto => StatsMode::Auto,
            CollectMode::Stream => StatsMode::Stream,
            CollectMode::Poll => StatsMode::Poll,
            CollectMode::Cgroup => StatsMode::Cgroup,
        }
    }
}

/// A host, and how it is watched.
#[derive(Clone)]
struct Watched {
    engine: Arc<dyn EngineApi>,
    probe: Backoff,
    board: HostBoard,
    turns: Arc<Semaphore>,
    kernel: Option<Arc<LocalKernel>>,
    settings: Arc<Settings>,
}

/// The kernel beneath the containers of an engine that may be on this machine, where it is to be read.
fn local_kernel(engine: &dyn EngineApi, mode: StatsMode) -> Option<Arc<LocalKernel>> {
    if mode != StatsMode::Cgroup || !engine.url().starts_with("unix://") {
        return None;
    }
    match Kernel::of_this_machine() {
        Ok(kernel) => Some(Arc::new(LocalKernel::new(Arc::new(kernel)))),
        Err(why) => {
            tracing::warn!(host = %engine.host(), %why, "stats cannot be read from control groups: the engine is asked");
            None
        }
    }
}

/// The pauses and budgets of a host's actors.
#[derive(Clone, Copy)]
struct Policies {
    restart: Backoff,
    reconnect: Backoff,
    host: Intensity,
    streams: Quarantine,
}

impl Policies {
    fn new() -> Result<Self, TopologyError> {
        Ok(Self {
            restart: Backoff::try_new(Duration::from_millis(100), Duration::from_secs(30), 0.5)?,
            reconnect: Backoff::try_new(Duration::from_millis(100), Duration::from_secs(10), 0.5)?,
            host: Intensity::try_new(10, MINUTE)?,
            streams: Quarantine { intensity: Intensity::try_new(5, MINUTE)?, lasting: 5 * MINUTE },
        })
    }
}

/// One host. The streams stand right behind the connection: what fails after them leaves them running. The images stand
/// last: they fail alone.
fn host(shared: &Shared, policies: &Policies, watched: &Watched, memory: HostMemory) -> GroupSpec {
    let (shared, policies) = (shared.clone(), *policies);
    let Watched { engine, probe, board, turns, kernel, settings } = watched.clone();
    let labels: Arc<[String]> = settings.collect.labels.clone().into();
    let Collect { cache_ttl, cache_containers, .. } = &settings.collect;
    let bounds = Bounds { ttl: *cache_ttl, containers: cache_containers.get() };
    let knowledge = Knowledge::new(engine.host().clone(), bounds, shared.metrics.clone());
    let link = Link::default();
    let images = ImageBoard::default();
    let name = engine.host().to_string();
    GroupSpec::new(name, Strategy::RestForOne, policies.host, policies.restart, move |_| {
        let router = shared.wiring.router.get();
        let (connection_mailbox, connection_inbox) = mailbox::<HostConnection>(SIGNALS_ONLY);
        let (inventory_mailbox, inventory_inbox) = mailbox::<Inventory>(SIGNALS_ONLY);
        let (_, events_inbox) = mailbox::<EventMonitor>(SIGNALS_ONLY);
        let (images_mailbox, images_inbox) = mailbox::<Images>(SIGNALS_ONLY);
        let (set_mailbox, set_inbox) = mailbox::<StreamSet>(SIGNALS_ONLY);

        let connection = HostConnectionDeps {
            engine: engine.clone(),
            link: link.clone(),
            labels: settings.host.labels.clone(),
            board: board.clone(),
            router: router.clone(),
            books: shared.books.clone(),
            backoff: probe,
            metrics: shared.metrics.clone(),
        };
        let roster = Roster::new(router.clone());
        let (followed, resync) = (roster.clone(), inventory_mailbox.control());
        let streams = GroupSpec::new("streams", Strategy::OneForOne, policies.host, policies.restart, move |_| {
            // The group begins with no stream: so does the roster, and the inventory tells what is missing.
            followed.clear();
            resync.signal(Resync);
            Vec::new()
        })
        .quarantine(policies.streams)
        .report_exits_to(set_mailbox.control());
        let inventory = InventoryDeps {
            engine: engine.clone(),
            link: link.clone(),
            board: board.clone(),
            router: router.clone(),
            streams: set_mailbox.control(),
            memory: memory.containers.clone(),
            images: images.clone(),
            users: images_mailbox.control(),
            books: shared.books.clone(),
            interval: settings.collect.discovery_interval,
            labels: labels.clone(),
            selection: settings.selection.clone(),
            knowledge: knowledge.clone(),
            logs: LogSelection { all: settings.collect.logs.enabled },
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let events = EventMonitorDeps {
            engine: engine.clone(),
            link: link.clone(),
            router: router.clone(),
            heard: inventory_mailbox.control(),
            look: inventory_mailbox.control(),
            reconcile: inventory_mailbox.control(),
            images: images_mailbox.control(),
            suspect: connection_mailbox.control(),
            memory: memory.events.clone(),
            knowledge: knowledge.clone(),
            selection: settings.selection.clone(),
            journal: shared.journal.clone(),
            books: shared.books.clone(),
            backoff: policies.reconnect,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let watched = ImagesDeps {
            engine: engine.clone(),
            link: link.clone(),
            table: memory.table.clone(),
            memory: memory.images.clone(),
            board: images.clone(),
            digests: inventory_mailbox.control(),
            router: router.clone(),
            books: shared.books.clone(),
            interval: settings.collect.image_interval,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let set = StreamSetDeps {
            group: streams.handle(),
            stats: StatsStreamDeps {
                engine: engine.clone(),
                link: link.clone(),
                router: router.clone(),
                suspect: connection_mailbox.control(),
                look: inventory_mailbox.control(),
                books: shared.books.clone(),
                mode: settings.mode(),
                interval: settings.collect.stats_interval,
                kernel: kernel.clone(),
                polls: Arc::new(Polls::new(POLLS)),
                silence: board.silence().clone(),
                backoff: policies.reconnect,
                metrics: shared.metrics.clone(),
                faults: shared.faults.clone(),
            },
            logs: LogStreamDeps {
                engine: engine.clone(),
                link: link.clone(),
                router: router.clone(),
                suspect: connection_mailbox.control(),
                positions: memory.logs.clone(),
                journal: shared.journal.clone(),
                first_sight: settings.first_sight(),
                rate: RateLimit::new(settings.collect.logs.rate_limit),
                turns: turns.clone(),
                books: shared.books.clone(),
                backoff: policies.reconnect,
                quiet: log_stream::QUIET,
                metrics: shared.metrics.clone(),
                faults: shared.faults.clone(),
            },
            router,
            look: inventory_mailbox.control(),
            resync: inventory_mailbox.control(),
            roster,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        vec![
            ChildSpec::actor("connection", connection_inbox, move |cell| HostConnection::new(cell, connection)),
            ChildSpec::group(streams),
            ChildSpec::actor("inventory", inventory_inbox, move |cell| Inventory::new(cell, inventory)),
            ChildSpec::actor("events", events_inbox, move |cell| EventMonitor::new(cell, events)),
            ChildSpec::actor("stream_set", set_inbox, move |cell| StreamSet::new(cell, set)),
            ChildSpec::actor("images", images_inbox, move |cell| Images::new(cell, watched)),
        ]
    })
}
