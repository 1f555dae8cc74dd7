//! What holds of every sample, whatever the counters are.

use model::compute::{
    cpu_percent_linux, cpu_percent_wall, cpu_percent_windows, is_reset, memory_percent, memory_usage, sample,
};
use model::{
    BlockCounters, CpuClock, CpuCounters, Frame, MemoryCounters, NetworkCounters, OsFamily, Sample, Timestamp,
};
use proptest::prelude::*;

/// Any counter, with the extremes far more often than chance would bring them.
fn counter() -> BoxedStrategy<u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(1 << 53),
        any::<u64>(),
        0..10_000_000_000_u64
    ]
    .boxed()
}

fn known() -> impl Strategy<Value = Option<u64>> {
    proptest::option::weighted(0.9, counter())
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let nanos = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>(), 0..10_000_000_000_i64];
    proptest::option::weighted(0.9, nanos.prop_map(Timestamp::from_nanos))
}

prop_compose! {
    fn cpu()(total in known(), user in known(), kernel in known(), system in known(),
             online_cpus in proptest::option::of(prop_oneof![Just(0), Just(u32::MAX), 1..256_u32]),
             throttled_periods in known(), throttled in known()) -> CpuCounters {
        CpuCounters { total, user, kernel, system, online_cpus, throttled_periods, throttled }
    }
}

prop_compose! {
    fn memory()(usage in known(), limit in known(), total_inactive_file in known(), inactive_file in known(),
                cache in known(), private_working_set in known()) -> MemoryCounters {
        MemoryCounters { usage, limit, total_inactive_file, inactive_file, cache, private_working_set }
    }
}

prop_compose! {
    fn network()(interfaces in 1..4_u32, rx_bytes in counter(), tx_bytes in counter()) -> NetworkCounters {
        NetworkCounters { interfaces, rx_bytes, tx_bytes, ..NetworkCounters::default() }
    }
}

prop_compose! {
    fn frame()(read in time(), num_procs in prop_oneof![Just(0), Just(u32::MAX), 1..64_u32], cpu in cpu(), memory in memory(),
               network in proptest::option::of(network()),
               block in proptest::option::of((counter(), counter()).prop_map(|(read, write)| BlockCounters { read, write })),
               pids in known(), pids_limit in known()) -> Frame {
        Frame { read, preread: None, num_procs, cpu, memory, network, block, pids, pids_limit }
    }
}

fn os() -> impl Strategy<Value = OsFamily> {
    prop_oneof![Just(OsFamily::Linux), Just(OsFamily::Windows)]
}

fn clock() -> impl Strategy<Value = CpuClock> {
    prop_oneof![Just(CpuClock::System), Just(CpuClock::Wall)]
}

fn derived(sample: &Sample) -> [bool; 8] {
    [
        sample.cpu_usage_percent.is_some(),
        sample.interval_ns.is_some(),
        sample.cpu_usage_delta_ns.is_some(),
        sample.cpu_throttled_delta_ns.is_some(),
        sample.network_rx_delta_bytes.is_some(),
        sample.network_tx_delta_bytes.is_some(),
        sample.block_read_delta_bytes.is_some(),
        sample.block_write_delta_bytes.is_some(),
    ]
}

/// `calculateCPUPercentUnix` as it stands in docker/cli, 0 for what it cannot know.
fn command_line(earlier: &CpuCounters, now: &CpuCounters) -> f64 {
    let counter = |value: Option<u64>| value.unwrap_or(0) as f64;
    let used = counter(now.total) - counter(earlier.total);
    let passed = counter(now.system) - counter(earlier.system);
    let cpus = f64::from(now.online_cpus.unwrap_or(0));
    if passed > 0.0 && used > 0.0 { (used / passed) * cpus * 100.0 } else { 0.0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn percentages_are_finite_and_never_negative(before in frame(), now in frame(), os in os(), clock in clock()) {
        let sample = sample(Some(&before), &now, os, clock);
        for percent in [sample.cpu_usage_percent, sample.memory_usage_percent].into_iter().flatten() {
            prop_assert!(percent.is_finite() && percent >= 0.0, "{percent}");
        }
    }

    #[test]
    fn every_delta_is_exactly_what_the_counter_gained(before in frame(), now in frame(), clock in clock()) {
        let sample = sample(Some(&before), &now, OsFamily::Linux, clock);
        if let Some(delta) = sample.cpu_usage_delta_ns {
            prop_assert_eq!(before.cpu.total.and_then(|total| total.checked_add(delta)), now.cpu.total);
        }
        if let Some(delta) = sample.network_tx_delta_bytes {
            prop_assert_eq!(before.network.and_then(|network| network.tx_bytes.checked_add(delta)), now.network.map(|network| network.tx_bytes));
        }
        if let Some(delta) = sample.block_read_delta_bytes {
            prop_assert_eq!(before.block.and_then(|block| block.read.checked_add(delta)), now.block.map(|block| block.read));
        }
    }

    #[test]
    fn nothing_is_compared_across_a_reset(before in frame(), now in frame(), fallen in counter(), os in os(), clock in clock()) {
        let (mut before, mut now) = (before, now);
        let total = before.cpu.total.unwrap_or(0).max(1);
        before.cpu.total = Some(total);
        now.cpu.total = Some(fallen % total);
        prop_assert!(is_reset(&before, &now));
        let across = sample(Some(&before), &now, os, clock);
        prop_assert_eq!(derived(&across), [false; 8]);
        prop_assert_eq!(across, sample(None, &now, os, clock), "a reset is a first frame");
    }

    #[test]
    fn a_first_frame_is_compared_with_nothing(now in frame(), os in os(), clock in clock()) {
        prop_assert_eq!(derived(&sample(None, &now, os, clock)), [false; 8]);
    }

    #[test]
    fn known_cpu_use_equals_the_command_line_bit_for_bit(before in cpu(), now in cpu()) {
        match cpu_percent_linux(&before, &now) {
            Some(percent) => prop_assert_eq!(percent.to_bits(), command_line(&before, &now).to_bits()),
            None => prop_assert!(
                before.total.is_none() || now.total.is_none() || before.system.is_none() || now.system.is_none()
                    || now.online_cpus.unwrap_or(0) == 0 || now.total < before.total || now.system <= before.system
            ),
        }
    }

    #[test]
    fn memory_in_use_is_never_more_than_the_total(memory in memory()) {
        match (memory_usage(&memory, OsFamily::Linux), memory.usage) {
            (Some(used), Some(usage)) => prop_assert!(used <= usage),
            (used, usage) => prop_assert_eq!(used, usage),
        }
    }

    #[test]
    fn the_single_formulas_stay_finite_at_the_extremes(a in counter(), b in counter(), processors in any::<u32>()) {
        prop_assert!(memory_percent(a, b).is_finite());
        prop_assert!(cpu_percent_wall(a, b.max(1)).is_finite());
        prop_assert!(cpu_percent_windows(a, b, processors).is_none_or(|percent| percent.is_finite() && percent >= 0.0));
    }
}
