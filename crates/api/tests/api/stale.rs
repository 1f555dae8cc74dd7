//! A store that goes away behind the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::ApiConfig;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};
use store::cache::CacheConfig;
use store::{
    CachedStore, ContainerFilter, ContainerKey, EventFilter, History, HistoryQuery, ImageFilter, LatestStats, Listed,
    LogFilter, LossFilter, Page, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};
use test_support::wait_until;

use crate::http::get;
use crate::served::Served;
use crate::stuck::StuckStore;
use crate::world::containers;

/// Knows its containers while it is there, and nothing else.
#[derive(Default)]
struct FickleStore {
    away: AtomicBool,
}

impl FickleStore {
    fn here(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::Relaxed) { Err(StoreError::Unavailable("away".into())) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl Store for FickleStore {
    fn source(&self) -> &'static str {
        "fickle"
    }
    async fn containers(&self, _: &ContainerFilter, _: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        self.here()?;
        Ok(Listed { data: containers(), next_cursor: None })
    }
    async fn container(&self, selector: &Selector) -> Result<ContainerRecord, StoreError> {
        self.here()?;
        let mut all = containers().into_iter();
        let found = all.find(|container| container.container_name == selector.text);
        found.ok_or_else(|| StoreError::NotFound(selector.text.clone()))
    }
    async fn latest(&self, of: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        StuckStore.latest(of).await
    }
    async fn latest_all(&self, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        StuckStore.latest_all(since).await
    }
    async fn history(&self, of: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError> {
        StuckStore.history(of, query).await
    }
    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError> {
        StuckStore.totals(since).await
    }
    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        StuckStore.total_history(query).await
    }
    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<EventRecord>, StoreError> {
        StuckStore.events(filter, page).await
    }
    async fn images(&self, filter: &ImageFilter, page: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        StuckStore.images(filter, page).await
    }
    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError> {
        StuckStore.image(selector).await
    }
    async fn image_history(&self, of: &Selector, page: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        StuckStore.image_history(of, page).await
    }
    async fn logs(&self, of: &ContainerKey, filter: &LogFilter, page: &Page) -> Result<Listed<LogRecord>, StoreError> {
        StuckStore.logs(of, filter, page).await
    }
    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        StuckStore.hosts().await
    }
    async fn losses(&self, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        StuckStore.losses(filter, page).await
    }
}

#[test]
fn while_the_store_is_away_answers_are_old_and_say_so_and_what_has_no_old_answer_is_503() {
    let store = Arc::new(FickleStore::default());
    let cached = CachedStore::new(store.clone(), &CacheConfig::default()).unwrap();
    let served = Served::over(ApiConfig::default(), Arc::new(cached));
    let fresh = get(served.address, "/api/containers");
    assert_eq!((fresh.status, fresh.header("warning"), fresh.header("age")), (200, None, None));
    assert_eq!(fresh.json()["meta"]["stale"], false);
    assert_eq!(get(served.address, "/api/containers/web").status, 200);
    store.away.store(true, Ordering::Relaxed);
    let patience = Duration::from_secs(120);
    wait_until(patience, "the list is stale", || {
        get(served.address, "/api/containers").json()["meta"]["stale"] == true
    });
    for path in ["/api/containers", "/api/containers/web"] {
        let stale = get(served.address, path);
        assert_eq!((stale.status, stale.header("warning")), (200, Some("110 - \"Response is Stale\"")), "{path}");
        let age: u64 = stale.header("age").unwrap().parse().unwrap();
        assert!((2..600).contains(&age), "{path}: {age} s");
    }
    let unknown = get(served.address, "/api/containers?name=x");
    assert_eq!(unknown.status, 503);
    unknown.problem("unavailable");
    store.away.store(false, Ordering::Relaxed);
    wait_until(patience, "the list is as it is", || {
        get(served.address, "/api/containers").json()["meta"]["stale"] == false
    });
}
