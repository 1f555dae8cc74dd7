//! One container, whole: from `GET /containers/{id}/json` to a [`ContainerRecord`].
//!
//! Decoded by our own types, for the reason given in `inventory`; and what may hold secrets is not told: the command
//! line has no field here, and of environment variables only the names leave this module, unless a person named them.

mod environment;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::{
    ContainerId, ContainerRecord, ContainerState, Health, HostName, Mount, Network, NetworkScope, Revp, Timestamp,
    exit_cause,
};
use serde::Deserialize;

use crate::images::image_id;
use crate::inventory;
use environment::environment;
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
    env: Option<Vec<String>>,
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
    cpu_shares: Option<i64>,
    cpuset_cpus: Option<String>,
    memory_reservation: Option<i64>,
    memory_swap: Option<i64>,
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
    #[serde(rename = "NetworkID")]
    network_id: Option<String>,
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Option<String>,
    #[serde(rename = "MacAddress")]
    mac_address: Option<String>,
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
    /// The record of container `id` on `host`, as seen at `now`, with the values of the variables in `kept`.
    pub(crate) fn record(self, host: &HostName, id: &ContainerId, kept: &[String], now: Timestamp) -> ContainerRecord {
        let state = self.state.state();
        let labels = self.config.labels.unwrap_or_default();
        let settings = self.network_settings;
        let configured = self.host_config.port_bindings.as_ref();
        let ports = ports::list(settings.ports.as_ref(), configured, self.config.exposed_ports.as_ref());
        let ended = !matches!(state, ContainerState::Created | ContainerState::Running | ContainerState::Paused);
        let image = self.config.image.unwrap_or_default();
        let exit_code = self.state.exit_code.filter(|_| ended);
        let mut record = ContainerRecord {
            host: host.clone(),
            container_id: id.clone(),
            container_name: self.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image_digest: image.split_once('@').map(|(_, digest)| digest.to_owned()),
            image,
            image_id: some_text(self.image).map(|id| image_id(&id)),
            compose_project: labels.get("com.docker.compose.project").cloned(),
            compose_service: labels.get("com.docker.compose.service").cloned(),
            state,
            status: None,
            pid: above_zero(self.state.pid),
            exit_code,
            exit_cause: exit_code.map(|code| exit_cause(code, self.state.oom_killed)),
            oom_killed: self.state.oom_killed,
            error: some_text(self.state.error),
            created_at: time(self.created.as_deref()),
            started_at: time(self.state.started_at.as_deref()),
            finished_at: time(self.state.finished_at.as_deref()),
            health: self.state.health.and_then(RawHealth::health),
            revp: Revp::from_labels(&labels),
            labels,
            environment: environment(self.config.env.unwrap_or_default(), kept),
            ports,
            networks: settings
                .networks
                .into_iter()
                .flatten()
                .map(|(name, network)| RawNetwork::network(network, name))
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
            cpu_shares: above_zero(self.host_config.cpu_shares),
            cpuset_cpus: some_text(self.host_config.cpuset_cpus),
            memory_reservation_bytes: above_zero(self.host_config.memory_reservation),
            memory_swap_limit_bytes: above_zero(self.host_config.memory_swap),
            observed_at: now,
        };
        record.status = record.status_at(now);
        record
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

impl RawNetwork {
    fn network(network: Option<Self>, name: String) -> Network {
        let Some(network) = network else {
            return Network { name, network_id: None, ip_address: None, ipv6_address: None, mac_address: None };
        };
        Network {
            name,
            network_id: some_text(network.network_id),
            ip_address: some_text(network.ip_address),
            ipv6_address: some_text(network.ipv6_address),
            mac_address: some_text(network.mac_address),
        }
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
