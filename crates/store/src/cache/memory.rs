//! Answers in memory. They outlive their time: an old answer is better than none while the store is away.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// How long an answer is kept for when the store is away.
const KEPT: Duration = Duration::from_secs(600);
/// How long the store is left alone after it did not answer a question that has an old answer.
const RESPITE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    /// When the store gave it.
    at: Instant,
    /// Until when the store is not asked for a newer one.
    left_alone_until: Option<Instant>,
}

impl Entry {
    pub(super) fn new(value: Arc<dyn Any + Send + Sync>, age: Duration) -> Self {
        let now = Instant::now();
        Self { value, at: now.checked_sub(age).unwrap_or(now), left_alone_until: None }
    }

    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    pub(super) fn is_left_alone(&self) -> bool {
        self.left_alone_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn answer(&self) -> Arc<dyn Any + Send + Sync> {
        self.value.clone()
    }

    pub(super) fn value<T: Clone + 'static>(&self) -> Option<T> {
        self.value.downcast_ref::<T>().cloned()
    }
}

pub(super) struct Memory(Cache<String, Entry>);

impl Memory {
    pub(super) fn new(entries: u64) -> Self {
        Self(Cache::builder().max_capacity(entries).time_to_live(KEPT).build())
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.0.get(key)
    }

    pub(super) fn put(&self, key: &str, entry: Entry) {
        self.0.insert(key.to_owned(), entry);
    }

    /// Does not let everybody wait for a store that is away.
    pub(super) fn leave_alone(&self, key: &str, entry: &Entry) {
        self.put(key, Entry { left_alone_until: Some(Instant::now() + RESPITE), ..entry.clone() });
    }
}
