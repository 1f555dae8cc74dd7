//! The store over the embedded SQLite file, which the SQLite sink writes.

mod containers;
mod events;
mod history;
mod hosts;
mod images;
mod logs;
mod losses;
mod pool;
mod read;
mod stats;
mod totals;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};

use crate::{
    ContainerFilter, ContainerKey, EventFilter, History, HistoryQuery, ImageFilter, LatestStats, Listed, LogFilter,
    LossFilter, Page, Plan, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};
use pool::Pool;

/// Settings of the SQLite store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteStoreConfig {
    /// The database file. It may appear later: until then every query is `Unavailable`.
    pub path: PathBuf,
    /// Queries at once.
    pub connections: usize,
    /// How long a query may take, and how long it may wait for its turn.
    pub time_limit: Duration,
}

impl SqliteStoreConfig {
    /// The defaults, for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), connections: 4, time_limit: Duration::from_secs(5) }
    }
}

/// Answers from a SQLite file, over a few read-only connections. Queries run beside the async workers; one
/// that takes too long, or whose caller is gone, is interrupted.
pub struct SqliteStore {
    pool: Pool,
}

impl SqliteStore {
    /// A store for the file that `config` names. Opens nothing yet.
    pub fn new(config: SqliteStoreConfig) -> Self {
        Self { pool: Pool::new(config) }
    }

    /// A store with the default settings.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self::new(SqliteStoreConfig::new(path))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn source(&self) -> &'static str {
        "sqlite"
    }

    async fn containers(&self, filter: &ContainerFilter, page: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.pool.run(move |connection| containers::list(connection, &filter, &page)).await
    }

    async fn container(&self, selector: &Selector) -> Result<ContainerRecord, StoreError> {
        let selector = selector.clone();
        self.pool.run(move |connection| containers::select(connection, &selector)).await
    }

    async fn latest(&self, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        let container = container.clone();
        self.pool.run(move |connection| stats::latest(connection, &container)).await
    }

    async fn latest_all(&self, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        self.pool.run(move |connection| stats::latest_all(connection, since)).await
    }

    async fn history(&self, container: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError> {
        let asked = Plan::new(query)?;
        let (container, query) = (container.clone(), query.clone());
        self.pool.run(move |connection| history::of_container(connection, &container, &query, asked)).await
    }

    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError> {
        self.pool
            .run(move |connection| {
                let states = containers::states(connection)?;
                let hosts = hosts::list(connection)?;
                let latest = stats::latest_all(connection, since)?;
                Ok(Totals::new(&states, &hosts, &latest))
            })
            .await
    }

    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        let plan = Plan::of_totals(query)?;
        let asked = query.clone();
        let points = self.pool.run(move |connection| totals::history(connection, &asked, plan)).await?;
        let (resolution, step_ns) = (plan.resolution, Some(plan.step_ns));
        Ok(History { resolution, step_ns, from: query.from, to: query.to, points })
    }

    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<EventRecord>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.pool.run(move |connection| events::list(connection, &filter, &page)).await
    }

    async fn logs(
        &self,
        container: &ContainerKey,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<Listed<LogRecord>, StoreError> {
        let (container, filter, page) = (container.clone(), filter.clone(), page.clone());
        self.pool.run(move |connection| logs::list(connection, &container, &filter, &page)).await
    }

    async fn images(&self, filter: &ImageFilter, page: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.pool.run(move |connection| images::list(connection, &filter, &page)).await
    }

    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError> {
        let selector = selector.clone();
        self.pool.run(move |connection| images::select(connection, &selector)).await
    }

    async fn image_history(&self, selector: &Selector, page: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        let (selector, page) = (selector.clone(), page.clone());
        self.pool.run(move |connection| images::history(connection, &selector, &page)).await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        self.pool.run(|connection| Ok(hosts::list(connection)?)).await
    }

    async fn losses(&self, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.pool.run(move |connection| losses::list(connection, &filter, &page)).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
