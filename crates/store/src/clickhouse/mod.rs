//! The store over ClickHouse, which the ClickHouse sink writes.
//!
//! Short ranges are answered from samples, longer ones from the rollups. States are read as of now (`FINAL`), so an answer
//! never depends on what the server has merged.

mod conditions;
mod containers;
mod events;
mod history;
mod hosts;
mod images;
mod logs;
mod losses;
mod server;
mod stats;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};

use crate::{
    ContainerFilter, ContainerKey, EventFilter, History, HistoryQuery, ImageFilter, LatestStats, Listed, LogFilter,
    LossFilter, Page, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};
use server::Server;

/// Settings of the ClickHouse store.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickHouseStoreConfig {
    /// Address of the HTTP interface, `http://host:8123`.
    pub url: String,
    /// The database.
    pub database: String,
    /// The user; the server's default where not set.
    pub user: Option<String>,
    /// The password. Never shown.
    pub password: Option<String>,
    /// Queries at once.
    pub connections: usize,
    /// How long a query may take, and how long it may wait for its turn. The server is told, in whole seconds.
    pub time_limit: Duration,
}

impl ClickHouseStoreConfig {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "default".into(),
            user: None,
            password: None,
            connections: 8,
            time_limit: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for ClickHouseStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseStoreConfig")
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Answers from a ClickHouse database. A query that takes too long is stopped, by the server and here.
pub struct ClickHouseStore {
    server: Server,
}

impl ClickHouseStore {
    /// A store for the database that `config` names. Connects at the first query.
    pub fn new(config: &ClickHouseStoreConfig) -> Self {
        Self { server: Server::new(config) }
    }
}

#[async_trait]
impl Store for ClickHouseStore {
    fn source(&self) -> &'static str {
        "clickhouse"
    }

    async fn containers(&self, filter: &ContainerFilter, page: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        containers::list(&self.server, filter, page).await
    }

    async fn container(&self, selector: &Selector) -> Result<ContainerRecord, StoreError> {
        containers::select(&self.server, selector).await
    }

    async fn latest(&self, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        stats::latest(&self.server, container).await
    }

    async fn latest_all(&self, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        stats::latest_all(&self.server, since).await
    }

    async fn history(&self, container: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError> {
        history::of_container(&self.server, container, query).await
    }

    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError> {
        let (states, hosts, latest) = tokio::try_join!(
            containers::states(&self.server),
            hosts::list(&self.server),
            stats::latest_all(&self.server, since)
        )?;
        Ok(Totals::new(&states, &hosts, &latest))
    }

    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        history::of_all(&self.server, query).await
    }

    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<EventRecord>, StoreError> {
        events::list(&self.server, filter, page).await
    }

    async fn logs(
        &self,
        container: &ContainerKey,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<Listed<LogRecord>, StoreError> {
        logs::list(&self.server, container, filter, page).await
    }

    async fn images(&self, filter: &ImageFilter, page: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        images::list(&self.server, filter, page).await
    }

    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError> {
        images::select(&self.server, selector).await
    }

    async fn image_history(&self, selector: &Selector, page: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        images::history(&self.server, selector, page).await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        hosts::list(&self.server).await
    }

    async fn losses(&self, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        losses::list(&self.server, filter, page).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
