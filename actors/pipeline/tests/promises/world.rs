//! One host, whole, with a parser behind it and a recorder where the batcher would be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, DrainReport, Envelope, Exit, GroupSpec, Intensity, NodeView, Placement,
    Quarantine, Root, Strategy, mailbox,
};
use journal::{Limits, MemoryJournal, WhenFull};
use model::{EventRecord, Frame, HostRecord, LogRecord, LossReason, LossRecord, StatsRecord, Stream, Timestamp};
use pipeline::books::{Books, Custody};
use pipeline::event_handlers::{self, EventHandlers, HandlerPolicies};
use pipeline::event_monitor::{EventMonitor, EventMonitorDeps};
use pipeline::faults::Faults;
use pipeline::host_connection::{HostBoard, HostConnection, HostConnectionDeps, Link};
use pipeline::host_set::{Fleet, HostMemory, HostSet, HostSetDeps, Wanted};
use pipeline::images::{ImageBoard, Images, ImagesDeps};
use pipeline::inventory::{Inventory, InventoryDeps, Resync};
use pipeline::knowledge::{Bounds, Knowledge};
use pipeline::log_stream::{FirstSight, LogPositions, LogSelection, LogStreamDeps, RateLimit, TURNS};
use pipeline::messages::{Chunk, ChunkRows};
use pipeline::metrics::Metrics;
use pipeline::parser::{EventPolicy, Parser, ParserDeps};
use pipeline::ports::{Decode, EngineApi, EventHandlerPlan};
use pipeline::router::Router;
use pipeline::selection::Selection;
use pipeline::stats_stream::{LocalKernel, Polls, StatsMode, StatsStreamDeps};
use pipeline::stream_set::{Roster, StreamSet, StreamSetDeps};
use tokio::sync::{Semaphore, watch};

use crate::engine::{DEADLY, FakeEngine, Port};

pub const MINUTE: Duration = Duration::from_secs(60);

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What came out.
#[derive(Default)]
pub struct Seen {
    pub stats: Vec<StatsRecord>,
    pub events: Vec<EventRecord>,
    pub containers: Vec<model::ContainerRecord>,
    pub images: Vec<model::ImageRecord>,
    pub versions: Vec<model::ImageVersionRecord>,
    pub hosts: Vec<HostRecord>,
    pub losses: Vec<LossRecord>,
    pub logs: Vec<LogRecord>,
    /// What a journal would keep for the next life.
    pub marks: BTreeMap<String, Vec<u8>>,
}

/// What becomes of a line behind the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFate {
    Journaled,
    Lost,
    /// It stays on its way.
    Held,
}

impl Seen {
    fn journal_line(&mut self, row: LogRecord, custody: Custody) {
        let place = custody.places()[0].clone();
        let mark = place.source.mark(&[place.number]);
        self.marks.insert(mark.source, mark.position.unwrap());
        self.logs.push(row);
        custody.journaled();
    }
}

/// Stands where the batcher would; takes chunks while its gate is open.
struct Recorder {
    cell: Cell,
    seen: Arc<Mutex<Seen>>,
    gate: watch::Receiver<bool>,
    lines: LineFates,
    held: Vec<Custody>,
}

type LineFates = Arc<dyn Fn(&LogRecord) -> LineFate + Send + Sync>;

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl actix::Supervised for Recorder {}

impl Handler<Envelope<Chunk>> for Recorder {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Chunk>, ctx: &mut Context<Self>) {
        let mut gate = self.gate.clone();
        let open = async move { gate.wait_for(|is_open| *is_open).await.is_ok() };
        ctx.wait(wrap_future(open).map(move |_, recorder: &mut Self, _| {
            let (mut chunk, _permit) = envelope.into_parts();
            let mut seen = recorder.seen.lock().unwrap();
            match chunk.rows {
                ChunkRows::Stats(rows) => seen.stats.extend(rows),
                ChunkRows::Event(row) => seen.events.push(*row),
                ChunkRows::Container(row) => seen.containers.push(*row),
                ChunkRows::Image(row) => seen.images.push(*row),
                ChunkRows::ImageVersion(row) => seen.versions.push(*row),
                ChunkRows::Host(row) => seen.hosts.push(*row),
                ChunkRows::Losses(rows) => seen.losses.extend(rows),
                ChunkRows::Logs(rows) => {
                    for row in rows {
                        let custody = chunk.custody.split_off(1);
                        match (recorder.lines)(&row) {
                            LineFate::Journaled => seen.journal_line(row, custody),
                            LineFate::Lost => custody.lost(LossReason::Panic),
                            LineFate::Held => recorder.held.push(custody),
                        }
                    }
                }
            }
            for place in chunk.custody.places() {
                let mark = place.source.mark(&[place.number]);
                seen.marks.remove(&mark.source);
                seen.marks.extend(mark.position.map(|position| (mark.source, position)));
            }
            chunk.custody.journaled();
        }));
    }
}

impl Handler<Drain> for Recorder {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}

/// A frame of the fake engine is a number: when it was read, in nanoseconds.
struct Numbers;

impl Decode for Numbers {
    fn decode(&self, bytes: &[u8]) -> Result<Frame, LossReason> {
        assert_ne!(bytes, DEADLY, "the decoder is made to panic");
        let nanos = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(LossReason::NotJson)?;
        Ok(Frame { read: Some(Timestamp::from_nanos(nanos)), ..Frame::default() })
    }
}

/// How a world is made.
pub struct Options {
    pub mode: StatsMode,
    pub kernel: Option<Arc<LocalKernel>>,
    pub stats_interval: Duration,
    pub discovery: Duration,
    pub parser_room: u32,
    pub logs: LogSelection,
    pub first_sight: FirstSight,
    pub rate: Option<RateLimit>,
    pub quiet: Duration,
    /// Where the logs were left.
    pub positions: Option<LogPositions>,
    /// What becomes of lines behind the parser.
    pub lines: LineFates,
    pub faults: Faults,
    pub parser_faults: Faults,
    pub parsers: u32,
    pub selection: Selection,
    pub handlers: Vec<EventHandlerPlan>,
    /// What the life before left in its journal.
    pub marks: BTreeMap<String, Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: StatsMode::Stream,
            kernel: None,
            stats_interval: seconds(1),
            discovery: MINUTE,
            parser_room: 1 << 20,
            logs: LogSelection { all: false },
            first_sight: FirstSight::Now,
            rate: None,
            quiet: 5 * MINUTE,
            positions: None,
            lines: Arc::new(|_| LineFate::Journaled),
            faults: Faults::NONE,
            parser_faults: Faults::NONE,
            parsers: 1,
            selection: Selection::default(),
            handlers: Vec::new(),
            marks: BTreeMap::new(),
        }
    }
}

pub struct World {
    pub books: Arc<Books>,
    pub board: HostBoard,
    pub fleet: Fleet,
    pub journal: Arc<MemoryJournal>,
    pub metrics: Arc<Metrics>,
    parts: Arc<Mutex<Option<Parts>>>,
    seen: Arc<Mutex<Seen>>,
    gate: watch::Sender<bool>,
    root: Root,
}

/// What hosts are made of.
#[derive(Clone)]
struct Parts {
    options: Arc<Options>,
    router: Router,
    books: Arc<Books>,
    board: HostBoard,
    fleet: Fleet,
    journal: Arc<MemoryJournal>,
    metrics: Arc<Metrics>,
}

impl World {
    /// One host, which stays.
    pub fn start(engine: &Arc<FakeEngine>, options: Options) -> Self {
        let port = Arc::new(Port(engine.clone()));
        Self::around(options, move |parts| {
            let mut memory = HostMemory::resuming(port.host(), &parts.options.marks);
            if let Some(positions) = &parts.options.positions {
                memory.logs = positions.clone();
            }
            ChildSpec::group(host(parts, "host", &port, memory))
        })
    }

    /// Hosts that come and go: none at first.
    pub fn of_hosts(options: Options) -> Self {
        Self::around(options, |parts| {
            let (parts, ended) = (parts.clone(), parts.fleet.clone());
            let restart = Backoff::try_new(millis(100), seconds(30), 0.0).unwrap();
            let group = GroupSpec::new("hosts", Strategy::OneForOne, intensity(5), restart, move |group| {
                parts.fleet.none_lives();
                let (_, inbox) = mailbox::<HostSet>(1);
                let deps = HostSetDeps {
                    fleet: parts.fleet.clone(),
                    group: group.clone(),
                    board: parts.board.clone(),
                    journal: parts.journal.clone(),
                    router: parts.router.clone(),
                    books: parts.books.clone(),
                    metrics: parts.metrics.clone(),
                };
                vec![ChildSpec::actor("(set)", inbox, move |cell| HostSet::new(cell, deps))]
            });
            ChildSpec::group(group.on_child_exit(move |exit| ended.ended(&exit.id)))
        })
    }

    /// The hosts that are watched from now on, and the numbers of their lives.
    pub fn want(&self, engines: &[(&Arc<FakeEngine>, u64)]) {
        let wanted = |(engine, version): &(&Arc<FakeEngine>, u64)| {
            let (port, parts) = (Arc::new(Port((*engine).clone())), self.parts.clone());
            let name = port.host().clone();
            let group = move |memory| {
                let parts = parts.lock().unwrap().clone().expect("the group of hosts has begun");
                host(&parts, port.host().as_str(), &port, memory)
            };
            (name, Wanted { version: *version, group: Arc::new(group) })
        };
        self.fleet.want(engines.iter().map(wanted).collect());
    }

    fn around(options: Options, hosts: impl Fn(&Parts) -> ChildSpec + Send + 'static) -> Self {
        let (books, board, seen) = (Books::new(), HostBoard::default(), Arc::<Mutex<Seen>>::default());
        let (fleet, metrics) = (Fleet::default(), Metrics::new(books.clone()).unwrap());
        let journal = Arc::new(MemoryJournal::new(Limits { bytes: 1 << 20, when_full: WhenFull::Block }));
        let (gate, is_open) = watch::channel(true);
        let (shared, recorded) = (books.clone(), seen.clone());
        let parts = Arc::<Mutex<Option<Parts>>>::default();
        let (made, options) = (parts.clone(), Arc::new(options));
        let (of_hosts, marked, counted, shown) = (fleet.clone(), journal.clone(), metrics.clone(), board.clone());
        let root = GroupSpec::new("root", Strategy::RestForOne, intensity(3), Backoff::NONE, move |_| {
            let (recorder, recorder_inbox) = mailbox::<Recorder>(64);
            let (parsers, inboxes): (Vec<_>, Vec<_>) =
                (0..options.parsers).map(|_| mailbox::<Parser>(options.parser_room)).unzip();
            let (handling, lanes) = handling(&options.handlers, &counted);
            let deps = ParserDeps {
                decode: Arc::new(Numbers),
                batcher: recorder.outlet(),
                books: shared.clone(),
                events: EventPolicy::default(),
                handlers: lanes,
                faults: options.parser_faults.clone(),
            };
            let parts = Parts {
                options: options.clone(),
                router: Router::new(&parsers),
                books: shared.clone(),
                board: shown.clone(),
                fleet: of_hosts.clone(),
                journal: marked.clone(),
                metrics: counted.clone(),
            };
            let (seen, gate, lines) = (recorded.clone(), is_open.clone(), options.lines.clone());
            let hosts = hosts(&parts);
            *made.lock().unwrap() = Some(parts);
            let recorder_of = move |cell| Recorder {
                cell,
                seen: seen.clone(),
                gate: gate.clone(),
                lines: lines.clone(),
                held: Vec::new(),
            };
            let mut children =
                vec![ChildSpec::actor("recorder", recorder_inbox, recorder_of), ChildSpec::group(handling)];
            children.extend(inboxes.into_iter().enumerate().map(|(index, inbox)| {
                let deps = deps.clone();
                ChildSpec::actor(format!("parser-{index}"), inbox, move |cell| Parser::new(cell, deps))
            }));
            children.push(hosts);
            children
        });
        let root = Root::start(root);
        Self { books, board, fleet, journal, metrics, parts, seen, gate, root }
    }

    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// Events of an action, by whether they are synthetic.
    pub fn events(&self, action: &str, synthetic: bool) -> usize {
        self.seen(|seen| {
            seen.events.iter().filter(|event| event.action == action && event.synthetic == synthetic).count()
        })
    }

    /// While it is shut, nothing leaves the parser.
    pub fn open_gate(&self, is_open: bool) {
        self.gate.send_replace(is_open);
    }

    /// What was dropped of a stream, for this reason.
    pub fn lost(&self, stream: Stream, reason: LossReason) -> u64 {
        let books = self.books.of(stream);
        let drops = books.dropped_before_parsing.iter().chain(&books.dropped_after_parsing);
        drops.filter(|(of, _)| *of == reason).map(|(_, count)| count).sum()
    }

    /// Restarts so far, and streams set aside.
    pub fn restarts(&self) -> (u64, u64) {
        let tree = self.root.tree();
        (tree.restarts().iter().map(|(_, count)| count).sum(), tree.quarantines())
    }

    pub fn view(&self) -> NodeView {
        self.root.tree().view()
    }

    /// Drains, and asserts that every item is accounted for.
    pub async fn end(self) -> DrainReport {
        self.open_gate(true);
        self.drain().await
    }

    /// Drains with the gate as it is.
    pub async fn drain(self) -> DrainReport {
        self.books.end();
        let report = self.root.drain(seconds(20)).await;
        for stream in Stream::ALL {
            let books = self.books.of(stream);
            assert!(books.is_settled(), "{books:?}");
        }
        report
    }

    pub fn share(&self) -> Arc<Mutex<Seen>> {
        self.seen.clone()
    }
}

/// The handlers, and the way to them.
fn handling(plans: &[EventHandlerPlan], metrics: &Arc<Metrics>) -> (GroupSpec, EventHandlers) {
    let restart = Backoff::try_new(millis(100), seconds(30), 0.0).unwrap();
    let quarantine = Quarantine { intensity: intensity(5), lasting: 5 * MINUTE };
    let policies = HandlerPolicies { backoff: restart, quarantine, stall: seconds(30) };
    event_handlers::group(plans, policies, metrics, || Placement::Here)
}

fn intensity(restarts: u32) -> Intensity {
    Intensity::try_new(restarts, MINUTE).unwrap()
}

fn host(parts: &Parts, name: &str, port: &Arc<Port>, memory: HostMemory) -> GroupSpec {
    let Parts { options, router, books, board, journal, metrics, .. } = parts.clone();
    let engine: Arc<dyn EngineApi> = port.clone();
    let selection = Arc::new(options.selection.clone());
    let bounds = Bounds { ttl: seconds(600), containers: 1000 };
    let knowledge = Knowledge::new(engine.host().clone(), bounds, metrics.clone());
    let link = Link::default();
    let HostMemory { events: memory, containers, images: remembered, table, logs: positions } = memory;
    let images = ImageBoard::default();
    let restart = Backoff::try_new(millis(100), seconds(30), 0.0).unwrap();
    let reconnect = Backoff::try_new(millis(100), seconds(10), 0.0).unwrap();
    let probe = Backoff::try_new(millis(200), seconds(5), 0.0).unwrap();
    let kernel = options.kernel.clone();
    let (mode, interval, discovery) = (options.mode, options.stats_interval, options.discovery);
    let faults = options.faults.clone();
    let (log_selection, first_sight, rate, quiet) = (options.logs, options.first_sight, options.rate, options.quiet);
    GroupSpec::new(name, Strategy::RestForOne, intensity(10), restart, move |_| {
        let (connection_mailbox, connection_inbox) = mailbox::<HostConnection>(1);
        let (inventory_mailbox, inventory_inbox) = mailbox::<Inventory>(1);
        let (_, events_inbox) = mailbox::<EventMonitor>(1);
        let (images_mailbox, images_inbox) = mailbox::<Images>(1);
        let (set_mailbox, set_inbox) = mailbox::<StreamSet>(1);
        let connection = HostConnectionDeps {
            engine: engine.clone(),
            link: link.clone(),
            labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
            board: board.clone(),
            router: router.clone(),
            books: books.clone(),
            backoff: probe,
            metrics: metrics.clone(),
        };
        let roster = Roster::new(router.clone());
        let (followed, resync) = (roster.clone(), inventory_mailbox.control());
        let streams = GroupSpec::new("streams", Strategy::OneForOne, intensity(10), restart, move |_| {
            followed.clear();
            resync.signal(Resync);
            Vec::new()
        })
        .quarantine(Quarantine { intensity: intensity(5), lasting: 5 * MINUTE })
        .report_exits_to(set_mailbox.control());
        let inventory = InventoryDeps {
            engine: engine.clone(),
            link: link.clone(),
            board: board.clone(),
            router: router.clone(),
            streams: set_mailbox.control(),
            memory: containers.clone(),
            images: images.clone(),
            users: images_mailbox.control(),
            books: books.clone(),
            interval: discovery,
            labels: Arc::new([]),
            selection: selection.clone(),
            knowledge: knowledge.clone(),
            logs: log_selection,
            metrics: metrics.clone(),
            faults: faults.clone(),
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
            memory: memory.clone(),
            knowledge: knowledge.clone(),
            selection: selection.clone(),
            journal: journal.clone(),
            books: books.clone(),
            backoff: reconnect,
            metrics: metrics.clone(),
            faults: faults.clone(),
        };
        let watched = ImagesDeps {
            engine: engine.clone(),
            link: link.clone(),
            table: table.clone(),
            memory: remembered.clone(),
            board: images.clone(),
            digests: inventory_mailbox.control(),
            router: router.clone(),
            books: books.clone(),
            interval: discovery,
            metrics: metrics.clone(),
            faults: faults.clone(),
        };
        let set = StreamSetDeps {
            group: streams.handle(),
            stats: StatsStreamDeps {
                engine: engine.clone(),
                link: link.clone(),
                router: router.clone(),
                suspect: connection_mailbox.control(),
                look: inventory_mailbox.control(),
                books: books.clone(),
                mode,
                interval,
                kernel: kernel.clone(),
                polls: Arc::new(Polls::new(12)),
                silence: board.silence().clone(),
                backoff: reconnect,
                metrics: metrics.clone(),
                faults: faults.clone(),
            },
            logs: LogStreamDeps {
                engine: engine.clone(),
                link: link.clone(),
                router: router.clone(),
                suspect: connection_mailbox.control(),
                positions: positions.clone(),
                journal: journal.clone(),
                first_sight,
                rate,
                turns: Arc::new(Semaphore::new(TURNS)),
                books: books.clone(),
                backoff: reconnect,
                quiet,
                metrics: metrics.clone(),
                faults: faults.clone(),
            },
            router: router.clone(),
            look: inventory_mailbox.control(),
            resync: inventory_mailbox.control(),
            roster,
            metrics: metrics.clone(),
            faults: faults.clone(),
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
