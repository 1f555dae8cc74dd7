//! A group per Docker host.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_runtime::{Backoff, ChildSpec, GroupSpec, Intensity, Quarantine, Strategy, mailbox};
use pipeline::event_monitor::{EventMemory, EventMonitor, EventMonitorDeps};
use pipeline::host_connection::{HostBoard, HostConnection, HostConnectionDeps, Link};
use pipeline::images::{ImageBoard, ImageMemory, ImageTable, Images, ImagesDeps};
use pipeline::inventory::{ContainerMemory, Inventory, InventoryDeps, Resync};
use pipeline::ports::{EngineApi, Journal};
use pipeline::stats_stream::{Polls, StatsMode, StatsStreamDeps};
use pipeline::stream_set::{Roster, StreamSet, StreamSetDeps};

use super::{MINUTE, Shared, TopologyError};
use crate::config::{CollectMode, Config};

/// Signals on their way to an actor of a host are bounded by what is in flight; these actors get no data.
const SIGNALS_ONLY: u32 = 1;

/// Polls in flight at once on one host.
const POLLS: usize = 12;

/// What the hosts need beside what is shared.
#[derive(Clone)]
pub(super) struct HostParts {
    board: HostBoard,
    /// What is remembered of an engine outlives every group.
    engines: Vec<Remembered>,
    mode: StatsMode,
    stats_interval: Duration,
    discovery_interval: Duration,
    image_interval: Duration,
    labels: Arc<[String]>,
}

/// An engine, and what is remembered of it.
#[derive(Clone)]
struct Remembered {
    engine: Arc<dyn EngineApi>,
    events: Arc<EventMemory>,
    containers: Arc<ContainerMemory>,
    images: Arc<ImageMemory>,
    image_table: Arc<Mutex<ImageTable>>,
}

impl HostParts {
    pub fn new(config: &Config, board: HostBoard, engines: Vec<Arc<dyn EngineApi>>, journal: &dyn Journal) -> Self {
        let marks = journal.marks();
        let remembered = |engine: Arc<dyn EngineApi>| {
            let mark = marks.get(&EventMemory::source_of(engine.host()));
            let events = Arc::new(EventMemory::new(engine.host(), mark.map(Vec::as_slice)));
            let containers = Arc::new(ContainerMemory::new(engine.host(), &marks));
            let images = Arc::new(ImageMemory::new(engine.host(), &marks));
            let image_table = Arc::new(Mutex::new(ImageTable::resuming(images.images())));
            Remembered { engine, events, containers, images, image_table }
        };
        let mode = match config.collect.mode {
            CollectMode::Auto => StatsMode::Auto,
            CollectMode::Stream => StatsMode::Stream,
            CollectMode::Poll => StatsMode::Poll,
        };
        Self {
            board,
            engines: engines.into_iter().map(remembered).collect(),
            mode,
            stats_interval: config.collect.stats_interval,
            discovery_interval: config.collect.discovery_interval,
            image_interval: config.collect.image_interval,
            labels: config.collect.labels.clone().into(),
        }
    }
}

pub(super) fn group(shared: &Shared, parts: &HostParts) -> Result<GroupSpec, TopologyError> {
    let (shared, parts) = (shared.clone(), parts.clone());
    let policies = Policies::new()?;
    let backoff = policies.restart;
    Ok(GroupSpec::new("hosts", Strategy::OneForOne, Intensity::try_new(5, MINUTE)?, backoff, move |_| {
        let host = |known: &Remembered| ChildSpec::group(host(&shared, &parts, &policies, known));
        parts.engines.iter().map(host).collect()
    }))
}

/// The pauses and budgets of a host's actors.
#[derive(Clone, Copy)]
struct Policies {
    restart: Backoff,
    reconnect: Backoff,
    probe: Backoff,
    host: Intensity,
    streams: Quarantine,
}

impl Policies {
    fn new() -> Result<Self, TopologyError> {
        Ok(Self {
            restart: Backoff::try_new(Duration::from_millis(100), Duration::from_secs(30), 0.5)?,
            reconnect: Backoff::try_new(Duration::from_millis(100), Duration::from_secs(10), 0.5)?,
            // A local engine that comes back is found within a few seconds.
            probe: Backoff::try_new(Duration::from_millis(200), Duration::from_secs(5), 0.3)?,
            host: Intensity::try_new(10, MINUTE)?,
            streams: Quarantine { intensity: Intensity::try_new(5, MINUTE)?, lasting: 5 * MINUTE },
        })
    }
}

/// One host. The streams stand right behind the connection: what fails after them leaves them running. The images stand
/// last: they fail alone.
fn host(shared: &Shared, parts: &HostParts, policies: &Policies, known: &Remembered) -> GroupSpec {
    let (shared, parts, policies, known) = (shared.clone(), parts.clone(), *policies, known.clone());
    let engine = known.engine.clone();
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
            board: parts.board.clone(),
            router: router.clone(),
            books: shared.books.clone(),
            backoff: policies.probe,
            metrics: shared.metrics.clone(),
        };
        let roster = Roster::default();
        let (followed, parsers, resync) = (roster.clone(), router.clone(), inventory_mailbox.control());
        let streams = GroupSpec::new("streams", Strategy::OneForOne, policies.host, policies.restart, move |_| {
            // The group begins with no stream: so does the roster, and the inventory tells what is missing.
            followed.clear().into_iter().for_each(|series| parsers.forget(series));
            resync.signal(Resync);
            Vec::new()
        })
        .quarantine(policies.streams)
        .report_exits_to(set_mailbox.control());
        let inventory = InventoryDeps {
            engine: engine.clone(),
            link: link.clone(),
            board: parts.board.clone(),
            router: router.clone(),
            streams: set_mailbox.control(),
            memory: known.containers.clone(),
            images: images.clone(),
            users: images_mailbox.control(),
            books: shared.books.clone(),
            interval: parts.discovery_interval,
            labels: parts.labels.clone(),
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
            memory: known.events.clone(),
            journal: shared.journal.clone(),
            books: shared.books.clone(),
            backoff: policies.reconnect,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let watched = ImagesDeps {
            engine: engine.clone(),
            link: link.clone(),
            table: known.image_table.clone(),
            memory: known.images.clone(),
            board: images.clone(),
            digests: inventory_mailbox.control(),
            router: router.clone(),
            books: shared.books.clone(),
            interval: parts.image_interval,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let set = StreamSetDeps {
            group: streams.handle(),
            stream: StatsStreamDeps {
                engine: engine.clone(),
                link: link.clone(),
                router: router.clone(),
                suspect: connection_mailbox.control(),
                look: inventory_mailbox.control(),
                books: shared.books.clone(),
                mode: parts.mode,
                interval: parts.stats_interval,
                polls: Arc::new(Polls::new(POLLS)),
                silence: parts.board.silence().clone(),
                backoff: policies.reconnect,
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
