//! One container, whole: from `GET /containers/{id}/json` to a [`ContainerRecord`].
//!
//! Decoded by our own types, for the reason given in `inventory`; and what may hold secrets (the environment, the
//! command line) has no field here, so it is never read.

use std::collections::{BTreeMap, BTreeSet};

use model::{ContainerId, ContainerRecord, ContainerState, Health, HostName, Mount, Network, NetworkScope, Port, Timestamp};
use serde::Deserialize;

use crate::inventory;

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
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawHostConfig {
    network_mode: Option<String>,
    port_bindings: Option<BTreeMap<String, Option<Vec<RawBinding>>>>,
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
    ports: Option<BTreeMap<String, Option<Vec<RawBinding>>>>,
    networks: Option<BTreeMap<String, Option<RawNetwork>>>,
}

#[derive(Deserialize)]
struct RawBinding {
    #[serde(rename = "HostIp")]
    host_ip: Option<String>,
    #[serde(rename = "HostPort")]
    host_port: Option<String>,
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
        let (ports, networks) = (ports(&self.network_settings, &self.host_config, self.config.exposed_ports), self.network_settings.networks);
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
            networks: networks.into_iter().flatten().map(|(name, network)| Network { name, ip_address: network.and_then(|network| some_text(network.ip_address)) }).collect(),
            mounts: self.mounts.into_iter().filter_map(RawMount::mount).collect(),
            network_scope: self.host_config.network_mode.as_deref().and_then(network_scope),
            restart_policy: self.host_config.restart_policy.as_ref().map(|policy| some_text(policy.name.clone()).unwrap_or_else(|| "no".to_owned())),
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

/// Ports in use; for a container that does not run also those it would publish, and those its image exposes.
fn ports(settings: &RawNetworkSettings, config: &RawHostConfig, exposed: Option<BTreeMap<String, serde::de::IgnoredAny>>) -> Vec<Port> {
    let mut ports = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for listed in [&settings.ports, &config.port_bindings].into_iter().flatten() {
        for (key, bindings) in listed {
            let Some((port, protocol)) = port_key(key) else { continue };
            let bindings = bindings.as_deref().unwrap_or_default();
            if bindings.is_empty() || !seen.insert((port, protocol)) {
                continue;
            }
            for binding in bindings {
                let host_port = binding.host_port.as_deref().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
                ports.insert((port, protocol, some_text(binding.host_ip.clone()), host_port));
            }
        }
    }
    let bare = settings.ports.iter().flat_map(BTreeMap::keys).chain(exposed.iter().flat_map(BTreeMap::keys));
    for (port, protocol) in bare.filter_map(|key| port_key(key)) {
        if seen.insert((port, protocol)) {
            ports.insert((port, protocol, None, None));
        }
    }
    ports
        .into_iter()
        .map(|(container_port, protocol, host_ip, host_port)| Port { container_port, protocol: protocol.to_owned(), host_ip, host_port })
        .collect()
}

/// `80/tcp`; without a protocol it is TCP.
fn port_key(key: &str) -> Option<(u16, &str)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    Some((port.parse().ok()?, protocol))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(answer: &str) -> ContainerRecord {
        let inspected: Inspected = serde_json::from_str(answer).unwrap();
        inspected.record(&"edge-1".parse().unwrap(), &"ab".repeat(32).parse().unwrap(), Timestamp::from_nanos(7))
    }

    fn of(answer: Value) -> ContainerRecord {
        record(&answer.to_string())
    }

    fn recorded(name: &str) -> ContainerRecord {
        record(&std::fs::read_to_string(format!("{}/tests/frames/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap())
    }

    #[test]
    fn a_recorded_running_container_is_whole() {
        for prefix in ["d20v1", "d26v2", "d28v2", "p43v1"] {
            let record = recorded(&format!("{prefix}_inspect_running.json"));
            assert_eq!((record.container_name.as_str(), record.state), ("r_misc", ContainerState::Running), "{prefix}");
            assert!(record.image.ends_with("bench/busybox:1") && record.image_id.is_some(), "{prefix}");
            assert!(record.pid.is_some() && record.created_at.is_some() && record.started_at > record.created_at, "{prefix}");
            assert_eq!((record.finished_at, record.exit_code, record.health), (None, None, None), "{prefix}");
            assert_eq!((record.oom_killed, record.network_scope), (Some(false), Some(NetworkScope::Own)), "{prefix}");
            assert_eq!(record.networks.len(), 1, "{prefix}");
            assert!(record.networks[0].ip_address.is_some(), "{prefix}");
            assert_eq!((record.restart_policy.as_deref(), record.restart_count), (Some("no"), Some(0)), "{prefix}");
        }
        assert_eq!(recorded("p43v1_inspect_running.json").pids_limit, Some(2048));
    }

    #[test]
    fn a_recorded_ended_container_has_its_exit() {
        for prefix in ["d20v1", "d26v2", "d28v2", "p43v1"] {
            let record = recorded(&format!("{prefix}_inspect_exited.json"));
            assert_eq!((record.state, record.exit_code, record.pid), (ContainerState::Exited, Some(137), None), "{prefix}");
            assert!(record.finished_at > record.started_at, "{prefix}");
        }
    }

    #[test]
    fn what_the_environment_and_the_command_hold_is_nowhere_in_the_record() {
        let answer = json!({"Name": "/x", "Path": "secret", "Args": ["secret"], "Config": {"Env": ["TOKEN=secret"], "Cmd": ["secret"]}});
        assert!(!format!("{:?}", of(answer)).contains("secret"));
    }

    #[test]
    fn an_answer_with_nothing_in_it_leaves_everything_unknown() {
        for answer in [json!({}), json!({"State": null, "Config": null, "HostConfig": null, "NetworkSettings": null, "Mounts": null})] {
            let record = of(answer);
            assert_eq!((record.state, record.network_scope, record.oom_killed), (ContainerState::Unknown, None, None));
            assert_eq!((record.created_at, record.restart_count, record.restart_policy), (None, None, None));
        }
    }

    #[test]
    fn words_this_version_does_not_know_lose_nothing_else() {
        let record = of(json!({
            "Name": "/x",
            "State": {"Status": "levitating", "Running": true},
            "Mounts": [{"Type": "portal", "Source": "/a", "Destination": "/b", "RW": true}],
            "HostConfig": {"RestartPolicy": {"Name": "on-tuesdays"}},
        }));
        assert_eq!((record.state, record.mounts[0].kind.as_str(), record.restart_policy.as_deref()), (ContainerState::Running, "portal", Some("on-tuesdays")));
    }

    #[test]
    fn the_network_scope_follows_the_mode() {
        let id = "cd".repeat(32);
        let scope = |mode: &str| of(json!({"HostConfig": {"NetworkMode": mode}})).network_scope;
        assert_eq!(scope("host"), Some(NetworkScope::Host));
        assert_eq!(scope("none"), Some(NetworkScope::None));
        assert_eq!(scope(&format!("container:{id}")), Some(NetworkScope::Shared(id.parse().unwrap())));
        assert_eq!(scope("container:web"), None);
        assert_eq!(scope("ns:/run/netns/x"), None);
        for own in ["default", "bridge", "shop_backend", "slirp4netns:mtu=1500", ""] {
            assert_eq!(scope(own), Some(NetworkScope::Own), "{own}");
        }
    }

    #[test]
    fn ports_are_those_in_use_and_those_that_would_be() {
        let ports = |answer: Value| {
            let text = |port: Port| {
                let host = port.host_port.map_or(String::new(), |host| format!("{}:{host}->", port.host_ip.unwrap_or_default()));
                format!("{host}{}/{}", port.container_port, port.protocol)
            };
            of(answer).ports.into_iter().map(text).collect::<Vec<_>>()
        };
        let bindings = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]);
        let running = json!({
            "NetworkSettings": {"Ports": {"80/tcp": bindings, "443/tcp": null}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
            "Config": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "odd": {}}},
        });
        assert_eq!(ports(running), ["53/udp", "0.0.0.0:8080->80/tcp", ":::8080->80/tcp", "443/tcp"]);
        let stopped = json!({"NetworkSettings": {"Ports": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8081"}]}}});
        assert_eq!(ports(stopped), [":8081->80/tcp"]);
    }

    #[test]
    fn limits_are_in_cores_and_bytes_and_absent_where_not_set() {
        let cores = |config: Value| of(json!({"HostConfig": config})).cpu_limit_cores;
        assert_eq!(cores(json!({"NanoCpus": 1_500_000_000_i64})), Some(1.5));
        assert_eq!(cores(json!({"CpuQuota": 20_000, "CpuPeriod": 0})), Some(0.2));
        assert_eq!(cores(json!({"CpuQuota": 25_000, "CpuPeriod": 50_000})), Some(0.5));
        assert_eq!(cores(json!({"CpuQuota": -1, "NanoCpus": 0})), None);
        let record = of(json!({"HostConfig": {"Memory": 67_108_864, "PidsLimit": -1}}));
        assert_eq!((record.memory_limit_bytes, record.pids_limit), (Some(67_108_864), None));
    }

    #[test]
    fn health_is_what_the_last_probe_found() {
        let health = |health: Value| of(json!({"State": {"Health": health}})).health;
        assert_eq!(health(json!({"Status": "", "FailingStreak": 0, "Log": null})), None);
        assert_eq!(health(json!({"Status": "none"})), None);
        let found = health(json!({"Status": "unhealthy", "FailingStreak": 3, "Log": [{"Output": "fine"}, {"Output": "é".repeat(4_000)}]})).unwrap();
        assert_eq!((found.status.as_str(), found.failing_streak), ("unhealthy", 3));
        let output = found.last_output.unwrap();
        assert!(output.len() <= OUTPUT && output.len() > OUTPUT - 2 && output.chars().all(|character| character == 'é'));
    }

    #[test]
    fn compose_names_and_volumes_are_taken_from_where_they_stand() {
        let record = of(json!({
            "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "tier": "1"}},
            "Mounts": [{"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data", "RW": false}],
        }));
        assert_eq!((record.compose_project.as_deref(), record.compose_service.as_deref(), record.labels.len()), (Some("shop"), Some("web"), 3));
        let expected = Mount { kind: "volume".to_owned(), source: "data".to_owned(), destination: "/data".to_owned(), writable: false };
        assert_eq!(record.mounts, [expected]);
    }
}
