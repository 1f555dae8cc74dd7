//! The store over PostgreSQL, which the PostgreSQL sink writes.
//!
//! Short ranges are answered from samples, longer ones from the rollups, which look the same with TimescaleDB and without. Texts
//! are compared byte by byte, whatever the database's own order of letters is.

mod columns;
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

use std::time::Duration;

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};
use wire::postgres::Place;

use crate::{
    ContainerFilter, ContainerKey, EventFilter, History, HistoryQuery, ImageFilter, LatestStats, Listed, LogFilter,
    LossFilter, Page, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};
use server::Server;

/// Settings of the PostgreSQL store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresStoreConfig {
    /// The server, and the schema of the tables.
    pub place: Place,
    /// Queries at once.
    pub connections: usize,
    /// How long a query may take, and how long it may wait for its turn.
    pub time_limit: Duration,
}

impl PostgresStoreConfig {
    /// The defaults, for the tables at `place`.
    pub fn new(place: Place) -> Self {
        Self { place, connections: 8, time_limit: Duration::from_secs(5) }
    }
}

/// Answers from a PostgreSQL schema. A query that takes too long is stopped, by the server and here.
pub struct PostgresStore {
    server: Server,
}

impl PostgresStore {
    /// A store for the schema that `config` names. Connects at the first query.
    pub fn new(config: PostgresStoreConfig) -> Self {
        Self { server: Server::new(config) }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn source(&self) -> &'static str {
        "postgres"
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
