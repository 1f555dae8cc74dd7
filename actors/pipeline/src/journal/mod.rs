//! Journal: batches in, kept for every sink.
//!
//! In: [`Append`]. Out: nothing; sinks read the log itself. Owns nothing: the log is the topology's. A
//! restart loses the batch in hand, counted, unless the log already has it.

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Drain, Envelope, Exit};
use model::LossReason;
use tokio::time::Instant;

use crate::faults::{Faults, Point};
use crate::messages::Append;
use crate::metrics::Metrics;
use crate::ports::{Journal, JournalError};

/// What the writer needs.
#[derive(Clone)]
pub struct JournalDeps {
    /// The log.
    pub journal: Arc<dyn Journal>,
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
}

impl JournalWriter {
    /// A writer that lives in `cell`.
    pub fn new(cell: Cell, deps: JournalDeps) -> Self {
        Self { cell, deps }
    }
}

/// Appends until the log has the batch or is closed.
async fn append(deps: JournalDeps, Append { batch, custody }: Append) {
    deps.faults.strike(Point::Journal);
    let mut attempt = 0;
    let since = Instant::now();
    loop {
        match deps.journal.append(batch.clone()).await {
            Ok(()) => {
                custody.journaled();
                deps.metrics.batch(&batch);
                deps.metrics.journaled(since.elapsed());
                return;
            }
            Err(JournalError::Closed) => return custody.lost(LossReason::Shutdown),
            Err(JournalError::Storage(error)) => {
                attempt += 1;
                tracing::error!(batch = %batch.id, attempt, error, "journal cannot keep a batch; trying again");
                tokio::time::sleep(deps.backoff.delay(attempt)).await;
            }
        }
    }
}

impl Actor for JournalWriter {
    type Context = Context<Self>;
}

impl actix::Supervised for JournalWriter {}

impl Handler<Envelope<Append>> for JournalWriter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Append>, ctx: &mut Context<Self>) {
        let (message, permit) = envelope.into_parts();
        let protected = self.cell.progress().protect();
        let appended = wrap_future(append(self.deps.clone(), message));
        ctx.wait(appended.map(move |(), _: &mut Self, _| drop((permit, protected))));
    }
}

impl Handler<Drain> for JournalWriter {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        // Everything sent before is in the log: readers get what is left, then the end.
        self.deps.journal.close();
        self.cell.finish(ctx, Exit::Drained);
    }
}
