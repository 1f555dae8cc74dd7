//! A stats frame as counters: what one answer of the engine says, decoded, before any computation.

use crate::Timestamp;

/// The system the engine's containers run on: it decides which formulas hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OsFamily {
    /// Linux, cgroup v1 or v2.
    #[default]
    Linux,
    /// Windows: CPU in 100 ns units, memory as private working set.
    Windows,
}

/// What CPU use is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CpuClock {
    /// `system_cpu_usage`, as `docker stats` does.
    #[default]
    System,
    /// The time between two reads: for engines whose `system_cpu_usage` is not the host's (Podman).
    Wall,
}

/// CPU counters, in nanoseconds (Windows: 100 ns units, as in the frame).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// `cpu_usage.total_usage`.
    pub total: Option<u64>,
    /// `cpu_usage.usage_in_usermode`.
    pub user: Option<u64>,
    /// `cpu_usage.usage_in_kernelmode`.
    pub kernel: Option<u64>,
    /// `system_cpu_usage`.
    pub system: Option<u64>,
    /// `online_cpus`, or the length of `percpu_usage` where that is missing or zero.
    pub online_cpus: Option<u32>,
    /// `throttling_data.throttled_periods`.
    pub throttled_periods: Option<u64>,
    /// `throttling_data.throttled_time`.
    pub throttled: Option<u64>,
}

/// Memory counters, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounters {
    /// `usage`.
    pub usage: Option<u64>,
    /// `limit`.
    pub limit: Option<u64>,
    /// `stats.total_inactive_file` (cgroup v1).
    pub total_inactive_file: Option<u64>,
    /// `stats.inactive_file` (both; on v2 it is the one that counts).
    pub inactive_file: Option<u64>,
    /// `stats.total_cache` or `stats.cache` (v1), `stats.file` (v2).
    pub cache: Option<u64>,
    /// `privateworkingset` (Windows).
    pub private_working_set: Option<u64>,
}

/// Network counters summed over all interfaces of the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the engine's frame")]
pub struct NetworkCounters {
    /// How many interfaces the sums are of: one that is gone must not pass for traffic that was not.
    pub interfaces: u32,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

/// Block device bytes, summed over devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounters {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub write: u64,
}

/// One decoded stats frame. Copies; owns nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// When the engine read the counters; `None` in the placeholder of a container that does not run.
    pub read: Option<Timestamp>,
    /// When the engine read the sample before; `None` in a first frame.
    pub preread: Option<Timestamp>,
    /// `num_procs`: processors of a Windows host, 0 elsewhere.
    pub num_procs: u32,
    /// CPU.
    pub cpu: CpuCounters,
    /// Memory.
    pub memory: MemoryCounters,
    /// Network; `None` where the frame has no interfaces.
    pub network: Option<NetworkCounters>,
    /// Block I/O; `None` where the frame has no list.
    pub block: Option<BlockCounters>,
    /// `pids_stats.current`.
    pub pids: Option<u64>,
    /// `pids_stats.limit`; `None` where absent or 2^64 − 1 (no limit).
    pub pids_limit: Option<u64>,
}
