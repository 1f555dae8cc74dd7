//! StreamSet: one stats stream per container that has stats, one log stream per container whose log is read, no more
//! and no fewer.
//!
//! In: [`Track`] from the `Inventory`, exits of its streams. Out: streams started and ended in their group,
//! [`Look`] where a stream ended by itself. Owns nothing: the roster is the topology's and outlives it.

mod roster;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use actix::fut::wrap_future;
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, ChildExit, ChildSpec, Control, Drain, Exit, GroupHandle, RestartPolicy, Shutdown, mailbox};
use model::{ContainerId, Stream, Timestamp};
use tokio::time::Instant;

use crate::faults::{Faults, Point};
use crate::inventory::{Look, Resync};
use crate::log_stream::{LogStream, LogStreamDeps, floor_mark};
use crate::messages::Subject;
use crate::metrics::Metrics;
use crate::ports::Mark;
use crate::router::Router;
use crate::stats_stream::{StatsStream, StatsStreamDeps};
use roster::Kind;

pub use roster::Roster;

/// What the set needs.
#[derive(Clone)]
pub struct StreamSetDeps {
    /// The group of the streams.
    pub group: GroupHandle,
    /// What every stats stream needs.
    pub stats: StatsStreamDeps,
    /// What every log stream needs.
    pub logs: LogStreamDeps,
    /// The way to the parsers.
    pub router: Router,
    /// Who keeps the truth.
    pub look: Control<Look>,
    /// Asks for the whole truth.
    pub resync: Control<Resync>,
    /// The streams that are followed.
    pub roster: Roster,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// What is to be followed.
#[derive(Clone, Debug)]
pub enum Track {
    /// These and no others.
    Exactly {
        /// There are.
        subjects: Vec<Subject>,
        /// There, too, and not wanted.
        others: Vec<Subject>,
        /// In doubt: followed on if they are, and not begun if they are not.
        unsure: HashSet<ContainerId>,
    },
    /// This one too, or with this new subject.
    Follow(Box<Subject>),
    /// This one is there, and is not wanted, or not any more.
    PassOver(Box<Subject>),
    /// A run of this one is over: it has no stats before the next.
    Ended(ContainerId),
    /// This one is gone.
    Leave(ContainerId),
}

impl Message for Track {
    type Result = ();
}

/// How often is kept where logs begin that were never read.
const FLOOR: Duration = Duration::from_secs(30);

/// A container is gone, and so are its last lines.
struct Forget(ContainerId);

impl Message for Forget {
    type Result = ();
}

/// A container is passed over, and its last lines are journaled: the next life is to know.
struct PassedOver(ContainerId);

impl Message for PassedOver {
    type Result = ();
}

/// The actor.
pub struct StreamSet {
    cell: Cell,
    deps: StreamSetDeps,
    stats: Arc<StatsStreamDeps>,
    logs: Arc<LogStreamDeps>,
    /// When everything was known last, and what the engine's clock showed then.
    known_at: Option<(Instant, Timestamp)>,
}

/// Every stream has a number of its own in the life of the process.
static NEXT_SERIES: AtomicU64 = AtomicU64::new(0);

/// A stream's mailbox holds signals only.
const STREAM_PERMITS: u32 = 1;

/// The last lines of a container have reached the journal by now: where it is gone, what they leave there can go.
const SETTLED: Duration = Duration::from_secs(30);

/// A stream has this long to hand on the frame it holds.
const STREAM_DRAIN: Duration = Duration::from_secs(2);

impl StreamSet {
    /// A set that lives in `cell`.
    pub fn new(cell: Cell, deps: StreamSetDeps) -> Self {
        let (stats, logs) = (Arc::new(deps.stats.clone()), Arc::new(deps.logs.clone()));
        Self { cell, deps, stats, logs, known_at: None }
    }

    /// Follows what there is to follow of a container, and nothing else.
    fn follow(&self, subject: Subject) {
        let id = &subject.meta.container_id;
        if subject.state.has_stats() {
            self.follow_stats(&subject);
        } else {
            self.leave_stats(id);
        }
        if subject.wants_logs {
            let (positions, first_sight) = (&self.logs.positions, self.logs.first_sight);
            positions.come_in(id, subject.meta.run, subject.state.is_live(), self.engine_now());
            let is_finished = positions.is_finished(id, subject.meta.run, subject.ended_at, first_sight);
            self.follow_log(&subject, subject.state.has_log() && !is_finished);
        }
    }

    /// Follows nothing of a container that is there and not wanted. A run that was wanted is read to its end: where the
    /// end is what made it unwanted, its last lines are not.
    fn pass_over(&self, subject: &Subject, ctx: &mut Context<Self>) {
        let (id, run, positions) = (&subject.meta.container_id, subject.meta.run, &self.logs.positions);
        self.leave_stats(id);
        if !subject.wants_logs {
            return;
        }
        let is_over = subject.state.has_log() && !subject.state.has_stats();
        if is_over && positions.is_open(id, run, subject.ended_at) {
            return self.follow_log(subject, true);
        }
        let stopped = self.deps.roster.lock().stop(Kind::Log, id);
        if let Some(series) = stopped {
            self.deps.group.remove(child_id(id, series));
        }
        if positions.pass_over(self.logs.engine.host(), id, run, self.logs.first_sight) {
            ctx.notify_later(PassedOver(id.clone()), SETTLED);
        }
    }

    fn follow_stats(&self, subject: &Subject) {
        let id = &subject.meta.container_id;
        let mut streams = self.deps.roster.lock();
        if streams.tell(Kind::Stats, id, subject) {
            return;
        }
        let series = NEXT_SERIES.fetch_add(1, Ordering::Relaxed);
        let subject = streams.add(Kind::Stats, id, series, subject);
        let (_, inbox) = mailbox::<StatsStream>(STREAM_PERMITS);
        let deps = self.stats.clone();
        self.start(ChildSpec::actor(child_id(id, series), inbox, move |cell| {
            StatsStream::new(cell, deps, series, subject)
        }));
    }

    /// The log is read to its end by its stream, which hears here what became of the container.
    fn follow_log(&self, subject: &Subject, has_more: bool) {
        let id = &subject.meta.container_id;
        let mut streams = self.deps.roster.lock();
        // One that was left may still be reading: it reports its end, and the container is looked at again.
        if streams.tell(Kind::Log, id, subject) || !has_more || streams.is_ending(Kind::Log, id) {
            return;
        }
        let series = NEXT_SERIES.fetch_add(1, Ordering::Relaxed);
        let subject = streams.add(Kind::Log, id, series, subject);
        let (_, inbox) = mailbox::<LogStream>(STREAM_PERMITS);
        let deps = self.logs.clone();
        self.start(ChildSpec::actor(child_id(id, series), inbox, move |cell| LogStream::new(cell, deps, subject)));
    }

    /// Where containers begin whose log was never read: in this life where it began, in the next a little before
    /// this one ends.
    fn keep_floor(&mut self, knows_all: bool, ctx: &mut Context<Self>) {
        let now = self.engine_now();
        if self.logs.positions.begin(now) {
            self.mark(floor_mark(self.logs.engine.host(), now), ctx);
        }
        let is_due = self.known_at.is_none_or(|(at, _)| at.elapsed() >= FLOOR);
        // A line that is on its way may be the first of its container.
        if knows_all
            && is_due
            && self.logs.books.of(Stream::Logs).is_settled()
            && let Some((_, known_at)) = self.known_at.replace((Instant::now(), now))
        {
            self.mark(floor_mark(self.logs.engine.host(), known_at), ctx);
        }
    }

    fn engine_now(&self) -> Timestamp {
        self.logs.link.engine_now().unwrap_or_else(|| Timestamp::from(SystemTime::now()))
    }

    fn mark(&self, mark: Mark, ctx: &mut Context<Self>) {
        let journal = self.logs.journal.clone();
        ctx.spawn(wrap_future(async move {
            // The next one tells more; one that is to go is found again at the next start.
            if let Err(error) = journal.mark(mark).await {
                tracing::debug!(%error, "a log position is not kept");
            }
        }));
    }

    fn start(&self, stream: ChildSpec) {
        self.deps.group.add(stream.policy(RestartPolicy::Transient).shutdown(Shutdown::Timeout(STREAM_DRAIN)));
    }

    fn leave_stats(&self, id: &ContainerId) {
        let left = self.deps.roster.lock().end(Kind::Stats, id);
        if let Some(series) = left {
            self.deps.group.remove(child_id(id, series));
        }
    }

    /// The log of a container that is gone is read on as long as the engine tells it.
    fn leave(&self, id: &ContainerId, ctx: &mut Context<Self>) {
        self.leave_stats(id);
        self.logs.positions.leave(id);
        let is_read = self.deps.roster.lock().leave(Kind::Log, id);
        if !is_read {
            ctx.notify_later(Forget(id.clone()), SETTLED);
        }
    }

    fn show_count(&self) {
        let host = self.deps.stats.engine.host();
        let (stats, logs) = self.deps.roster.lock().counts();
        self.deps.metrics.streams(host.as_str(), stats);
        self.deps.metrics.silent(host.as_str(), self.deps.stats.silence.of(host));
        self.deps.metrics.log_streams(host.as_str(), logs);
    }
}

/// The name of a stream in its group: unique even where a container is left and followed again.
fn child_id(id: &ContainerId, series: u64) -> String {
    format!("{}.{series}", id.short())
}

fn series_of(child: &str) -> Option<u64> {
    child.rsplit_once('.')?.1.parse().ok()
}

impl Actor for StreamSet {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.deps.resync.signal(Resync);
    }
}

impl actix::Supervised for StreamSet {}

impl Handler<Track> for StreamSet {
    type Result = ();

    fn handle(&mut self, track: Track, ctx: &mut Context<Self>) {
        self.deps.faults.strike(Point::StreamSet);
        self.keep_floor(matches!(track, Track::Exactly { .. }), ctx);
        match track {
            Track::Exactly { subjects, others, unsure } => {
                let there = subjects.iter().chain(&others).map(|subject| &subject.meta.container_id);
                let there: HashSet<&ContainerId> = there.chain(&unsure).collect();
                let known = self.deps.roster.containers().into_iter().chain(self.logs.positions.containers());
                let left: HashSet<ContainerId> = known.filter(|id| !there.contains(id)).collect();
                left.iter().for_each(|id| self.leave(id, ctx));
                others.iter().for_each(|subject| self.pass_over(subject, ctx));
                subjects.into_iter().for_each(|subject| self.follow(subject));
            }
            Track::Follow(subject) => self.follow(*subject),
            Track::PassOver(subject) => self.pass_over(&subject, ctx),
            Track::Ended(id) => self.leave_stats(&id),
            Track::Leave(id) => self.leave(&id, ctx),
        }
        self.show_count();
    }
}

impl Handler<Forget> for StreamSet {
    type Result = ();

    fn handle(&mut self, Forget(id): Forget, ctx: &mut Context<Self>) {
        if self.deps.roster.lock().has(Kind::Log, &id) {
            // It is back, or never was away.
            return;
        }
        if let Some(mark) = self.logs.positions.forget(&id) {
            self.mark(mark, ctx);
        }
    }
}

impl Handler<PassedOver> for StreamSet {
    type Result = ();

    fn handle(&mut self, PassedOver(id): PassedOver, ctx: &mut Context<Self>) {
        if let Some(mark) = self.logs.positions.passed_over(&id) {
            self.mark(mark, ctx);
        }
    }
}

impl Handler<ChildExit> for StreamSet {
    type Result = ();

    fn handle(&mut self, ended: ChildExit, ctx: &mut Context<Self>) {
        let Some(series) = series_of(&ended.id) else { return };
        self.deps.router.forget(series);
        let ended = self.deps.roster.lock().ended(series);
        if let Some((kind, id, was_left)) = ended {
            if was_left && kind == Kind::Log {
                ctx.notify_later(Forget(id.clone()), SETTLED);
            }
            // It ended by itself: whether there is anything left to follow, the engine knows.
            self.deps.look.signal(Look(id));
            self.show_count();
        }
    }
}

impl Handler<Drain> for StreamSet {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
