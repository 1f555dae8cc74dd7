//! From counters to a sample: the formulas of `docker stats`, over our own previous frame.
//!
//! The formulas follow docker/cli, `cli/command/container/stats_helpers.go`, operation by operation, so that
//! a value equals what `docker stats` would compute from the same counters, bit for bit. The command line
//! takes both sets of counters from one frame (`cpu_stats`, `precpu_stats`); here the earlier set is the
//! frame we saw before, which is the same for consecutive frames and right where `precpu_stats` is not:
//! after a one-shot request it is zero, after a quick restart it is the life before.
//!
//! Where the command line prints 0 because it cannot know, a [`Sample`] has `None`.

use crate::{CpuClock, CpuCounters, Frame, MemoryCounters, NetworkCounters, OsFamily, Sample};

/// Length of a Windows CPU tick.
const WINDOWS_TICK_NS: u64 = 100;

/// Computes the sample that `frame` gives over `previous`, the frame before it of the same run.
///
/// Pass `None` for the first frame of a run: cumulative values are known then, deltas and rates are not.
/// A frame whose CPU total lies below the previous one starts a new run by itself. A single other counter
/// that went down (an interface was taken away) loses only its own delta. A frame without `read` is the
/// placeholder of a container that does not run: nothing in it is known.
pub fn sample(previous: Option<&Frame>, frame: &Frame, os: OsFamily, clock: CpuClock) -> Sample {
    if frame.read.is_none() {
        return Sample::default();
    }
    let previous = previous.filter(|earlier| earlier.read.is_some() && !is_reset(earlier, frame));
    let interval_ns = previous.and_then(|earlier| elapsed(earlier, frame));
    let tick = match os {
        OsFamily::Linux => 1,
        OsFamily::Windows => WINDOWS_TICK_NS,
    };
    let nanos = |ticks: Option<u64>| ticks.and_then(|ticks| ticks.checked_mul(tick));

    let cpu = &frame.cpu;
    let network = frame.network.as_ref();
    let network_before = match (previous.and_then(|earlier| earlier.network.as_ref()), network) {
        (Some(earlier), Some(now)) if now.interfaces >= earlier.interfaces => Some(earlier),
        _ => None,
    };
    let block_before = previous.and_then(|earlier| earlier.block.as_ref());
    let memory_usage_bytes = memory_usage(&frame.memory, os);
    // The engine leaves the limit out where it knows none: a limit of 0 is not one.
    let memory_limit_bytes = frame.memory.limit.filter(|limit| *limit > 0);

    Sample {
        cpu_usage_percent: previous.and_then(|earlier| cpu_percent(earlier, frame, os, clock)),
        cpu_usage_ns: nanos(cpu.total),
        cpu_user_ns: nanos(cpu.user),
        cpu_kernel_ns: nanos(cpu.kernel),
        system_cpu_ns: match clock {
            CpuClock::System => nanos(cpu.system),
            CpuClock::Wall => None,
        },
        online_cpus: cpu
            .online_cpus
            .or_else(|| (os == OsFamily::Windows && frame.num_procs > 0).then_some(frame.num_procs)),
        cpu_throttled_periods: cpu.throttled_periods,
        cpu_throttled_ns: nanos(cpu.throttled),
        memory_usage_bytes,
        memory_total_bytes: frame.memory.usage,
        memory_limit_bytes,
        memory_usage_percent: memory_usage_bytes
            .zip(memory_limit_bytes)
            .map(|(used, limit)| memory_percent(used, limit)),
        memory_cache_bytes: frame.memory.cache,
        network_rx_bytes: network.map(|network| network.rx_bytes),
        network_tx_bytes: network.map(|network| network.tx_bytes),
        network_rx_packets: network.map(|network| network.rx_packets),
        network_tx_packets: network.map(|network| network.tx_packets),
        network_rx_errors: network.map(|network| network.rx_errors),
        network_tx_errors: network.map(|network| network.tx_errors),
        network_rx_dropped: network.map(|network| network.rx_dropped),
        network_tx_dropped: network.map(|network| network.tx_dropped),
        block_read_bytes: frame.block.map(|block| block.read),
        block_write_bytes: frame.block.map(|block| block.write),
        pids: frame.pids,
        pids_limit: frame.pids_limit,
        interval_ns,
        cpu_usage_delta_ns: nanos(growth(previous.and_then(|earlier| earlier.cpu.total), cpu.total)),
        cpu_throttled_delta_ns: nanos(growth(previous.and_then(|earlier| earlier.cpu.throttled), cpu.throttled)),
        network_rx_delta_bytes: network_growth(network_before, network, |network| network.rx_bytes),
        network_tx_delta_bytes: network_growth(network_before, network, |network| network.tx_bytes),
        block_read_delta_bytes: growth(block_before.map(|block| block.read), frame.block.map(|block| block.read)),
        block_write_delta_bytes: growth(block_before.map(|block| block.write), frame.block.map(|block| block.write)),
    }
}

/// CPU use by the formula that holds for this engine; `None` where a counter is missing or went back.
fn cpu_percent(earlier: &Frame, frame: &Frame, os: OsFamily, clock: CpuClock) -> Option<f64> {
    match (os, clock) {
        (OsFamily::Linux, CpuClock::System) => cpu_percent_linux(&earlier.cpu, &frame.cpu),
        (OsFamily::Linux, CpuClock::Wall) => {
            Some(cpu_percent_wall(growth(earlier.cpu.total, frame.cpu.total)?, elapsed(earlier, frame)?))
        }
        (OsFamily::Windows, _) => {
            let used = growth(earlier.cpu.total, frame.cpu.total)?;
            cpu_percent_windows(used, elapsed(earlier, frame)?, frame.num_procs)
        }
    }
}

/// `calculateCPUPercentUnix`: 100 is one full core, the most is 100 × `online_cpus`.
///
/// `None` where a counter is missing or went back, and where the host's clock stood still: the command line
/// prints 0 for these.
pub fn cpu_percent_linux(earlier: &CpuCounters, now: &CpuCounters) -> Option<f64> {
    let (total_before, total) = (earlier.total?, now.total?);
    let (system_before, system) = (earlier.system?, now.system?);
    let cpus = now.online_cpus.filter(|cpus| *cpus > 0)?;
    if total < total_before || system <= system_before {
        return None;
    }
    // Each counter becomes a float before the subtraction, as there: past 2^53 the result differs.
    let used = total as f64 - total_before as f64;
    let passed = system as f64 - system_before as f64;
    Some(if passed > 0.0 && used > 0.0 { (used / passed) * f64::from(cpus) * 100.0 } else { 0.0 })
}

/// CPU time over wall time: for engines whose system counter is not the host's (Podman). 100 is one full core.
/// Both in nanoseconds; `elapsed_ns` is above 0.
pub fn cpu_percent_wall(used_ns: u64, elapsed_ns: u64) -> f64 {
    used_ns as f64 / elapsed_ns as f64 * 100.0
}

/// `calculateCPUPercentWindows`: `used_ticks` of 100 ns over what all processors could have used. 100 is all processors.
/// `None` where nothing could have been used.
pub fn cpu_percent_windows(used_ticks: u64, elapsed_ns: u64, processors: u32) -> Option<f64> {
    let possible = (elapsed_ns / WINDOWS_TICK_NS).saturating_mul(u64::from(processors));
    (possible > 0).then(|| used_ticks as f64 / possible as f64 * 100.0)
}

/// `calculateMemUsageUnixNoCache`, or the private working set on Windows: in bytes.
///
/// Both comparisons are strict, and a cgroup v1 frame whose `total_inactive_file` is no part of the usage
/// falls through to `inactive_file`, as there.
pub fn memory_usage(memory: &MemoryCounters, os: OsFamily) -> Option<u64> {
    if os == OsFamily::Windows {
        return memory.private_working_set;
    }
    let usage = memory.usage?;
    let cold = [memory.total_inactive_file, memory.inactive_file].into_iter().flatten().find(|cold| *cold < usage);
    Some(usage - cold.unwrap_or(0))
}

/// `calculateMemPercentUnixNoCache`: 0 where `limit` is 0.
pub fn memory_percent(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 * 100.0 }
}

/// True where the counters of `frame` began anew after `earlier`: the container was restarted in between.
pub fn is_reset(earlier: &Frame, frame: &Frame) -> bool {
    matches!((earlier.cpu.total, frame.cpu.total), (Some(before), Some(now)) if now < before)
}

/// Nanoseconds between two reads; `None` where the engine's clock did not move forward.
fn elapsed(earlier: &Frame, frame: &Frame) -> Option<u64> {
    u64::try_from(frame.read?.nanos_since(earlier.read?)).ok().filter(|nanos| *nanos > 0)
}

/// What a counter gained; `None` where it is not known, or went back.
fn growth(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    now?.checked_sub(before?)
}

fn network_growth(
    before: Option<&NetworkCounters>,
    now: Option<&NetworkCounters>,
    counter: fn(&NetworkCounters) -> u64,
) -> Option<u64> {
    growth(before.map(counter), now.map(counter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockCounters, Timestamp};

    const SECOND: i64 = 1_000_000_000;

    fn frame(second: i64) -> Frame {
        Frame {
            read: Some(Timestamp::from_nanos(second * SECOND)),
            cpu: CpuCounters {
                total: Some(200_000_000 * second as u64),
                system: Some(2_000_000_000 * second as u64),
                online_cpus: Some(2),
                throttled: Some(1_000 * second as u64),
                ..CpuCounters::default()
            },
            memory: MemoryCounters {
                usage: Some(500),
                limit: Some(1_000),
                inactive_file: Some(100),
                ..MemoryCounters::default()
            },
            network: Some(NetworkCounters {
                interfaces: 1,
                rx_bytes: 10 * second as u64,
                tx_bytes: 20 * second as u64,
                ..NetworkCounters::default()
            }),
            block: Some(BlockCounters { read: 30 * second as u64, write: 40 * second as u64 }),
            pids: Some(3),
            ..Frame::default()
        }
    }

    fn linux(previous: Option<&Frame>, frame: &Frame) -> Sample {
        sample(previous, frame, OsFamily::Linux, CpuClock::System)
    }

    fn memory(usage: u64, v1: Option<u64>, v2: Option<u64>) -> MemoryCounters {
        MemoryCounters { usage: Some(usage), total_inactive_file: v1, inactive_file: v2, ..MemoryCounters::default() }
    }

    fn derived(sample: &Sample) -> [Option<u64>; 7] {
        [
            sample.interval_ns,
            sample.cpu_usage_delta_ns,
            sample.cpu_throttled_delta_ns,
            sample.network_rx_delta_bytes,
            sample.network_tx_delta_bytes,
            sample.block_read_delta_bytes,
            sample.block_write_delta_bytes,
        ]
    }

    #[test]
    fn two_frames_give_cpu_use_in_percent_of_one_core_and_every_delta() {
        let sample = linux(Some(&frame(5)), &frame(7));
        assert_eq!(sample.cpu_usage_percent, Some(20.0));
        assert_eq!(derived(&sample), [2_000_000_000, 400_000_000, 2_000, 20, 40, 60, 80].map(Some));
        assert_eq!((sample.network_rx_bytes, sample.block_write_bytes, sample.pids), (Some(70), Some(280), Some(3)));
    }

    #[test]
    fn a_first_frame_has_counters_but_neither_rate_nor_delta() {
        let sample = linux(None, &frame(5));
        assert_eq!(sample.cpu_usage_percent, None);
        assert_eq!(derived(&sample), [None; 7]);
        assert_eq!((sample.cpu_usage_ns, sample.memory_usage_bytes), (Some(1_000_000_000), Some(400)));
    }

    #[test]
    fn the_placeholder_of_a_stopped_container_has_no_values_at_all() {
        let placeholder = Frame { read: None, ..frame(7) };
        assert_eq!(linux(Some(&frame(5)), &placeholder), Sample::default());
    }

    #[test]
    fn a_placeholder_is_no_frame_to_compare_with() {
        let placeholder = Frame { read: None, ..frame(5) };
        assert_eq!(linux(Some(&placeholder), &frame(7)), linux(None, &frame(7)));
    }

    #[test]
    fn a_restart_between_two_frames_leaves_nothing_to_compare() {
        let mut after = frame(7);
        after.cpu.total = Some(1);
        after.network = Some(NetworkCounters { interfaces: 1, rx_bytes: u64::MAX, ..NetworkCounters::default() });
        let sample = linux(Some(&frame(5)), &after);
        assert_eq!(sample.cpu_usage_percent, None);
        assert_eq!(derived(&sample), [None; 7]);
        assert_eq!(sample.cpu_usage_ns, Some(1));
    }

    #[test]
    fn one_counter_that_went_back_loses_only_its_own_delta() {
        let mut after = frame(7);
        after.network =
            Some(NetworkCounters { interfaces: 1, rx_bytes: 0, tx_bytes: 999, ..NetworkCounters::default() });
        let sample = linux(Some(&frame(5)), &after);
        assert_eq!((sample.network_rx_delta_bytes, sample.network_tx_delta_bytes), (None, Some(899)));
        assert_eq!((sample.cpu_usage_percent, sample.block_read_delta_bytes), (Some(20.0), Some(60)));
    }

    #[test]
    fn a_lost_interface_hides_no_traffic_behind_the_growth_of_the_others() {
        let mut before = frame(5);
        before.network = Some(NetworkCounters { interfaces: 2, rx_bytes: 60, ..NetworkCounters::default() });
        let sample = linux(Some(&before), &frame(7));
        assert_eq!((sample.network_rx_bytes, sample.network_rx_delta_bytes), (Some(70), None));
    }

    #[test]
    fn a_container_without_interfaces_has_no_network_values() {
        let bare = |second| Frame { network: None, ..frame(second) };
        let sample = linux(Some(&bare(5)), &bare(7));
        assert_eq!(
            (sample.network_rx_bytes, sample.network_tx_delta_bytes, sample.network_rx_dropped),
            (None, None, None)
        );
        assert_eq!(linux(Some(&bare(5)), &frame(7)).network_rx_delta_bytes, None);
    }

    #[test]
    fn an_idle_container_uses_exactly_nothing() {
        let mut after = frame(7);
        after.cpu.total = frame(5).cpu.total;
        let sample = linux(Some(&frame(5)), &after);
        assert_eq!((sample.cpu_usage_percent, sample.cpu_usage_delta_ns), (Some(0.0), Some(0)));
    }

    #[test]
    fn a_host_clock_that_stood_still_gives_no_cpu_use() {
        let mut after = frame(7);
        after.cpu.system = frame(5).cpu.system;
        assert_eq!(linux(Some(&frame(5)), &after).cpu_usage_percent, None);
    }

    #[test]
    fn without_a_count_of_cpus_there_is_no_cpu_use() {
        let mut after = frame(7);
        after.cpu.online_cpus = None;
        assert_eq!(linux(Some(&frame(5)), &after).cpu_usage_percent, None);
    }

    #[test]
    fn the_cpu_formula_subtracts_floats_as_the_command_line_does() {
        let at = |total, system| CpuCounters {
            total: Some(total),
            system: Some(system),
            online_cpus: Some(3),
            ..CpuCounters::default()
        };
        let (before, now) = (at((1 << 53) + 1, (1 << 60) + 1), at((1 << 53) + 8, (1 << 60) + 999));
        let used = ((1u64 << 53) + 8) as f64 - ((1u64 << 53) + 1) as f64;
        let passed = ((1u64 << 60) + 999) as f64 - ((1u64 << 60) + 1) as f64;
        assert_eq!(cpu_percent_linux(&before, &now).map(f64::to_bits), Some(((used / passed) * 3.0 * 100.0).to_bits()));
    }

    #[test]
    fn cpu_over_wall_time_needs_no_system_counter_and_reports_none() {
        let mut after = frame(7);
        after.cpu.system = Some(0);
        let sample = sample(Some(&frame(5)), &after, OsFamily::Linux, CpuClock::Wall);
        assert_eq!((sample.cpu_usage_percent, sample.system_cpu_ns), (Some(20.0), None));
    }

    #[test]
    fn the_command_lines_vectors_for_memory_use_hold() {
        let linux = |memory| memory_usage(&memory, OsFamily::Linux);
        assert_eq!(linux(memory(500, Some(400), None)), Some(100));
        assert_eq!(linux(memory(500, None, Some(400))), Some(100));
        assert_eq!(linux(memory(500, Some(500), Some(100))), Some(400), "v1 falls through to inactive_file");
        assert_eq!(linux(memory(500, Some(501), Some(500))), Some(500), "both comparisons are strict");
        assert_eq!(linux(memory(500, None, None)), Some(500));
        assert_eq!(linux(MemoryCounters::default()), None);
    }

    #[test]
    fn the_command_lines_vectors_for_memory_percent_hold() {
        assert_eq!(memory_percent(70, 100), 70.0);
        assert_eq!(memory_percent(70, 0), 0.0);
    }

    #[test]
    fn memory_without_a_limit_has_no_percentage() {
        for limit in [None, Some(0)] {
            let mut after = frame(7);
            after.memory.limit = limit;
            let sample = linux(Some(&frame(5)), &after);
            assert_eq!((sample.memory_limit_bytes, sample.memory_usage_percent), (None, None));
        }
    }

    #[test]
    fn windows_counts_in_hundred_nanosecond_ticks_over_all_processors() {
        let mut before = Frame { num_procs: 4, read: frame(5).read, ..Frame::default() };
        before.cpu.total = Some(10_000_000);
        let mut after = Frame { read: frame(7).read, ..before };
        after.cpu.total = Some(30_000_000);
        after.memory = MemoryCounters { private_working_set: Some(77), ..MemoryCounters::default() };
        let sample = sample(Some(&before), &after, OsFamily::Windows, CpuClock::System);
        assert_eq!(sample.cpu_usage_percent, Some(25.0), "2 of 8 processor seconds");
        assert_eq!((sample.cpu_usage_ns, sample.cpu_usage_delta_ns), (Some(3_000_000_000), Some(2_000_000_000)));
        assert_eq!(
            (sample.memory_usage_bytes, sample.memory_usage_percent, sample.online_cpus),
            (Some(77), None, Some(4))
        );
    }
}
