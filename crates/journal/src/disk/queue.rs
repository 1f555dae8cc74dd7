//! What callers ask of the journal's thread. Bounded by its callers: each waits for its answer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant as Clock;

use model::Batch;
use pipeline::ports::{JournalError, Mark, Plan, Range, Receipt};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::codec::Head;

/// A wish.
pub(super) enum Command {
    Append(Append),
    Look {
        sink: String,
        now: Instant,
        reply: oneshot::Sender<Seen>,
    },
    Commit {
        sink: String,
        range: Range,
        receipt: Receipt,
        reply: oneshot::Sender<()>,
    },
    Note {
        sink: String,
        range: Range,
        plan: Plan,
        reply: oneshot::Sender<()>,
    },
    Mark {
        mark: Mark,
        reply: oneshot::Sender<()>,
    },
    /// The log has something to store, or was closed.
    Save,
    Stop(Option<oneshot::Sender<()>>),
    /// A test's hand on the store.
    #[cfg(test)]
    Inspect(Box<dyn FnOnce(&super::store::Store) + Send>),
}

/// Batches to be kept, all or none, with the marks that are true once they are.
pub(super) struct Append {
    pub(super) entries: Vec<Entry>,
    pub(super) marks: Vec<Mark>,
    pub(super) arrived: Instant,
    pub(super) reply: oneshot::Sender<Result<(), JournalError>>,
}

/// A batch, encoded by its caller.
pub(super) struct Entry {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    pub(super) batch: Batch,
}

impl Append {
    /// Bytes on disk.
    pub(super) fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.body.len() as u64).sum()
    }
}

/// What a look yields.
pub(super) enum Seen {
    Range(Range),
    Wait(Arc<Notify>, Option<Instant>),
    Ended,
}

#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    commands: Vec<Command>,
    ended: bool,
}

impl Queue {
    /// Adds a wish; after the end it is dropped, which its caller sees.
    pub(super) fn push(&self, command: Command) {
        let mut inner = self.inner();
        if !inner.ended {
            inner.commands.push(command);
            self.wake.notify_one();
        }
    }

    /// All wishes, as soon as there is one; none at `until`.
    pub(super) fn take(&self, until: Option<Clock>) -> Vec<Command> {
        let mut inner = self.inner();
        while inner.commands.is_empty() {
            inner = match until.map(|until| until.saturating_duration_since(Clock::now())) {
                None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        std::mem::take(&mut inner.commands)
    }

    /// No more wishes; those waiting are dropped.
    pub(super) fn end(&self) {
        let mut inner = self.inner();
        inner.ended = true;
        inner.commands.clear();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
