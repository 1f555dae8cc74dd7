//! EventHandlerActor: one registered handler, and its queue.
//!
//! In: [`Told`] from the parsers. Out: nothing; what the handler does is its own. Owns the handler. A restart makes the
//! handler anew and loses the event in hand, counted; those that wait survive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, Envelope, Exit, GroupSpec, Outlet, Placement, Quarantine, Shutdown, Strategy,
    Weight, mailbox,
};
use model::EventRecord;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::ports::{EventHandler, EventHandlerPlan};

/// Events that wait for one handler at most. Beyond that they are dropped for it, counted: nobody waits for a handler.
const QUEUE: u32 = 4096;

/// A handler may go on for so long once the end has come.
const DRAIN: Duration = Duration::from_secs(2);

/// The registered handlers, as the parsers see them. Cheap to clone; without handlers, telling costs a comparison.
#[derive(Clone, Default)]
pub struct EventHandlers {
    lanes: Option<Arc<Mutex<Vec<Lane>>>>,
}

/// The way to one handler.
struct Lane {
    counted: Arc<Counted>,
    queue: Outlet<Told>,
}

/// Under which name it is counted, and where.
struct Counted {
    name: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Lane {
    fn new(name: &Arc<str>, queue: Outlet<Told>, metrics: Arc<Metrics>) -> Self {
        Self { counted: Arc::new(Counted { name: name.clone(), metrics }), queue }
    }
}

impl EventHandlers {
    /// Room for handlers that are registered when they live.
    fn some() -> Self {
        Self { lanes: Some(Arc::default()) }
    }

    /// From now on these are the handlers: their group begins, or began anew.
    fn are(&self, new: Vec<Lane>) {
        if let Some(lanes) = &self.lanes {
            *lanes.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }

    /// Tells every handler of an event, without waiting for any.
    pub fn tell(&self, event: &EventRecord) {
        let Some(lanes) = &self.lanes else { return };
        let event = Arc::new(event.clone());
        for lane in &*lanes.lock().unwrap_or_else(PoisonError::into_inner) {
            let outcome = Outcome { lane: lane.counted.clone(), state: State::Waiting };
            // Where there is no room it is dropped here, and counted.
            lane.queue.try_send(Told { event: event.clone(), outcome }).ok();
        }
    }
}

/// The budgets of registered handlers.
#[derive(Clone, Copy, Debug)]
pub struct HandlerPolicies {
    /// Waits between restarts.
    pub backoff: Backoff,
    /// What a handler may fail before it is set aside.
    pub quarantine: Quarantine,
    /// A handler that is busy with one event for so long while others wait is made anew.
    pub stall: Duration,
}

/// The group of the handlers, which starts before the parsers, and the way to them. A handler never fails the group:
/// over its budget it is set aside. `place` gives each its thread.
pub fn group(
    plans: &[EventHandlerPlan],
    policies: HandlerPolicies,
    metrics: &Arc<Metrics>,
    mut place: impl FnMut() -> Placement,
) -> (GroupSpec, EventHandlers) {
    let handlers = if plans.is_empty() { EventHandlers::default() } else { EventHandlers::some() };
    let (told, metrics) = (handlers.clone(), metrics.clone());
    let plans: Vec<_> = plans.iter().map(|plan| (plan.clone(), place())).collect();
    let HandlerPolicies { backoff, quarantine, stall } = policies;
    let group = GroupSpec::new("handlers", Strategy::OneForOne, quarantine.intensity, backoff, move |group| {
        let lanes = plans.iter().map(|(plan, place)| {
            let (mailbox, inbox) = mailbox::<EventHandlerActor>(QUEUE);
            let lane = Lane::new(&plan.name, mailbox.outlet(), metrics.clone());
            let plan = plan.clone();
            let actor = ChildSpec::actor(&*plan.name.clone(), inbox, move |cell| EventHandlerActor::new(cell, plan));
            group.add(actor.on(place.clone()).shutdown(Shutdown::Timeout(DRAIN)).stall_after(stall));
            lane
        });
        told.are(lanes.collect());
        Vec::new()
    })
    .quarantine(quarantine);
    (group, handlers)
}

/// An event on its way to a handler; weighs one.
pub struct Told {
    event: Arc<EventRecord>,
    outcome: Outcome,
}

/// What becomes of an event at a handler: counted once, whatever it is.
struct Outcome {
    lane: Arc<Counted>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    InHand(Instant),
    Done,
}

impl Outcome {
    fn begin(&mut self) {
        self.state = State::InHand(Instant::now());
    }

    fn done(&mut self) {
        if let State::InHand(since) = self.state {
            self.lane.metrics.event_handled(&self.lane.name, since.elapsed());
        }
        self.state = State::Done;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let outcome = match self.state {
            State::Waiting => "dropped",
            State::InHand(_) => "failed",
            State::Done => return,
        };
        self.lane.metrics.event_unhandled(&self.lane.name, outcome);
    }
}

impl Weight for Told {}

/// The actor.
pub struct EventHandlerActor {
    cell: Cell,
    plan: EventHandlerPlan,
    /// Away while it handles an event; where it failed on that, it is gone.
    handler: Option<Box<dyn EventHandler>>,
}

impl EventHandlerActor {
    /// The actor of that handler, which lives in `cell`.
    pub fn new(cell: Cell, plan: EventHandlerPlan) -> Self {
        Self { cell, plan, handler: None }
    }
}

impl Actor for EventHandlerActor {
    type Context = Context<Self>;
}

impl actix::Supervised for EventHandlerActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.handler = None;
    }
}

impl Handler<Envelope<Told>> for EventHandlerActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Told>, ctx: &mut Context<Self>) {
        let (Told { event, mut outcome }, permit) = envelope.into_parts();
        outcome.begin();
        // Made here and not in the constructor: code of others may panic there, too.
        let mut handler = self.handler.take().unwrap_or_else(|| (self.plan.make)());
        let handling = async move {
            handler.handle(&event).await;
            outcome.done();
            handler
        };
        ctx.wait(wrap_future(handling).map(move |handler, actor: &mut Self, _| {
            actor.handler = Some(handler);
            drop(permit);
        }));
    }
}

impl Handler<Drain> for EventHandlerActor {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
