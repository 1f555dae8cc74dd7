//! Hosts: what is known of each engine and its machine.

use std::collections::BTreeMap;

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
    /// It is no longer watched: the configuration does not name it any more.
    Removed,
}

impl HostStatus {
    /// The word in JSON and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
            Self::Removed => "removed",
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
    /// The configuration's own words about it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it answers.
    pub status: HostStatus,
    /// Since when it does, or does not.
    #[serde(default)]
    pub status_since: Option<Timestamp>,
    /// Why it does not, in one line.
    pub last_error: Option<String>,
    /// Attempts to reach it that failed in a row; 0 while it answers.
    #[serde(default)]
    pub failures: u64,
    /// When it is tried again; null while it answers.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
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

impl HostRecord {
    /// A host of which nothing else is known.
    pub fn new(host: HostName, url: impl Into<String>, status: HostStatus, observed_at: Timestamp) -> Self {
        Self {
            host,
            url: url.into(),
            labels: BTreeMap::new(),
            status,
            status_since: None,
            last_error: None,
            failures: 0,
            retry_at: None,
            engine: None,
            engine_version: None,
            api_version: None,
            os: None,
            kernel: None,
            cgroup_version: None,
            cpus: None,
            memory_bytes: None,
            response_ns: None,
            containers: None,
            containers_running: None,
            observed_at,
        }
    }
}
