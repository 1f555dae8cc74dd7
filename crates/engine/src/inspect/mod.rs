//! One container, whole: from `GET /containers/{id}/json` to a [`ContainerRecord`].
//!
//! Decoded by our own types, for the reason given in `inventory`; and what may hold secrets (the environment, the
//! command line) has no field here, so it is never read.

mod ports;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::{ContainerId, ContainerRecord, ContainerState, Health, HostName, Mount, Network, NetworkScope, Timestamp};
use serde::Deserialize;

use crate::inventory;
use ports::{Bindings, Exposed};

/// Most bytes kept of what the last health probe printed.
const OUTPUT: usize = 4 * 1024;

/// The kernel's CPU period where none is set, in microseconds.
const CPU_PERIOD: i64 = 100_000;

/// What an inspect answer tells of a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspected {
    name: Option<String>,
    image: Option<String>,
    created: Option<String>,
    restart_count: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    state: RawState,
    #[serde(default, deserialize_with = "or_default")]
    config: RawConfig,
    #[serde(default, deserialize_with = "or_default")]
    host_config: RawHostConfig,
    #[serde(default, deserialize_with = "or_default")]
    network_settings: RawNetworkSettings,
    #[serde(default, deserialize_with = "or_default")]
    mounts: Vec<RawMount>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawState {
    status: Option<String>,
    running: Option<bool>,
    paused: Option<bool>,
    pid: Option<i64>,
    exit_code: Option<i64>,
    #[serde(rename = "OOMKilled")]
    oom_killed: Option<bool>,
    error: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    health: Option<RawHealth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealth {
    status: Option<String>,
    failing_streak: Option<i64>,
    log: Option<Vec<RawProbe>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawProbe {
    output: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    exposed_ports: Option<Exposed>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawHostConfig {
    network_mode: Option<String>,
    port_bindings: Option<Bindings>,
    restart_policy: Option<RawRestartPolicy>,
    memory: Option<i64>,
    nano_cpus: Option<i64>,
    cpu_quota: Option<i64>,
    cpu_period: Option<i64>,
    pids_limit: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRestartPolicy {
    name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawNetworkSettings {
    ports: Option<Bindings>,
    networks: Option<BTreeMap<String, Option<RawNetwork>>>,
}

#[derive(Deserialize)]
struct RawNetwork {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawMount {
    #[serde(rename = "Type")]
    kind: Option<String>,
    name: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    #[serde(rename = "RW")]
    writable: Option<bool>,
}

/// Go writes `null` for what is empty.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Inspected {
    /// The record of container `id` on `host`, as seen at `now`.
    pub(crate) fn record(self, host: &HostName, id: &ContainerId, now: Timestamp) -> ContainerRecord {
        let state = self.state.state();
        let labels = self.config.labels.unwrap_or_default();
        let settings = self.network_settings;
        let configured = self.host_config.port_bindings.as_ref();
        let ports = ports::list(settings.ports.as_ref(), configured, self.config.exposed_ports.as_ref());
        let ended = !matches!(state, ContainerState::Created | ContainerState::Running | ContainerState::Paused);
        ContainerRecord {
            host: host.clone(),
            container_id: id.clone(),
            container_name: self.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image: self.config.image.unwrap_or_default(),
            image_id: some_text(self.image),
            compose_project: labels.get("com.docker.compose.project").cloned(),
            compose_service: labels.get("com.docker.compose.service").cloned(),
            state,
            status: None,
            pid: above_zero(self.state.pid),
            exit_code: self.state.exit_code.filter(|_| ended),
            oom_killed: self.state.oom_killed,
            error: some_text(self.state.error),
            created_at: time(self.created.as_deref()),
            started_at: time(self.state.started_at.as_deref()),
            finished_at: time(self.state.finished_at.as_deref()),
            health: self.state.health.and_then(RawHealth::health),
            labels,
            ports,
            networks: settings
                .networks
                .into_iter()
                .flatten()
                .map(|(name, network)| Network {
                    name,
                    ip_address: network.and_then(|network| some_text(network.ip_address)),
                })
                .collect(),
            mounts: self.mounts.into_iter().filter_map(RawMount::mount).collect(),
            network_scope: self.host_config.network_mode.as_deref().and_then(network_scope),
            restart_policy: self
                .host_config
                .restart_policy
                .as_ref()
                .map(|policy| some_text(policy.name.clone()).unwrap_or_else(|| "no".to_owned())),
            restart_count: self.restart_count.and_then(|count| u64::try_from(count).ok()),
            cpu_limit_cores: self.host_config.cpu_limit(),
            memory_limit_bytes: above_zero(self.host_config.memory),
            pids_limit: above_zero(self.host_config.pids_limit),
            observed_at: now,
        }
    }
}

impl RawState {
    fn state(&self) -> ContainerState {
        match (inventory::state(self.status.as_deref()), self.paused, self.running) {
            (ContainerState::Unknown, Some(true), _) => ContainerState::Paused,
            (ContainerState::Unknown, _, Some(true)) => ContainerState::Running,
            (state, ..) => state,
        }
    }
}

impl RawHealth {
    /// `None` where there is no check: Docker leaves it out or says `none`, Podman has an empty word.
    fn health(self) -> Option<Health> {
        let status = some_text(self.status).filter(|status| status != "none")?;
        let last = self.log.unwrap_or_default().pop().and_then(|probe| some_text(probe.output));
        Some(Health {
            status,
            failing_streak: self.failing_streak.and_then(|streak| u32::try_from(streak).ok()).unwrap_or(0),
            last_output: last.map(|output| output[..output.floor_char_boundary(OUTPUT)].to_owned()),
        })
    }
}

impl RawHostConfig {
    fn cpu_limit(&self) -> Option<f64> {
        if let Some(nano) = self.nano_cpus.filter(|nano| *nano > 0) {
            return Some(nano as f64 / 1e9);
        }
        let quota = self.cpu_quota.filter(|quota| *quota > 0)?;
        let period = self.cpu_period.filter(|period| *period > 0).unwrap_or(CPU_PERIOD);
        Some(quota as f64 / period as f64)
    }
}

impl RawMount {
    fn mount(self) -> Option<Mount> {
        let kind = self.kind.unwrap_or_default();
        // A volume is known by its name; its path on the host is the engine's own affair.
        let named = some_text(self.name).filter(|_| kind == "volume");
        Some(Mount {
            source: named.or(self.source).unwrap_or_default(),
            destination: self.destination?,
            writable: self.writable.unwrap_or(false),
            kind,
        })
    }
}

/// Whose interfaces the container uses, by `HostConfig.NetworkMode`. `None` where another container is meant by
/// its name, or a namespace by its path: whose they are is not known then.
fn network_scope(mode: &str) -> Option<NetworkScope> {
    match mode {
        "host" => Some(NetworkScope::Host),
        "none" => Some(NetworkScope::None),
        mode => match mode.split_once(':') {
            Some(("container", other)) => ContainerId::try_new(other).ok().map(NetworkScope::Shared),
            Some(("ns", _)) => None,
            _ => Some(NetworkScope::Own),
        },
    }
}

/// A time the engine set; it writes year 1 for one that is not.
fn time(text: Option<&str>) -> Option<Timestamp> {
    text.filter(|text| !text.starts_with("0001-")).and_then(|text| text.parse().ok())
}

fn some_text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn above_zero(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}
