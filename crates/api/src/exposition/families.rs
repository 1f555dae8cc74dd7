//! What is told of a container: names by Prometheus' conventions, in base units. `docs/prometheus.md` is compared with this.

use model::Sample;

use super::{Container, Family, Kind, Reading};

/// Every family, in the order in which they are told.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "docker_container_info",
        kind: Kind::Gauge,
        help: "A container, by its full id; always 1.",
        value: |of| {
            let record = of.record.as_ref()?;
            Some(labelled("container_id", record.container_id.as_str()))
        },
    },
    Family {
        name: "docker_container_state",
        kind: Kind::Gauge,
        help: "The state a container is in; always 1.",
        value: |of| Some(labelled("state", of.record.as_ref()?.state.name())),
    },
    Family {
        name: "docker_container_health",
        kind: Kind::Gauge,
        help: "The result of a container's own health check; always 1.",
        value: |of| Some(labelled("health", &of.record.as_ref()?.health.as_ref()?.status)),
    },
    Family {
        name: "docker_container_health_failing_streak",
        kind: Kind::Gauge,
        help: "Failures of its health check in a row.",
        value: |of| of.record.as_ref()?.health.as_ref().map(|health| whole(health.failing_streak)),
    },
    Family {
        name: "docker_container_start_time_seconds",
        kind: Kind::Gauge,
        help: "When the last run started, since 1970.",
        value: |of| of.record.as_ref()?.started_at.and_then(|time| nanos(u64::try_from(time.as_nanos()).ok()?)),
    },
    Family {
        name: "docker_container_restarts",
        kind: Kind::Counter,
        help: "Restarts by its restart policy; a manual start sets it back to 0.",
        value: |of| of.record.as_ref()?.restart_count.map(whole),
    },
    Family {
        name: "docker_container_exit_code",
        kind: Kind::Gauge,
        help: "Exit code of the last run, once it ended.",
        value: |of| of.record.as_ref()?.exit_code.map(whole),
    },
    Family {
        name: "docker_container_oom_killed",
        kind: Kind::Gauge,
        help: "1 where the kernel killed it for memory.",
        value: |of| of.record.as_ref()?.oom_killed.map(|killed| whole(u8::from(killed))),
    },
    Family {
        name: "docker_container_cpu_limit_cores",
        kind: Kind::Gauge,
        help: "CPU limit in cores, where set.",
        value: |of| of.record.as_ref()?.cpu_limit_cores.and_then(float),
    },
    Family {
        name: "docker_container_last_seen_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the engine read the newest sample, since 1970.",
        value: |of| of.stats.as_ref().and_then(|stats| nanos(u64::try_from(stats.timestamp.as_nanos()).ok()?)),
    },
    Family {
        name: "docker_container_cpu_usage_seconds",
        kind: Kind::Counter,
        help: "CPU time used since the container started.",
        value: |of| seconds(of, |sample| sample.cpu_usage_ns),
    },
    Family {
        name: "docker_container_cpu_user_seconds",
        kind: Kind::Counter,
        help: "Part of it spent in user mode.",
        value: |of| seconds(of, |sample| sample.cpu_user_ns),
    },
    Family {
        name: "docker_container_cpu_system_seconds",
        kind: Kind::Counter,
        help: "Part of it spent in the kernel.",
        value: |of| seconds(of, |sample| sample.cpu_kernel_ns),
    },
    Family {
        name: "docker_container_cpu_usage_ratio",
        kind: Kind::Gauge,
        help: "CPU use as docker stats shows it, over the last interval; 1 is one full core.",
        value: |of| ratio(of, |sample| sample.cpu_usage_percent),
    },
    Family {
        name: "docker_container_cpu_throttled_periods",
        kind: Kind::Counter,
        help: "Scheduler periods in which it was throttled.",
        value: |of| count(of, |sample| sample.cpu_throttled_periods),
    },
    Family {
        name: "docker_container_cpu_throttled_seconds",
        kind: Kind::Counter,
        help: "Time it was throttled.",
        value: |of| seconds(of, |sample| sample.cpu_throttled_ns),
    },
    Family {
        name: "docker_container_cpu_online_cores",
        kind: Kind::Gauge,
        help: "CPUs its host has online.",
        value: |of| count(of, |sample| sample.online_cpus.map(u64::from)),
    },
    Family {
        name: "docker_container_memory_usage_bytes",
        kind: Kind::Gauge,
        help: "Memory in use as docker stats shows it, without the inactive page cache.",
        value: |of| count(of, |sample| sample.memory_usage_bytes),
    },
    Family {
        name: "docker_container_memory_with_cache_bytes",
        kind: Kind::Gauge,
        help: "Memory in use with the page cache.",
        value: |of| count(of, |sample| sample.memory_total_bytes),
    },
    Family {
        name: "docker_container_memory_cache_bytes",
        kind: Kind::Gauge,
        help: "The page cache charged to it.",
        value: |of| count(of, |sample| sample.memory_cache_bytes),
    },
    Family {
        name: "docker_container_memory_limit_bytes",
        kind: Kind::Gauge,
        help: "Its limit, or the memory of its host where it has none.",
        value: |of| count(of, |sample| sample.memory_limit_bytes),
    },
    Family {
        name: "docker_container_memory_usage_ratio",
        kind: Kind::Gauge,
        help: "Memory in use, of the limit.",
        value: |of| ratio(of, |sample| sample.memory_usage_percent),
    },
    Family {
        name: "docker_container_network_receive_bytes",
        kind: Kind::Counter,
        help: "Bytes received over all interfaces.",
        value: |of| count(of, |sample| sample.network_rx_bytes),
    },
    Family {
        name: "docker_container_network_transmit_bytes",
        kind: Kind::Counter,
        help: "Bytes sent over all interfaces.",
        value: |of| count(of, |sample| sample.network_tx_bytes),
    },
    Family {
        name: "docker_container_network_receive_packets",
        kind: Kind::Counter,
        help: "Packets received.",
        value: |of| count(of, |sample| sample.network_rx_packets),
    },
    Family {
        name: "docker_container_network_transmit_packets",
        kind: Kind::Counter,
        help: "Packets sent.",
        value: |of| count(of, |sample| sample.network_tx_packets),
    },
    Family {
        name: "docker_container_network_receive_errors",
        kind: Kind::Counter,
        help: "Receive errors.",
        value: |of| count(of, |sample| sample.network_rx_errors),
    },
    Family {
        name: "docker_container_network_transmit_errors",
        kind: Kind::Counter,
        help: "Send errors.",
        value: |of| count(of, |sample| sample.network_tx_errors),
    },
    Family {
        name: "docker_container_network_receive_packets_dropped",
        kind: Kind::Counter,
        help: "Received packets dropped.",
        value: |of| count(of, |sample| sample.network_rx_dropped),
    },
    Family {
        name: "docker_container_network_transmit_packets_dropped",
        kind: Kind::Counter,
        help: "Sent packets dropped.",
        value: |of| count(of, |sample| sample.network_tx_dropped),
    },
    Family {
        name: "docker_container_block_read_bytes",
        kind: Kind::Counter,
        help: "Bytes read from block devices.",
        value: |of| count(of, |sample| sample.block_read_bytes),
    },
    Family {
        name: "docker_container_block_written_bytes",
        kind: Kind::Counter,
        help: "Bytes written to block devices.",
        value: |of| count(of, |sample| sample.block_write_bytes),
    },
    Family {
        name: "docker_container_pids",
        kind: Kind::Gauge,
        help: "Processes and threads.",
        value: |of| count(of, |sample| sample.pids),
    },
    Family {
        name: "docker_container_pids_limit",
        kind: Kind::Gauge,
        help: "The limit on them, where there is one.",
        value: |of| count(of, |sample| sample.pids_limit),
    },
];

fn labelled(name: &'static str, value: &str) -> Reading {
    Reading { text: "1".into(), label: Some((name, value.to_owned())) }
}

fn whole(value: impl ToString) -> Reading {
    Reading { text: value.to_string(), label: None }
}

fn float(value: f64) -> Option<Reading> {
    value.is_finite().then(|| whole(value))
}

/// Seconds with every digit.
fn nanos(nanos: u64) -> Option<Reading> {
    Some(whole(format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)))
}

fn count(of: &Container, value: fn(&Sample) -> Option<u64>) -> Option<Reading> {
    value(of.sample()?).map(whole)
}

fn seconds(of: &Container, value: fn(&Sample) -> Option<u64>) -> Option<Reading> {
    value(of.sample()?).and_then(nanos)
}

fn ratio(of: &Container, percent: fn(&Sample) -> Option<f64>) -> Option<Reading> {
    float(percent(of.sample()?)? / 100.0)
}
