//! Events to come: kept by their group, so that none outlives it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{GroupEvent, far_future};

/// Events in the order in which they fall due; those of one instant in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(Instant, u64), GroupEvent>,
    next: u64,
}

impl Timers {
    pub fn after(&mut self, delay: Duration, event: GroupEvent) {
        self.at(Instant::now().checked_add(delay).unwrap_or_else(far_future), event);
    }

    pub fn at(&mut self, due: Instant, event: GroupEvent) {
        self.next += 1;
        self.due.insert((due, self.next), event);
    }

    pub fn clear(&mut self) {
        self.due.clear();
    }

    /// The next event, when it falls due; never, where there is none. Cancel safe.
    pub async fn next(&mut self) -> GroupEvent {
        let Some((&(due, _), _)) = self.due.first_key_value() else { return std::future::pending().await };
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let (_, event) = self.due.pop_first().expect("it was there before the sleep, and nobody else takes it");
        event
    }
}
