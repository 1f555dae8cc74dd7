//! Events: as an engine tells them, and as dockstream records them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, HostName, Timestamp};

/// One event of an engine, decoded tolerantly: unknown types and actions are kept as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// When it happened, by the engine's clock (`timeNano`).
    pub timestamp: Timestamp,
    /// `container`, `image`, `network`, `volume`, `daemon` …
    pub kind: String,
    /// The action before the first `": "`.
    pub action: String,
    /// What followed `": "`: a health status, or a command line.
    pub argument: Option<String>,
    /// Id of what it happened to.
    pub actor_id: String,
    /// The engine's attributes; container labels are among them.
    pub attributes: BTreeMap<String, String>,
}

/// One event as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The host it happened on.
    pub host: HostName,
    /// When, by the engine's clock.
    pub timestamp: Timestamp,
    /// When dockstream received it.
    pub received_at: Timestamp,
    /// `container`, `image`, `network`, `volume`, `daemon`, or a word of a newer engine.
    #[serde(rename = "type")]
    pub kind: String,
    /// `start`, `die`, `health_status` …
    pub action: String,
    /// The action's argument, where it may be kept (a health status may, a command line may not).
    pub argument: Option<String>,
    /// Id of what it happened to.
    pub actor_id: String,
    /// Its name, where the engine told it.
    pub actor_name: Option<String>,
    /// The container concerned, where there is one.
    pub container_id: Option<ContainerId>,
    /// Its name at that moment.
    pub container_name: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Label `com.docker.compose.project`.
    pub compose_project: Option<String>,
    /// Label `com.docker.compose.service`.
    pub compose_service: Option<String>,
    /// Exit code, for `die`.
    pub exit_code: Option<i64>,
    /// The exit code in words, for `die`: [`exit_cause`](crate::exit_cause).
    pub exit_cause: Option<String>,
    /// Name of the signal, for `kill`: `SIGTERM`.
    pub signal: Option<String>,
    /// True where the inventory found it out, because the engine's own event was not seen.
    pub synthetic: bool,
    /// The engine's attributes, labels apart.
    pub attributes: BTreeMap<String, String>,
    /// Of the container's labels those chosen to ride on records.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}
