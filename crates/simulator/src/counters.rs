//! Counters: how they move, and what of them a frame shows.

use std::time::Duration;

use model::Timestamp;

use crate::profile::Cgroup;
use crate::spec::{ContainerSpec, Load, Network};

/// The counters of one frame, exactly as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// CPU, cumulative.
    pub cpu: CpuCounters,
    /// CPUs of the machine.
    pub online_cpus: u32,
    /// Memory, now.
    pub memory: MemoryCounters,
    /// One entry per interface; `None` where the frame has no `networks` key.
    pub networks: Option<Vec<InterfaceCounters>>,
    /// Bytes read from disk, cumulative.
    pub block_read_bytes: u64,
    /// Bytes written to disk, cumulative.
    pub block_write_bytes: u64,
    /// Processes, now.
    pub pids: u64,
    /// Their limit; `None` where there is none (cgroup v2 then says 2^64 − 1).
    pub pids_limit: Option<u64>,
}

/// CPU counters in nanoseconds and periods, cumulative over one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// All CPU time.
    pub total_ns: u64,
    /// In user mode, in the resolution of the cgroup version.
    pub user_ns: u64,
    /// In kernel mode, in the resolution of the cgroup version.
    pub kernel_ns: u64,
    /// CPU time of the whole machine, idle included, in steps of 10 ms.
    pub system_ns: u64,
    /// Enforcement periods.
    pub periods: u64,
    /// Of them, those in which it was throttled.
    pub throttled_periods: u64,
    /// Time it was throttled.
    pub throttled_ns: u64,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounters {
    /// `usage`: page cache included.
    pub usage_bytes: u64,
    /// `max_usage` (cgroup v1 only).
    pub max_usage_bytes: u64,
    /// Held by processes.
    pub anon_bytes: u64,
    /// Page cache.
    pub cache_bytes: u64,
    /// Of it, inactive: `docker stats` leaves this out of what it shows.
    pub inactive_file_bytes: u64,
    /// The container's limit, or the machine's memory.
    pub limit_bytes: u64,
    /// Page faults, cumulative.
    pub page_faults: u64,
}

/// Counters of one network interface, cumulative over one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Interface name, such as `eth0`.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
}

/// What was sent in one whole frame: the ground truth of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Number of the sample since the container was made, from 1. Streams of one container share samples.
    pub sequence: u64,
    /// The frame's `read`.
    pub read: Timestamp,
    /// Start of the run it belongs to.
    pub started_at: Timestamp,
    /// The counters.
    pub counters: Counters,
}

impl Truth {
    /// Memory as `docker stats` shows it: usage without the inactive page cache.
    pub fn memory_shown_bytes(&self) -> u64 {
        self.counters.memory.usage_bytes - self.counters.memory.inactive_file_bytes
    }

    /// Bytes received and sent over all interfaces; `None` where the frame has no networks.
    pub fn network_bytes(&self) -> Option<(u64, u64)> {
        let interfaces = self.counters.networks.as_ref()?;
        Some(interfaces.iter().fold((0, 0), |(rx, tx), interface| (rx + interface.rx_bytes, tx + interface.tx_bytes)))
    }
}

/// The machine the containers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
}

/// The counters of one run, in full resolution. A restart begins with a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    ran: Duration,
    cpu_ns: u64,
    periods: u64,
    throttled_periods: u64,
    throttled_ns: u64,
    received: u64,
    sent: u64,
    read: u64,
    written: u64,
    max_usage: u64,
}

const PERIOD: Duration = Duration::from_millis(100);
const PACKET: u64 = 700;
const PAGE: u64 = 4096;

impl Meter {
    /// Lets the load run for `time`.
    pub(crate) fn advance(&mut self, spec: &ContainerSpec, machine: Machine, time: Duration, rng: &mut fastrand::Rng) {
        let load = &spec.load;
        self.ran += time;
        let factor = wave(load, self.ran) * (1.0 + load.noise * (2.0 * rng.f64() - 1.0));
        let seconds = time.as_secs_f64();
        let limit = spec.cpu_limit.unwrap_or(f64::INFINITY).min(f64::from(machine.cpus));
        let wanted = load.cores * factor;
        let used = wanted.min(limit);
        self.cpu_ns += whole(used * seconds * 1e9);
        if spec.cpu_limit.is_some() {
            let periods = whole(time.as_secs_f64() / PERIOD.as_secs_f64());
            self.periods += periods;
            if wanted > used {
                self.throttled_periods += periods;
                self.throttled_ns += whole((wanted - used) * seconds * 1e9);
            }
        }
        let volume = |per_second: u64| whole(per_second as f64 * factor * seconds);
        self.received += volume(load.receive);
        self.sent += volume(load.send);
        self.read += volume(load.read) / PAGE * PAGE;
        self.written += volume(load.write) / PAGE * PAGE;
    }

    /// What a frame shows of it. `system_ns` is the machine's CPU time so far.
    pub(crate) fn counters(
        &mut self,
        spec: &ContainerSpec,
        machine: Machine,
        cgroup: Cgroup,
        system_ns: u64,
    ) -> Counters {
        // v1 counts the total exactly and the modes in scheduler ticks; v2 has microseconds throughout.
        let (total_step, mode_step) = match cgroup {
            Cgroup::V1 => (1, 10_000_000),
            Cgroup::V2 => (1_000, 1_000),
        };
        let floor = |value: u64, step: u64| value / step * step;
        let kernel = self.cpu_ns / 5;
        let memory = self.memory(spec, machine);
        self.max_usage = self.max_usage.max(memory.usage_bytes);
        Counters {
            cpu: CpuCounters {
                total_ns: floor(self.cpu_ns, total_step),
                user_ns: floor(self.cpu_ns - kernel, mode_step),
                kernel_ns: floor(kernel, mode_step),
                system_ns: floor(system_ns, 10_000_000),
                periods: self.periods,
                throttled_periods: self.throttled_periods,
                throttled_ns: self.throttled_ns,
            },
            online_cpus: machine.cpus,
            memory: MemoryCounters { max_usage_bytes: self.max_usage, ..memory },
            networks: match spec.network {
                Network::Own(count) => Some(self.interfaces(count)),
                Network::Host | Network::None | Network::SharedWith(_) => None,
            },
            block_read_bytes: self.read,
            block_write_bytes: self.written,
            pids: spec.load.pids,
            pids_limit: spec.pids_limit,
        }
    }

    fn memory(&self, spec: &ContainerSpec, machine: Machine) -> MemoryCounters {
        let limit = spec.memory_limit.unwrap_or(machine.memory_bytes);
        let grown = whole(spec.load.leak as f64 * self.ran.as_secs_f64());
        let anon = (spec.load.memory + grown).min(limit) / PAGE * PAGE;
        let cache = spec.load.cache.min(limit - anon) / PAGE * PAGE;
        MemoryCounters {
            usage_bytes: anon + cache,
            max_usage_bytes: 0,
            anon_bytes: anon,
            cache_bytes: cache,
            inactive_file_bytes: cache / 2 / PAGE * PAGE,
            limit_bytes: limit,
            page_faults: anon / PAGE + self.cpu_ns / 10_000_000,
        }
    }

    fn interfaces(&self, count: u8) -> Vec<InterfaceCounters> {
        let share = |total: u64, index: u8| (total + u64::from(index)) / u64::from(count);
        (0..count)
            .map(|index| InterfaceCounters {
                name: format!("eth{index}"),
                rx_bytes: share(self.received, index),
                rx_packets: share(self.received, index) / PACKET,
                tx_bytes: share(self.sent, index),
                tx_packets: share(self.sent, index) / PACKET,
            })
            .collect()
    }
}

/// Time from the start of a run until the load has outgrown its limit, where it will.
pub(crate) fn time_to_limit(spec: &ContainerSpec) -> Option<Duration> {
    let limit = spec.memory_limit?;
    if spec.load.leak == 0 {
        return None;
    }
    Some(Duration::from_secs_f64(limit.saturating_sub(spec.load.memory) as f64 / spec.load.leak as f64))
}

/// `total` cut into one share per CPU; the shares add up to it, and each only rises as it rises.
pub(crate) fn per_cpu(total_ns: u64, cpus: u32) -> impl Iterator<Item = u64> {
    (0..u64::from(cpus)).map(move |index| (total_ns + index) / u64::from(cpus))
}

fn wave(load: &Load, at: Duration) -> f64 {
    if load.swing == 0.0 {
        return 1.0;
    }
    1.0 + load.swing * (std::f64::consts::TAU * at.as_secs_f64() / load.period.as_secs_f64()).sin()
}

/// Rounds to a whole number; what cannot be counted is 0.
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { cpus: 4, memory_bytes: 8 << 30 };

    fn run(spec: &ContainerSpec, cgroup: Cgroup, seed: u64, seconds: u64) -> Vec<Counters> {
        let (mut meter, mut rng) = (Meter::default(), fastrand::Rng::with_seed(seed));
        (1..=seconds)
            .map(|second| {
                meter.advance(spec, MACHINE, Duration::from_secs(1), &mut rng);
                meter.counters(spec, MACHINE, cgroup, second * 4_000_000_000)
            })
            .collect()
    }

    #[test]
    fn a_steady_load_uses_exactly_its_cores() {
        let counters = run(&ContainerSpec::new("a").load(Load::steady(0.5)), Cgroup::V1, 1, 4);
        assert_eq!(
            counters.iter().map(|c| c.cpu.total_ns).collect::<Vec<_>>(),
            [500_000_000, 1_000_000_000, 1_500_000_000, 2_000_000_000]
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_counters_and_another_seed_others() {
        let spec = ContainerSpec::new("a").load(Load::database(0.3));
        assert_eq!(run(&spec, Cgroup::V2, 7, 20), run(&spec, Cgroup::V2, 7, 20));
        assert_ne!(run(&spec, Cgroup::V2, 7, 20), run(&spec, Cgroup::V2, 8, 20));
    }

    #[test]
    fn cumulative_counters_never_fall_within_a_run() {
        let spec = ContainerSpec::new("a").load(Load::database(0.7)).network(Network::Own(3));
        for pair in run(&spec, Cgroup::V2, 3, 60).windows(2) {
            assert!(pair[0].cpu.total_ns <= pair[1].cpu.total_ns);
            assert!(pair[0].block_read_bytes <= pair[1].block_read_bytes);
            for (before, after) in pair[0].networks.iter().flatten().zip(pair[1].networks.iter().flatten()) {
                assert!(before.rx_bytes <= after.rx_bytes && before.tx_packets <= after.tx_packets);
            }
        }
    }

    #[test]
    fn a_cpu_limit_throttles_and_says_so() {
        let counters = run(&ContainerSpec::new("a").load(Load::steady(2.0)).cpu_limit(0.5), Cgroup::V2, 1, 1);
        let cpu = counters[0].cpu;
        assert_eq!((cpu.total_ns, cpu.periods, cpu.throttled_periods), (500_000_000, 10, 10));
        assert_eq!(cpu.throttled_ns, 1_500_000_000);
    }

    #[test]
    fn a_leak_reaches_its_limit_when_foretold() {
        let spec = ContainerSpec::new("a").load(Load::leak(16 << 20)).memory_limit(64 << 20);
        assert_eq!(time_to_limit(&spec), Some(Duration::from_secs(3)));
        assert_eq!(run(&spec, Cgroup::V2, 1, 5)[4].memory.usage_bytes, 64 << 20);
    }

    #[test]
    fn the_cpus_share_the_total_without_losing_a_nanosecond() {
        for total in [0, 1, 2, 3, 5, 1_000_003] {
            assert_eq!(per_cpu(total, 4).sum::<u64>(), total);
        }
    }
}
