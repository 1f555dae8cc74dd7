//! Stats frames of real engines: three decoders that must agree, and values that must equal `docker stats`.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use engine::frame::{decode, decode_direct, decode_typed};
use model::compute::sample;
use model::{BlockCounters, CpuClock, CpuCounters, Frame, LossReason, MemoryCounters, NetworkCounters, OsFamily};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames")
}

fn recorded(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every recorded stats frame, with where it stands.
fn stats_frames() -> Vec<(String, String)> {
    let mut frames = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let other = ["events", "info", "inspect", "list", "version", "README"].iter().any(|word| name.contains(word));
        if !other {
            frames.extend(
                recorded(&name)
                    .lines()
                    .enumerate()
                    .map(|(line, frame)| (format!("{name}:{}", line + 1), frame.to_owned())),
            );
        }
    }
    frames.sort();
    assert!(frames.len() > 150, "only {} frames found", frames.len());
    frames
}

fn lines(name: &str) -> Vec<Frame> {
    recorded(name).lines().map(|line| decode(line.as_bytes()).unwrap()).collect()
}

/// The frame as bollard's typed model has it.
fn through_bollard(text: &str) -> Frame {
    let stats: bollard::models::ContainerStatsResponse = serde_json::from_str(text).unwrap();
    let time = |time: Option<String>| time.filter(|time| !time.starts_with("0001-")).map(|time| time.parse().unwrap());
    let cpu = stats.cpu_stats.unwrap();
    let usage = cpu.cpu_usage.unwrap_or_default();
    let throttling = cpu.throttling_data.unwrap_or_default();
    let memory = stats.memory_stats.unwrap_or_default();
    let listed = memory.stats.unwrap_or_default();
    let of = |name: &str| listed.get(name).copied();
    let pids = stats.pids_stats.unwrap_or_default();
    let storage = stats.storage_stats.unwrap_or_default();
    let interfaces = stats.networks.unwrap_or_default();
    let total = |counter: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
        interfaces.values().filter_map(counter).sum()
    };
    let block = stats.blkio_stats.and_then(|blkio| blkio.io_service_bytes_recursive).map(|entries| {
        let total = |wanted: &str| {
            entries
                .iter()
                .filter(|entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(wanted)))
                .filter_map(|entry| entry.value)
                .sum()
        };
        BlockCounters { read: total("read"), write: total("write") }
    });
    let on_windows =
        storage.read_size_bytes.zip(storage.write_size_bytes).map(|(read, write)| BlockCounters { read, write });
    let percpu = usage.percpu_usage.map(|usage| usage.len() as u32).filter(|count| *count > 0);
    Frame {
        read: time(stats.read),
        preread: time(stats.preread),
        num_procs: stats.num_procs.unwrap_or(0),
        cpu: CpuCounters {
            total: usage.total_usage,
            user: usage.usage_in_usermode,
            kernel: usage.usage_in_kernelmode,
            system: cpu.system_cpu_usage,
            online_cpus: cpu.online_cpus.filter(|count| *count > 0).or(percpu),
            throttled_periods: throttling.throttled_periods,
            throttled: throttling.throttled_time,
        },
        memory: MemoryCounters {
            usage: memory.usage,
            limit: memory.limit,
            total_inactive_file: of("total_inactive_file"),
            inactive_file: of("inactive_file"),
            cache: of("total_cache").or(of("cache")).or(of("file")),
            private_working_set: memory.privateworkingset,
        },
        network: (!interfaces.is_empty()).then(|| NetworkCounters {
            interfaces: interfaces.len() as u32,
            rx_bytes: total(|interface| interface.rx_bytes),
            tx_bytes: total(|interface| interface.tx_bytes),
            rx_packets: total(|interface| interface.rx_packets),
            tx_packets: total(|interface| interface.tx_packets),
            rx_errors: total(|interface| interface.rx_errors),
            tx_errors: total(|interface| interface.tx_errors),
            rx_dropped: total(|interface| interface.rx_dropped),
            tx_dropped: total(|interface| interface.tx_dropped),
        }),
        block: block.or(on_windows),
        pids: pids.current,
        pids_limit: pids.limit.filter(|limit| *limit != u64::MAX),
    }
}

#[test]
fn every_recorded_frame_decodes_alike_directly_through_serde_and_through_bollard() {
    for (place, frame) in stats_frames() {
        let typed = decode_typed(frame.as_bytes()).unwrap_or_else(|reason| panic!("{place}: {reason}"));
        assert_eq!(typed, through_bollard(&frame), "{place}");
        assert_eq!(decode_direct(frame.as_bytes()), Some(typed), "{place}: the direct path must not need serde");
    }
}

#[test]
fn every_engines_frame_of_a_running_container_has_its_values() {
    for engine in ["d20v1", "d26v2", "d28v2", "p43v1"] {
        let frame = lines(&format!("{engine}_normal_bridge.json"))[0];
        assert!(frame.read.is_some() && frame.cpu.total.is_some() && frame.cpu.system.is_some(), "{engine}");
        assert_eq!(frame.cpu.online_cpus, Some(2), "{engine}");
        assert!(frame.memory.usage.is_some() && frame.memory.limit.is_some() && frame.pids.is_some(), "{engine}");
        assert!(frame.network.is_some_and(|network| network.interfaces == 1 && network.rx_bytes > 0), "{engine}");
        assert_eq!(frame.pids_limit, None, "{engine}: 2^64 - 1 is no limit");
    }
}

#[test]
fn several_interfaces_are_summed() {
    let frame = lines("d28v2_net_multiple.json")[0];
    let raw: Value = serde_json::from_str(&recorded("d28v2_net_multiple.json")).unwrap();
    let interfaces = raw["networks"].as_object().unwrap();
    let total: u64 = interfaces.values().map(|interface| interface["rx_bytes"].as_u64().unwrap()).sum();
    let network = frame.network.unwrap();
    assert_eq!((network.interfaces as usize, network.rx_bytes), (interfaces.len(), total));
    assert!(interfaces.len() >= 3);
}

#[test]
fn a_container_on_the_hosts_network_or_on_none_has_no_network_counters() {
    for name in ["d20v1_net_host.json", "d28v2_net_none.json"] {
        assert_eq!(lines(name)[0].network, None, "{name}");
    }
}

#[test]
fn block_bytes_are_read_and_write_by_the_whole_word() {
    assert_eq!(lines("d20v1_blkio.json")[0].block, Some(BlockCounters { read: 671_088_640, write: 671_088_640 }));
    let entry = |op: &str, value: u64| json!({"major": 254, "minor": 0, "op": op, "value": value});
    let frame = |entries: Value| {
        let document = json!({"read": "2026-11-20T12:00:00Z", "cpu_stats": {}, "blkio_stats": {"io_service_bytes_recursive": entries}}).to_string();
        decode(document.as_bytes()).unwrap().block
    };
    let podman = json!([
        entry("read", 5),
        entry("write", 7),
        entry("rios", 100),
        entry("wios", 100),
        entry("dbytes", 100),
        entry("Discard", 9)
    ]);
    assert_eq!(frame(podman), Some(BlockCounters { read: 5, write: 7 }));
    // docker/cli, TestCalculateBlockIO.
    let vector = json!([
        entry("read", 1234),
        entry("read", 4567),
        entry("Read", 6),
        entry("Read", 8),
        entry("write", 123),
        entry("write", 456),
        entry("Write", 6),
        entry("Write", 8),
        entry("", 456)
    ]);
    assert_eq!(frame(vector), Some(BlockCounters { read: 5815, write: 593 }));
    assert_eq!(frame(json!([])), Some(BlockCounters::default()));
    assert_eq!(frame(Value::Null), None);
}

#[test]
fn the_placeholder_of_a_stopped_container_has_no_time() {
    for name in [
        "d20v1_after_stop.json",
        "d28v2_after_stop.json",
        "d26v2_created_not_started.json",
        "d28v2_poll_oneshot_stopped.json",
    ] {
        let frame = lines(name)[0];
        assert_eq!(
            (frame.read, frame.cpu.system, frame.memory.usage, frame.network, frame.block),
            (None, None, None, None, None),
            "{name}"
        );
    }
}

#[test]
fn a_windows_frame_gives_private_memory_and_storage_bytes() {
    let frame = lines("windows_running.json")[0];
    assert_eq!((frame.num_procs, frame.memory.private_working_set), (4, Some(59_961_344)));
    assert_eq!(frame.block, Some(BlockCounters { read: 5_242_880, write: 65_536 }));
    assert_eq!((frame.cpu.system, frame.cpu.online_cpus), (None, None));
}

#[test]
fn cpus_are_counted_by_the_list_where_the_engine_gives_no_number() {
    let cpus = |cpu: Value| {
        let document = json!({"read": "2026-11-20T12:00:00Z", "cpu_stats": cpu}).to_string();
        let frame = decode(document.as_bytes()).unwrap();
        assert_eq!(decode_typed(document.as_bytes()), Ok(frame));
        frame.cpu.online_cpus
    };
    assert_eq!(cpus(json!({"cpu_usage": {"percpu_usage": [1, 2, 3]}})), Some(3));
    assert_eq!(cpus(json!({"cpu_usage": {"percpu_usage": [1, 2, 3]}, "online_cpus": 0})), Some(3));
    assert_eq!(cpus(json!({"cpu_usage": {"percpu_usage": [1, 2, 3]}, "online_cpus": 2})), Some(2));
    assert_eq!(cpus(json!({"cpu_usage": {"percpu_usage": null}})), None);
}

#[test]
fn our_values_equal_docker_stats_over_a_recorded_sequence_bit_for_bit() {
    for name in ["d20v1_seq_busy.jsonl", "d20v1_seq_idle.jsonl"] {
        let texts = recorded(name);
        let raw: Vec<Value> = texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let frames = lines(name);
        let mut above_zero = 0;
        for index in 1..frames.len() {
            let ours = sample(Some(&frames[index - 1]), &frames[index], OsFamily::Linux, CpuClock::System);
            let (cpu, memory) = command_line(&raw[index]);
            assert_eq!(ours.cpu_usage_percent.map(f64::to_bits), Some(cpu.to_bits()), "{name}:{}", index + 1);
            assert_eq!(ours.memory_usage_percent.map(f64::to_bits), Some(memory.to_bits()), "{name}:{}", index + 1);
            above_zero += usize::from(cpu > 0.0);
        }
        assert_eq!(above_zero > 0, name.contains("busy"), "{name}");
    }
}

/// CPU and memory in percent, as docker/cli computes them inside one frame (`stats_helpers.go`).
fn command_line(frame: &Value) -> (f64, f64) {
    let number = |pointer: &str| frame.pointer(pointer).and_then(Value::as_u64).unwrap_or(0) as f64;
    let used = number("/cpu_stats/cpu_usage/total_usage") - number("/precpu_stats/cpu_usage/total_usage");
    let passed = number("/cpu_stats/system_cpu_usage") - number("/precpu_stats/system_cpu_usage");
    let cpu = if passed > 0.0 && used > 0.0 { (used / passed) * number("/cpu_stats/online_cpus") * 100.0 } else { 0.0 };
    let memory = (number("/memory_stats/usage") - number("/memory_stats/stats/total_inactive_file"))
        / number("/memory_stats/limit")
        * 100.0;
    (cpu, memory)
}

#[test]
fn a_restart_in_a_recorded_sequence_is_never_a_negative_or_a_since_boot_value() {
    for engine in ["d20v1", "d26v2", "d28v2"] {
        let frames = lines(&format!("{engine}_seq_restart.jsonl"));
        let mut resets = 0;
        for pair in frames.windows(2) {
            let ours = sample(Some(&pair[0]), &pair[1], OsFamily::Linux, CpuClock::System);
            let comparable = pair.iter().all(|frame| frame.read.is_some()) && pair[1].cpu.total >= pair[0].cpu.total;
            assert_eq!(ours.cpu_usage_delta_ns.is_some(), comparable, "{engine}");
            resets += usize::from(!comparable);
            assert!(
                ours.cpu_usage_percent.is_none_or(|percent| (0.0..=200.0).contains(&percent)),
                "{engine}: {ours:?}"
            );
        }
        assert!(resets > 0, "{engine}: the sequence holds no restart");
    }
}

#[test]
fn what_is_no_frame_is_told_apart() {
    for (text, reason) in [
        ("", LossReason::Truncated),
        ("{", LossReason::Truncated),
        ("{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{\"online_cpus\":", LossReason::Truncated),
        ("{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{\"online_cpus\":\"two\",", LossReason::Truncated),
        ("not json", LossReason::NotJson),
        ("{\"read\":}", LossReason::NotJson),
        ("\u{0}\u{1}\u{2}", LossReason::NotJson),
        ("{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{}}}", LossReason::NotJson),
        ("{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{\"online_cpus\":\"two\"}}x", LossReason::NotJson),
        ("{}", LossReason::UnexpectedShape),
        ("null", LossReason::UnexpectedShape),
        ("[]", LossReason::UnexpectedShape),
        ("[\"2026-11-20T12:00:00Z\",null,{}]", LossReason::UnexpectedShape),
        ("{\"read\":\"2026-11-20T12:00:00Z\"}", LossReason::UnexpectedShape),
        ("{\"cpu_stats\":{}}", LossReason::UnexpectedShape),
        ("{\"read\":\"yesterday\",\"cpu_stats\":{}}", LossReason::UnexpectedShape),
        ("{\"read\":7,\"cpu_stats\":{}}", LossReason::UnexpectedShape),
        ("{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{\"system_cpu_usage\":-1}}", LossReason::UnexpectedShape),
        (
            "{\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{\"system_cpu_usage\":18446744073709551616}}",
            LossReason::UnexpectedShape,
        ),
        (
            "{\"read\":\"2026-11-20T12:00:00Z\",\"read\":\"2026-11-20T12:00:00Z\",\"cpu_stats\":{}}",
            LossReason::UnexpectedShape,
        ),
        ("{\"message\":\"No such container: x\"}", LossReason::EngineError),
        (
            "{\"cause\":\"container is stopped\",\"message\":\"container is stopped\",\"response\":500}",
            LossReason::EngineError,
        ),
    ] {
        assert_eq!(decode(text.as_bytes()), Err(reason), "{text:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_not_json() {
    assert_eq!(decode(&[0xff; 100]), Err(LossReason::NotJson));
}

#[test]
fn a_frame_cut_anywhere_is_truncated_and_never_taken_for_a_whole_one() {
    for name in [
        "d20v1_blkio.json",
        "d28v2_normal_bridge.json",
        "p43v1_normal_bridge.json",
        "d28v2_after_stop.json",
        "windows_running.json",
    ] {
        let frame = recorded(name).into_bytes();
        for length in 0..frame.len() {
            assert_eq!(decode(&frame[..length]), Err(LossReason::Truncated), "{name} cut at {length}");
        }
    }
}

#[test]
fn two_frames_glued_together_are_not_taken_for_one() {
    let frame = recorded("d28v2_normal_bridge.json");
    for cut in (1..frame.len()).step_by(7) {
        let glued = format!("{}{frame}", &frame[..cut]);
        assert!(decode(glued.as_bytes()).is_err(), "cut at {cut}");
    }
}
