//! Joins the parts. The only place that knows all of them.
//!
//! ```text
//! root            rest_for_one
//! ├ delivery      one_for_one    Sink[i], Journal, Batcher, LossReporter
//! ├ handlers      one_for_one    registered event handlers, each on a thread of its own
//! ├ parsing       one_for_one    Parser[0..n], each on a thread of its own
//! ├ hosts         one_for_one    a group per Docker host
//! │  └ host       rest_for_one   HostConnection, streams, Inventory, EventMonitor, StreamSet, Images
//! └ serving       one_for_one    API server
//! ```
//!
//! Children are started downstream first and ended upstream first. Waits point downstream only.

mod epoch;
mod hosts;
mod journal;
mod sinks;
mod view;
mod wiring;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::journal::OpenError;
use actix_rt::{Arbiter, ArbiterHandle};
use actor_runtime::{
    Backoff, ChildSpec, DrainReport, Exit, GroupSpec, Intensity, InvalidPolicy, Mailbox, Outlet, Placement, Quarantine,
    RestartPolicy, Root, Shutdown, Strategy, Tree, mailbox,
};
use model::{InvalidId, Stream};
use pipeline::batcher::{BatchLedger, BatchPolicy, Batcher, BatcherDeps, InvalidBatchPolicy};
use pipeline::books::{Books, StreamBooks};
use pipeline::event_handlers::{self, EventHandlers, HandlerPolicies};
use pipeline::faults::Faults;
use pipeline::host_connection::HostBoard;
use pipeline::journal::{Intake, JournalDeps, JournalWriter};
use pipeline::losses::{LossReporter, LossReporterDeps, Reported};
use pipeline::messages::Append;
use pipeline::metrics::{MetricError, Metrics};
use pipeline::parser::{EventPolicy, EventRules, Parser, ParserDeps};
use pipeline::ports::{DeadLetter, EngineApi, EventHandlerPlan, Journal};
use pipeline::sink::{Sink, SinkDeps};

use crate::config::{Config, Host};
pub use hosts::HostChanges;
use hosts::Hosts;
pub use journal::open as open_journal;
pub use sinks::SinkPlan;
pub use view::View;
use wiring::Wiring;

/// Rows on their way from parsers to the batcher, at most: about 6 MiB of samples.
const BATCHER_ROWS: u32 = 8192;

/// Batches on their way to the journal, at most: as many gather while the others are written. 16 × `batch.bytes`.
const JOURNAL_BATCHES: u32 = 16;

/// Bytes of frames on their way to one parser, at most.
const PARSER_BYTES: u32 = 4 << 20;

/// A stage with work and no progress for so long is restarted.
const STALL: Duration = Duration::from_secs(30);

/// The parts that are not made here.
pub struct Parts {
    /// The engines to watch.
    pub engines: Vec<Arc<dyn EngineApi>>,
    /// Where records go.
    pub sinks: Vec<SinkPlan>,
    /// Where records go that no server takes.
    pub dead_letter: Arc<dyn DeadLetter>,
    /// Who else hears of events.
    pub handlers: Vec<EventHandlerPlan>,
    /// The API's socket, and what it reads; `None` where nothing is served.
    pub serving: Option<Serving>,
    /// Armed faults: none, outside of tests.
    pub faults: Faults,
}

/// What the API server needs.
pub struct Serving {
    /// Its socket.
    pub bound: Arc<api::Bound>,
    /// What it reads.
    pub store: Arc<dyn store::Store>,
    /// Which process answers.
    pub about: api::About,
}

/// Why the topology cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The node has no usable name.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// The epoch cannot be kept.
    #[error("cannot raise the epoch in {folder}: {error}")]
    Epoch {
        /// The data folder.
        folder: String,
        /// What the system says.
        error: io::Error,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Metrics clash.
    #[error(transparent)]
    Metrics(#[from] MetricError),
    /// A policy is impossible.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The batch policy is impossible.
    #[error(transparent)]
    Batch(#[from] InvalidBatchPolicy),
}

/// The running pipeline.
pub struct Topology {
    root: Root,
    view: View,
    books: Arc<Books>,
    journal: Arc<dyn Journal>,
    hosts: Hosts,
    events: EventPolicy,
    arbiters: Vec<Arbiter>,
}

impl Topology {
    /// Starts everything on the current actix system.
    pub fn start(config: &Config, parts: Parts) -> Result<Self, TopologyError> {
        let books = Books::new();
        let metrics = Metrics::new(books.clone())?;
        let journal = journal::open(config)?;
        journal::expect_sinks(&*journal, &parts.sinks);
        let batch = &config.batch;
        let policy = BatchPolicy::try_new(batch.count.get(), batch.bytes.as_usize(), batch.age)?;
        let epoch = raise_epoch(&config.data_dir)?;
        let ledger = BatchLedger::new(config.node.clone(), epoch, policy, &books);
        let mut threads = Threads::default();
        let shared = Shared {
            books: books.clone(),
            metrics: metrics.clone(),
            journal: journal.clone(),
            faults: parts.faults,
            retry: Backoff::try_new(config.retry.min, config.retry.max, 0.5)?,
            wiring: Wiring::new(parser_count(config)),
        };
        let board = HostBoard::default();
        let healths: Vec<_> = parts.sinks.iter().map(|plan| (plan.name.clone(), plan.health.clone())).collect();
        let delivery = delivery(&shared, config, ledger, (parts.sinks, parts.dead_letter), &mut threads)?;
        let (handling, handlers) = handling(&shared, &parts.handlers, &mut threads)?;
        let events = EventPolicy::default();
        let parsing = parsing(&shared, events.clone(), handlers, &mut threads)?;
        let mut hosts = Hosts::new(&shared, board.clone())?;
        hosts.want_engines(config, parts.engines)?;
        // The view needs the tree, and the API server, a part of the tree, needs the view.
        let tree_slot: Arc<std::sync::OnceLock<Tree>> = Arc::default();
        let view = View::new(tree_slot.clone(), metrics, journal.clone(), books.clone(), board, healths);
        let serving = serving(parts.serving, &view, &mut threads)?;
        let mut groups = Some([Some(delivery), handling, Some(parsing), Some(hosts.group()?), serving]);
        let root = GroupSpec::new(
            "dockstream",
            Strategy::RestForOne,
            Intensity::try_new(3, MINUTE)?,
            Backoff::NONE,
            move |_| {
                // The root never restarts itself: it gives up.
                groups.take().into_iter().flatten().flatten().map(ChildSpec::group).collect()
            },
        )
        .drain_before_escalation(config.shutdown.grace);
        let root = Root::start(root);
        tree_slot.set(root.tree()).ok();
        let topology = Self { root, view, books, journal, hosts, events, arbiters: threads.arbiters };
        topology.collect_as(config);
        Ok(topology)
    }

    /// Takes up what hosts do not take up by beginning anew.
    fn collect_as(&self, config: &Config) {
        let (arguments, labels) = (config.collect.event_arguments.iter().cloned(), config.collect.labels.clone());
        self.events.set(EventRules::new(arguments, labels.into()));
        self.view.expect_samples_every(config.collect.stats_interval);
    }

    /// Watches the hosts of `config` from now on, by its keys that say how. Hosts that stay as they were are not
    /// touched; `engine` is asked for the client of each other one, and where one fails nothing is changed.
    pub fn watch_hosts<E: From<TopologyError>>(
        &mut self,
        config: &Config,
        engine: impl FnMut(&Host) -> Result<Arc<dyn EngineApi>, E>,
    ) -> Result<HostChanges, E> {
        let changes = self.hosts.want(&config.hosts, config, engine)?;
        self.collect_as(config);
        Ok(changes)
    }

    /// What there is to see of it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The books of one stream.
    pub fn books(&self, stream: Stream) -> StreamBooks {
        self.books.of(stream)
    }

    /// The books, which outlive the pipeline.
    pub fn all_books(&self) -> Arc<Books> {
        self.books.clone()
    }

    /// The journal, which outlives the pipeline.
    pub fn journal(&self) -> Arc<dyn Journal> {
        self.journal.clone()
    }

    /// The supervision tree.
    pub fn tree(&self) -> Tree {
        self.root.tree()
    }

    /// Waits until supervision gives up; how it ended.
    pub async fn ended(&mut self) -> Exit {
        self.root.ended().await
    }

    /// Drains source to sink within `grace`, then joins every thread.
    pub async fn drain(self, grace: Duration) -> DrainReport {
        self.drain_unless(grace, std::future::pending()).await
    }

    /// Drains as [`Topology::drain`] does; once `hurry` is done, what still runs is ended as if the time were over.
    pub async fn drain_unless(self, grace: Duration, hurry: impl Future<Output = ()>) -> DrainReport {
        self.books.end();
        self.journal.last_call();
        let report = self.root.drain_unless(grace, hurry).await;
        join(self.arbiters);
        stop(&*self.journal).await;
        report
    }

    /// Ends everything now, and joins every thread.
    pub async fn kill(self) -> DrainReport {
        self.books.end();
        let report = self.root.kill().await;
        join(self.arbiters);
        stop(&*self.journal).await;
        report
    }
}

/// A disk that hangs does not hold back the end of the process.
const STOP_WITHIN: Duration = Duration::from_secs(10);

async fn stop(journal: &dyn Journal) {
    if tokio::time::timeout(STOP_WITHIN, journal.stop()).await.is_err() {
        tracing::error!("the journal's storage hangs; the next start finds what is in its file");
    }
}

/// A thread that is blocked for good is left to the end of the process.
const JOIN_WITHIN: Duration = Duration::from_secs(2);

fn join(arbiters: Vec<Arbiter>) {
    for arbiter in &arbiters {
        arbiter.stop();
    }
    let (joined, all_joined) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let panicked = arbiters.into_iter().map(Arbiter::join).filter(Result::is_err).count();
        joined.send(panicked).ok();
    });
    match all_joined.recv_timeout(JOIN_WITHIN) {
        Ok(0) => {}
        Ok(panicked) => tracing::error!(panicked, "threads of the pipeline panicked outside of its actors"),
        Err(_) => tracing::error!("a thread of the pipeline is blocked and does not end"),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// What every part of the tree may need.
#[derive(Clone)]
struct Shared {
    books: Arc<Books>,
    metrics: Arc<Metrics>,
    journal: Arc<dyn Journal>,
    faults: Faults,
    retry: Backoff,
    wiring: Wiring,
}

/// Threads of the pipeline; joined at the end.
#[derive(Default)]
struct Threads {
    arbiters: Vec<Arbiter>,
}

impl Threads {
    fn spawn(&mut self) -> ArbiterHandle {
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        self.arbiters.push(arbiter);
        handle
    }
}

fn raise_epoch(folder: &Path) -> Result<u64, TopologyError> {
    epoch::raise(folder).map_err(|error| TopologyError::Epoch { folder: folder.display().to_string(), error })
}

/// Sinks first: they end last, when the journal is closed and they have had everything.
fn delivery(
    shared: &Shared,
    config: &Config,
    ledger: BatchLedger,
    (plans, dead_letter): (Vec<SinkPlan>, Arc<dyn DeadLetter>),
    threads: &mut Threads,
) -> Result<GroupSpec, TopologyError> {
    let batching = threads.spawn();
    let plans: Vec<(SinkPlan, ArbiterHandle)> = plans.into_iter().map(|plan| (plan, threads.spawn())).collect();
    // What earlier lives lost was told by them, up to the journal's mark.
    let reported = Arc::new(Reported::resuming(&shared.journal.marks()));
    let (shared, intake, report_interval) = (shared.clone(), Intake::default(), config.losses.interval);
    Ok(GroupSpec::new("delivery", Strategy::OneForOne, Intensity::try_new(5, MINUTE)?, shared.retry, move |_| {
        let mut children: Vec<ChildSpec> =
            plans.iter().map(|(plan, thread)| sink(&shared, &dead_letter, plan, thread)).collect();
        let (journal_mailbox, journal_inbox) = mailbox::<JournalWriter>(JOURNAL_BATCHES);
        let (batcher_mailbox, batcher_inbox): (Mailbox<Batcher>, _) = mailbox(BATCHER_ROWS);
        shared.wiring.batcher.set(batcher_mailbox.outlet());
        shared.wiring.renew_parsers();
        let deps = JournalDeps {
            journal: shared.journal.clone(),
            intake: intake.clone(),
            backoff: shared.retry,
            metrics: shared.metrics.clone(),
            faults: shared.faults.clone(),
        };
        let journal = ChildSpec::actor("journal", journal_inbox, move |cell| JournalWriter::new(cell, deps));
        let outlet: Outlet<Append> = journal_mailbox.outlet();
        let deps = BatcherDeps { ledger: ledger.clone(), journal: outlet, faults: shared.faults.clone() };
        let batcher = ChildSpec::actor("batcher", batcher_inbox, move |cell| Batcher::new(cell, deps));
        // Last, so that it tells what was lost while everything before it drained.
        let deps = LossReporterDeps {
            books: shared.books.clone(),
            journal: shared.journal.clone(),
            reported: reported.clone(),
            batcher: batcher_mailbox.outlet(),
            interval: report_interval,
            faults: shared.faults.clone(),
        };
        let (_, inbox) = mailbox::<LossReporter>(1);
        let losses = ChildSpec::actor("losses", inbox, move |cell| LossReporter::new(cell, deps));
        let here = |child: ChildSpec| child.on(Placement::On(batching.clone())).stall_after(STALL);
        children.extend([journal, batcher, losses].map(here));
        children
    }))
}

fn sink(shared: &Shared, dead_letter: &Arc<dyn DeadLetter>, plan: &SinkPlan, thread: &ArbiterHandle) -> ChildSpec {
    // A sink reads the journal: its own mailbox carries no data.
    let (_, inbox) = mailbox::<Sink>(1);
    let deps = SinkDeps {
        name: plan.name.clone(),
        connect: plan.connect.clone(),
        journal: shared.journal.clone(),
        dead_letter: dead_letter.clone(),
        backoff: shared.retry,
        health: plan.health.clone(),
        metrics: shared.metrics.clone(),
        faults: shared.faults.clone(),
    };
    ChildSpec::actor(&*plan.name, inbox, move |cell| Sink::new(cell, deps))
        .policy(RestartPolicy::Transient)
        .shutdown(Shutdown::Timeout(Duration::MAX))
        .on(Placement::On(thread.clone()))
        .stall_after(STALL)
}

fn parser_count(config: &Config) -> usize {
    match config.limits.parsers {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
        count => count,
    }
}

/// The registered handlers, where there are any. They start before the parsers and end after them, so that they hear of
/// everything.
fn handling(
    shared: &Shared,
    plans: &[EventHandlerPlan],
    threads: &mut Threads,
) -> Result<(Option<GroupSpec>, EventHandlers), TopologyError> {
    let policies = HandlerPolicies {
        backoff: Backoff::try_new(Duration::from_millis(100), Duration::from_secs(30), 0.5)?,
        quarantine: Quarantine { intensity: Intensity::try_new(5, MINUTE)?, lasting: 5 * MINUTE },
        stall: STALL,
    };
    let place = || Placement::On(threads.spawn());
    let (group, handlers) = event_handlers::group(plans, policies, &shared.metrics, place);
    Ok(((!plans.is_empty()).then_some(group), handlers))
}

fn parsing(
    shared: &Shared,
    events: EventPolicy,
    handlers: EventHandlers,
    threads: &mut Threads,
) -> Result<GroupSpec, TopologyError> {
    let threads: Vec<ArbiterHandle> = (0..shared.wiring.parsers).map(|_| threads.spawn()).collect();
    let shared = shared.clone();
    Ok(GroupSpec::new("parsing", Strategy::OneForOne, Intensity::try_new(20, MINUTE)?, Backoff::NONE, move |_| {
        let deps = ParserDeps {
            decode: Arc::new(engine::frame::FrameDecoder),
            batcher: shared.wiring.batcher.get(),
            books: shared.books.clone(),
            events: events.clone(),
            handlers: handlers.clone(),
            faults: shared.faults.clone(),
        };
        let parser = |(index, (inbox, thread)): (usize, (_, &ArbiterHandle))| {
            let deps = deps.clone();
            ChildSpec::actor(format!("parser-{index}"), inbox, move |cell| Parser::new(cell, deps))
                .on(Placement::On(thread.clone()))
                .stall_after(STALL)
        };
        shared.wiring.inboxes().into_iter().zip(&threads).enumerate().map(parser).collect()
    }))
}

fn serving(serving: Option<Serving>, view: &View, threads: &mut Threads) -> Result<Option<GroupSpec>, TopologyError> {
    let Some(Serving { bound, store, about }) = serving else { return Ok(None) };
    let thread = threads.spawn();
    let sight = Arc::new(view.clone());
    let backoff = Backoff::try_new(Duration::from_millis(200), Duration::from_secs(10), 0.5)?;
    let group = GroupSpec::new("serving", Strategy::OneForOne, Intensity::try_new(5, MINUTE)?, backoff, move |_| {
        let (_, inbox) = mailbox::<api::ApiServer>(1);
        let (bound, store, sight, about) = (bound.clone(), store.clone(), sight.clone(), about.clone());
        let server = ChildSpec::actor("api", inbox, move |cell| api::ApiServer::new(cell, bound, store, sight, about));
        vec![server.shutdown(Shutdown::Timeout(Duration::from_secs(2))).on(Placement::On(thread.clone()))]
    });
    Ok(Some(group))
}
