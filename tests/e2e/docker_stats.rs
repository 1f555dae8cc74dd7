//! What `docker stats` computes from a frame and shows, written again from its source
//! (docker/cli `cli/command/container/stats_helpers.go`, `formatter_stats.go`, docker/go-units `size.go`).

use serde_json::Value;

use crate::stores::Row;

/// What a stored row must hold of `frame`, where `before` is the frame of the sample before it.
pub fn expected(frame: &Value, before: Option<&Value>) -> Vec<(&'static str, Option<String>)> {
    let whole = |value: Option<u64>| value.map(|value| value.to_string());
    let at = |pointer: &str| whole(frame.pointer(pointer).and_then(Value::as_u64));
    let cpu_percent = before.and_then(|before| cpu_percent(&before["cpu_stats"], &frame["cpu_stats"]));
    let memory = &frame["memory_stats"];
    let used = memory_used(memory);
    let percent = used.zip(memory["limit"].as_u64()).map(|(used, limit)| used as f64 / limit as f64 * 100.0);
    let cache = memory.pointer("/stats/total_cache").or_else(|| memory.pointer("/stats/file")).and_then(Value::as_u64);
    let block = frame["blkio_stats"]["io_service_bytes_recursive"].is_array();
    let mut expected = vec![
        ("cpu_usage_percent", cpu_percent.map(|percent| format!("{percent:?}"))),
        ("cpu_usage_ns", at("/cpu_stats/cpu_usage/total_usage")),
        ("cpu_user_ns", at("/cpu_stats/cpu_usage/usage_in_usermode")),
        ("cpu_kernel_ns", at("/cpu_stats/cpu_usage/usage_in_kernelmode")),
        ("system_cpu_ns", at("/cpu_stats/system_cpu_usage")),
        ("online_cpus", at("/cpu_stats/online_cpus")),
        ("cpu_throttled_periods", at("/cpu_stats/throttling_data/throttled_periods")),
        ("cpu_throttled_ns", at("/cpu_stats/throttling_data/throttled_time")),
        ("memory_usage_bytes", whole(used)),
        ("memory_total_bytes", at("/memory_stats/usage")),
        ("memory_limit_bytes", at("/memory_stats/limit")),
        ("memory_usage_percent", percent.map(|percent| format!("{percent:?}"))),
        ("memory_cache_bytes", whole(cache)),
        ("block_read_bytes", whole(block.then(|| block_bytes(frame, 'r')))),
        ("block_write_bytes", whole(block.then(|| block_bytes(frame, 'w')))),
        ("pids", at("/pids_stats/current")),
    ];
    let counters = [
        ("network_rx_bytes", "rx_bytes"),
        ("network_tx_bytes", "tx_bytes"),
        ("network_rx_packets", "rx_packets"),
        ("network_tx_packets", "tx_packets"),
        ("network_rx_errors", "rx_errors"),
        ("network_tx_errors", "tx_errors"),
        ("network_rx_dropped", "rx_dropped"),
        ("network_tx_dropped", "tx_dropped"),
    ];
    expected.extend(counters.map(|(column, counter)| (column, whole(network(frame, counter)))));
    expected
}

/// `calculateCPUPercentUnix`, over the counters of two frames.
fn cpu_percent(before: &Value, now: &Value) -> Option<f64> {
    let delta =
        |pointer: &str| Some(now.pointer(pointer)?.as_u64()? as f64 - before.pointer(pointer)?.as_u64()? as f64);
    let (used, passed) = (delta("/cpu_usage/total_usage")?, delta("/system_cpu_usage")?);
    let cpus = now["online_cpus"].as_u64()? as f64;
    (passed > 0.0).then(|| if used > 0.0 { (used / passed) * cpus * 100.0 } else { 0.0 })
}

/// `calculateMemUsageUnixNoCache`.
fn memory_used(memory: &Value) -> Option<u64> {
    let usage = memory["usage"].as_u64()?;
    let inactive = |key: &str| memory["stats"][key].as_u64().filter(|inactive| *inactive < usage);
    Some(usage - inactive("total_inactive_file").or_else(|| inactive("inactive_file")).unwrap_or(0))
}

/// `calculateBlockIO`.
fn block_bytes(frame: &Value, letter: char) -> u64 {
    let entries = frame["blkio_stats"]["io_service_bytes_recursive"].as_array().into_iter().flatten();
    let is_that = |entry: &&Value| entry["op"].as_str().is_some_and(|op| op.to_lowercase().starts_with(letter));
    entries.filter(is_that).filter_map(|entry| entry["value"].as_u64()).sum()
}

/// `calculateNetwork`.
fn network(frame: &Value, counter: &str) -> Option<u64> {
    let interfaces = frame["networks"].as_object()?;
    Some(interfaces.values().filter_map(|interface| interface[counter].as_u64()).sum())
}

/// The columns of `docker stats --format json` that a stored row gives.
pub fn shown(row: &Row) -> [String; 6] {
    let number = |name: &str| row[name].as_ref().map_or(0.0, |value| value.parse::<f64>().expect("a number"));
    let pair = |one: String, other: String| format!("{one} / {other}");
    [
        format!("{:.2}%", number("cpu_usage_percent")),
        pair(binary_size(number("memory_usage_bytes")), binary_size(number("memory_limit_bytes"))),
        format!("{:.2}%", number("memory_usage_percent")),
        pair(decimal_size(number("network_rx_bytes")), decimal_size(number("network_tx_bytes"))),
        pair(decimal_size(number("block_read_bytes")), decimal_size(number("block_write_bytes"))),
        format!("{}", number("pids")),
    ]
}

/// The same columns of a line that `docker stats --format json` wrote.
pub fn columns(line: &Value) -> [String; 6] {
    ["CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"]
        .map(|name| line[name].as_str().expect(name).to_owned())
}

fn binary_size(bytes: f64) -> String {
    size(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn decimal_size(bytes: f64) -> String {
    size(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB"])
}

fn size(bytes: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let (mut value, mut unit) = (bytes, 0);
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// Go's `%.<digits>g` of a number that is 0 or at least 1.
fn significant(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("an exponent");
    let exponent: usize = exponent.parse().expect("not below 1");
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if exponent < digits {
        trim(&format!("{value:.*}", digits - 1 - exponent))
    } else {
        format!("{}e+{exponent:02}", trim(mantissa))
    }
}

#[test]
fn sizes_are_written_as_go_writes_them() {
    let binary = [0.0, 1.0, 1023.0, 1024.0, 1_234_567.0, 67_108_864.0, 8.2e9].map(binary_size);
    assert_eq!(binary, ["0B", "1B", "1023B", "1KiB", "1.177MiB", "64MiB", "7.637GiB"]);
    let decimal = [0.0, 999.0, 1_000.0, 12_345.0, 999_940.0, 123_456_789.0].map(decimal_size);
    assert_eq!(decimal, ["0B", "999B", "1kB", "12.3kB", "1e+03kB", "123MB"]);
}
