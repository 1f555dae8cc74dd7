//! The metrics: names by OpenTelemetry's conventions for containers, and by those of the Collector's `docker_stats` receiver where
//! those have none. `docs/otlp.md` is compared with this.

use model::{ContainerRecord, ContainerState, HostRecord, HostStatus, Sample, StatsRecord};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;

/// What a metric's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value of this moment.
    Gauge,
    /// A sum since a start, which only grows.
    Counter,
    /// An amount that comes and goes, and that can be added up over containers.
    UpDown,
}

/// A metric of records of one kind.
pub(crate) struct Metric<R: 'static> {
    pub name: &'static str,
    pub unit: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    pub points: &'static [Point<R>],
}

/// One series of a metric.
pub(crate) struct Point<R: 'static> {
    /// The attribute that sets it apart, where there are several.
    pub attribute: Option<(&'static str, &'static str)>,
    /// Its value; `None` where it is not known.
    pub value: fn(&R) -> Option<Number>,
}

macro_rules! metrics {
    ($of:ty: $($name:literal $unit:literal $kind:ident $help:literal { $($body:tt)+ })+) => {
        &[$(Metric { name: $name, unit: $unit, kind: Kind::$kind, help: $help, points: points!($of: $($body)+) },)+]
    };
}

macro_rules! points {
    ($of:ty: |$record:ident| $value:expr) => {
        &[Point { attribute: None, value: |$record: &$of| $value }]
    };
    ($of:ty: $key:literal: $($word:literal => |$record:ident| $value:expr,)+) => {
        &[$(Point { attribute: Some(($key, $word)), value: |$record: &$of| $value },)+]
    };
}

/// Of a sample.
pub(crate) const OF_SAMPLES: &[Metric<StatsRecord>] = metrics! { StatsRecord:
    "container.uptime" "s" Gauge "Time since this run of the container started." {
        |of| of.meta.run.map(|run| Number::AsDouble(of.timestamp.nanos_since(run) as f64 / 1e9))
    }
    "container.cpu.time" "s" Counter "CPU time used by the container." {
        "cpu.mode":
        "user" => |of| seconds(of, |sample| sample.cpu_user_ns),
        "kernel" => |of| seconds(of, |sample| sample.cpu_kernel_ns),
    }
    "container.cpu.usage" "{cpu}" Gauge "CPU use over the last interval, as docker stats shows it; 1 is one full core." {
        |of| of.sample.cpu_usage_percent.and_then(|percent| float(percent / 100.0))
    }
    "container.cpu.usage.total" "ns" Counter "CPU time used by the container, in all modes." {
        |of| whole(of, |sample| sample.cpu_usage_ns)
    }
    "container.cpu.usage.system" "ns" Counter "CPU time of the whole host, all states." {
        |of| whole(of, |sample| sample.system_cpu_ns)
    }
    "container.cpu.logical.count" "{cpus}" Gauge "CPUs the host has online." {
        |of| whole(of, |sample| sample.online_cpus.map(u64::from))
    }
    "container.cpu.throttling_data.throttled_periods" "{periods}" Counter "Scheduler periods in which it was throttled." {
        |of| whole(of, |sample| sample.cpu_throttled_periods)
    }
    "container.cpu.throttling_data.throttled_time" "ns" Counter "Time it was throttled." {
        |of| whole(of, |sample| sample.cpu_throttled_ns)
    }
    "container.memory.usage" "By" UpDown "Memory in use, with the page cache." {
        |of| whole(of, |sample| sample.memory_total_bytes)
    }
    "container.memory.working_set" "By" UpDown "Memory in use as docker stats shows it: without the inactive page cache." {
        |of| whole(of, |sample| sample.memory_usage_bytes)
    }
    "container.memory.usage.limit" "By" UpDown "The limit, or the host's memory where the container has none." {
        |of| whole(of, |sample| sample.memory_limit_bytes)
    }
    "container.memory.percent" "1" Gauge "Working set, in percent of the limit." {
        |of| of.sample.memory_usage_percent.and_then(float)
    }
    "container.memory.cache" "By" UpDown "The page cache charged to the container." {
        |of| whole(of, |sample| sample.memory_cache_bytes)
    }
    "container.network.io" "By" Counter "Bytes over all interfaces." {
        "network.io.direction":
        "receive" => |of| whole(of, |sample| sample.network_rx_bytes),
        "transmit" => |of| whole(of, |sample| sample.network_tx_bytes),
    }
    "container.network.io.usage.rx_packets" "{packets}" Counter "Packets received." {
        |of| whole(of, |sample| sample.network_rx_packets)
    }
    "container.network.io.usage.tx_packets" "{packets}" Counter "Packets sent." {
        |of| whole(of, |sample| sample.network_tx_packets)
    }
    "container.network.io.usage.rx_errors" "{errors}" Counter "Receive errors." {
        |of| whole(of, |sample| sample.network_rx_errors)
    }
    "container.network.io.usage.tx_errors" "{errors}" Counter "Send errors." {
        |of| whole(of, |sample| sample.network_tx_errors)
    }
    "container.network.io.usage.rx_dropped" "{packets}" Counter "Received packets dropped." {
        |of| whole(of, |sample| sample.network_rx_dropped)
    }
    "container.network.io.usage.tx_dropped" "{packets}" Counter "Sent packets dropped." {
        |of| whole(of, |sample| sample.network_tx_dropped)
    }
    "container.disk.io" "By" Counter "Bytes read from and written to block devices." {
        "disk.io.direction":
        "read" => |of| whole(of, |sample| sample.block_read_bytes),
        "write" => |of| whole(of, |sample| sample.block_write_bytes),
    }
    "container.pids.count" "{pids}" UpDown "Processes and threads." {
        |of| whole(of, |sample| sample.pids)
    }
    "container.pids.limit" "{pids}" UpDown "The limit on them, where there is one." {
        |of| whole(of, |sample| sample.pids_limit)
    }
};

/// Of a container's state.
pub(crate) const OF_CONTAINERS: &[Metric<ContainerRecord>] = metrics! { ContainerRecord:
    "container.restarts" "{restarts}" Counter "Restarts by its restart policy; a manual start sets it back to 0." {
        |of| of.restart_count.and_then(unsigned)
    }
    "container.cpu.limit" "{cpus}" Gauge "CPU limit, where set." {
        |of| of.cpu_limit_cores.and_then(float)
    }
    "container.cpu.shares" "1" Gauge "Weight among others where CPU is scarce, where set." {
        |of| of.cpu_shares.and_then(unsigned)
    }
    "dockstream.container.state" "{container}" UpDown "1 for the state the container is in, 0 for every other." {
        "dockstream.container.state":
        "created" => |of| is(of.state, ContainerState::Created),
        "running" => |of| is(of.state, ContainerState::Running),
        "paused" => |of| is(of.state, ContainerState::Paused),
        "restarting" => |of| is(of.state, ContainerState::Restarting),
        "removing" => |of| is(of.state, ContainerState::Removing),
        "exited" => |of| is(of.state, ContainerState::Exited),
        "dead" => |of| is(of.state, ContainerState::Dead),
        "removed" => |of| is(of.state, ContainerState::Removed),
        "unknown" => |of| is(of.state, ContainerState::Unknown),
    }
};

/// Of a host's state.
pub(crate) const OF_HOSTS: &[Metric<HostRecord>] = metrics! { HostRecord:
    "dockstream.host.up" "1" Gauge "1 where its engine answers, 0 where it does not." {
        |of| is(of.status, HostStatus::Up)
    }
    "dockstream.host.containers" "{container}" UpDown "Containers by the last inventory." {
        |of| of.containers.and_then(unsigned)
    }
    "dockstream.host.containers.running" "{container}" UpDown "Running containers by the last inventory." {
        |of| of.containers_running.and_then(unsigned)
    }
    "dockstream.host.response_time" "s" Gauge "Time of the last ping's answer." {
        |of| of.response_ns.map(|nanos| Number::AsDouble(nanos as f64 / 1e9))
    }
    "system.cpu.logical.count" "{cpu}" UpDown "CPUs." {
        |of| of.cpus.map(|cpus| Number::AsInt(cpus.into()))
    }
    "system.memory.limit" "By" UpDown "Memory of the machine." {
        |of| of.memory_bytes.and_then(unsigned)
    }
};

/// What cannot be told in 63 bits is not known.
fn unsigned(value: u64) -> Option<Number> {
    i64::try_from(value).ok().map(Number::AsInt)
}

fn float(value: f64) -> Option<Number> {
    value.is_finite().then_some(Number::AsDouble(value))
}

fn whole(of: &StatsRecord, value: fn(&Sample) -> Option<u64>) -> Option<Number> {
    value(&of.sample).and_then(unsigned)
}

fn seconds(of: &StatsRecord, value: fn(&Sample) -> Option<u64>) -> Option<Number> {
    value(&of.sample).map(|nanos| Number::AsDouble(nanos as f64 / 1e9))
}

fn is<T: PartialEq>(one: T, other: T) -> Option<Number> {
    Some(Number::AsInt((one == other).into()))
}
