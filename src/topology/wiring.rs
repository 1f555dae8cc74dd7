//! How groups find each other, also after one of them was built anew.

use std::sync::{Arc, Mutex, PoisonError};

use actor_runtime::{Inbox, Mailbox, Outlet, mailbox};
use pipeline::messages::Chunk;
use pipeline::parser::Parser;
use pipeline::router::Router;

use super::PARSER_BYTES;

/// The addresses of a group, for the groups started after it; renewed when it is built anew, for then the later
/// groups are, too.
///
/// These may be built in any order, each as soon as its former life has ended. So the addresses of the parsers are
/// made with the group before them: whoever sends to parsers finds those of their next life, not of their last.
#[derive(Clone)]
pub(super) struct Wiring {
    pub parsers: usize,
    pub batcher: Slot<Outlet<Chunk>>,
    pub router: Slot<Router>,
    inboxes: Arc<Mutex<Vec<Inbox<Parser>>>>,
}

impl Wiring {
    pub fn new(parsers: usize) -> Self {
        Self { parsers, batcher: Slot::default(), router: Slot::default(), inboxes: Arc::default() }
    }

    pub fn renew_parsers(&self) {
        let (mailboxes, inboxes): (Vec<Mailbox<Parser>>, Vec<_>) =
            (0..self.parsers).map(|_| mailbox(PARSER_BYTES)).unzip();
        self.router.set(Router::new(&mailboxes));
        *self.inboxes.lock().unwrap_or_else(PoisonError::into_inner) = inboxes;
    }

    /// The inboxes of the next parsers.
    pub fn inboxes(&self) -> Vec<Inbox<Parser>> {
        let taken = || std::mem::take(&mut *self.inboxes.lock().unwrap_or_else(PoisonError::into_inner));
        let inboxes = taken();
        if !inboxes.is_empty() {
            return inboxes;
        }
        self.renew_parsers();
        taken()
    }
}

#[derive(Clone)]
pub(super) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Slot<T> {
    pub fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    pub fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("groups are built downstream first")
    }
}
