//! A store that counts what it is asked, takes its time, and is away at will.

use async_trait::async_trait;
use model::{ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, Sample, Timestamp};
use serde_json::json;

use super::*;
use crate::conformance::fixtures::{container, stats};
use crate::{
    EventFilter, History, HistoryPoint, ImageFilter, LatestStats, Listed, LogFilter, LossFilter, Rates, StoredLoss,
    Totals, TotalsPoint,
};

#[derive(Default)]
pub(super) struct CountingStore {
    delay: Duration,
    asked: AtomicU64,
    away: AtomicBool,
}

impl CountingStore {
    pub(super) fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn go_away(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    pub(super) fn come_back(&self) {
        self.away.store(false, Ordering::Relaxed);
    }

    async fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if self.away.load(Ordering::Relaxed) { Err(StoreError::Unavailable("away".into())) } else { Ok(answer) }
    }

    async fn nothing<T>(&self) -> Result<Listed<T>, StoreError> {
        self.answer(Listed { data: Vec::new(), next_cursor: None }).await
    }
}

#[async_trait]
impl Store for CountingStore {
    fn source(&self) -> &'static str {
        "counting"
    }

    async fn containers(&self, _: &ContainerFilter, _: &Page) -> Result<Listed<ContainerRecord>, StoreError> {
        self.answer(Listed { data: vec![container("a", 1, "web", json!({}))], next_cursor: None }).await
    }

    async fn container(&self, _: &Selector) -> Result<ContainerRecord, StoreError> {
        self.answer(container("a", 1, "web", json!({}))).await
    }

    async fn latest(&self, of: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
        let sample = Sample { interval_ns: Some(7), network_rx_delta_bytes: Some(3), ..Sample::default() };
        self.answer(Some(stats(&meta(of.host.as_str(), 1, "web"), start(), sample).into())).await
    }

    async fn latest_all(&self, _: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
        self.answer(Vec::new()).await
    }

    async fn history(&self, _: &ContainerKey, query: &HistoryQuery) -> Result<History, StoreError> {
        let rates = Rates { network_rx_bytes_per_second: Some(0.1 + 0.2), ..Rates::default() };
        let cpu_usage_percent = Some(1.0 / 3.0);
        let point =
            HistoryPoint { timestamp: start(), samples: u64::MAX, cpu_usage_percent, rates, ..Default::default() };
        let (resolution, step_ns) = (Resolution::Raw, None);
        self.answer(History { resolution, step_ns, from: query.from, to: query.to, points: vec![point] }).await
    }

    async fn totals(&self, _: Timestamp) -> Result<Totals, StoreError> {
        self.answer(Totals::default()).await
    }

    async fn total_history(&self, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
        let (resolution, step_ns) = (Resolution::Minute, Some(1));
        self.answer(History { resolution, step_ns, from: query.from, to: query.to, points: Vec::new() }).await
    }

    async fn events(&self, _: &EventFilter, _: &Page) -> Result<Listed<EventRecord>, StoreError> {
        self.nothing().await
    }

    async fn logs(&self, _: &ContainerKey, _: &LogFilter, _: &Page) -> Result<Listed<LogRecord>, StoreError> {
        self.nothing().await
    }

    async fn images(&self, _: &ImageFilter, _: &Page) -> Result<Listed<ImageRecord>, StoreError> {
        self.nothing().await
    }

    async fn image(&self, selector: &Selector) -> Result<ImageRecord, StoreError> {
        let record = json!({
            "host": "a", "image_id": selector.text, "state": "present", "tags": [], "digests": [], "labels": {},
            "observed_at": start(),
        });
        let record = self.answer(serde_json::from_value(record).unwrap()).await?;
        if selector.text == "gone" { Err(StoreError::ImageNotFound("gone".into())) } else { Ok(record) }
    }

    async fn image_history(&self, _: &Selector, _: &Page) -> Result<Listed<ImageVersionRecord>, StoreError> {
        self.nothing().await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        self.answer(Vec::new()).await
    }

    async fn losses(&self, _: &LossFilter, _: &Page) -> Result<Listed<StoredLoss>, StoreError> {
        self.nothing().await
    }
}
