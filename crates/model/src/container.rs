//! Containers: the identity that rides on every record, and the inventory record.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use crate::{ContainerId, HostName, NetworkScope, Revp, Timestamp};

/// The identity of a container, shared by all records of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMeta {
    /// The host it runs on.
    pub host: HostName,
    /// Its full id.
    pub container_id: ContainerId,
    /// Its name, without the leading slash.
    pub container_name: String,
    /// The image as it was named at creation.
    pub image: String,
    /// Label `com.docker.compose.project`.
    pub compose_project: Option<String>,
    /// Label `com.docker.compose.service`.
    pub compose_service: Option<String>,
    /// When this run of the container started: a restart keeps the id and changes the run.
    pub run: Option<Timestamp>,
    /// The labels chosen to ride on records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ContainerMeta {
    pub(crate) fn serialize_identity<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("host", &self.host)?;
        map.serialize_entry("container_id", &self.container_id)?;
        map.serialize_entry("container_name", &self.container_name)?;
        map.serialize_entry("image", &self.image)?;
        map.serialize_entry("compose_project", &self.compose_project)?;
        map.serialize_entry("compose_service", &self.compose_service)?;
        map.serialize_entry("run", &self.run)
    }
}

/// The state the engine reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen: its counters stand still.
    Paused,
    /// Between two runs, by its restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Half removed: the engine could not finish.
    Dead,
    /// Gone from the engine; only history is left.
    Removed,
    /// A word this version does not know.
    Unknown,
}

impl ContainerState {
    /// Those that an engine tells.
    pub const OF_ENGINES: [Self; 7] =
        [Self::Created, Self::Running, Self::Paused, Self::Restarting, Self::Removing, Self::Exited, Self::Dead];

    /// True where the engine has counters to give.
    pub const fn has_stats(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// True where it may write.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    /// True where it may have written, and the engine can be asked for it.
    pub const fn has_log(self) -> bool {
        self.is_live() || matches!(self, Self::Exited)
    }

    /// The word in JSON, SQL and filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ContainerState {
    type Err = std::convert::Infallible;
    /// Never fails: an unknown word is `Unknown`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" | "stopped" => Self::Exited,
            "dead" => Self::Dead,
            "removed" => Self::Removed,
            _ => Self::Unknown,
        })
    }
}

/// The result of a container's own health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// What the last probe printed, at most 4 KiB.
    pub last_output: Option<String>,
}

/// A published or exposed port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Port inside the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Address on the host, where published.
    pub host_ip: Option<String>,
    /// Port on the host, where published.
    pub host_port: Option<u16>,
}

/// A network the container is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Network name.
    pub name: String,
    /// Network id, where the engine tells it.
    pub network_id: Option<String>,
    /// IPv4 address, where it has one.
    pub ip_address: Option<String>,
    /// IPv6 address, where it has one.
    pub ipv6_address: Option<String>,
    /// MAC address, where it has one.
    pub mac_address: Option<String>,
}

/// A mount of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` …
    pub kind: String,
    /// Volume name or host path.
    pub source: String,
    /// Path inside the container.
    pub destination: String,
    /// True where it can be written.
    pub writable: bool,
}

/// The present state of one container, as list and inspect tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The host it is on.
    pub host: HostName,
    /// Full id.
    pub container_id: ContainerId,
    /// Name without the leading slash.
    pub container_name: String,
    /// Image as named at creation.
    pub image: String,
    /// Image id (digest of the configuration).
    pub image_id: Option<String>,
    /// Digest of the image in its repository, where it was pulled or pushed.
    pub image_digest: Option<String>,
    /// Label `com.docker.compose.project`.
    pub compose_project: Option<String>,
    /// Label `com.docker.compose.service`.
    pub compose_service: Option<String>,
    /// What the engine says it is doing.
    pub state: ContainerState,
    /// The state as a sentence, such as `Up 3 hours`, when it was observed.
    pub status: Option<String>,
    /// Process id of its first process on the host, while running.
    pub pid: Option<u64>,
    /// Exit code of the last run, once it ended.
    pub exit_code: Option<i64>,
    /// The exit code in words: [`exit_cause`](crate::exit_cause).
    pub exit_cause: Option<String>,
    /// True where the kernel killed it for memory.
    pub oom_killed: Option<bool>,
    /// The engine's error on the last start.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When the last run started.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
    /// Its health check, where it has one.
    pub health: Option<Health>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Environment variables by name. A value is kept only where the configuration names the variable; else `None`.
    #[serde(default)]
    pub environment: BTreeMap<String, Option<String>>,
    /// Ports, exposed and published.
    pub ports: Vec<Port>,
    /// Networks.
    pub networks: Vec<Network>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Why its stats have, or have not, network counters.
    pub network_scope: Option<NetworkScope>,
    /// `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: Option<String>,
    /// Restarts by that policy; the engine resets it at a manual start.
    pub restart_count: Option<u64>,
    /// CPU limit in cores, where set.
    pub cpu_limit_cores: Option<f64>,
    /// Memory limit, where set.
    pub memory_limit_bytes: Option<u64>,
    /// Limit on processes, where set.
    pub pids_limit: Option<u64>,
    /// Weight among others where CPU is scarce, where set; the engine's default is 1024.
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on, such as `0-3`, where set.
    pub cpuset_cpus: Option<String>,
    /// Memory it is held to where memory is scarce, where set.
    pub memory_reservation_bytes: Option<u64>,
    /// Limit on memory and swap together, where set.
    pub memory_swap_limit_bytes: Option<u64>,
    /// Its reverse proxy labels, `snadboy.revp.*`, where it has any.
    pub revp: Option<Revp>,
    /// When dockstream saw this state.
    pub observed_at: Timestamp,
}

impl ContainerRecord {
    /// The identity that rides on this container's records; `chosen` names the labels to carry.
    pub fn meta(&self, chosen: &[String]) -> ContainerMeta {
        ContainerMeta {
            host: self.host.clone(),
            container_id: self.container_id.clone(),
            container_name: self.container_name.clone(),
            image: self.image.clone(),
            compose_project: self.compose_project.clone(),
            compose_service: self.compose_service.clone(),
            run: self.started_at,
            labels: chosen.iter().filter_map(|key| Some((key.clone(), self.labels.get(key)?.clone()))).collect(),
        }
    }
}
