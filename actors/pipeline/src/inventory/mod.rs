//! Inventory: the truth about a host's containers.
//!
//! In: [`Heard`] and [`Reconcile`] from the `EventMonitor`, [`Look`] and [`Resync`] from streams. Out:
//! [`Track`] to the `StreamSet`, container states and missed events to the parser. Owns the table of
//! containers; a restart looks at everything anew.

mod table;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Control, Drain, Exit, TrySendError};
use model::{ContainerId, ContainerRecord, ContainerState, EngineEvent, LossReason, Timestamp};
use tokio::time::Instant;

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{HostBoard, Link};
use crate::messages::{Observation, Seen, Subject};
use crate::metrics::Metrics;
use crate::ports::{EngineApi, EngineError, EngineFailure};
use crate::router::Router;
use crate::stream_set::Track;
use table::{CROSSING, Change, Table, missed_event};

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
    /// The books.
    pub books: Arc<Books>,
    /// Between two full looks.
    pub interval: Duration,
    /// Labels that ride on records.
    pub labels: Arc<[String]>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// Before a full look is taken again that failed in part.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The actor.
pub struct Inventory {
    cell: Cell,
    deps: InventoryDeps,
    state: State,
}

#[derive(Default)]
struct State {
    table: Table,
    is_reconciling: bool,
    full_look: Option<FullLook>,
    reconcile_again: bool,
    epoch: u64,
}

/// A look at everything, under way.
struct FullLook {
    since: Instant,
    is_whole: bool,
}

/// An event told of a container.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which.
    pub id: ContainerId,
    /// What.
    pub action: String,
}

/// Something may have been missed: look at everything.
#[derive(Clone, Copy, Debug)]
pub struct Reconcile;

/// Something is odd about this container: look at it.
#[derive(Clone, Debug)]
pub struct Look(pub ContainerId);

/// The stream set begins anew: tell it everything.
#[derive(Clone, Copy, Debug)]
pub struct Resync;

/// The time for a full look has come, unless one came meanwhile.
struct Due(u64);

/// An event that would explain a change is overdue.
struct Overdue {
    record: Box<ContainerRecord>,
    action: &'static str,
    since: Instant,
}

impl Message for Heard {
    type Result = ();
}
impl Message for Reconcile {
    type Result = ();
}
impl Message for Look {
    type Result = ();
}
impl Message for Resync {
    type Result = ();
}
impl Message for Due {
    type Result = ();
}
impl Message for Overdue {
    type Result = ();
}

impl Inventory {
    /// An inventory that lives in `cell`.
    pub fn new(cell: Cell, deps: InventoryDeps) -> Self {
        Self { cell, deps, state: State::default() }
    }

    /// Lists all containers, then looks at those that differ.
    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        if self.state.is_reconciling {
            self.state.reconcile_again = true;
            return;
        }
        self.state.is_reconciling = true;
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
        self.state.is_reconciling = false;
        match list {
            Ok(list) => {
                self.call_done("list", since);
                self.state.full_look = Some(FullLook { since, is_whole: true });
                let differing = self.state.table.differing(&list);
                self.look_at_all(differing, ctx);
                self.try_complete(ctx);
            }
            Err(error) => self.call_failed("list", &error),
        }
        let again = std::mem::take(&mut self.state.reconcile_again);
        self.state.epoch += 1;
        let delay = if again { Duration::from_millis(100) } else { self.deps.interval };
        ctx.notify_later(Due(self.state.epoch), delay);
    }

    /// Looks at many; counts as one discovery.
    fn look_at_all(&mut self, ids: Vec<ContainerId>, ctx: &mut Context<Self>) {
        let looks: Vec<_> = ids
            .into_iter()
            .filter_map(|id| {
                let version = self.state.table.touch(&id)?;
                Some((id, version))
            })
            .collect();
        let engine = self.deps.engine.clone();
        let looking = async move {
            let looks = looks.into_iter().map(|(id, version)| {
                let engine = engine.clone();
                async move {
                    let found = engine.inspect(&id).await;
                    (id, version, found)
                }
            });
            futures_util::future::join_all(looks).await
        };
        ctx.spawn(wrap_future(looking).map(move |found, inventory: &mut Self, ctx| {
            for (id, version, found) in found {
                inventory.found(&id, version, found, Cause::Doubt, ctx);
            }
        }));
    }

    /// Ends a full look once nobody is looking any more; one that failed in part is taken again soon.
    fn try_complete(&mut self, ctx: &mut Context<Self>) {
        if self.state.table.is_looking() {
            return;
        }
        let Some(full) = self.state.full_look.take() else { return };
        if full.is_whole {
            self.complete(full.since);
        } else {
            ctx.notify_later(Reconcile, LOOK_AGAIN);
        }
    }

    /// A full look is done: the stream set hears the whole truth.
    fn complete(&mut self, since: Instant) {
        self.state.table.looked();
        let host = self.deps.engine.host();
        let states: Vec<(&str, i64)> = self.state.table.states().into_iter().collect();
        self.deps.metrics.discovered(host.as_str(), since.elapsed(), &states);
        let (all, running) = self.state.table.records().fold((0, 0), |(all, running), record| {
            (all + 1, running + u64::from(record.state == ContainerState::Running))
        });
        self.deps.board.count(host, all, running);
        self.resync();
    }

    /// Nothing is said before there has been a full look: an empty table is no empty host.
    fn resync(&self) {
        if !self.state.table.has_looked() {
            return;
        }
        let subjects = self.state.table.records().filter(|record| record.state.has_stats());
        let subjects: Vec<_> = subjects.map(|record| self.subject(record)).collect();
        self.deps.streams.signal(Track::Exactly(subjects));
    }

    fn look(&mut self, id: ContainerId, cause: Cause, ctx: &mut Context<Self>) {
        if let Some(version) = self.state.table.touch(&id) {
            self.look_under(id, version, cause, ctx);
        }
    }

    fn look_under(&self, id: ContainerId, version: u64, cause: Cause, ctx: &mut Context<Self>) {
        let engine = self.deps.engine.clone();
        let asked = id.clone();
        let looking = async move { engine.inspect(&asked).await };
        ctx.spawn(
            wrap_future(looking)
                .map(move |found, inventory: &mut Self, ctx| inventory.found(&id, version, found, cause, ctx)),
        );
    }

    /// A look is over.
    fn found(
        &mut self,
        id: &ContainerId,
        version: u64,
        found: Result<ContainerRecord, EngineError>,
        cause: Cause,
        ctx: &mut Context<Self>,
    ) {
        self.put(id, version, found, cause, ctx);
        self.try_complete(ctx);
    }

    /// Puts the answer of a look in, and tells whom it concerns.
    fn put(
        &mut self,
        id: &ContainerId,
        version: u64,
        found: Result<ContainerRecord, EngineError>,
        cause: Cause,
        ctx: &mut Context<Self>,
    ) {
        let found = match found {
            Ok(record) => Some(record),
            Err(error) if error.failure == EngineFailure::Gone => None,
            Err(error) => {
                self.state.table.look_failed(id);
                if let Some(full) = &mut self.state.full_look {
                    full.is_whole = false;
                }
                self.call_failed("inspect", &error);
                // The host is down, or this container cannot be asked: the next full look tells.
                return;
            }
        };
        let change = self.state.table.put(id, version, found.clone());
        let Change::Changed { before, missed } = change else {
            if let Change::LookAgain(version) = change {
                self.look_under(id.clone(), version, cause, ctx);
            } else {
                self.track(id, found.as_ref());
            }
            return;
        };
        self.track(id, found.as_ref());
        let now = Timestamp::from(SystemTime::now());
        let shown = found.or_else(|| before.map(|before| *before)).map(|mut record| {
            if self.is_unknown(id) {
                record.state = ContainerState::Removed;
                record.observed_at = now;
            }
            record
        });
        let Some(record) = shown else { return };
        self.hand_on(Seen::Container(Box::new(record.clone())));
        if let (Some(action), Cause::Doubt) = (missed, cause) {
            let overdue = Overdue { record: Box::new(record), action, since: Instant::now() };
            ctx.notify_later(overdue, CROSSING);
        }
    }

    fn is_unknown(&self, id: &ContainerId) -> bool {
        !self.state.table.records().any(|record| record.container_id == *id)
    }

    /// Tells the stream set of one container.
    fn track(&self, id: &ContainerId, found: Option<&ContainerRecord>) {
        let track = match found {
            Some(record) if record.state.has_stats() => Track::Follow(Box::new(self.subject(record))),
            _ => Track::Leave(id.clone()),
        };
        self.deps.streams.signal(track);
    }

    fn subject(&self, record: &ContainerRecord) -> Subject {
        let info = self.deps.link.current();
        Subject {
            meta: Arc::new(record.meta(&self.deps.labels)),
            network_scope: record.network_scope.clone(),
            os: info.as_ref().map(|info| info.os).unwrap_or_default(),
            cpu_clock: info.as_ref().map(|info| info.cpu_clock).unwrap_or_default(),
        }
    }

    /// Sends on what was seen; where the parsers are full it is dropped, counted, and seen again later.
    fn hand_on(&self, what: Seen) {
        let custody = self.deps.books.receive(what.stream());
        let object = match &what {
            Seen::Container(record) => record.container_id.as_str().to_owned(),
            Seen::Event { event, .. } => event.actor_id.clone(),
            Seen::Host(record) => record.host.as_str().to_owned(),
        };
        if let Err(TrySendError::Full(observation)) =
            self.deps.router.observations(&object).try_send(Observation { what, custody })
        {
            observation.custody.lost(LossReason::Overflow);
        }
    }

    fn call_done(&self, call: &str, since: Instant) {
        self.deps.metrics.engine_call(self.deps.engine.host().as_str(), call, since.elapsed());
    }

    fn call_failed(&self, call: &str, error: &EngineError) {
        let host = self.deps.engine.host().as_str();
        self.deps.metrics.engine_error(host, error.failure.name());
        tracing::debug!(host, call, %error, "engine call failed");
    }
}

/// Why a look was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// An event told of it.
    Told,
    /// A full look, or a stream that went silent: no event has told of what it finds.
    Doubt,
}

impl Actor for Inventory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
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
        if matches!(action.as_str(), "die" | "destroy" | "remove") {
            self.deps.streams.signal(Track::Leave(id.clone()));
        }
        self.look(id, Cause::Told, ctx);
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

impl Handler<Look> for Inventory {
    type Result = ();

    fn handle(&mut self, Look(id): Look, ctx: &mut Context<Self>) {
        self.look(id, Cause::Doubt, ctx);
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

    fn handle(&mut self, Overdue { record, action, since }: Overdue, _: &mut Context<Self>) {
        if self.state.table.was_heard(&record.container_id, action, since) {
            return;
        }
        let now = Timestamp::from(SystemTime::now());
        let event: EngineEvent = missed_event(&record, action, now);
        self.hand_on(Seen::Event { host: record.host, received_at: now, synthetic: true, event: Box::new(event) });
    }
}

impl Handler<Drain> for Inventory {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
