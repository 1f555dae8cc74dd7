//! The engine port: how the pipeline sees one Docker host.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use model::{
    ContainerId, ContainerRecord, ContainerState, CpuClock, EngineEvent, Frame, HostName, LogStream, LossReason,
    OsFamily, Timestamp,
};

/// Events in the order in which the engine tells them. Ends with `Ok` (clean end) or one `Err`.
pub type EventFeed = BoxStream<'static, Result<EngineEvent, EngineError>>;

/// Undecoded stats frames of one container, one JSON document each, without its newline.
pub type FrameFeed = BoxStream<'static, Result<Bytes, EngineError>>;

/// Log lines of one container in the order in which the engine tells them, as many at once as came at once. Ends with
/// `Ok` (the engine ended it: all there is was told) or one `Err`. Reads only when polled: who does not poll holds up
/// the engine's writing to this one connection, and nothing else.
pub type LogFeed = BoxStream<'static, Result<Vec<LogLine>, EngineError>>;

/// One Docker host. Cheap to share; every call opens or reuses a connection of its own.
#[async_trait]
pub trait EngineApi: Send + Sync + 'static {
    /// The host's name in dockstream.
    fn host(&self) -> &HostName;

    /// The engine's address without secrets, for people.
    fn url(&self) -> &str;

    /// Asks who answers: negotiates the API version and reads version and info.
    async fn identify(&self) -> Result<EngineInfo, EngineError>;

    /// The cheapest sign of life; the time it took.
    async fn ping(&self) -> Result<std::time::Duration, EngineError>;

    /// All containers, running or not: id and state.
    async fn list(&self) -> Result<Vec<(ContainerId, ContainerState)>, EngineError>;

    /// One container, whole. `id` is a full id.
    async fn inspect(&self, id: &ContainerId) -> Result<ContainerRecord, EngineError>;

    /// All images that have a name, or that nothing is built upon.
    async fn images(&self) -> Result<Vec<EngineImage>, EngineError>;

    /// Events from `since` (inclusive, by the engine's clock) on, then live ones. Resolves once the engine answered.
    async fn events(&self, since: Option<Timestamp>) -> Result<EventFeed, EngineError>;

    /// The stats stream of one container, at the engine's own pace.
    async fn stats(&self, id: &ContainerId) -> Result<FrameFeed, EngineError>;

    /// One frame of one container, asked for now (`one-shot`).
    async fn stats_once(&self, id: &ContainerId) -> Result<Bytes, EngineError>;

    /// Connections to the engine that are open now: one for each stream, and those kept for calls.
    fn connections(&self) -> u64;

    /// What one container wrote. Resolves once the engine answered.
    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogFeed, EngineError>;
}

/// What to read of a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Where to begin.
    pub start: LogStart,
    /// Whether to go on with what is written from now on, while the container runs.
    pub follow: bool,
    /// Only the last so many messages of it.
    pub tail: Option<u32>,
}

/// Where in a log to begin, by the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// At its first line.
    Beginning,
    /// At the first line of this time or later.
    At(Timestamp),
    /// So that no line behind a known one is missing: lines before that may come again, and are to be recognised.
    After {
        /// The time of the newest line known.
        newest: Timestamp,
        /// That line had no end.
        is_partial: bool,
    },
}

/// One line of a log as the engine took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, by the engine's clock.
    pub timestamp: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// The line without its end, of any encoding, at most [`model::MAX_LINE_BYTES`].
    pub bytes: Bytes,
    /// It has no end.
    pub is_partial: bool,
    /// It was longer.
    pub is_truncated: bool,
}

/// What an engine says of one of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineImage {
    /// Its id: `sha256:` and 64 hexadecimal digits.
    pub image_id: String,
    /// Names and tags, sorted.
    pub tags: Vec<String>,
    /// Repository digests, sorted.
    pub digests: Vec<String>,
    /// When it was built.
    pub created_at: Option<Timestamp>,
    /// Its size, shared layers included.
    pub size_bytes: Option<u64>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineInfo {
    /// `docker` or `podman`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Highest API version it speaks, as `(major, minor)`.
    pub api_version: (u32, u32),
    /// The system its containers run on.
    pub os: OsFamily,
    /// What its CPU use is divided by.
    pub cpu_clock: CpuClock,
    /// Kernel version.
    pub kernel: Option<String>,
    /// 1 or 2.
    pub cgroup_version: Option<u8>,
    /// CPUs of the machine.
    pub cpus: Option<u32>,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// The engine's clock at its answer (`Date` header), for a first `since`.
    pub clock: Option<Timestamp>,
}

/// How an engine call failed: decides what the caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineFailure {
    /// Nobody answers there, or the connection broke: the host is down.
    Unreachable,
    /// Somebody is there, but does not let us in or is not who it should be: rights, keys, certificates.
    Refused,
    /// No answer in time.
    Timeout,
    /// The container is gone or cannot be asked (404, 409): ask the inventory.
    Gone,
    /// The engine failed (5xx).
    Server,
    /// The engine refused the request (other 4xx).
    Request,
    /// The answer is not what the API promises.
    Malformed,
}

impl EngineFailure {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::Server => "server",
            Self::Request => "request",
            Self::Malformed => "malformed",
        }
    }
}

/// A failed engine call, in one line: what, where, and what to do where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What kind of failure it is.
    pub failure: EngineFailure,
    /// One line without secrets, naming the address.
    pub message: String,
}

/// Turns a frame's bytes into counters. Pure; called on the hot path.
pub trait Decode: Send + Sync + 'static {
    /// Decodes one frame; the reason is one of `NotJson`, `Truncated`, `UnexpectedShape`, `EngineError`.
    fn decode(&self, bytes: &[u8]) -> Result<Frame, LossReason>;
}
