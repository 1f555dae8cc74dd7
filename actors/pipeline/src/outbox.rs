//! Observations on their way to the parsers: an outbox takes them at once, whatever the parsers do.
//!
//! No engine and no actor of a host is made to wait for the pipeline. What finds no room is kept here, in
//! order, up to a bound; past it the newest is dropped, counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_runtime::{TrySendError, Weight};
use model::LossReason;
use tokio::sync::Notify;

use crate::messages::{Observation, Seen};
use crate::router::Router;
use crate::size::Size;

/// Observations kept at most.
const MOST: usize = 4096;

/// Bytes of observations kept at most: labels can be huge.
const MOST_BYTES: u64 = 8 << 20;

/// An outbox. Clones share it; it outlives the restarts of its actor where it is not part of the state.
#[derive(Clone, Default)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// Something was handed on.
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Observation>,
    bytes: u64,
}

impl Outbox {
    /// Sends an observation, now or once there is room; false where it had to be dropped.
    pub fn send(&self, observation: Observation, router: &Router) -> bool {
        let mut waiting = self.lock();
        waiting.hand_on(router);
        let weight = u64::from(observation.weight());
        if waiting.queue.len() >= MOST || waiting.bytes + weight > MOST_BYTES {
            drop(waiting);
            observation.custody.lost(LossReason::Overflow);
            return false;
        }
        waiting.bytes += weight;
        waiting.queue.push_back(observation);
        waiting.hand_on(router);
        if !waiting.queue.is_empty() {
            self.shared.filled.notify_one();
        }
        true
    }

    /// True where `what` finds room. In an empty outbox everything does: what would not is dropped there.
    pub fn has_room_for(&self, what: &Seen) -> bool {
        let waiting = self.lock();
        let fits = waiting.queue.len() < MOST && waiting.bytes + what.size() as u64 <= MOST_BYTES;
        fits || waiting.queue.is_empty()
    }

    /// Waits until half of the room is free.
    pub async fn room(&self) {
        while !self.lock().is_half_empty() {
            self.shared.emptied.notified().await;
        }
    }

    /// Hands on what is kept as room comes up, for ever.
    pub async fn run(&self, router: &Router) {
        loop {
            self.flush(router).await;
            self.shared.filled.notified().await;
        }
    }

    /// Waits until everything that is kept has been handed on.
    pub async fn flush(&self, router: &Router) {
        loop {
            let next = self.lock().queue.front().map(|next| (next.what.object().to_owned(), next.weight()));
            let Some((object, weight)) = next else { return };
            let room = router.observations(&object).reserve(weight).await;
            // Another may have been sent meanwhile: the room is at the parser of this object.
            let Some(observation) = self.lock().pop_of(&object) else { continue };
            if let Some(room) = room {
                // Where the parser is gone for good it is dropped, and its custody counts it.
                room.send(observation).ok();
            }
            self.shared.emptied.notify_one();
        }
    }

    /// Observations that are kept.
    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// True where nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_half_empty(&self) -> bool {
        self.queue.len() <= MOST / 2 && self.bytes <= MOST_BYTES / 2
    }

    fn pop(&mut self) -> Option<Observation> {
        let next = self.queue.pop_front()?;
        self.bytes -= u64::from(next.weight());
        Some(next)
    }

    /// The next one, if it is of that object.
    fn pop_of(&mut self, object: &str) -> Option<Observation> {
        self.queue.front().filter(|next| next.what.object() == object)?;
        self.pop()
    }

    /// Hands on what there is room for.
    fn hand_on(&mut self, router: &Router) {
        while let Some(next) = self.pop() {
            match router.observations(next.what.object()).try_send(next) {
                Ok(()) => {}
                Err(TrySendError::Full(next)) => {
                    self.bytes += u64::from(next.weight());
                    return self.queue.push_front(next);
                }
                // It is dropped, and its custody counts it.
                Err(TrySendError::Closed(_)) => {}
            }
        }
    }
}
