//! How it is with a sink's server, and what outlives a life of the sink.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use model::Timestamp;

use crate::ports::{Deliver, Range};

/// How it is with a sink's server. Shared with readers on any thread.
#[derive(Debug, Default)]
pub struct SinkHealth {
    state: Mutex<SinkState>,
    /// The range under delivery, by its first position, and how many lives of the sink have begun to deliver it.
    trial: Mutex<Option<(u64, u32)>>,
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

    pub(super) fn is_of(&self, client: &dyn Deliver) {
        let mut state = self.lock();
        (state.kind, state.target) = (client.kind(), client.target());
    }

    pub(super) fn failing(&self, why: &str) {
        let mut state = self.lock();
        state.failures += 1;
        state.failing = Some(why.to_owned());
    }

    pub(super) fn is_well(&self) {
        self.lock().failing = None;
    }

    pub(super) fn delivered(&self) {
        let mut state = self.lock();
        state.failing = None;
        state.delivered_at = Some(Timestamp::from(SystemTime::now()));
    }

    /// How many lives of the sink have ended while they delivered this range.
    pub(super) fn lives_ended_on(&self, range: &Range) -> u32 {
        self.trial().filter(|(first, _)| *first == range.first).map_or(0, |(_, lives)| lives)
    }

    /// A life begins to deliver this range.
    pub(super) fn begin(&self, range: &Range) {
        let lives = self.lives_ended_on(range) + 1;
        *self.trial() = Some((range.first, lives));
    }

    /// The range is settled.
    pub(super) fn settle(&self) {
        *self.trial() = None;
    }

    fn trial(&self) -> MutexGuard<'_, Option<(u64, u32)>> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
