//! A store that never answers.

use std::future::pending;

use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Timestamp};
use store::{
    ContainerFilter, ContainerKey, EventFilter, History, HistoryQuery, ImageFilter, LatestStats, Listed, LogFilter,
    LossFilter, Page, Selector, Store, StoreError, StoredLoss, Totals, TotalsPoint,
};

pub struct StuckStore;

#[async_trait::async_trait]
impl Store for StuckStore {
    fn source(&self) -> &'static str {
        "stuck"
    }
    async fn containers(&self, _: &ContainerFilter, _: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        pending().await
    }
    async fn container(&self, _: &Selector) -> Result<ContainerRecord, StoreError> {
        pending().await
    }
    async fn latest(&self, _: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        pending().await
    }
    async fn latest_all(&self, _: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        pending().await
    }
    async fn history(&self, _: &ContainerKey, _: &HistoryQuery) -> Result<History, StoreError> {
        pending().await
    }
    async fn totals(&self, _: Timestamp) -> Result<Totals, StoreError> {
        pending().await
    }
    async fn total_history(&self, _: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        pending().await
    }
    async fn events(&self, _: &EventFilter, _: &Page) -> Result<Listed<EventRecord>, StoreError> {
        pending().await
    }
    async fn images(&self, _: &ImageFilter, _: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        pending().await
    }
    async fn image(&self, _: &Selector) -> Result<ImageRecord, StoreError> {
        pending().await
    }
    async fn image_history(&self, _: &Selector, _: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        pending().await
    }
    async fn logs(&self, _: &ContainerKey, _: &LogFilter, _: &Page) -> Result<Listed<LogRecord>, StoreError> {
        pending().await
    }
    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        pending().await
    }
    async fn losses(&self, _: &LossFilter, _: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        pending().await
    }
}
