//! A store behind the cache.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::counts::{CacheCounts, add};
use super::flights::Flights;
use super::memory::{Entry, Memory};
use super::{CacheConfig, RedisCache, staleness};
use crate::{
    ContainerFilter, ContainerKey, DEFAULT_POINTS, ErrorClass, EventFilter, History, HistoryQuery, ImageFilter,
    LatestStats, Listed, LogFilter, LossFilter, Page, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};

const LIST: Duration = Duration::from_secs(10);
const ONE: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(2);
const IMAGE: Duration = Duration::from_secs(300);
const QUERY: Duration = Duration::from_secs(30);

/// Any answer. What is of one type under a key is always of that type.
type Answer = Arc<dyn Any + Send + Sync>;

/// What a flight brings: the answer, and its age where it is stale.
type Landed = Result<(Answer, Option<Duration>), StoreError>;

/// Whose answer it is, and for how long it may be used.
struct Key {
    name: String,
    /// What tells answers under one name apart: a container's host.
    owner: Option<String>,
    ttl: Duration,
}

impl Key {
    fn new(name: String, ttl: Duration) -> Self {
        Self { name, owner: None, ttl }
    }

    fn of(name: String, container: &ContainerKey, ttl: Duration) -> Self {
        Self { name, owner: Some(container.host.to_string()), ttl }
    }

    fn in_memory(&self) -> String {
        match &self.owner {
            None => self.name.clone(),
            Some(owner) => format!("{}@{owner}", self.name),
        }
    }
}

/// Answers from the cache, else from the store behind it.
pub struct CachedStore {
    store: Arc<dyn Store>,
    memory: Memory,
    redis: Option<RedisCache>,
    flights: Flights<Landed>,
    counts: Arc<CacheCounts>,
}

impl CachedStore {
    /// A cache before `store`. Connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with the address of Redis.
    pub fn new(store: Arc<dyn Store>, config: &CacheConfig) -> Result<Self, String> {
        let counts = Arc::new(CacheCounts::default());
        let redis = config.redis.as_ref().map(|redis| RedisCache::new(redis, counts.clone())).transpose()?;
        Ok(Self { store, memory: Memory::new(config.entries), redis, flights: Flights::default(), counts })
    }

    #[cfg(test)]
    pub(super) fn redis_mut(&mut self) -> &mut RedisCache {
        self.redis.as_mut().unwrap()
    }

    /// What it did.
    pub fn counts(&self) -> &Arc<CacheCounts> {
        &self.counts
    }

    async fn through<T>(
        &self,
        key: Key,
        ask: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>
    where
        T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let name = key.in_memory();
        let known = self.memory.get(&name);
        if let Some(value) = known.filter(|entry| entry.age() < key.ttl).and_then(|entry| entry.value()) {
            add(&self.counts.memory_hits);
            return Ok(value);
        }
        let (landed, is_of_another) = self.flights.join(&name, Box::pin(self.look_further(&key, &name, ask))).await;
        let (answer, stale) = landed?;
        if is_of_another {
            add(&self.counts.memory_hits);
        }
        if let Some(age) = stale {
            add(&self.counts.stale);
            staleness::note(age);
        }
        answer.downcast_ref::<T>().cloned().ok_or_else(|| StoreError::Unreadable(format!("the cache under {name}")))
    }

    /// In Redis, then in the store; where that is away, among what is too old.
    async fn look_further<T>(
        &self,
        key: &Key,
        name: &str,
        ask: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Landed
    where
        T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let known = self.memory.get(name);
        // Another flight may have landed since it was looked for.
        if let Some(entry) = known.as_ref().filter(|entry| entry.age() < key.ttl) {
            return Ok((entry.answer(), None));
        }
        if let Some(entry) = known.as_ref().filter(|entry| entry.is_left_alone()) {
            return Ok((entry.answer(), Some(entry.age())));
        }
        let owner = key.owner.as_deref();
        if let Some(redis) = &self.redis
            && let Some((value, age)) = redis.get::<T>(&key.name, owner).await
            && age < key.ttl
        {
            add(&self.counts.redis_hits);
            let answer: Answer = Arc::new(value);
            self.memory.put(name, Entry::new(answer.clone(), age));
            return Ok((answer, None));
        }
        add(&self.counts.misses);
        match ask.await {
            Ok(value) => {
                if let Some(redis) = &self.redis {
                    redis.put(&key.name, owner, &value, key.ttl).await;
                }
                let answer: Answer = Arc::new(value);
                self.memory.put(name, Entry::new(answer.clone(), Duration::ZERO));
                Ok((answer, None))
            }
            Err(error) => match known.filter(|_| is_away(&error)) {
                Some(entry) => {
                    tracing::warn!(%error, key = name, age = ?entry.age(), "the store is away: an old answer is given");
                    self.memory.leave_alone(name, &entry);
                    Ok((entry.answer(), Some(entry.age())))
                }
                None => Err(error),
            },
        }
    }
}

fn is_away(error: &StoreError) -> bool {
    matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Timeout)
}

/// `{from}:{to}`, and what is asked beyond that.
fn range(query: &HistoryQuery) -> String {
    let HistoryQuery { from, to, resolution, max_points } = query;
    match (resolution, *max_points) {
        (None, DEFAULT_POINTS) => format!("{from}:{to}"),
        (resolution, points) => format!("{from}:{to}:{}:{points}", resolution.map_or("auto", |one| one.name())),
    }
}

/// Filters in a word of fixed length.
fn hash(filters: &impl std::fmt::Debug) -> String {
    let digest = Sha256::digest(format!("{filters:?}"));
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Store for CachedStore {
    fn source(&self) -> &'static str {
        self.store.source()
    }

    async fn containers(&self, filter: &ContainerFilter, page: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        let is_whole = *filter == ContainerFilter::default() && *page == Page::default();
        let name = match is_whole {
            true => "containers:list".to_owned(),
            false => format!("containers:list:{}", hash(&(filter, page))),
        };
        self.through(Key::new(name, LIST), self.store.containers(filter, page)).await
    }

    async fn container(&self, selector: &Selector) -> Result<ContainerRecord, StoreError> {
        let Selector { text, host } = selector;
        let key = Key { owner: host.clone(), ..Key::new(format!("containers:one:{text}"), ONE) };
        self.through(key, self.store.container(selector)).await
    }

    async fn latest(&self, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        let name = format!("stats:container:{}:latest", container.container_id);
        self.through(Key::of(name, container, LATEST), self.store.latest(container)).await
    }

    async fn latest_all(&self, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        self.store.latest_all(since).await
    }

    async fn history(&self, container: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError> {
        let name = format!("query:stats:{}:{}", container.container_id, range(query));
        self.through(Key::of(name, container, QUERY), self.store.history(container, query)).await
    }

    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError> {
        // All who ask mean this moment.
        self.through(Key::new("stats:total:latest".into(), LATEST), self.store.totals(since)).await
    }

    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        let key = Key::new(format!("query:total:{}", range(query)), QUERY);
        self.through(key, self.store.total_history(query)).await
    }

    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<EventRecord>, StoreError> {
        self.store.events(filter, page).await
    }

    async fn logs(
        &self,
        container: &ContainerKey,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<Listed<LogRecord>, StoreError> {
        self.store.logs(container, filter, page).await
    }

    async fn images(&self, filter: &ImageFilter, page: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        self.store.images(filter, page).await
    }

    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError> {
        let Selector { text, host } = selector;
        let key = Key { owner: host.clone(), ..Key::new(format!("image:{text}"), IMAGE) };
        self.through(key, self.store.image(selector)).await
    }

    async fn image_history(&self, selector: &Selector, page: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        self.store.image_history(selector, page).await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        self.store.hosts().await
    }

    async fn host(&self, name: &str) -> Result<Option<HostRecord>, StoreError> {
        self.store.host(name).await
    }

    async fn losses(&self, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        self.store.losses(filter, page).await
    }
}
