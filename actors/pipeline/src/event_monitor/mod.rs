//! EventMonitor: an engine's events in, each exactly once.
//!
//! In: the engine's event stream. Out: observations to the parser, [`Heard`] and [`Reconcile`] to the
//! `Inventory`. Owns nothing: what it remembers is the topology's. A restart loses nothing: the engine
//! replays, and what was handed on is recognised.

mod memory;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use actix::fut::wrap_future;
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain, Exit, TrySendError};
use futures_util::StreamExt;
use model::{ContainerId, EngineEvent, LossReason, Stream, Timestamp};

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{Link, Suspect};
use crate::inventory::{Heard, Reconcile};
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::ports::{EngineApi, EventFeed};
use crate::router::Router;

pub use memory::EventMemory;

/// Events held while the parsers are full. The engine is never made to wait: past this, events are
/// dropped, counted, and the inventory is asked what came of them.
const HELD_EVENTS: usize = 4096;

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
}

impl EventMonitor {
    /// A monitor that lives in `cell`.
    pub fn new(cell: Cell, deps: EventMonitorDeps) -> Self {
        Self { cell, deps }
    }
}

/// Listens for ever; reconnects where the stream ends.
async fn listen(deps: EventMonitorDeps) {
    let host = deps.engine.host().as_str().to_owned();
    let mut failures = 0;
    loop {
        let info = deps.link.up().await;
        let since = deps.memory.lock().unwrap_or_else(PoisonError::into_inner).resume_point(info.clock);
        match deps.engine.events(since).await {
            Ok(feed) => {
                // The ring of the engine is short and forgets at its restart: only a look is certain.
                deps.reconcile.signal(Reconcile);
                let heard_any = deps.follow(feed).await;
                failures = if heard_any { 1 } else { failures + 1 };
                deps.metrics.event_gap(&host);
            }
            Err(error) => {
                failures += 1;
                deps.metrics.engine_error(&host, error.failure.name());
                tracing::debug!(host, %error, "cannot listen to events");
            }
        }
        deps.suspect.signal(Suspect);
        tokio::time::sleep(deps.backoff.delay(failures)).await;
    }
}

impl EventMonitorDeps {
    /// Takes events until the stream ends; true where there were any.
    async fn follow(&self, mut feed: EventFeed) -> bool {
        let host = self.engine.host().as_str();
        let mut held: VecDeque<Observation> = VecDeque::new();
        let mut heard_any = false;
        loop {
            let lane = held.front().map(|next| self.router.observations(object_of(&next.what)));
            let room = async {
                match lane {
                    Some(lane) => lane.reserve(2048).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = feed.next() => match next {
                    Some(Ok(event)) => {
                        heard_any = true;
                        self.take(event, &mut held);
                    }
                    Some(Err(error)) => {
                        self.metrics.engine_error(host, error.failure.name());
                        tracing::debug!(host, %error, "event stream broke");
                        break;
                    }
                    None => break,
                },
                room = room => match (room, held.pop_front()) {
                    (Some(room), Some(observation)) => drop(room.send(observation)),
                    _ => break,
                },
            }
        }
        for observation in held {
            self.router.observations(object_of(&observation.what)).send(observation).await.ok();
        }
        heard_any
    }

    /// Takes one event: hands it on unless it is a repetition.
    fn take(&self, event: EngineEvent, held: &mut VecDeque<Observation>) {
        let host = self.engine.host();
        if !self.memory.lock().unwrap_or_else(PoisonError::into_inner).is_new(&event) {
            self.metrics.event(host.as_str(), "duplicate");
            return;
        }
        let custody = self.books.receive(Stream::Events);
        self.faults.strike(Point::EventMonitor);
        if event.kind == "container"
            && let Ok(id) = ContainerId::try_new(&event.actor_id)
            && changes_container(&event.action)
        {
            self.heard.signal(Heard { id, action: event.action.clone() });
        }
        let seen = Seen::Event {
            host: host.clone(),
            received_at: Timestamp::from(SystemTime::now()),
            synthetic: false,
            event: Box::new(event.clone()),
        };
        let observation = Observation { what: seen, custody };
        let mut outcome = "new";
        let unsent = if held.is_empty() {
            match self.router.observations(object_of(&observation.what)).try_send(observation) {
                Ok(()) => None,
                Err(TrySendError::Full(observation) | TrySendError::Closed(observation)) => Some(observation),
            }
        } else {
            Some(observation)
        };
        match unsent {
            Some(observation) if held.len() < HELD_EVENTS => held.push_back(observation),
            Some(observation) => {
                outcome = "dropped";
                observation.custody.lost(LossReason::Overflow);
                self.reconcile.signal(Reconcile);
            }
            None => {}
        }
        self.metrics.event(host.as_str(), outcome);
        // Only now: what a panic lost on the way here is replayed by the engine.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remember(&event);
    }
}

/// The object whose order matters.
fn object_of(seen: &Seen) -> &str {
    match seen {
        Seen::Event { event, .. } => &event.actor_id,
        Seen::Container(record) => record.container_id.as_str(),
        Seen::Host(record) => record.host.as_str(),
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
        ctx.spawn(wrap_future(listen(self.deps.clone())));
    }
}

impl actix::Supervised for EventMonitor {}

impl Handler<Drain> for EventMonitor {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
