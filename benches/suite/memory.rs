//! The whole pipeline, from frames in memory to two sinks that discard: parsers, batcher, journal and sinks are the real
//! actors, on threads as the topology gives them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix_rt::{Arbiter, System};
use actor_runtime::{
    Backoff, ChildSpec, GroupSpec, Intensity, Mailbox, Placement, RestartPolicy, Root, Shutdown, Strategy, mailbox,
};
use anyhow::ensure;
use async_trait::async_trait;
use bytes::Bytes;
use engine::frame::FrameDecoder;
use journal::{Limits, MemoryJournal, WhenFull};
use model::{
    ContainerId, ContainerMeta, ContainerState, CpuClock, Frame, HostName, NetworkScope, NodeName, OsFamily,
    StatsRecord, Stream, Timestamp, compute,
};
use pipeline::batcher::{BatchLedger, BatchPolicy, Batcher, BatcherDeps};
use pipeline::books::Books;
use pipeline::event_handlers::EventHandlers;
use pipeline::faults::Faults;
use pipeline::journal::{Intake, JournalDeps, JournalWriter};
use pipeline::messages::{Payload, RawFrame, Subject};
use pipeline::metrics::Metrics;
use pipeline::parser::{EventPolicy, Parser, ParserDeps};
use pipeline::ports::{Appetite, Decode, Deliver, DeliverError, Journal, Range, Receipt};
use pipeline::router::Router;
use pipeline::sink::{Sink, SinkDeps};

use crate::Extent;
use crate::batches::RECORDED;
use crate::child::cpu_of;
use crate::report::{Bar, Row};
use crate::timing::in_turns;

const SERIES: u64 = 1_000;
/// The recording is kept so many times over: more than a core's own cache holds, as frames that another core has read.
const COPIES: usize = 64;
const PASSES: u32 = 15;
const ROUNDS: usize = 5;
const SINKS: [&str; 2] = ["first", "second"];
const ROWS_A_BATCH: usize = 500;
const BYTES_A_BATCH: usize = 1 << 20;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    let frames = Frames::new();
    let system = System::new();
    let mut walls = Vec::new();
    let mut failed = Ok(());
    let [alone, whole] = in_turns(
        ROUNDS,
        [&mut || cpu_spent(|| decode_alone(&frames)), &mut || {
            cpu_spent(|| match system.block_on(through(&frames)) {
                Ok(wall) => walls.push(wall),
                Err(error) => failed = Err(error),
            })
        }],
    );
    failed?;
    let samples = frames.samples() as f64;
    let per_core = samples / whole.median();
    walls.sort();
    let wall = samples / walls[walls.len() / 2].as_secs_f64();
    let micros = |seconds: f64| seconds * 1e6 / samples;
    let row = Row {
        what: "whole pipeline, frames in memory → two sinks that discard".into(),
        figure: format!("{per_core:.0} samples/s per core ({:.2} µs of CPU each)", micros(whole.median())),
        reference: format!(
            "decode + compute in a loop, no actor: {:.2} µs; the pipeline takes **{:.2} ×** that",
            micros(alone.median()),
            whole.times(&alone),
        ),
        bar: Some(Bar::new("≥ 300 000 samples/s per core", per_core >= 300_000.0)),
        conditions: format!(
            "{SERIES} series, {} samples a round, {ROUNDS} rounds in turns, median; {} parsers; {wall:.0} samples/s by the clock; none dropped",
            frames.samples(),
            parsers(),
        ),
    };
    Ok(vec![row])
}

struct Frames {
    copies: Vec<Vec<Bytes>>,
}

impl Frames {
    fn new() -> Self {
        let copy = |_| RECORDED.lines().map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        Self { copies: (0..COPIES).map(copy).collect() }
    }

    fn samples(&self) -> u64 {
        u64::from(PASSES) * SERIES * self.copies[0].len() as u64
    }

    /// One pass: every series gets the recording from its beginning.
    fn pass(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        let ticks = 0..self.copies[0].len();
        ticks
            .flat_map(move |tick| (0..SERIES).map(move |series| (series, &self.copies[series as usize % COPIES][tick])))
    }
}

/// Containers whose run began at second `run`: a recording that starts again is another run.
fn subjects(run: u32) -> Vec<Arc<Subject>> {
    let subject = |series: u64| {
        let meta = ContainerMeta {
            host: HostName::try_new("memory").expect("a host name"),
            container_id: ContainerId::try_new(&format!("{series:064x}")).expect("a container id"),
            container_name: format!("busy-{series}"),
            image: "busybox".into(),
            compose_project: None,
            compose_service: None,
            run: Some(Timestamp::from_nanos(i64::from(run) * 1_000_000_000)),
            labels: Default::default(),
        };
        let scope = Some(NetworkScope::Own);
        Arc::new(Subject {
            meta: Arc::new(meta),
            network_scope: scope,
            os: OsFamily::Linux,
            cpu_clock: CpuClock::System,
            pid: None,
            state: ContainerState::Running,
            ended_at: None,
            wants_logs: false,
        })
    };
    (0..SERIES).map(subject).collect()
}

/// The reference: what has to be done with a frame, in a loop.
fn decode_alone(frames: &Frames) {
    let mut rows = Vec::with_capacity(ROWS_A_BATCH);
    for run in 0..PASSES {
        let subjects = subjects(run);
        let mut previous: Vec<Option<Frame>> = vec![None; SERIES as usize];
        for (series, bytes) in frames.pass() {
            let frame = FrameDecoder.decode(bytes).expect("a recorded frame is a frame");
            let (subject, previous) = (&subjects[series as usize], &mut previous[series as usize]);
            rows.push(StatsRecord {
                meta: subject.meta.clone(),
                timestamp: frame.read.unwrap_or_default(),
                received_at: Timestamp::from(SystemTime::now()),
                network_scope: subject.network_scope.clone(),
                sample: compute::sample(previous.as_ref(), &frame, subject.os, subject.cpu_clock),
            });
            *previous = Some(frame);
            if rows.len() == ROWS_A_BATCH {
                std::hint::black_box(&rows);
                rows.clear();
            }
        }
    }
}

/// Sends every frame through a fresh pipeline and drains it; how long that took.
async fn through(frames: &Frames) -> anyhow::Result<Duration> {
    let since = Instant::now();
    let Assembled { root, router, books, journal, threads } = assemble()?;
    while journal.books().len() < SINKS.len() {
        // A sink has what is appended from its registration on.
        tokio::task::yield_now().await;
    }
    for run in 0..PASSES {
        let subjects = subjects(run);
        for (index, (series, bytes)) in frames.pass().enumerate() {
            let frame = RawFrame {
                series,
                subject: subjects[series as usize].clone(),
                received_at: Timestamp::from(SystemTime::now()),
                payload: Payload::Document(bytes.clone()),
                custody: books.receive(Stream::Stats),
            };
            router.frames(series).send(frame).await.map_err(|_| anyhow::anyhow!("the parsers are gone"))?;
            if index % 1_000 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    let report = root.drain(Duration::from_secs(60)).await;
    let took = since.elapsed();
    for thread in threads {
        thread.stop();
        thread.join().map_err(|_| anyhow::anyhow!("a thread of the pipeline panicked"))?;
    }
    ensure!(report.cut_short.is_empty(), "not drained: {:?}", report.cut_short);
    for sink in journal.books() {
        ensure!(sink.delivered == frames.samples(), "{sink:?}, {:?}", books.of(Stream::Stats));
    }
    Ok(took)
}

struct Assembled {
    root: Root,
    router: Router,
    books: Arc<Books>,
    journal: Arc<dyn Journal>,
    threads: Vec<Arbiter>,
}

fn parsers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// The delivering and parsing half of the tree.
fn assemble() -> anyhow::Result<Assembled> {
    let books = Books::new();
    let metrics = Metrics::new(books.clone())?;
    // Room for a sink that the machine's other work holds up: here nothing is to be dropped.
    let journal: Arc<dyn Journal> =
        Arc::new(MemoryJournal::new(Limits { bytes: 512 << 20, when_full: WhenFull::DropOldest }));
    let policy = BatchPolicy::try_new(ROWS_A_BATCH, BYTES_A_BATCH, Duration::from_secs(1))?;
    let ledger = BatchLedger::new(NodeName::try_new("bench")?, 1, policy, &books);
    let backoff = Backoff::try_new(Duration::from_millis(200), Duration::from_secs(30), 0.5)?;
    let mut threads = Vec::new();
    let mut on_a_thread = || {
        let thread = Arbiter::new();
        let handle = thread.handle();
        threads.push(thread);
        Placement::On(handle)
    };

    let sinks = SINKS.map(|name| {
        let deps = SinkDeps {
            name: name.into(),
            connect: Arc::new(|| Box::new(Discard)),
            journal: journal.clone(),
            dead_letter: Arc::new(sinks::deadletter::FileDeadLetter::new(
                sinks::deadletter::Folder::new("/nonexistent"),
                0,
            )),
            backoff,
            health: Arc::default(),
            metrics: metrics.clone(),
            faults: Faults::NONE,
        };
        let (_, inbox) = mailbox::<Sink>(1);
        ChildSpec::actor(name, inbox, move |cell| Sink::new(cell, deps))
            .policy(RestartPolicy::Transient)
            .shutdown(Shutdown::Timeout(Duration::MAX))
            .on(on_a_thread())
    });
    let (writer, writer_inbox) = mailbox::<JournalWriter>(8);
    let deps =
        JournalDeps { journal: journal.clone(), intake: Intake::default(), backoff, metrics, faults: Faults::NONE };
    let batching = on_a_thread();
    let writing =
        ChildSpec::actor("journal", writer_inbox, move |cell| JournalWriter::new(cell, deps)).on(batching.clone());
    let (batcher, batcher_inbox): (Mailbox<Batcher>, _) = mailbox(8192);
    let deps = BatcherDeps { ledger, journal: writer.outlet(), faults: Faults::NONE };
    let batching = ChildSpec::actor("batcher", batcher_inbox, move |cell| Batcher::new(cell, deps)).on(batching);
    let delivery: Vec<ChildSpec> = sinks.into_iter().chain([writing, batching]).collect();

    let (mailboxes, inboxes): (Vec<Mailbox<Parser>>, Vec<_>) = (0..parsers()).map(|_| mailbox(4 << 20)).unzip();
    let deps = ParserDeps {
        decode: Arc::new(FrameDecoder),
        batcher: batcher.outlet(),
        books: books.clone(),
        events: EventPolicy::default(),
        handlers: EventHandlers::default(),
        faults: Faults::NONE,
    };
    let parser = |(index, inbox)| {
        let deps = deps.clone();
        ChildSpec::actor(format!("parser-{index}"), inbox, move |cell| Parser::new(cell, deps)).on(on_a_thread())
    };
    let parsing: Vec<ChildSpec> = inboxes.into_iter().enumerate().map(parser).collect();

    let root = group(
        "root",
        vec![ChildSpec::group(group("delivery", delivery)?), ChildSpec::group(group("parsing", parsing)?)],
    )?;
    Ok(Assembled { root: Root::start(root), router: Router::new(&mailboxes), books, journal, threads })
}

/// A group that is built once: nothing in it is to fail.
fn group(name: &str, mut children: Vec<ChildSpec>) -> anyhow::Result<GroupSpec> {
    let intensity = Intensity::try_new(1, Duration::from_secs(60))?;
    Ok(GroupSpec::new(name, Strategy::OneForOne, intensity, Backoff::NONE, move |_| std::mem::take(&mut children)))
}

/// A sink whose server takes everything, at once.
struct Discard;

#[async_trait]
impl Deliver for Discard {
    fn kind(&self) -> &'static str {
        "discard"
    }

    fn target(&self) -> String {
        "nowhere".into()
    }

    fn appetite(&self) -> Appetite {
        Appetite { rows: 50_000, bytes: 8 << 20, linger: Duration::from_millis(20), streams: vec![Stream::Stats] }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(())
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        std::hint::black_box(range);
        Ok(Receipt::default())
    }
}

/// CPU time of this process while `act` ran.
fn cpu_spent(act: impl FnOnce()) -> Duration {
    let before = cpu_of(std::process::id());
    act();
    cpu_of(std::process::id()).saturating_sub(before)
}
