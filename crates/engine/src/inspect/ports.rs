//! Ports: those in use, and those that would be.

use std::collections::{BTreeMap, BTreeSet};

use model::Port;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Addresses on the host by port and protocol, such as `80/tcp`.
pub(super) type Bindings = BTreeMap<String, Option<Vec<Binding>>>;

/// Ports an image exposes, by port and protocol.
pub(super) type Exposed = BTreeMap<String, IgnoredAny>;

/// One address on the host.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Binding {
    host_ip: Option<String>,
    host_port: Option<String>,
}

/// The ports `in_use`; then, for a container that does not run, those it would publish and those its image exposes.
pub(super) fn list(in_use: Option<&Bindings>, configured: Option<&Bindings>, exposed: Option<&Exposed>) -> Vec<Port> {
    let mut ports = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (key, bindings) in [in_use, configured].into_iter().flatten().flatten() {
        let Some((port, protocol)) = port_key(key) else { continue };
        let bindings = bindings.as_deref().unwrap_or_default();
        if bindings.is_empty() || !seen.insert((port, protocol)) {
            continue;
        }
        for Binding { host_ip, host_port } in bindings {
            let host_ip = host_ip.as_ref().filter(|ip| !ip.is_empty());
            // 0 and nothing at all ask the engine to choose one.
            let host_port = host_port.as_ref().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
            ports.insert((port, protocol, host_ip.cloned(), host_port));
        }
    }
    let unpublished = in_use.into_iter().flat_map(Bindings::keys).chain(exposed.into_iter().flat_map(Exposed::keys));
    for (port, protocol) in unpublished.filter_map(|key| port_key(key)) {
        if seen.insert((port, protocol)) {
            ports.insert((port, protocol, None, None));
        }
    }
    let port = |(container_port, protocol, host_ip, host_port): (u16, &str, Option<String>, Option<u16>)| Port {
        container_port,
        protocol: protocol.to_owned(),
        host_ip,
        host_port,
    };
    ports.into_iter().map(port).collect()
}

/// `80/tcp`; without a protocol it is TCP.
fn port_key(key: &str) -> Option<(u16, &str)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    Some((port.parse().ok()?, protocol))
}
