//! Turns to poll, of a whole host: an engine is asked about so many containers at once and no more.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns of one host.
#[derive(Debug)]
pub struct Polls {
    turns: Semaphore,
    /// A container that did not answer last time may take its whole deadline again. Such wait for each other, so that any
    /// number of them delays nobody else.
    doubtful: Semaphore,
}

impl Polls {
    /// So many at once, and beside them a quarter as many of the doubtful ones.
    pub fn new(at_once: usize) -> Self {
        Self { turns: Semaphore::new(at_once), doubtful: Semaphore::new((at_once / 4).max(1)) }
    }

    /// Waits for a turn; it lasts as long as what this gives. `None` never comes: turns are not taken away.
    pub(super) async fn turn(&self, is_doubtful: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if is_doubtful { &self.doubtful } else { &self.turns };
        turns.acquire().await.ok()
    }
}
