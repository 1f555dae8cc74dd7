//! EventMonitor: an engine's events in, each exactly once.
//!
//! In: the engine's event stream. Out: observations to the parser, [`Heard`], [`Look`] and [`Reconcile`] to the
//! `Inventory`. Owns the events that wait for a parser, which outlive its restarts; what it remembers is the
//! topology's. A restart loses nothing: the engine replays, and what was handed on is recognised.

mod memory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain, Exit};
use futures_util::StreamExt;
use model::{ContainerId, EngineEvent, Stream, Timestamp};
use tokio::time::{Instant, sleep};

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{Link, Suspect};
use crate::inventory::{Heard, Look, Reconcile};
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EventFeed};
use crate::router::Router;

pub use memory::EventMemory;
use memory::fingerprint;

/// A stream that lived so long was a good one: the next pause begins small again.
const STEADY: Duration = Duration::from_secs(10);

/// What the monitor needs.
#[derive(Clone)]
pub struct EventMonitorDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// The way to the parsers.
    pub router: Router,
    /// Who keeps the truth.
    pub heard: Control<Heard>,
    /// Asks for the truth about one container.
    pub look: Control<Look>,
    /// Asks for the whole truth.
    pub reconcile: Control<Reconcile>,
    /// Who looks after a broken stream.
    pub suspect: Control<Suspect>,
    /// What was seen.
    pub memory: Arc<Mutex<EventMemory>>,
    /// The books.
    pub books: Arc<Books>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct EventMonitor {
    cell: Cell,
    deps: EventMonitorDeps,
    outbox: Outbox,
}

impl EventMonitor {
    /// A monitor that lives in `cell`.
    pub fn new(cell: Cell, deps: EventMonitorDeps) -> Self {
        Self { cell, deps, outbox: Outbox::default() }
    }
}

/// Listens to one engine.
struct Listener {
    deps: EventMonitorDeps,
    outbox: Outbox,
}

impl Listener {
    /// Listens for ever; reconnects where the stream ends.
    async fn run(self) {
        let Self { deps, .. } = &self;
        let host = deps.engine.host().as_str();
        let mut failures = 0;
        loop {
            deps.link.up().await;
            let since = deps.memory().resume_point(deps.link.engine_now());
            match deps.engine.events(since).await {
                Ok(feed) => {
                    // The ring of the engine is short and forgets at its restart: only a look is certain.
                    deps.reconcile.signal(Reconcile);
                    let began = Instant::now();
                    let hearing = Hearing::new(deps);
                    self.follow(feed).await;
                    drop(hearing);
                    failures = if began.elapsed() >= STEADY { 1 } else { failures + 1 };
                    deps.metrics.event_gap(host);
                }
                Err(error) => {
                    failures += 1;
                    deps.metrics.engine_error(host, error.failure.name());
                    tracing::debug!(host, %error, "cannot listen to events");
                }
            }
            deps.suspect.signal(Suspect);
            sleep(deps.backoff.delay(failures)).await;
        }
    }

    /// Takes events until the stream ends.
    async fn follow(&self, mut feed: EventFeed) {
        while let Some(next) = feed.next().await {
            match next {
                Ok(event) => self.take(event),
                Err(error) => {
                    let host = self.deps.engine.host().as_str();
                    self.deps.metrics.engine_error(host, error.failure.name());
                    return tracing::debug!(host, %error, "event stream broke");
                }
            }
        }
    }

    /// Takes one event: hands it on unless it is a repetition.
    fn take(&self, event: EngineEvent) {
        let deps = &self.deps;
        let host = deps.engine.host();
        let fingerprint = fingerprint(&event);
        if !deps.memory().is_new(fingerprint) {
            return deps.metrics.event(host.as_str(), "duplicate");
        }
        let custody = deps.books.receive(Stream::Events);
        deps.faults.strike(Point::EventMonitor);
        let container = (event.kind == "container" && changes_container(&event.action))
            .then(|| ContainerId::try_new(&event.actor_id).ok())
            .flatten()
            .map(|id| (id, event.action.clone()));
        let what = Seen::Event {
            host: host.clone(),
            received_at: Timestamp::from(SystemTime::now()),
            synthetic: false,
            event: Box::new(event),
        };
        let is_taken = self.outbox.send(Observation { what, custody }, &deps.router);
        // Only now: what a panic lost on the way here is replayed by the engine.
        deps.memory().remember(fingerprint);
        match container {
            Some((id, action)) if is_taken => drop(deps.heard.signal(Heard { id, action })),
            // What came of an event that was dropped is to be found out as if nobody had told.
            Some((id, _)) => drop(deps.look.signal(Look(id))),
            None => {}
        }
        deps.metrics.event(host.as_str(), if is_taken { "new" } else { "dropped" });
    }
}

/// While it lives, the engine's events are heard.
struct Hearing<'a> {
    deps: &'a EventMonitorDeps,
}

impl<'a> Hearing<'a> {
    fn new(deps: &'a EventMonitorDeps) -> Self {
        deps.link.set_hearing(true);
        Self { deps }
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.deps.link.set_hearing(false);
        self.deps.memory().listened();
    }
}

impl EventMonitorDeps {
    fn memory(&self) -> MutexGuard<'_, EventMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for actions after which a container is not what it was. Exec and attach are not among them:
/// health checks alone make three of those each run.
fn changes_container(action: &str) -> bool {
    matches!(
        action,
        "create"
            | "start"
            | "die"
            | "stop"
            | "pause"
            | "unpause"
            | "rename"
            | "update"
            | "oom"
            | "destroy"
            | "remove"
            | "health_status"
    )
}

impl Actor for EventMonitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, outbox) = (self.deps.clone(), self.outbox.clone());
        let router = deps.router.clone();
        ctx.spawn(wrap_future(Listener { deps, outbox: outbox.clone() }.run()));
        ctx.spawn(wrap_future(async move { outbox.run(&router).await }));
    }
}

impl actix::Supervised for EventMonitor {}

impl Handler<Drain> for EventMonitor {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), monitor: &mut Self, ctx| monitor.cell.finish(ctx, Exit::Drained)));
    }
}
