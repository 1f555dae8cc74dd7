//! What was asked and what was told, for who wants to compare: kept on demand, for ever.

use std::time::Duration;

use model::Timestamp;

use crate::events::{Event, Stamped};

/// A request, and when it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its method.
    pub method: String,
    /// Its path, without version and query.
    pub path: String,
    /// When it came, from the start of the host.
    pub asked: Duration,
    /// When its answer had been written; `None` where it has not, or never will be.
    pub answered: Option<Duration>,
}

/// The logs of one host.
#[derive(Default)]
pub(crate) struct Log {
    is_kept: bool,
    /// The daemon does not run: nobody hears what happens, then or later.
    pub(crate) is_down: bool,
    calls: Vec<Call>,
    events: Vec<Stamped>,
}

impl Log {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    /// A request came; its number is what [`Log::answered`] wants.
    pub(crate) fn asked(&mut self, method: &str, path: &str, now: Duration) -> Option<usize> {
        let call = || Call { method: method.to_owned(), path: path.to_owned(), asked: now, answered: None };
        self.is_kept.then(|| {
            self.calls.push(call());
            self.calls.len() - 1
        })
    }

    pub(crate) fn answered(&mut self, number: Option<usize>, now: Duration) {
        if let Some(call) = number.and_then(|number| self.calls.get_mut(number)) {
            call.answered = Some(now);
        }
    }

    /// An event happened that everybody who listens can hear.
    pub(crate) fn told(&mut self, event: &Stamped) {
        if self.is_kept && !self.is_down {
            self.events.push(event.clone());
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.clone()
    }

    pub(crate) fn events(&self) -> Vec<(Timestamp, Event)> {
        self.events.iter().map(|stamped| (stamped.at, Event::clone(&stamped.event))).collect()
    }
}
