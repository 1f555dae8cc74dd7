//! Inventory: the truth about a host's containers.
//!
//! In: [`Heard`] and [`Reconcile`] from the `EventMonitor`, [`Look`] and [`Resync`] from streams. Out:
//! [`Track`] to the `StreamSet`, container states and missed events to the parser. Owns the table of
//! containers, and the observations that wait for a parser; a restart looks at everything anew. What the journal has of
//! the containers is the topology's: whoever went before the first look is told as removed all the same.

mod digests;
mod looks;
mod memory;
mod picked;
mod signals;
mod table;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Cell, Control, Drain, Exit};
use model::{ContainerId, ContainerRecord, ContainerState, Stream, Timestamp};
use tokio::time::Instant;

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{HostBoard, Link};
use crate::images::{CountUsers, ImageBoard};
use crate::knowledge::Knowledge;
use crate::log_stream::LogSelection;
use crate::messages::{About, Observation, Seen, Subject};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EngineError, EngineFailure};
use crate::router::Router;
use crate::selection::Selection;
use crate::stream_set::Track;
use looks::{Looks, Round};
use picked::Unselected;
use signals::{Due, Overdue, RoundOver};
use table::{CROSSING, Change, Missed, Table, missed_event};

pub use memory::ContainerMemory;
pub use signals::{DigestsChanged, Heard, Look, Reconcile, Resync};

/// What the inventory needs.
#[derive(Clone)]
pub struct InventoryDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// Where counts are shown.
    pub board: HostBoard,
    /// The way to the parsers.
    pub router: Router,
    /// Who follows the streams.
    pub streams: Control<Track>,
    /// What the journal has of the containers.
    pub memory: Arc<ContainerMemory>,
    /// Who uses which image, and which digests images have.
    pub images: ImageBoard,
    /// Who counts that.
    pub users: Control<CountUsers>,
    /// The books.
    pub books: Arc<Books>,
    /// Between two full looks.
    pub interval: Duration,
    /// Labels that ride on records.
    pub labels: Arc<[String]>,
    /// Whose data are wanted.
    pub selection: Arc<Selection>,
    /// What is known of the containers, for others.
    pub knowledge: Arc<Knowledge>,
    /// Whose logs are read.
    pub logs: LogSelection,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct Inventory {
    cell: Cell,
    deps: InventoryDeps,
    outbox: Outbox,
    state: State,
}

#[derive(Default)]
struct State {
    table: Table,
    looks: Looks,
    unselected: Unselected,
    stage: Stage,
    reconcile_again: bool,
    /// The number of the present full look.
    epoch: u64,
    /// Full looks in a row that could not see everything.
    failures: u32,
}

/// How far a full look is.
#[derive(Default)]
enum Stage {
    #[default]
    Resting,
    Listing,
    Looking(Round),
}

/// After a full look that could not see everything, the next one comes sooner, at first after so long.
const RETRY: Duration = Duration::from_secs(1);

/// Between two full looks that were asked for.
const AGAIN: Duration = Duration::from_millis(100);

/// A full look is over after this, whoever has not answered: a wedged container costs only itself.
const ROUND: Duration = Duration::from_secs(5);

/// How often the verdict on a missed event is put off while nobody can hear events.
const PUT_OFF: u32 = 15;

impl Inventory {
    /// An inventory that lives in `cell`.
    pub fn new(cell: Cell, deps: InventoryDeps) -> Self {
        Self { cell, deps, outbox: Outbox::default(), state: State::default() }
    }

    /// Lists all containers, then looks at them.
    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.state.stage, Stage::Resting) {
            self.state.reconcile_again = true;
            return;
        }
        self.state.stage = Stage::Listing;
        self.state.epoch += 1;
        let (engine, link, faults) = (self.deps.engine.clone(), self.deps.link.clone(), self.deps.faults.clone());
        let listing = async move {
            link.up().await;
            faults.strike(Point::Inventory);
            let since = Instant::now();
            (engine.list().await, since)
        };
        ctx.spawn(
            wrap_future(listing).map(|(list, since), inventory: &mut Self, ctx| inventory.listed(list, since, ctx)),
        );
    }

    fn listed(
        &mut self,
        list: Result<Vec<(ContainerId, ContainerState)>, EngineError>,
        since: Instant,
        ctx: &mut Context<Self>,
    ) {
        let list = match list {
            Ok(list) => list,
            Err(error) => {
                self.call_failed("list", &error);
                return self.rest(false, ctx);
            }
        };
        for id in self.deps.memory.take_lost() {
            self.state.table.not_sent(&id);
        }
        let mut ids = self.state.table.worth_a_look(&list);
        ids.extend(self.deps.memory.beside(&ids));
        self.state.stage = Stage::Looking(Round::new(since, &ids));
        ctx.notify_later(RoundOver(self.state.epoch), ROUND);
        for id in ids {
            if self.state.table.touch(&id, since) {
                self.state.looks.patrol(id);
            }
        }
        self.look_on(ctx);
    }

    /// Takes the looks that are to be taken, and ends the full look where none of it is left.
    fn look_on(&mut self, ctx: &mut Context<Self>) {
        while let Some((id, version)) = self.state.looks.next(&mut self.state.table) {
            let engine = self.deps.engine.clone();
            let looking = async move {
                let found = engine.inspect(&id).await;
                (id, version, found)
            };
            ctx.spawn(wrap_future(looking).map(|(id, version, found), inventory: &mut Self, ctx| {
                inventory.state.looks.done();
                inventory.found(&id, version, found, ctx);
                inventory.look_on(ctx);
            }));
        }
        if matches!(&self.state.stage, Stage::Looking(round) if round.is_over()) {
            self.round_over(ctx);
        }
    }

    /// A full look is over: the stream set hears all that is certain.
    fn round_over(&mut self, ctx: &mut Context<Self>) {
        let Stage::Looking(round) = std::mem::take(&mut self.state.stage) else { return };
        self.state.table.looked();
        self.tell_uses();
        let host = self.deps.engine.host();
        let states: Vec<(&str, i64)> = self.state.table.states().into_iter().collect();
        self.deps.metrics.discovered(host.as_str(), round.since.elapsed(), &states);
        self.count_unselected();
        let (all, running) = self.state.table.records().fold((0, 0), |(all, running), record| {
            (all + 1, running + u64::from(record.state == ContainerState::Running))
        });
        self.deps.board.count(host, all, running);
        self.resync();
        self.rest(round.is_whole(), ctx);
    }

    /// Sets the time of the next full look.
    fn rest(&mut self, is_whole: bool, ctx: &mut Context<Self>) {
        let state = &mut self.state;
        state.stage = Stage::Resting;
        state.failures = if is_whole { 0 } else { state.failures.saturating_add(1) };
        let delay = match (std::mem::take(&mut state.reconcile_again), state.failures) {
            (true, 0) => AGAIN,
            (_, 0) => self.deps.interval,
            (_, failures) => RETRY.saturating_mul(1 << (failures - 1).min(16)).min(self.deps.interval),
        };
        ctx.notify_later(Due(state.epoch), delay);
    }

    /// Nothing is said before there has been a full look: an empty table is no empty host.
    fn resync(&self) {
        let table = &self.state.table;
        if table.has_looked() {
            let wanted = table.certain().filter(|record| self.deps.selection.takes(*record));
            let subjects = wanted.map(|record| self.subject(record)).collect();
            self.deps.streams.signal(Track::Exactly { subjects, unsure: table.unsure() });
        }
    }

    fn look(&mut self, id: ContainerId, ctx: &mut Context<Self>) {
        self.state.table.touch(&id, Instant::now());
        self.state.looks.urgent(id);
        self.look_on(ctx);
    }

    /// A look is over: puts the answer in, and tells whom it concerns.
    fn found(
        &mut self,
        id: &ContainerId,
        version: u64,
        found: Result<ContainerRecord, EngineError>,
        ctx: &mut Context<Self>,
    ) {
        let found = match found {
            Ok(record) => Some(self.with_digest(record)),
            Err(error) if error.failure == EngineFailure::Gone => None,
            Err(error) => {
                // The host is down, or this container cannot be asked: the next full look tells.
                self.state.table.look_failed(id);
                self.call_failed("inspect", &error);
                return self.settled(id, false);
            }
        };
        let change = self.state.table.put(id, version, found.clone());
        if change == Change::LookAgain {
            return self.state.looks.urgent(id.clone());
        }
        self.settled(id, true);
        self.tell_use(id, found.as_ref());
        self.deps.knowledge.found(id, found.as_ref());
        let is_selected = self.pick(id, found.as_ref());
        self.track(id, found.as_ref().filter(|_| is_selected));
        let (before, missed) = match change {
            Change::Changed { before, missed } => (before, missed),
            // It may have gone before this inventory knew of it.
            _ if found.is_none() => (None, None),
            _ => return,
        };
        let is_gone = found.is_none();
        let Some(mut record) = self.worth_telling(id, found, is_selected, before) else { return };
        if is_gone {
            record.state = ContainerState::Removed;
            record.observed_at = Timestamp::from(SystemTime::now());
        }
        self.tell(record.clone());
        if let Some(missed) = missed {
            ctx.notify_later(Overdue { record: Box::new(record), missed, put_off: 0 }, CROSSING);
        }
    }

    fn settled(&mut self, id: &ContainerId, is_known: bool) {
        if let Stage::Looking(round) = &mut self.state.stage {
            round.settled(id, is_known);
        }
    }

    /// Tells the stream set of one container.
    fn track(&self, id: &ContainerId, found: Option<&ContainerRecord>) {
        let track = match found {
            Some(record) => Track::Follow(Box::new(self.subject(record))),
            None => Track::Leave(id.clone()),
        };
        self.deps.streams.signal(track);
    }

    fn subject(&self, record: &ContainerRecord) -> Subject {
        let info = self.deps.link.known();
        Subject {
            meta: Arc::new(record.meta(&self.deps.labels)),
            network_scope: record.network_scope.clone(),
            os: info.as_ref().map(|info| info.os).unwrap_or_default(),
            cpu_clock: info.as_ref().map(|info| info.cpu_clock).unwrap_or_default(),
            state: record.state,
            ended_at: record.finished_at.filter(|_| !record.state.is_live()),
            wants_logs: self.deps.logs.takes(&record.labels),
        }
    }

    /// Tells the state of a container; what had to be dropped is told again after the next look.
    fn tell(&mut self, record: ContainerRecord) {
        let id = record.container_id.clone();
        let custody = self.deps.books.receive(Stream::Containers).at(self.deps.memory.place(&record));
        let what = Seen::Container(Box::new(record));
        if !self.outbox.send(Observation { what, custody }, &self.deps.router) {
            self.state.table.not_sent(&id);
        }
    }

    /// Sends on what was seen; false where it had to be dropped.
    fn hand_on(&self, what: Seen) -> bool {
        let custody = self.deps.books.receive(what.stream());
        self.outbox.send(Observation { what, custody }, &self.deps.router)
    }

    fn call_failed(&self, call: &str, error: &EngineError) {
        let host = self.deps.engine.host().as_str();
        self.deps.metrics.engine_error(host, error.failure.name());
        tracing::debug!(host, call, %error, "engine call failed");
    }
}

impl Actor for Inventory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        ctx.spawn(wrap_future(async move { outbox.run(&router).await }));
        self.reconcile(ctx);
    }
}

impl actix::Supervised for Inventory {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Heard> for Inventory {
    type Result = ();

    fn handle(&mut self, Heard { id, action }: Heard, ctx: &mut Context<Self>) {
        self.state.table.hear(&id, &action, Instant::now());
        match action.as_str() {
            "die" => drop(self.deps.streams.signal(Track::Ended(id.clone()))),
            "destroy" | "remove" => drop(self.deps.streams.signal(Track::Leave(id.clone()))),
            _ => {}
        }
        self.look(id, ctx);
    }
}

impl Handler<Reconcile> for Inventory {
    type Result = ();

    fn handle(&mut self, _: Reconcile, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
    }
}

impl Handler<Due> for Inventory {
    type Result = ();

    fn handle(&mut self, Due(epoch): Due, ctx: &mut Context<Self>) {
        if epoch == self.state.epoch {
            self.reconcile(ctx);
        }
    }
}

impl Handler<RoundOver> for Inventory {
    type Result = ();

    fn handle(&mut self, RoundOver(epoch): RoundOver, ctx: &mut Context<Self>) {
        if epoch == self.state.epoch {
            self.round_over(ctx);
        }
    }
}

impl Handler<Look> for Inventory {
    type Result = ();

    fn handle(&mut self, Look(id): Look, ctx: &mut Context<Self>) {
        self.look(id, ctx);
    }
}

impl Handler<Resync> for Inventory {
    type Result = ();

    fn handle(&mut self, _: Resync, _: &mut Context<Self>) {
        self.resync();
    }
}

impl Handler<Overdue> for Inventory {
    type Result = ();

    fn handle(&mut self, overdue: Overdue, ctx: &mut Context<Self>) {
        let Overdue { record, missed: Missed { action, wanted }, put_off } = overdue;
        if self.state.table.was_heard(&record.container_id, action, wanted) {
            return;
        }
        if put_off < PUT_OFF && !self.deps.link.has_heard_for(CROSSING) {
            // The event may be waiting at the engine for somebody to listen.
            let later = Overdue { record, missed: Missed { action, wanted }, put_off: put_off + 1 };
            ctx.notify_later(later, CROSSING);
            return;
        }
        if !self.deps.selection.takes_event("container", action) {
            return;
        }
        let now = Timestamp::from(SystemTime::now());
        let (host, event) = (record.host.clone(), Box::new(missed_event(&record, action, now)));
        let about = About { oom_killed: record.oom_killed, ..About::default() };
        self.hand_on(Seen::Event { host, received_at: now, synthetic: true, event, about });
    }
}

impl Handler<Drain> for Inventory {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), inventory: &mut Self, ctx| inventory.cell.finish(ctx, Exit::Drained)));
    }
}
