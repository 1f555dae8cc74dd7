//! EventMonitor: an engine's events in, each exactly once.
//!
//! In: the engine's event stream. Out: observations to the parser, [`Heard`], [`Look`] and [`Reconcile`] to the
//! `Inventory`, [`LookAtImages`] to the `Images`. Owns the events that wait for a parser, which outlive its restarts;
//! what it remembers is the topology's. A restart loses nothing: the engine replays, and what was handed on is recognised. So it is with the
//! end of the process: what the journal has is recognised by the mark it keeps, and what it has not is replayed.
//!
//! Where no more events can be kept the stream is closed, not left unread, and opened again once there is room.

mod judge;
mod mark;
mod memory;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain, Exit};
use futures_util::StreamExt;
use model::{EngineEvent, Stream, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{Link, Suspect};
use crate::images::LookAtImages;
use crate::inventory::{Heard, Look, Reconcile};
use crate::knowledge::Knowledge;
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EventFeed, Journal};
use crate::position::Place;
use crate::router::Router;
use crate::selection::Selection;

pub use memory::EventMemory;
use memory::fingerprint;

/// A stream that lived so long was a good one: the next pause begins small again.
const STEADY: Duration = Duration::from_secs(10);

/// A stream that has been silent for so long is opened anew: where nobody is at the other end any more, a connection may
/// be silent for ever. Within it, a busy engine forgets few events: it remembers 256.
const SILENCE: Duration = Duration::from_secs(30);

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
    /// Asks for the truth about the images.
    pub images: Control<LookAtImages>,
    /// Who looks after a broken stream.
    pub suspect: Control<Suspect>,
    /// What was seen.
    pub memory: Arc<EventMemory>,
    /// What is known of the containers.
    pub knowledge: Arc<Knowledge>,
    /// Whose events are wanted, and which.
    pub selection: Arc<Selection>,
    /// Where it is kept from when on events are listened to.
    pub journal: Arc<dyn Journal>,
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

/// Why a stream of events is not followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It ended, or broke.
    Broken,
    /// There is no room for another event.
    Full,
    /// An event was lost on its way, and may be had again.
    Missing,
    /// Nothing came for so long that perhaps nothing can come.
    Silent,
}

impl Listener {
    /// Listens for ever; reconnects where the stream ends.
    async fn run(self) {
        let Self { deps, outbox } = &self;
        let host = deps.engine.host().as_str();
        let mut failures = 0;
        let mut end = End::Broken;
        loop {
            deps.link.up().await;
            outbox.room().await;
            let since = deps.memory.resume_point(deps.link.engine_now());
            self.begin(since).await;
            match deps.engine.events(since).await {
                Ok(feed) => {
                    // The ring of the engine is short and forgets at its restart: only a look is certain. Silence is
                    // peace, mostly: the next inventory is look enough.
                    if end != End::Silent {
                        deps.reconcile.signal(Reconcile);
                        deps.images.signal(LookAtImages);
                    }
                    let began = Instant::now();
                    let hearing = Hearing::new(deps);
                    end = self.follow(feed, since).await;
                    drop(hearing);
                    failures = if began.elapsed() >= STEADY { 1 } else { failures + 1 };
                    if end != End::Silent {
                        deps.metrics.event_gap(host);
                    }
                }
                Err(error) => {
                    failures += 1;
                    end = End::Broken;
                    deps.metrics.engine_error(host, error.failure.name());
                    tracing::debug!(host, %error, "cannot listen to events");
                }
            }
            match end {
                End::Broken => drop(deps.suspect.signal(Suspect)),
                End::Full => {
                    tracing::warn!(host, "events are not taken until there is room; the engine keeps the newest")
                }
                End::Missing => tracing::debug!(host, "an event was lost on its way and is asked for again"),
                End::Silent => continue,
            }
            sleep(deps.backoff.delay(failures)).await;
        }
    }

    /// Has it kept that this host's events are listened to from `since` on, where they never were.
    async fn begin(&self, since: Option<Timestamp>) {
        let Some(mark) = since.and_then(|since| self.deps.memory.begin(since)) else { return };
        if let Err(error) = self.deps.journal.mark(mark).await {
            tracing::debug!(host = %self.deps.engine.host(), %error, "the beginning of events is not kept");
        }
    }

    /// Takes events until the stream ends, or is silent.
    async fn follow(&self, mut feed: EventFeed, since: Option<Timestamp>) -> End {
        let mut resumed_from = since;
        loop {
            let next = tokio::select! {
                next = timeout(SILENCE, feed.next()) => next,
                () = self.deps.memory.missing() => return End::Missing,
            };
            match next {
                Ok(Some(Ok(event))) => {
                    let is_told = resumed_from.take().is_none_or(|since| self.tell_gap(since, &event));
                    if !is_told || !self.take(event) {
                        return End::Full;
                    }
                }
                Ok(Some(Err(error))) => {
                    let host = self.deps.engine.host().as_str();
                    self.deps.metrics.engine_error(host, error.failure.name());
                    tracing::debug!(host, %error, "event stream broke");
                    return End::Broken;
                }
                Ok(None) => return End::Broken,
                Err(_) => {
                    self.deps.memory.silent();
                    return End::Silent;
                }
            }
        }
    }

    /// Takes one event: hands it on unless it is a repetition. False where there is no room for it now.
    fn take(&self, event: EngineEvent) -> bool {
        let deps = &self.deps;
        let host = deps.engine.host();
        let fingerprint = fingerprint(&event);
        deps.memory.passed(event.timestamp);
        if !deps.memory.is_new(fingerprint) {
            deps.metrics.event(host.as_str(), "duplicate");
            return true;
        }
        let mut judgement = self.judge(&event);
        let changed = judgement.own.as_ref().filter(|_| changes_container(&event.action));
        let changed = changed.map(|(id, _)| (id.clone(), event.action.clone()));
        if deps.memory.is_lost(fingerprint) {
            // It was judged when it came first, and tells nothing new.
            (judgement.is_wanted, judgement.own) = (true, None);
        }
        let is_of_image = event.kind == "image";
        if !judgement.is_wanted {
            deps.memory.pass_over(fingerprint);
            self.learn(&event.action, judgement.own);
            changed.map(|(id, action)| deps.heard.signal(Heard { id, action }));
            if is_of_image {
                deps.images.signal(LookAtImages);
            }
            deps.metrics.event(host.as_str(), "unselected");
            return true;
        }
        let action = event.action.clone();
        let what = Seen::Event {
            host: host.clone(),
            received_at: Timestamp::from(SystemTime::now()),
            synthetic: false,
            event: Box::new(event),
            about: judgement.about,
        };
        if !self.outbox.has_room_for(&what) {
            return false;
        }
        let custody = deps.books.receive(Stream::Events);
        deps.faults.strike(Point::EventMonitor);
        // Not before: what a panic lost on the way here is replayed by the engine.
        deps.memory.take(fingerprint);
        let custody = custody.at(Place { source: deps.memory.clone(), number: fingerprint.number() });
        let is_taken = self.outbox.send(Observation { what, custody }, &deps.router);
        self.learn(&action, judgement.own);
        if is_of_image {
            deps.images.signal(LookAtImages);
        }
        match changed {
            Some((id, action)) if is_taken => drop(deps.heard.signal(Heard { id, action })),
            // What came of an event that was dropped is to be found out as if nobody had told.
            Some((id, _)) => drop(deps.look.signal(Look(id))),
            None => {}
        }
        deps.metrics.event(host.as_str(), if is_taken { "new" } else { "dropped" });
        true
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
        self.deps.memory.listened();
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
