//! One Docker host, as the pipeline sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bollard::Docker;
use bytes::Bytes;
use futures_util::StreamExt;
use model::{ContainerId, ContainerRecord, ContainerState, HostName, Timestamp};
use pipeline::ports::{
    EngineApi, EngineError, EngineFailure, EngineImage, EngineInfo, EventFeed, FrameFeed, LogFeed, LogQuery,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::error::{Concern, failed};
use crate::identity::{self, Ping};
use crate::inspect::Inspected;
use crate::inventory::{self, Listed};
use crate::logs::{self, LogCutter};
use crate::transport::{SshOptions, TlsOptions, Transport};
use crate::unary::{ApiVersion, Pool, Unary};
use crate::{HostUrl, events, http, images};

/// How one host is reached, and bounds on what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Inventory calls at once.
    pub max_connections: usize,
    /// One-shot frames asked for at once.
    pub max_polls: usize,
    /// Deadline of a call with one answer, waiting for its turn included.
    pub call_timeout: Duration,
    /// Deadline of a sign of life, and of the head of a stream; connecting included.
    pub head_timeout: Duration,
    /// Certificates, for TCP; without any, `tcp://` is plain.
    pub tls: Option<TlsOptions>,
    /// Keys and known hosts, for SSH.
    pub ssh: SshOptions,
    /// Environment variables whose values are told; of all others only the names are.
    pub environment: Vec<String>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            max_connections: 5,
            max_polls: 16,
            call_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            tls: None,
            ssh: SshOptions::default(),
            environment: Vec::new(),
        }
    }
}

/// A Docker or Podman engine, here or elsewhere.
///
/// Streams have a connection each and are read by our own reader; calls with one answer share pooled connections.
/// Nothing is tried twice here, a full listen queue apart: the caller knows when it is worth it.
pub struct Host {
    name: HostName,
    url: Arc<str>,
    transport: Transport,
    version: ApiVersion,
    calls: Unary,
    polls: Unary,
    /// The health check is not to wait behind slow calls.
    pings: Unary,
    docker: Docker,
    head_timeout: Duration,
    environment: Vec<String>,
    skipped_events: Arc<AtomicU64>,
}

impl Host {
    /// A host by its address. Nothing is opened yet.
    ///
    /// # Errors
    /// Where the client cannot be set up at all: the address has a host that cannot have a certificate, or there is
    /// nobody to log in as.
    pub fn new(name: HostName, url: &HostUrl, options: &HostOptions) -> Result<Self, EngineError> {
        let url = url.with_port(options.tls.is_some());
        // A step that takes all the time there is says so itself, and says which it was.
        let patience = options.head_timeout * 4 / 5;
        let transport = Transport::new(&url, options.tls.as_ref(), &options.ssh, patience)?;
        let url: Arc<str> = url.to_string().into();
        let version = ApiVersion::default();
        let kept = options.max_connections + options.max_polls;
        let pool = Pool::new(transport.clone(), version.clone(), url.clone(), kept);
        Ok(Self {
            name,
            calls: pool.calls(options.max_connections, options.call_timeout),
            polls: pool.calls(options.max_polls, options.call_timeout),
            pings: pool.calls(Semaphore::MAX_PERMITS, options.head_timeout),
            docker: pool.bollard(options.call_timeout)?,
            url,
            transport,
            version,
            head_timeout: options.head_timeout,
            environment: options.environment.clone(),
            skipped_events: Arc::default(),
        })
    }

    /// Lines among the events that were no events, since the start.
    pub fn skipped_events(&self) -> u64 {
        self.skipped_events.load(Ordering::Relaxed)
    }

    /// True where the container has a terminal: its log has another form, which older engines do not name.
    async fn has_terminal(&self, id: &ContainerId) -> Result<bool, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Container {
            config: Config,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Config {
            tty: bool,
        }
        let what = format!("inspect of {}", id.short());
        let container: Container =
            self.calls.json(&format!("/containers/{id}/json"), &what, Concern::Container).await?;
        Ok(container.config.tty)
    }

    async fn documents(&self, path: &str, what: String, concern: Concern) -> Result<http::Documents, EngineError> {
        http::documents(&self.transport, &self.url, &self.version.path(path), &what.into(), concern, self.head_timeout)
            .await
    }
}

#[async_trait]
impl EngineApi for Host {
    fn host(&self) -> &HostName {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    async fn identify(&self) -> Result<EngineInfo, EngineError> {
        let ping = Ping::read(&self.pings.head_of("/_ping", "ping").await?.headers);
        // It may be another engine than last time: what was agreed on then need not hold.
        self.version.agree((0, 0));
        let version = self.calls.typed("version", self.docker.version()).await?;
        self.version.agree(identity::agree(identity::newest(&ping, &version), identity::oldest(&version)));
        let info = match self.calls.typed("info", self.docker.info()).await {
            Ok(info) => Some(info),
            // A proxy before the engine may keep it back, and nothing in it is needed to work.
            Err(error) if matches!(error.failure, EngineFailure::Request | EngineFailure::Malformed) => {
                tracing::warn!(host = %self.name, %error, "what the engine knows of its machine stays unknown");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(identity::info(&ping, &version, info))
    }

    async fn ping(&self) -> Result<Duration, EngineError> {
        let asked = Instant::now();
        self.pings.head_of("/_ping", "ping").await?;
        Ok(asked.elapsed())
    }

    async fn list(&self) -> Result<Vec<(ContainerId, ContainerState)>, EngineError> {
        let listed: Vec<Listed> =
            self.calls.json("/containers/json?all=1", "list of containers", Concern::Engine).await?;
        Ok(inventory::containers(&self.name, listed))
    }

    async fn inspect(&self, id: &ContainerId) -> Result<ContainerRecord, EngineError> {
        let what = format!("inspect of {}", id.short());
        let inspected: Inspected =
            self.calls.json(&format!("/containers/{id}/json"), &what, Concern::Container).await?;
        Ok(inspected.record(&self.name, id, &self.environment, Timestamp::from(SystemTime::now())))
    }

    async fn images(&self) -> Result<Vec<EngineImage>, EngineError> {
        let path = "/images/json?digests=1";
        let listed: Vec<images::Listed> = self.calls.json(path, "list of images", Concern::Engine).await?;
        Ok(images::images(&self.name, listed))
    }

    async fn events(&self, since: Option<Timestamp>) -> Result<EventFeed, EngineError> {
        let path =
            since.map_or_else(|| "/events".to_owned(), |since| format!("/events?since={}", events::since(since)));
        let documents = self.documents(&path, "events".to_owned(), Concern::Engine).await?;
        Ok(events::feed(documents, self.url.clone(), self.skipped_events.clone()).boxed())
    }

    async fn stats(&self, id: &ContainerId) -> Result<FrameFeed, EngineError> {
        let what = format!("stats of {}", id.short());
        Ok(self.documents(&format!("/containers/{id}/stats?stream=1"), what, Concern::Container).await?.boxed())
    }

    async fn stats_once(&self, id: &ContainerId) -> Result<Bytes, EngineError> {
        let what = format!("stats of {}", id.short());
        let frame =
            self.polls.get(&format!("/containers/{id}/stats?stream=0&one-shot=1"), &what, Concern::Container).await?;
        if frame.trim_ascii().is_empty() {
            // Podman, for a container that does not run.
            return Err(failed(
                EngineFailure::Gone,
                format_args!("{}: {what}: the engine has no frame to give", self.url),
            ));
        }
        Ok(frame)
    }

    fn connections(&self) -> u64 {
        self.transport.open()
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogFeed, EngineError> {
        let is_terminal = self.has_terminal(id).await?;
        let wanted = logs::query(query.start, is_terminal, query.follow, query.tail);
        let path = self.version.path(&format!("/containers/{id}/logs?{wanted}"));
        let what = format!("logs of {}", id.short());
        let cutter = |content_type: Option<&str>| LogCutter::new(logs::is_raw(content_type, is_terminal));
        let patience = self.head_timeout;
        let lines =
            http::cut(&self.transport, &self.url, &path, &what.into(), Concern::Container, patience, cutter).await?;
        Ok(lines.boxed())
    }
}
