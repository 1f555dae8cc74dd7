//! Images: the truth about a host's images, and what changes of it.
//!
//! In: [`LookAtImages`] from the `EventMonitor`, [`CountUsers`] from the `Inventory`. Out: image states and versions to
//! the parser, [`DigestsChanged`] to the `Inventory`. Owns the observations that wait for a parser; the table of images
//! and what the journal has of them are the topology's, so a restart loses nothing: its first look finds what changed
//! meanwhile.

mod board;
mod memory;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Control, Drain, Exit};
use model::{ImageRecord, Stream, Timestamp};

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::Link;
use crate::inventory::DigestsChanged;
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EngineError, EngineImage};
use crate::router::Router;

pub use board::ImageBoard;
use table::News;

pub use memory::ImageMemory;
pub use table::ImageTable;

/// What the images need.
#[derive(Clone)]
pub struct ImagesDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// What is known of the images.
    pub table: Arc<Mutex<ImageTable>>,
    /// What the journal has of them.
    pub memory: Arc<ImageMemory>,
    /// Who uses which image, and which digests there are.
    pub board: ImageBoard,
    /// Who keeps the containers.
    pub digests: Control<DigestsChanged>,
    /// The way to the parsers.
    pub router: Router,
    /// The books.
    pub books: Arc<Books>,
    /// Between two looks.
    pub interval: Duration,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct Images {
    cell: Cell,
    deps: ImagesDeps,
    outbox: Outbox,
    state: State,
}

#[derive(Default)]
struct State {
    is_looking: bool,
    look_again: bool,
    count_is_due: bool,
    /// The number of the present look.
    epoch: u64,
    /// Looks in a row that failed.
    failures: u32,
}

/// An event told of an image, or may have been missed: look.
#[derive(Clone, Copy, Debug)]
pub struct LookAtImages;

/// Containers came or went: count who uses which image.
#[derive(Clone, Copy, Debug)]
pub struct CountUsers;

/// The time for a look has come, unless one came meanwhile.
struct Due(u64);

/// The time to count the users has come.
struct CountDue;

macro_rules! signals {
    ($($signal:ty),*) => {
        $(impl Message for $signal {
            type Result = ();
        })*
    };
}

signals!(LookAtImages, CountUsers, Due, CountDue);

/// After a look that failed the next one comes sooner, at first after so long.
const RETRY: Duration = Duration::from_secs(1);

/// Between two looks that were asked for: a pull tells several events at once.
const AGAIN: Duration = Duration::from_millis(200);

/// Containers that come and go are counted together, so often at most.
const COUNT: Duration = Duration::from_secs(1);

impl Images {
    /// An actor that lives in `cell`.
    pub fn new(cell: Cell, deps: ImagesDeps) -> Self {
        Self { cell, deps, outbox: Outbox::default(), state: State::default() }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.state.is_looking {
            self.state.look_again = true;
            return;
        }
        self.state.is_looking = true;
        self.state.epoch += 1;
        let (engine, link, faults) = (self.deps.engine.clone(), self.deps.link.clone(), self.deps.faults.clone());
        let looking = async move {
            link.up().await;
            let found = engine.images().await;
            faults.strike(Point::Images);
            found
        };
        ctx.spawn(wrap_future(looking).map(|found, images: &mut Self, ctx| images.looked(found, ctx)));
    }

    fn looked(&mut self, found: Result<Vec<EngineImage>, EngineError>, ctx: &mut Context<Self>) {
        let host = self.deps.engine.host();
        let is_good = match found {
            Ok(found) => {
                self.put(found);
                true
            }
            Err(error) => {
                self.deps.metrics.engine_error(host.as_str(), error.failure.name());
                tracing::debug!(%host, %error, "cannot list images");
                false
            }
        };
        self.rest(is_good, ctx);
    }

    fn put(&mut self, found: Vec<EngineImage>) {
        let host = self.deps.engine.host();
        let users = self.deps.board.users();
        let now = Timestamp::from(SystemTime::now());
        let mut table = self.deps.table();
        self.deps.memory.take_lost().into_iter().for_each(|record| table.not_sent(record));
        let News { records, versions } = table.look(host, found, users.as_ref(), now);
        let has_new_digests = self.deps.board.has_exactly(table.records());
        self.deps.metrics.images(host.as_str(), table.records().count());
        if !records.is_empty() || !versions.is_empty() {
            let told = self.deps.memory.told(table.records(), &records, versions.len());
            let records = records.into_iter().map(|record| Seen::Image(Box::new(record)));
            let versions = versions.into_iter().map(|version| Seen::ImageVersion(Box::new(version)));
            for (what, place) in records.chain(versions).zip(told) {
                let custody = self.deps.books.receive(what.stream()).at(place);
                self.outbox.send(Observation { what, custody }, &self.deps.router);
            }
        }
        drop(table);
        if has_new_digests {
            self.deps.digests.signal(DigestsChanged);
        }
    }

    /// Shows records that differ in who uses them; what had to be dropped is shown again after the next look.
    fn show(&self, records: Vec<ImageRecord>) {
        for record in records {
            let custody = self.deps.books.receive(Stream::Images);
            let what = Seen::Image(Box::new(record.clone()));
            if !self.outbox.send(Observation { what, custody }, &self.deps.router) {
                self.deps.table().not_sent(record);
            }
        }
    }

    /// Sets the time of the next look.
    fn rest(&mut self, is_good: bool, ctx: &mut Context<Self>) {
        let state = &mut self.state;
        state.is_looking = false;
        state.failures = if is_good { 0 } else { state.failures.saturating_add(1) };
        let delay = match (std::mem::take(&mut state.look_again), state.failures) {
            (true, 0) => AGAIN,
            (_, 0) => self.deps.interval,
            (_, failures) => RETRY.saturating_mul(1 << (failures - 1).min(16)).min(self.deps.interval),
        };
        ctx.notify_later(Due(state.epoch), delay);
    }
}

impl ImagesDeps {
    fn table(&self) -> MutexGuard<'_, ImageTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actor for Images {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        ctx.spawn(wrap_future(async move { outbox.run(&router).await }));
        self.look(ctx);
    }
}

impl actix::Supervised for Images {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<LookAtImages> for Images {
    type Result = ();

    fn handle(&mut self, _: LookAtImages, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<Due> for Images {
    type Result = ();

    fn handle(&mut self, Due(epoch): Due, ctx: &mut Context<Self>) {
        if epoch == self.state.epoch {
            self.look(ctx);
        }
    }
}

impl Handler<CountUsers> for Images {
    type Result = ();

    fn handle(&mut self, _: CountUsers, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.state.count_is_due, true) {
            ctx.notify_later(CountDue, COUNT);
        }
    }
}

impl Handler<CountDue> for Images {
    type Result = ();

    fn handle(&mut self, _: CountDue, _: &mut Context<Self>) {
        self.state.count_is_due = false;
        if let Some(users) = self.deps.board.users() {
            let changed = self.deps.table().recount(&users, Timestamp::from(SystemTime::now()));
            self.show(changed);
        }
    }
}

impl Handler<Drain> for Images {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), images: &mut Self, ctx| images.cell.finish(ctx, Exit::Drained)));
    }
}
