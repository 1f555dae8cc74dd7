//! Which streams there are.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::ContainerId;
use tokio::sync::watch;

use crate::messages::Subject;
use crate::router::Router;

/// The streams that are followed. Outlives restarts of the set, as the streams do; with its last clone the parsers forget
/// what is left of them.
#[derive(Clone)]
pub struct Roster {
    shared: Arc<Shared>,
}

struct Shared {
    streams: Mutex<Streams>,
    parsers: Router,
}

/// What a stream follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Stats,
    Log,
}

#[derive(Default)]
pub(super) struct Streams {
    followed: HashMap<(Kind, ContainerId), Followed>,
    /// All that have not reported their end, those that were left included.
    running: HashMap<u64, (Kind, ContainerId)>,
    /// Those that were left to end by themselves.
    ending: HashSet<(Kind, ContainerId)>,
}

struct Followed {
    series: u64,
    /// A stream whose sender is gone ends by itself.
    subject: watch::Sender<Arc<Subject>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        let streams = std::mem::take(&mut *self.lock());
        streams.running.into_keys().for_each(|series| self.parsers.forget(series));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Roster {
    /// No stream is followed; of those that were, `parsers` forget what they know.
    pub fn new(parsers: Router) -> Self {
        Self { shared: Arc::new(Shared { streams: Mutex::default(), parsers }) }
    }

    /// All streams are gone, and their group begins anew.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// The containers of which anything is followed.
    pub fn containers(&self) -> Vec<ContainerId> {
        let mut containers: Vec<_> = self.lock().followed.keys().map(|(_, id)| id.clone()).collect();
        containers.sort_unstable();
        containers.dedup();
        containers
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Streams> {
        self.shared.lock()
    }
}

impl Streams {
    /// Tells the stream of a container what is known now; false where there is none.
    pub fn tell(&mut self, kind: Kind, id: &ContainerId, subject: &Subject) -> bool {
        let Some(followed) = self.followed.get(&(kind, id.clone())) else { return false };
        followed.subject.send_if_modified(|current| {
            let is_new = **current != *subject;
            if is_new {
                *current = Arc::new(subject.clone());
            }
            is_new
        });
        true
    }

    /// A stream begins; what it hears its container's news by.
    pub fn add(
        &mut self,
        kind: Kind,
        id: &ContainerId,
        series: u64,
        subject: &Subject,
    ) -> watch::Receiver<Arc<Subject>> {
        let (sender, receiver) = watch::channel(Arc::new(subject.clone()));
        self.running.insert(series, (kind, id.clone()));
        self.followed.insert((kind, id.clone()), Followed { series, subject: sender });
        receiver
    }

    /// A stream is ended: it is as if it had never been. Its number.
    pub fn end(&mut self, kind: Kind, id: &ContainerId) -> Option<u64> {
        let series = self.followed.remove(&(kind, id.clone()))?.series;
        self.running.remove(&series);
        Some(series)
    }

    /// A stream is left to end by itself; false where there is none that has not ended.
    pub fn leave(&mut self, kind: Kind, id: &ContainerId) -> bool {
        let key = (kind, id.clone());
        if self.followed.remove(&key).is_some() {
            self.ending.insert(key);
            return true;
        }
        self.ending.contains(&key)
    }

    /// A stream is to end, and reports it: until then there is no other. Its number.
    pub fn stop(&mut self, kind: Kind, id: &ContainerId) -> Option<u64> {
        let series = self.followed.get(&(kind, id.clone()))?.series;
        self.leave(kind, id);
        Some(series)
    }

    /// True where there is a stream, ending or not.
    pub fn has(&self, kind: Kind, id: &ContainerId) -> bool {
        let key = (kind, id.clone());
        self.followed.contains_key(&key) || self.ending.contains(&key)
    }

    /// True where a stream that was left has not ended yet.
    pub fn is_ending(&self, kind: Kind, id: &ContainerId) -> bool {
        self.ending.contains(&(kind, id.clone()))
    }

    /// A stream has ended by itself: what it was, and whether it had been left.
    pub fn ended(&mut self, series: u64) -> Option<(Kind, ContainerId, bool)> {
        let (kind, id) = self.running.remove(&series)?;
        let key = (kind, id);
        let was_left = self.ending.remove(&key);
        if !was_left {
            self.followed.remove(&key);
        }
        Some((key.0, key.1, was_left))
    }

    /// Stats streams and log streams.
    pub fn counts(&self) -> (usize, usize) {
        let stats = self.followed.keys().filter(|(kind, _)| *kind == Kind::Stats).count();
        (stats, self.followed.len() - stats)
    }
}
