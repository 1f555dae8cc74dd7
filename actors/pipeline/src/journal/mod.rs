//! Journal: batches in, kept for every sink.
//!
//! In: [`Append`]. Out: nothing; sinks read the log itself. Owns nothing: the log is the topology's, and so is the
//! [`Intake`], in which batches wait while others are written. Whatever has gathered there is written in one step. A
//! restart loses nothing: what the log already has it does not take twice.

mod intake;

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Drain, Envelope, Exit};
use model::LossReason;
use tokio::time::{Instant, sleep};

use crate::faults::{Faults, Point};
use crate::messages::Append;
use crate::metrics::Metrics;
use crate::ports::{Journal, JournalError};

pub use intake::Intake;

/// What the writer needs.
#[derive(Clone)]
pub struct JournalDeps {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Batches that are not in it yet.
    pub intake: Intake,
    /// Waits between attempts on failing storage.
    pub backoff: Backoff,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor: the only writer of the log.
pub struct JournalWriter {
    cell: Cell,
    deps: JournalDeps,
    state: State,
}

#[derive(Default)]
struct State {
    is_writing: bool,
    is_draining: bool,
}

impl JournalWriter {
    /// A writer that lives in `cell`.
    pub fn new(cell: Cell, deps: JournalDeps) -> Self {
        Self { cell, deps, state: State::default() }
    }

    /// Writes what waits, unless that is being done; ends once there is nothing more to come.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.state.is_writing {
            return;
        }
        if !self.deps.intake.is_empty() {
            self.state.is_writing = true;
            let protected = self.cell.progress().protect();
            let written = wrap_future(append(self.deps.clone()));
            ctx.spawn(written.map(move |(), writer: &mut Self, ctx| {
                drop(protected);
                writer.state.is_writing = false;
                writer.go_on(ctx);
            }));
        } else if self.state.is_draining {
            // Everything sent before is in the log: readers get what is left, then the end.
            self.deps.journal.close();
            self.cell.finish(ctx, Exit::Drained);
        }
    }
}

/// Appends what has gathered; returns when the log has it or is closed.
async fn append(deps: JournalDeps) {
    let since = Instant::now();
    let mut attempt = 0;
    loop {
        let (batches, marks) = deps.intake.group();
        let (count, first) = (batches.len(), batches.first().map(|batch| batch.id.to_string()));
        deps.faults.strike(Point::Journal);
        match deps.journal.append(batches, marks).await {
            Ok(()) => {
                deps.faults.strike(Point::JournalAfter);
                deps.intake.kept(count, &deps.metrics);
                deps.metrics.journaled(since.elapsed());
                return;
            }
            Err(JournalError::Closed) => return deps.intake.lost(LossReason::Shutdown),
            Err(JournalError::Storage(error)) => {
                attempt += 1;
                tracing::error!(batches = count, first, attempt, error, "journal cannot keep batches; trying again");
                sleep(deps.backoff.delay(attempt)).await;
            }
        }
    }
}

impl Actor for JournalWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.go_on(ctx);
    }
}

impl actix::Supervised for JournalWriter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Envelope<Append>> for JournalWriter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Append>, ctx: &mut Context<Self>) {
        let (append, room) = envelope.into_parts();
        self.deps.intake.push(append, room);
        self.go_on(ctx);
    }
}

impl Handler<Drain> for JournalWriter {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.state.is_draining = true;
        self.go_on(ctx);
    }
}
