//! The read side: what was stored, through one trait, whatever database holds it.
//!
//! Answers are the records of [`model`] or built from them, with units in their names. What is not known is
//! `None`, and a gap in the data is a gap in the answer.

mod answer;
pub mod cache;
pub mod clickhouse;
mod cursor;
mod error;
pub mod postgres;
mod query;
mod resolution;
mod select;
pub mod sqlite;

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};

pub use answer::{History, HistoryPoint, LatestStats, Listed, Rates, StoredLoss, Totals, TotalsPoint};
pub use cache::{CachedStore, noting_staleness, staleness};
pub use clickhouse::ClickHouseStore;
pub use error::{Candidate, ErrorClass, ImageCandidate, NOTHING_STORED, StoreError};
pub use postgres::PostgresStore;
pub use query::{
    ContainerFilter, ContainerKey, DEFAULT_LIMIT, DEFAULT_POINTS, EventFilter, HistoryQuery, ImageFilter, LabelMatch,
    LogFilter, LossFilter, MAX_LIMIT, MAX_POINTS, Page, RevpFilter, Selector,
};
pub use resolution::{Plan, Resolution};
pub use sqlite::SqliteStore;

/// Queries over what the sinks stored. Shared as `Arc<dyn Store>`; every call is bounded in time and in rows.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The kind of database: `sqlite`, `clickhouse`, `postgres`
    fn source(&self) -> &'static str;

    /// Containers in their latest state, by name, then host, then id. Removed ones only where the filter asks.
    async fn containers(&self, filter: &ContainerFilter, page: &Page) -> Result<Listed<ContainerRecord>, StoreError>;

    /// The one container that `selector` names.
    ///
    /// # Errors
    /// `NotFound`, or `Ambiguous` where it names several.
    async fn container(&self, selector: &Selector) -> Result<ContainerRecord, StoreError>;

    /// The newest sample of a container; `None` where there is none.
    async fn latest(&self, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError>;

    /// The newest sample of every container that has one received at `since` or later, by host and name.
    async fn latest_all(&self, since: Timestamp) -> Result<Vec<LatestStats>, StoreError>;

    /// A container's stats over time. Where nothing was stored there is no point.
    async fn history(&self, container: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError>;

    /// Sums over the newest samples received at `since` or later, and counts of containers and hosts.
    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError>;

    /// All containers together over time: by the minute at the finest, as they are not sampled at the same moments.
    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError>;

    /// Events, the newest first; of one moment by host, type, action and actor, backwards.
    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<EventRecord>, StoreError>;

    /// The newest lines of a container, the oldest of them first; the next page has older ones. Of one moment those of
    /// standard output come first.
    async fn logs(
        &self,
        container: &ContainerKey,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<Listed<LogRecord>, StoreError>;

    /// Images in their latest state, by first tag, then host, then id; those without a tag last.
    async fn images(&self, filter: &ImageFilter, page: &Page) -> Result<Listed<ImageRecord>, StoreError>;

    /// The one image that `selector` names.
    ///
    /// # Errors
    /// `ImageNotFound`, or `AmbiguousImage` where it names several.
    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError>;

    /// What changed of an image, where `selector` names one by its id, or of a tag, the newest first; on all hosts
    /// unless it names one.
    ///
    /// # Errors
    /// `ImageNotFound` where neither a change nor an image is known.
    async fn image_history(&self, selector: &Selector, page: &Page) -> Result<Listed<ImageVersionRecord>, StoreError>;

    /// Hosts in their latest state, by name.
    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError>;

    /// The host of that name in its latest state; `None` where it is not watched.
    async fn host(&self, name: &str) -> Result<Option<HostRecord>, StoreError> {
        Ok(self.hosts().await?.into_iter().find(|host| host.host.as_str() == name))
    }

    /// What was reported as lost, the newest first.
    async fn losses(&self, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError>;
}

#[cfg(test)]
mod conformance;
