//! Sink: reads the journal at its own pace and delivers to one server.
//!
//! In: ranges of the log, by its own cursor. Out: the server. Owns its client, made anew at every start.
//! A restart loses nothing: the range in hand is still the cursor's, and is delivered again.

mod attempt;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Drain, Exit, Progress};
use model::Timestamp;
use tokio::time::Instant;

use crate::faults::{Faults, Point};
use crate::metrics::Metrics;
use crate::ports::{Deliver, DeliverError, FailureClass, Journal, Range, Receipt};
use attempt::deliver_or_halve;

/// What a sink needs.
#[derive(Clone)]
pub struct SinkDeps {
    /// Its name: in the tree, in metrics, and of its cursor.
    pub name: Arc<str>,
    /// Makes its client.
    pub connect: Arc<dyn Fn() -> Box<dyn Deliver> + Send + Sync>,
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Whether it delivers, for readiness.
    pub health: Arc<SinkHealth>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// How it is with a sink's server. Shared with readers on any thread.
#[derive(Debug, Default)]
pub struct SinkHealth {
    state: Mutex<SinkState>,
}

/// How it is with a sink's server.
#[derive(Clone, Debug, Default)]
pub struct SinkState {
    /// Kind of its client.
    pub kind: &'static str,
    /// Where it delivers to, without secrets.
    pub target: String,
    /// Failed attempts since the start.
    pub failures: u64,
    /// When its server last took something.
    pub delivered_at: Option<Timestamp>,
    /// Why the present attempt fails; `None` while all is well.
    pub failing: Option<String>,
}

impl SinkHealth {
    /// The present state.
    pub fn state(&self) -> SinkState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actor.
pub struct Sink {
    cell: Cell,
    deps: SinkDeps,
}

impl Sink {
    /// A sink that lives in `cell`.
    pub fn new(cell: Cell, deps: SinkDeps) -> Self {
        Self { cell, deps }
    }
}

/// How long a failing sink waits at most, by class: a person's hand takes longer than a network's hiccup.
const PROBE: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(1);

/// Delivers until the journal is closed and has nothing left.
async fn run(deps: SinkDeps, progress: Progress) -> Exit {
    let mut deliver = (deps.connect)();
    let mut attempts = Attempts::new(&deps, &progress);
    {
        let mut health = deps.health.lock();
        (health.kind, health.target) = (deliver.kind(), deliver.target());
    }
    deps.journal.register(&deps.name, deliver.appetite());
    while let Err(error) = deliver.prepare().await {
        attempts.failed(&*deliver, &error).await;
    }
    loop {
        progress.pending(0);
        let Some(range) = deps.journal.next(&deps.name).await else { break };
        progress.pending(range.rows() as u64);
        if range.batches.is_empty() {
            commit(&deps, &range, &Receipt::default()).await;
            continue;
        }
        let receipt = loop {
            deps.faults.strike(Point::SinkBefore);
            let since = Instant::now();
            match deliver_or_halve(&mut *deliver, &range).await {
                Ok(receipt) => {
                    deps.faults.strike(Point::SinkAfter);
                    deps.metrics.delivered(&deps.name, since.elapsed());
                    attempts.succeeded();
                    break receipt;
                }
                Err(error) => {
                    attempts.failed(&*deliver, &error).await;
                    if matches!(error.class, FailureClass::Schema | FailureClass::Config) {
                        while let Err(error) = deliver.prepare().await {
                            attempts.failed(&*deliver, &error).await;
                        }
                    }
                }
            }
        };
        for rejection in &receipt.rejected {
            tracing::error!(
                sink = &*deps.name,
                stream = rejection.stream.name(),
                sequence = rejection.sequence,
                error = rejection.error,
                "record refused for good"
            );
        }
        commit(&deps, &range, &receipt).await;
    }
    deliver.close().await;
    Exit::Drained
}

async fn commit(deps: &SinkDeps, range: &Range, receipt: &Receipt) {
    if let Err(error) = deps.journal.commit(&deps.name, range, receipt).await {
        // The range stays the cursor's and is delivered again: at least once.
        tracing::error!(sink = &*deps.name, %error, "journal cannot move the cursor");
    }
}

/// Counts failures in a row, and waits after each.
struct Attempts<'a> {
    deps: &'a SinkDeps,
    progress: &'a Progress,
    failures: u32,
}

impl<'a> Attempts<'a> {
    fn new(deps: &'a SinkDeps, progress: &'a Progress) -> Self {
        Self { deps, progress, failures: 0 }
    }

    fn succeeded(&mut self) {
        self.progress.tick();
        self.deps.metrics.attempt(&self.deps.name, "delivered");
        if self.failures > 0 {
            tracing::info!(sink = &*self.deps.name, failures = self.failures, "delivers again");
            self.failures = 0;
        }
        let mut health = self.deps.health.lock();
        health.failing = None;
        health.delivered_at = Some(Timestamp::from(SystemTime::now()));
    }

    async fn failed(&mut self, deliver: &dyn Deliver, error: &DeliverError) {
        self.failures = self.failures.saturating_add(1);
        self.deps.metrics.attempt(&self.deps.name, error.class.name());
        {
            let mut health = self.deps.health.lock();
            health.failures += 1;
            health.failing = Some(error.message.clone());
        }
        let delay = wait_after(error, self.failures, &self.deps.backoff);
        let (sink, target, class, failures) = (&*self.deps.name, deliver.target(), error.class.name(), self.failures);
        let next_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        // The first failure is news, then every power of two: an outage is not a flood.
        if failures.is_power_of_two() {
            tracing::warn!(
                sink,
                target,
                class,
                failures,
                next_ms,
                error = error.message,
                "cannot deliver; keeps the data and tries again"
            );
        } else {
            tracing::debug!(sink, target, class, failures, next_ms, error = error.message, "cannot deliver");
        }
        let _protected = self.progress.protect();
        tokio::time::sleep(delay).await;
    }
}

/// How long to wait after the n-th failure in a row.
fn wait_after(error: &DeliverError, failures: u32, backoff: &Backoff) -> Duration {
    let own = match error.class {
        FailureClass::Retry | FailureClass::Split | FailureClass::Schema | FailureClass::Poison => {
            backoff.delay(failures)
        }
        FailureClass::RetrySlow => backoff.delay(failures).max(SLOW),
        FailureClass::Config => backoff.delay(failures.saturating_add(3)).clamp(SLOW, PROBE),
    };
    error.retry_after.map_or(own, |wanted| wanted.min(PROBE).max(own))
}

impl Actor for Sink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let delivery = run(self.deps.clone(), self.cell.progress().clone());
        ctx.spawn(wrap_future(delivery).map(|exit, sink: &mut Self, ctx| sink.cell.finish(ctx, exit)));
    }
}

impl actix::Supervised for Sink {}

impl Handler<Drain> for Sink {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        // The end of the journal is what ends a sink: it goes on until it has delivered everything.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::try_new(Duration::from_millis(100), Duration::from_secs(10), 0.0).unwrap()
    }

    #[test]
    fn an_overloaded_server_is_given_at_least_a_second() {
        let error = DeliverError::new(FailureClass::RetrySlow, "busy");
        assert_eq!(wait_after(&error, 1, &backoff()), SLOW);
        assert_eq!(wait_after(&error, 9, &backoff()), Duration::from_secs(10));
    }

    #[test]
    fn a_servers_wish_is_honoured_up_to_a_minute() {
        let mut error = DeliverError::new(FailureClass::Retry, "busy");
        error.retry_after = Some(Duration::from_secs(7));
        assert_eq!(wait_after(&error, 1, &backoff()), Duration::from_secs(7));
        error.retry_after = Some(Duration::from_secs(3600));
        assert_eq!(wait_after(&error, 1, &backoff()), PROBE);
    }

    #[test]
    fn a_passing_failure_is_retried_soon() {
        let error = DeliverError::new(FailureClass::Retry, "reset");
        assert_eq!(wait_after(&error, 1, &backoff()), Duration::from_millis(100));
    }
}
