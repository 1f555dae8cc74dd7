//! Batcher: records in, closed batches out.
//!
//! In: [`Chunk`]. Out: [`Append`] to the `Journal` actor. Owns nothing: open and closed batches live in
//! the [`BatchLedger`] it is lent, so a restart loses only the chunk in hand, and that is counted.

mod ledger;
mod policy;

use std::time::SystemTime;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Drain, Envelope, Exit, Outlet, Weight};
use model::{Timestamp, Trigger};

use crate::faults::{Faults, Point};
use crate::messages::{Append, Chunk};
pub use ledger::BatchLedger;
pub use policy::{BatchPolicy, InvalidBatchPolicy};

/// What the batcher needs.
#[derive(Clone)]
pub struct BatcherDeps {
    /// Open and closed batches.
    pub ledger: BatchLedger,
    /// Where closed batches go.
    pub journal: Outlet<Append>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct Batcher {
    cell: Cell,
    deps: BatcherDeps,
    state: State,
}

#[derive(Default)]
struct State {
    /// A [`FlushDue`] is on its way: one is enough for all batches.
    is_armed: bool,
    /// The journal's actor is gone for good.
    is_cut_off: bool,
}

/// An open batch may have reached its age.
struct FlushDue;

impl Message for FlushDue {
    type Result = ();
}

impl Batcher {
    /// A batcher that lives in `cell`.
    pub fn new(cell: Cell, deps: BatcherDeps) -> Self {
        Self { cell, deps, state: State::default() }
    }

    /// Hands all closed batches to the journal before the next message is handled.
    fn hand_over(&self, ctx: &mut Context<Self>) {
        if !self.deps.ledger.has_closed() {
            return;
        }
        let BatcherDeps { ledger, journal, faults } = self.deps.clone();
        let protected = self.cell.progress().protect();
        ctx.wait(
            wrap_future(async move {
                // Room first, then the batch: what is in the ledger outlives this future.
                while ledger.has_closed() {
                    faults.strike(Point::BatcherHandOver);
                    let Some(room) = journal.reserve(WEIGHT).await else { return false };
                    let Some(append) = ledger.take_closed() else { break };
                    debug_assert_eq!(append.weight(), WEIGHT);
                    if let Err(refused) = room.send(append) {
                        ledger.put_back(refused.0);
                        return false;
                    }
                }
                true
            })
            .map(move |is_done, batcher: &mut Self, ctx| {
                drop(protected);
                if !is_done {
                    // What is in the ledger waits for the group to be built anew, or is counted at the end.
                    batcher.state.is_cut_off = true;
                    batcher.cell.finish(ctx, Exit::failure("the journal is gone"));
                }
            }),
        );
    }

    /// Closes what has reached its age, and sets the timer for the next.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if let Some(next) = self.deps.ledger.close_aged()
            && !std::mem::replace(&mut self.state.is_armed, true)
        {
            ctx.notify_later(FlushDue, next);
        }
    }
}

/// The weight of every [`Append`].
const WEIGHT: u32 = 1;

impl Actor for Batcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.flush(ctx);
        self.hand_over(ctx);
    }
}

impl actix::Supervised for Batcher {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Envelope<Chunk>> for Batcher {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Chunk>, ctx: &mut Context<Self>) {
        let (chunk, _permit) = envelope.into_parts();
        self.deps.faults.strike(Point::Batcher);
        self.deps.ledger.push(chunk, Timestamp::from(SystemTime::now()));
        if !self.state.is_armed && self.deps.ledger.has_open() {
            self.flush(ctx);
        }
        self.hand_over(ctx);
    }
}

impl Handler<FlushDue> for Batcher {
    type Result = ();

    fn handle(&mut self, _: FlushDue, ctx: &mut Context<Self>) {
        self.state.is_armed = false;
        self.flush(ctx);
        self.hand_over(ctx);
    }
}

impl Handler<Drain> for Batcher {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.deps.ledger.close_all(Trigger::Drain);
        if self.state.is_cut_off {
            // It has finished already, as a failure.
        } else if self.deps.ledger.has_closed() {
            self.hand_over(ctx);
            ctx.notify(Drain);
        } else {
            self.cell.finish(ctx, Exit::Drained);
        }
    }
}
