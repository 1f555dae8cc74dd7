//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use model::Timestamp;

/// One line that says what a figure depends on.
pub fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores ({}), Linux {}, {}, profile `bench` (release: thin LTO, 4 codegen units, unwinding)",
        &Timestamp::from(SystemTime::now()).to_string()[..10],
        model.map_or("unknown", |(_, name)| name),
        kernel.trim(),
        rustc(),
    )
}

/// Processes that wanted to run, on average over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let version = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(|| "rustc of unknown version".into(), |version| version.trim().to_owned())
}
