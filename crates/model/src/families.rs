//! What Prometheus is told of a container: names by its conventions, in base units, and labels. `docs/prometheus.md` is compared
//! with this.

use std::collections::BTreeMap;
use std::fmt;

use crate::{ContainerMeta, ContainerRecord, Sample, StatsRecord};

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// A sum that only grows, until it begins anew.
    Counter,
    /// A value of a moment.
    Gauge,
}

impl FamilyKind {
    /// The word in Prometheus' formats.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Metrics of one name.
pub struct Family {
    /// The name, without the `_total` of a counter.
    pub name: &'static str,
    /// What its values are.
    pub kind: FamilyKind,
    /// A sentence for people.
    pub help: &'static str,
    /// The value of a container; `None` where it is not known.
    pub value: fn(&Known<'_>) -> Option<Reading>,
}

impl Family {
    /// What follows the name in that of its samples.
    pub const fn suffix(&self) -> &'static str {
        match self.kind {
            FamilyKind::Counter => "_total",
            FamilyKind::Gauge => "",
        }
    }
}

/// What is known of one container: its state, a sample, or both.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Its state.
    pub record: Option<&'a ContainerRecord>,
    /// A sample of it.
    pub stats: Option<&'a StatsRecord>,
}

impl Known<'_> {
    fn sample(&self) -> Option<&Sample> {
        self.stats.map(|stats| &stats.sample)
    }
}

/// One value, and the label it has beside those of its container.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The value.
    pub figure: Figure,
    /// Name and value of the label.
    pub label: Option<(&'static str, String)>,
}

/// A value that is written with every digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// A whole number.
    Whole(i128),
    /// Nanoseconds, told in seconds.
    Nanos(u64),
    /// A number that is finite.
    Float(f64),
}

impl Figure {
    /// The nearest number of the kind that Prometheus reckons with.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Nanos(nanos) => nanos as f64 / 1e9,
            Self::Float(value) => value,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Nanos(nanos) => write!(f, "{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000),
            Self::Float(value) => value.fmt(f),
        }
    }
}

/// The labels of every metric of a container, in the order of their names. Those it does not have are not there.
pub fn family_labels(meta: &ContainerMeta) -> BTreeMap<String, &str> {
    let mut labels: BTreeMap<String, &str> = BTreeMap::new();
    for (key, value) in &meta.labels {
        labels.entry(format!("container_label_{}", sanitized(key))).or_insert(value);
    }
    for (name, value) in [
        ("host", meta.host.as_str()),
        ("container", meta.container_name.as_str()),
        ("image", meta.image.as_str()),
        ("compose_project", meta.compose_project.as_deref().unwrap_or("")),
        ("compose_service", meta.compose_service.as_deref().unwrap_or("")),
    ] {
        labels.insert(name.to_owned(), value);
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// A container label's key as a part of a Prometheus label's name.
fn sanitized(key: &str) -> String {
    key.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

/// Every family, in the order in which they are told.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "docker_container_info",
        kind: FamilyKind::Gauge,
        help: "A container, by its full id; always 1.",
        value: |of| {
            let record = of.record?;
            Some(labelled("container_id", record.container_id.as_str()))
        },
    },
    Family {
        name: "docker_container_state",
        kind: FamilyKind::Gauge,
        help: "The state a container is in; always 1.",
        value: |of| Some(labelled("state", of.record?.state.name())),
    },
    Family {
        name: "docker_container_health",
        kind: FamilyKind::Gauge,
        help: "The result of a container's own health check; always 1.",
        value: |of| Some(labelled("health", &of.record?.health.as_ref()?.status)),
    },
    Family {
        name: "docker_container_health_failing_streak",
        kind: FamilyKind::Gauge,
        help: "Failures of its health check in a row.",
        value: |of| of.record?.health.as_ref().map(|health| whole(health.failing_streak)),
    },
    Family {
        name: "docker_container_start_time_seconds",
        kind: FamilyKind::Gauge,
        help: "When the last run started, since 1970.",
        value: |of| of.record?.started_at.and_then(|time| nanos(u64::try_from(time.as_nanos()).ok()?)),
    },
    Family {
        name: "docker_container_restarts",
        kind: FamilyKind::Counter,
        help: "Restarts by its restart policy; a manual start sets it back to 0.",
        value: |of| of.record?.restart_count.map(whole),
    },
    Family {
        name: "docker_container_exit_code",
        kind: FamilyKind::Gauge,
        help: "Exit code of the last run, once it ended.",
        value: |of| of.record?.exit_code.map(whole),
    },
    Family {
        name: "docker_container_oom_killed",
        kind: FamilyKind::Gauge,
        help: "1 where the kernel killed it for memory.",
        value: |of| of.record?.oom_killed.map(|killed| whole(u8::from(killed))),
    },
    Family {
        name: "docker_container_cpu_limit_cores",
        kind: FamilyKind::Gauge,
        help: "CPU limit in cores, where set.",
        value: |of| of.record?.cpu_limit_cores.and_then(float),
    },
    Family {
        name: "docker_container_last_seen_timestamp_seconds",
        kind: FamilyKind::Gauge,
        help: "When the engine read the newest sample, since 1970.",
        value: |of| of.stats.and_then(|stats| nanos(u64::try_from(stats.timestamp.as_nanos()).ok()?)),
    },
    Family {
        name: "docker_container_cpu_usage_seconds",
        kind: FamilyKind::Counter,
        help: "CPU time used since the container started.",
        value: |of| seconds(of, |sample| sample.cpu_usage_ns),
    },
    Family {
        name: "docker_container_cpu_user_seconds",
        kind: FamilyKind::Counter,
        help: "Part of it spent in user mode.",
        value: |of| seconds(of, |sample| sample.cpu_user_ns),
    },
    Family {
        name: "docker_container_cpu_system_seconds",
        kind: FamilyKind::Counter,
        help: "Part of it spent in the kernel.",
        value: |of| seconds(of, |sample| sample.cpu_kernel_ns),
    },
    Family {
        name: "docker_container_cpu_usage_ratio",
        kind: FamilyKind::Gauge,
        help: "CPU use as docker stats shows it, over the last interval; 1 is one full core.",
        value: |of| ratio(of, |sample| sample.cpu_usage_percent),
    },
    Family {
        name: "docker_container_cpu_throttled_periods",
        kind: FamilyKind::Counter,
        help: "Scheduler periods in which it was throttled.",
        value: |of| count(of, |sample| sample.cpu_throttled_periods),
    },
    Family {
        name: "docker_container_cpu_throttled_seconds",
        kind: FamilyKind::Counter,
        help: "Time it was throttled.",
        value: |of| seconds(of, |sample| sample.cpu_throttled_ns),
    },
    Family {
        name: "docker_container_cpu_online_cores",
        kind: FamilyKind::Gauge,
        help: "CPUs its host has online.",
        value: |of| count(of, |sample| sample.online_cpus.map(u64::from)),
    },
    Family {
        name: "docker_container_memory_usage_bytes",
        kind: FamilyKind::Gauge,
        help: "Memory in use as docker stats shows it, without the inactive page cache.",
        value: |of| count(of, |sample| sample.memory_usage_bytes),
    },
    Family {
        name: "docker_container_memory_with_cache_bytes",
        kind: FamilyKind::Gauge,
        help: "Memory in use with the page cache.",
        value: |of| count(of, |sample| sample.memory_total_bytes),
    },
    Family {
        name: "docker_container_memory_cache_bytes",
        kind: FamilyKind::Gauge,
        help: "The page cache charged to it.",
        value: |of| count(of, |sample| sample.memory_cache_bytes),
    },
    Family {
        name: "docker_container_memory_limit_bytes",
        kind: FamilyKind::Gauge,
        help: "Its limit, or the memory of its host where it has none.",
        value: |of| count(of, |sample| sample.memory_limit_bytes),
    },
    Family {
        name: "docker_container_memory_usage_ratio",
        kind: FamilyKind::Gauge,
        help: "Memory in use, of the limit.",
        value: |of| ratio(of, |sample| sample.memory_usage_percent),
    },
    Family {
        name: "docker_container_network_receive_bytes",
        kind: FamilyKind::Counter,
        help: "Bytes received over all interfaces.",
        value: |of| count(of, |sample| sample.network_rx_bytes),
    },
    Family {
        name: "docker_container_network_transmit_bytes",
        kind: FamilyKind::Counter,
        help: "Bytes sent over all interfaces.",
        value: |of| count(of, |sample| sample.network_tx_bytes),
    },
    Family {
        name: "docker_container_network_receive_packets",
        kind: FamilyKind::Counter,
        help: "Packets received.",
        value: |of| count(of, |sample| sample.network_rx_packets),
    },
    Family {
        name: "docker_container_network_transmit_packets",
        kind: FamilyKind::Counter,
        help: "Packets sent.",
        value: |of| count(of, |sample| sample.network_tx_packets),
    },
    Family {
        name: "docker_container_network_receive_errors",
        kind: FamilyKind::Counter,
        help: "Receive errors.",
        value: |of| count(of, |sample| sample.network_rx_errors),
    },
    Family {
        name: "docker_container_network_transmit_errors",
        kind: FamilyKind::Counter,
        help: "Send errors.",
        value: |of| count(of, |sample| sample.network_tx_errors),
    },
    Family {
        name: "docker_container_network_receive_packets_dropped",
        kind: FamilyKind::Counter,
        help: "Received packets dropped.",
        value: |of| count(of, |sample| sample.network_rx_dropped),
    },
    Family {
        name: "docker_container_network_transmit_packets_dropped",
        kind: FamilyKind::Counter,
        help: "Sent packets dropped.",
        value: |of| count(of, |sample| sample.network_tx_dropped),
    },
    Family {
        name: "docker_container_block_read_bytes",
        kind: FamilyKind::Counter,
        help: "Bytes read from block devices.",
        value: |of| count(of, |sample| sample.block_read_bytes),
    },
    Family {
        name: "docker_container_block_written_bytes",
        kind: FamilyKind::Counter,
        help: "Bytes written to block devices.",
        value: |of| count(of, |sample| sample.block_write_bytes),
    },
    Family {
        name: "docker_container_pids",
        kind: FamilyKind::Gauge,
        help: "Processes and threads.",
        value: |of| count(of, |sample| sample.pids),
    },
    Family {
        name: "docker_container_pids_limit",
        kind: FamilyKind::Gauge,
        help: "The limit on them, where there is one.",
        value: |of| count(of, |sample| sample.pids_limit),
    },
];

fn labelled(name: &'static str, value: &str) -> Reading {
    Reading { figure: Figure::Whole(1), label: Some((name, value.to_owned())) }
}

fn plain(figure: Figure) -> Reading {
    Reading { figure, label: None }
}

fn whole(value: impl Into<i128>) -> Reading {
    plain(Figure::Whole(value.into()))
}

fn float(value: f64) -> Option<Reading> {
    value.is_finite().then(|| plain(Figure::Float(value)))
}

fn nanos(nanos: u64) -> Option<Reading> {
    Some(plain(Figure::Nanos(nanos)))
}

fn count(of: &Known<'_>, value: fn(&Sample) -> Option<u64>) -> Option<Reading> {
    value(of.sample()?).map(whole)
}

fn seconds(of: &Known<'_>, value: fn(&Sample) -> Option<u64>) -> Option<Reading> {
    value(of.sample()?).and_then(nanos)
}

fn ratio(of: &Known<'_>, percent: fn(&Sample) -> Option<f64>) -> Option<Reading> {
    float(percent(of.sample()?)? / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for family in FAMILIES {
            let name = family.name;
            assert!(name.starts_with("docker_container_") && !name.ends_with("_total"), "{name}");
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '\n']), "{name}");
        }
    }

    #[test]
    fn a_label_of_a_container_becomes_a_name_that_prometheus_takes() {
        assert_eq!(sanitized("com.example/ü-1"), "com_example___1");
    }

    #[test]
    fn a_figure_is_written_with_every_digit() {
        assert_eq!(Figure::Nanos(1_000_000_007).to_string(), "1.000000007");
        assert_eq!(Figure::Whole(-1).to_string(), "-1");
        assert_eq!(Figure::Float(0.1).to_string(), "0.1");
    }
}
