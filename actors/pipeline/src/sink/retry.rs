//! Counting failures in a row, and waiting after each.

use std::time::Duration;

use actor_runtime::{Backoff, Progress};
use tokio_util::sync::CancellationToken;

use super::SinkDeps;
use crate::ports::{Deliver, DeliverError, FailureClass};

/// How long a failing sink waits at most, by class: a person's hand takes longer than a network's hiccup.
const PROBE: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(1);

/// A sink that drains waits no longer than this: its time is short.
const DRAINING: Duration = Duration::from_millis(500);

/// Counts failures in a row, and waits after each.
pub(super) struct Attempts<'a> {
    deps: &'a SinkDeps,
    pub progress: &'a Progress,
    draining: CancellationToken,
    failures: u32,
}

impl<'a> Attempts<'a> {
    pub fn new(deps: &'a SinkDeps, progress: &'a Progress, draining: CancellationToken) -> Self {
        Self { deps, progress, draining, failures: 0 }
    }

    /// Whether the last attempt succeeded.
    pub fn is_well(&self) -> bool {
        self.failures == 0
    }

    /// The server could not be reached, and now it can; nothing else is known to be wrong.
    pub fn prepared(&mut self) {
        self.failures = 0;
        self.deps.health.is_well();
    }

    pub fn succeeded(&mut self) {
        self.progress.tick();
        self.deps.metrics.attempt(&self.deps.name, "delivered");
        if self.failures > 0 {
            tracing::info!(sink = &*self.deps.name, failures = self.failures, "delivers again");
            self.failures = 0;
        }
        self.deps.health.delivered();
    }

    pub async fn failed(&mut self, deliver: &dyn Deliver, error: &DeliverError) {
        self.failures = self.failures.saturating_add(1);
        self.deps.metrics.attempt(&self.deps.name, error.class.name());
        self.deps.health.failing(&error.message);
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
        self.wait(delay).await;
    }

    /// Waits, which is no stall.
    pub async fn wait(&self, delay: Duration) {
        let _protected = self.progress.protect();
        let started = tokio::time::Instant::now();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.draining.cancelled() => tokio::time::sleep_until(started + delay.min(DRAINING)).await,
        }
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
