//! Ports: those in use, and those that would be.

/// Ports in use; for a container that does not run also those it would publish, and those its image exposes.
fn ports(
    settings: &RawNetworkSettings,
    config: &RawHostConfig,
    exposed: Option<BTreeMap<String, serde::de::IgnoredAny>>,
) -> Vec<Port> {
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
                let host_port =
                    binding.host_port.as_deref().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
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
        .map(|(container_port, protocol, host_ip, host_port)| Port {
            container_port,
            protocol: protocol.to_owned(),
            host_ip,
            host_port,
        })
        .collect()
}

/// `80/tcp`; without a protocol it is TCP.
fn port_key(key: &str) -> Option<(u16, &str)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    Some((port.parse().ok()?, protocol))
}

