//! Hosts: what is known of each engine and its machine.

use serde::{Deserialize, Serialize};

use crate::{HostName, Timestamp};

/// Whether a host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    /// First attempt under way.
    Connecting,
    /// The engine answers.
    Up,
    /// The engine does not answer; `last_error` says why.
    Down,
}

impl HostStatus {
    /// The word in JSON and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The present state of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name in dockstream.
    pub host: HostName,
    /// Address of its engine, without secrets.
    pub url: String,
    /// Whether it answers.
    pub status: HostStatus,
    /// Why it does not, in one line.
    pub last_error: Option<String>,
    /// `docker` or `podman`.
    pub engine: Option<String>,
    /// Engine version.
    pub engine_version: Option<String>,
    /// Engine API version in use.
    pub api_version: Option<String>,
    /// `linux` or `windows`.
    pub os: Option<String>,
    /// Kernel version.
    pub kernel: Option<String>,
    /// 1 or 2.
    pub cgroup_version: Option<u8>,
    /// CPUs.
    pub cpus: Option<u32>,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// Time of the last ping's answer.
    pub response_ns: Option<u64>,
    /// Containers by the last inventory.
    pub containers: Option<u64>,
    /// Running containers by the last inventory.
    pub containers_running: Option<u64>,
    /// When this state was seen.
    pub observed_at: Timestamp,
}
