//! Batcher: records in, closed batches out.
//!
//! In: [`Chunk`]. Out: [`Append`] to the `Journal` actor. Owns nothing: open and closed batches live in
//! the [`BatchLedger`] it is lent, so a restart loses only the chunk in hand, and that is counted.

mod ledger;
mod policy;

use std::time::{Duration, SystemTime};

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Drain, Envelope, Exit, Outlet, Weight};
use model::{Timestamp, Trigger};

use crate::faults::{Faults, Point};
use crate::messages::{Append, Chunk};
use ledger::Opened;

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
}

/// The oldest row of an open batch has reached its age.
struct FlushDue(Opened);

impl Message for FlushDue {
    type Result = ();
}

impl Batcher {
    /// A batcher that lives in `cell`.
    pub fn new(cell: Cell, deps: BatcherDeps) -> Self {
        Self { cell, deps }
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
                    let Some(room) = journal.reserve(WEIGHT).await else { return };
                    let Some(append) = ledger.take_closed() else { return };
                    debug_assert_eq!(append.weight(), WEIGHT);
                    if let Err(refused) = room.send(append) {
                        ledger.put_back(refused.0);
                        return;
                    }
                }
            })
            .map(move |(), _: &mut Self, _| drop(protected)),
        );
    }

    fn arm(&self, opened: Opened, after: Duration, ctx: &mut Context<Self>) {
        ctx.notify_later(FlushDue(opened), after);
    }
}

/// The weight of every [`Append`].
const WEIGHT: u32 = 1;

impl Actor for Batcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let age = self.deps.ledger.policy().age();
        for opened in self.deps.ledger.open() {
            self.arm(opened, age, ctx);
        }
        self.hand_over(ctx);
    }
}

impl actix::Supervised for Batcher {}

impl Handler<Envelope<Chunk>> for Batcher {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Chunk>, ctx: &mut Context<Self>) {
        let (chunk, _permit) = envelope.into_parts();
        self.deps.faults.strike(Point::Batcher);
        let now = Timestamp::from(SystemTime::now());
        if let Some(opened) = self.deps.ledger.push(chunk, now) {
            self.arm(opened, self.deps.ledger.policy().age(), ctx);
        }
        self.hand_over(ctx);
    }
}

impl Handler<FlushDue> for Batcher {
    type Result = ();

    fn handle(&mut self, FlushDue(opened): FlushDue, ctx: &mut Context<Self>) {
        self.deps.ledger.close_if_open(opened);
        self.hand_over(ctx);
    }
}

impl Handler<Drain> for Batcher {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.deps.ledger.close_all(Trigger::Drain);
        if self.deps.ledger.has_closed() {
            self.hand_over(ctx);
            ctx.notify(Drain);
        } else {
            self.cell.finish(ctx, Exit::Drained);
        }
    }
}
