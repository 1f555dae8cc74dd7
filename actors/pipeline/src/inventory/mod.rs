//! Inventory: the truth about a host's containers.
//!
//! In: [`Heard`] and [`Reconcile`] from the `EventMonitor`, [`Look`] and [`Resync`] from streams. Out:
//! [`Track`] to the `StreamSet`, container states and missed events to the parser. Owns the table of
//! containers, and the observations that wait for a parser; a restart looks at everything anew. What the journal has of
//! the containers is the topology's: whoever went before the first look is told as removed all the same.

mod digests;
mod found;
mod looks;
mod memory;
mod picked;
mod signals;
mod table;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Cell, Control, Drain, Exit};
use model::{ContainerId, ContainerState};
use tokio::time::Instant;

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{HostBoard, Link};
use crate::images::{CountUsers, ImageBoard};
use crate::knowledge::Knowledge;
use crate::log_stream::LogSelection;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EngineError};
use crate::router::Router;
use crate::selection::Selection;
use crate::stream_set::Track;
use looks::{Looks, Round};
use picked::Unselected;
use signals::{Due, RoundOver};
use table::Table;

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
        self.state.table.looked(Instant::now());
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
            let (wanted, others): (Vec<_>, Vec<_>) =
                table.certain().partition(|record| self.deps.selection.takes(*record));
            let subjects = |records: Vec<_>| records.into_iter().map(|record| self.subject(record)).collect();
            let (subjects, others) = (subjects(wanted), subjects(others));
            self.deps.streams.signal(Track::Exactly { subjects, others, unsure: table.unsure() });
        }
    }

    fn look(&mut self, id: ContainerId, ctx: &mut Context<Self>) {
        self.state.table.touch(&id, Instant::now());
        self.state.looks.urgent(id);
        self.look_on(ctx);
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

impl Handler<Drain> for Inventory {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), inventory: &mut Self, ctx| inventory.cell.finish(ctx, Exit::Drained)));
    }
}
