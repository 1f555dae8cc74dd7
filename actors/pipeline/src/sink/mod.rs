//! Sink: reads the journal at its own pace and delivers to one server.
//!
//! In: ranges of the log, by its own cursor. Out: the server; what that refuses for good goes to the dead letter. Owns its client, made anew at every start.
//! A restart loses nothing: the range in hand is still the cursor's, and is delivered again.

mod attempt;
mod health;
mod letters;
mod retry;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Drain, Exit, Progress};
use model::Timestamp;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::faults::{Faults, Point};
use crate::metrics::Metrics;
use crate::ports::{DeadLetter, Deliver, DeliverError, FailureClass, Journal, JournalError, Plan, Range, Receipt};
use attempt::{Delivery, Guard, Setback, Step};
use retry::Attempts;

pub use health::{SinkHealth, SinkState};

/// What a sink needs.
#[derive(Clone)]
pub struct SinkDeps {
    /// Its name: in the tree, in metrics, and of its cursor.
    pub name: Arc<str>,
    /// Makes its client.
    pub connect: Arc<dyn Fn() -> Box<dyn Deliver> + Send + Sync>,
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Where records are kept that its server will never take.
    pub dead_letter: Arc<dyn DeadLetter>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Whether it delivers, for readiness.
    pub health: Arc<SinkHealth>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct Sink {
    cell: Cell,
    deps: SinkDeps,
    draining: CancellationToken,
}

impl Sink {
    /// A sink that lives in `cell`.
    pub fn new(cell: Cell, deps: SinkDeps) -> Self {
        Self { cell, deps, draining: CancellationToken::new() }
    }
}

/// A client that has not returned for so long is asked again: its own deadlines are shorter.
const DELIVER_WITHIN: Duration = Duration::from_secs(300);
const PREPARE_WITHIN: Duration = Duration::from_secs(60);

/// A range on which so many lives of the sink ended is taken apart under guard, until what ends them stands alone.
const LIVES: u32 = 2;

/// Delivers until the journal is closed and has nothing left.
async fn run(deps: SinkDeps, progress: Progress, draining: CancellationToken) -> Exit {
    let mut deliver = (deps.connect)();
    let mut attempts = Attempts::new(&deps, &progress, draining);
    deps.health.is_of(&*deliver);
    deps.journal.register(&deps.name, deliver.appetite());
    prepare(&mut *deliver, &mut attempts).await;
    loop {
        progress.pending(0);
        let Some(range) = deps.journal.next(&deps.name).await else { break };
        progress.pending(range.rows() as u64);
        let mut receipt = Receipt::default();
        if !range.batches.is_empty() {
            let guard = if deps.health.lives_ended_on(&range) < LIVES { Guard::None } else { Guard::Panics };
            deps.health.begin(&range);
            let span = tracing::info_span!(
                "deliver",
                sink = &*deps.name,
                first = range.first,
                end = range.end,
                rows = range.rows()
            );
            receipt = deliver_all(&deps, &mut deliver, &range, &mut attempts, guard).instrument(span).await;
        }
        if let Some(first) = receipt.rejected.first() {
            tracing::error!(
                sink = &*deps.name,
                records = receipt.rejected.len(),
                stream = first.stream.name(),
                sequence = first.sequence,
                error = first.error,
                "records refused for good go to the dead letter; the first of them"
            );
            // Before the range is committed: a letter may come twice, and is kept once.
            bury(&deps, &*deliver, &range, &receipt, &mut attempts).await;
        }
        if let Err(error) = commit(&deps, &range, &receipt, &mut attempts).await {
            // The range stays the cursor's: at least once.
            return Exit::Failure(Arc::new(error));
        }
        deps.metrics.unkept(&deps.name, &deliver.take_unkept());
        deps.health.settle();
    }
    deliver.close().await;
    Exit::Drained
}

/// Delivers a range, however long its server does not take it.
async fn deliver_all(
    deps: &SinkDeps,
    deliver: &mut Box<dyn Deliver>,
    range: &Range,
    attempts: &mut Attempts<'_>,
    guard: Guard,
) -> Receipt {
    let mut delivery = Delivery::new(range, deps.journal.plan(&deps.name, range));
    let mut since = Instant::now();
    loop {
        deps.faults.strike(Point::SinkBefore);
        let outcome = {
            // A server may be slow: the clients keep their own deadlines, and this one the last.
            let _protected = attempts.progress.protect();
            delivery.advance(&mut **deliver, DELIVER_WITHIN, guard).await
        };
        for (unit, count) in deliver.unnamed_refusals() {
            deps.metrics.refused_unnamed(&deps.name, unit, count);
        }
        match outcome {
            Ok(Step::Done) => {
                deps.faults.strike(Point::SinkAfter);
                deps.metrics.delivered(&deps.name, since.elapsed());
                attempts.succeeded();
                return delivery.into_receipt();
            }
            Ok(Step::Changed(plan)) => {
                attempts.progress.tick();
                note(deps, range, plan).await;
                continue;
            }
            Err(Setback::Failed(error)) => {
                attempts.failed(&**deliver, &error).await;
                if matches!(error.class, FailureClass::Schema | FailureClass::Config) {
                    prepare(&mut **deliver, attempts).await;
                }
            }
            Err(Setback::Panicked) => {
                let plan = delivery.note();
                note(deps, range, plan).await;
                *deliver = (deps.connect)();
                prepare(&mut **deliver, attempts).await;
            }
        }
        since = Instant::now();
    }
}

/// Notes how far a range has come. Where the journal has ended nobody will ask for it in this life.
async fn note(deps: &SinkDeps, range: &Range, plan: Option<Plan>) {
    if let Some(plan) = plan
        && let Err(error) = deps.journal.note(&deps.name, range, plan).await
    {
        tracing::debug!(sink = &*deps.name, %error, "cannot note how far a range has come");
    }
}

async fn prepare(deliver: &mut dyn Deliver, attempts: &mut Attempts<'_>) {
    let was_well = attempts.is_well();
    loop {
        let silent = || DeliverError::new(FailureClass::Retry, format!("no connection within {PREPARE_WITHIN:?}"));
        let prepared = {
            let _protected = attempts.progress.protect();
            timeout(PREPARE_WITHIN, deliver.prepare()).await.unwrap_or_else(|_| Err(silent()))
        };
        match prepared {
            Ok(()) if was_well => return attempts.prepared(),
            Ok(()) => return,
            Err(error) => attempts.failed(deliver, &error).await,
        }
    }
}

/// Puts what was refused into the dead letter, however long that does not take it.
async fn bury(deps: &SinkDeps, deliver: &dyn Deliver, range: &Range, receipt: &Receipt, attempts: &mut Attempts<'_>) {
    let letters = letters::letters(&deps.name, range, receipt, Timestamp::from(SystemTime::now()));
    loop {
        let kept = {
            let _protected = attempts.progress.protect();
            deps.dead_letter.keep(&letters).await
        };
        match kept {
            Ok(kept) => {
                for ((sink, stream), records) in &kept.removed {
                    tracing::error!(
                        sink,
                        stream = stream.name(),
                        records,
                        "the dead letter is full; its oldest records were removed"
                    );
                }
                deps.metrics.dead_lettered(&deps.name, &kept);
                return attempts.prepared();
            }
            Err(error) => attempts.failed(deliver, &DeliverError::new(FailureClass::Retry, error.to_string())).await,
        }
    }
}

/// Moves the cursor, however long the journal's storage does not take it; an error where it is closed.
async fn commit(
    deps: &SinkDeps,
    range: &Range,
    receipt: &Receipt,
    attempts: &mut Attempts<'_>,
) -> Result<(), JournalError> {
    let mut failures = 0;
    loop {
        match deps.journal.commit(&deps.name, range, receipt).await {
            Err(JournalError::Storage(error)) => {
                failures += 1;
                tracing::error!(sink = &*deps.name, failures, error, "journal cannot move the cursor; trying again");
                attempts.wait(deps.backoff.delay(failures)).await;
            }
            settled => return settled,
        }
    }
}

impl Actor for Sink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let delivery = run(self.deps.clone(), self.cell.progress().clone(), self.draining.clone());
        ctx.spawn(wrap_future(delivery).map(|exit, sink: &mut Self, ctx| sink.cell.finish(ctx, exit)));
    }
}

impl actix::Supervised for Sink {}

impl Handler<Drain> for Sink {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        // The end of the journal is what ends a sink: it goes on until it has delivered everything, and waits no
        // longer than it must between attempts.
        self.draining.cancel();
    }
}
