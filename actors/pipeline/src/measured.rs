//! An engine whose calls are measured: what every actor of a host asks passes here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ContainerId, ContainerRecord, ContainerState, HostName, Timestamp};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::ports::{EngineApi, EngineError, EngineImage, EngineInfo, EventFeed, FrameFeed, LogFeed, LogQuery};

/// Passes calls on, and tells the metrics how long each took until it was answered or had failed.
pub struct Measured {
    engine: Arc<dyn EngineApi>,
    metrics: Arc<Metrics>,
}

impl Measured {
    /// Measures what is asked of `engine`.
    pub fn new(engine: Arc<dyn EngineApi>, metrics: Arc<Metrics>) -> Self {
        Self { engine, metrics }
    }

    async fn timed<T>(&self, call: &'static str, answer: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        let answer = answer.await;
        self.metrics.engine_call(self.engine.host().as_str(), call, asked.elapsed());
        answer
    }
}

#[async_trait]
impl EngineApi for Measured {
    fn host(&self) -> &HostName {
        self.engine.host()
    }

    fn url(&self) -> &str {
        self.engine.url()
    }

    async fn identify(&self) -> Result<EngineInfo, EngineError> {
        self.timed("identify", self.engine.identify()).await
    }

    async fn ping(&self) -> Result<Duration, EngineError> {
        self.timed("ping", self.engine.ping()).await
    }

    async fn list(&self) -> Result<Vec<(ContainerId, ContainerState)>, EngineError> {
        self.timed("list", self.engine.list()).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<ContainerRecord, EngineError> {
        self.timed("inspect", self.engine.inspect(id)).await
    }

    async fn images(&self) -> Result<Vec<EngineImage>, EngineError> {
        self.timed("images", self.engine.images()).await
    }

    async fn events(&self, since: Option<Timestamp>) -> Result<EventFeed, EngineError> {
        self.timed("events", self.engine.events(since)).await
    }

    async fn stats(&self, id: &ContainerId) -> Result<FrameFeed, EngineError> {
        self.timed("stats", self.engine.stats(id)).await
    }

    async fn stats_once(&self, id: &ContainerId) -> Result<Bytes, EngineError> {
        self.timed("stats_once", self.engine.stats_once(id)).await
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogFeed, EngineError> {
        self.timed("logs", self.engine.logs(id, query)).await
    }

    fn connections(&self) -> u64 {
        self.engine.connections()
    }
}
