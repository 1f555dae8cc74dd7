//! One stats frame, written from counters in the shape of the imitated engine.

use model::Timestamp;

use crate::clock::rfc3339;
use crate::counters::{Counters, CpuCounters, InterfaceCounters, MemoryCounters, per_cpu};
use crate::profile::{Cgroup, Profile};

/// What a frame is written from.
pub(crate) struct FrameSource<'a> {
    pub(crate) profile: Profile,
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
    /// `None` where the container does not run: a zero frame.
    pub(crate) sample: Option<&'a Sample>,
    /// CPU of the frame before on the same stream: `precpu_stats` and `preread`.
    pub(crate) previous: Option<&'a Previous>,
    pub(crate) layout: Layout,
}

/// One visit of the collector to one running container.
pub(crate) struct Sample {
    pub(crate) read: Timestamp,
    pub(crate) counters: Counters,
}

/// What a stream remembers of its last frame.
#[derive(Clone, Copy)]
pub(crate) struct Previous {
    pub(crate) read: Timestamp,
    pub(crate) cpu: CpuCounters,
    pub(crate) online_cpus: u32,
}

/// Which of the profile's frame templates is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Stream,
    OneShot,
}

/// A hole of `frame.json`.
#[derive(Clone, Copy)]
pub(crate) enum FrameHole {
    Name,
    Id,
    Read,
    Preread,
    Pids,
    Blkio,
    Cpu,
    Precpu,
    Memory,
    Networks,
}

impl FrameHole {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "id" => Self::Id,
            "read" => Self::Read,
            "preread" => Self::Preread,
            "pids" => Self::Pids,
            "blkio" => Self::Blkio,
            "cpu" => Self::Cpu,
            "precpu" => Self::Precpu,
            "memory" => Self::Memory,
            "networks" => Self::Networks,
            _ => return None,
        })
    }
}

/// A hole of `memory.json`.
#[derive(Clone, Copy)]
pub(crate) enum MemoryHole {
    Usage,
    MaxUsage,
    Limit,
    Hierarchy,
    Anon,
    ActiveAnon,
    InactiveAnon,
    Cache,
    ActiveFile,
    InactiveFile,
    PageFaults,
}

impl MemoryHole {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "usage" => Self::Usage,
            "max_usage" => Self::MaxUsage,
            "limit" => Self::Limit,
            "hierarchy" => Self::Hierarchy,
            "anon" => Self::Anon,
            "active_anon" => Self::ActiveAnon,
            "inactive_anon" => Self::InactiveAnon,
            "cache" => Self::Cache,
            "active_file" => Self::ActiveFile,
            "inactive_file" => Self::InactiveFile,
            "pgfault" => Self::PageFaults,
            _ => return None,
        })
    }

    /// No container limit is written as the largest page-aligned number, as the kernel does.
    const UNLIMITED: u64 = 9_223_372_036_854_771_712;

    fn value(self, memory: &MemoryCounters) -> u64 {
        match self {
            Self::Usage => memory.usage_bytes,
            Self::MaxUsage => memory.max_usage_bytes,
            Self::Limit => memory.limit_bytes,
            Self::Hierarchy => Self::UNLIMITED,
            Self::Anon => memory.anon_bytes,
            Self::ActiveAnon => memory.anon_bytes / 4,
            Self::InactiveAnon => memory.anon_bytes - memory.anon_bytes / 4,
            Self::Cache => memory.cache_bytes,
            Self::ActiveFile => memory.cache_bytes - memory.inactive_file_bytes,
            Self::InactiveFile => memory.inactive_file_bytes,
            Self::PageFaults => memory.page_faults,
        }
    }
}

/// Appends one frame, without a newline.
pub(crate) fn write(source: &FrameSource<'_>, out: &mut Vec<u8>) {
    let shapes = source.profile.shapes();
    let cgroup = source.profile.cgroup();
    // A one-shot frame of a stopped container has its name and id after all (recorded).
    let template = match (source.layout, source.sample) {
        (Layout::OneShot, Some(_)) => &shapes.frame_one_shot,
        _ => &shapes.frame,
    };
    let counters = source.sample.map(|sample| &sample.counters);
    template.write(out, |hole, out| match hole {
        FrameHole::Name => text(out, source.name),
        FrameHole::Id => text(out, source.id),
        FrameHole::Read => time(out, source.sample.map(|sample| sample.read)),
        FrameHole::Preread => time(out, source.previous.map(|previous| previous.read)),
        FrameHole::Pids => pids(out, cgroup, counters),
        FrameHole::Blkio => blkio(out, cgroup, counters),
        FrameHole::Cpu => cpu(out, cgroup, counters.map(|counters| (&counters.cpu, counters.online_cpus))),
        FrameHole::Precpu => cpu(out, cgroup, source.previous.map(|previous| (&previous.cpu, previous.online_cpus))),
        FrameHole::Memory => match counters {
            Some(counters) => shapes.memory.write(out, |hole, out| number(out, hole.value(&counters.memory))),
            None => text(out, "{}"),
        },
        FrameHole::Networks => {
            if let Some(interfaces) = counters.and_then(|counters| counters.networks.as_deref()) {
                networks(out, interfaces);
            }
        }
    });
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, value: u64) {
    text(out, itoa::Buffer::new().format(value));
}

fn time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    match time {
        Some(time) => {
            use std::io::Write;
            write!(out, "{}", rfc3339(time)).expect("a Vec takes every byte");
        }
        None => text(out, "0001-01-01T00:00:00Z"),
    }
}

fn pids(out: &mut Vec<u8>, cgroup: Cgroup, counters: Option<&Counters>) {
    let Some(counters) = counters else { return text(out, "{}") };
    text(out, "{\"current\":");
    number(out, counters.pids);
    match (counters.pids_limit, cgroup) {
        (Some(limit), _) => field(out, ",\"limit\":", limit),
        (None, Cgroup::V2) => field(out, ",\"limit\":", u64::MAX),
        (None, Cgroup::V1) => {}
    }
    text(out, "}");
}

fn field(out: &mut Vec<u8>, key: &str, value: u64) {
    text(out, key);
    number(out, value);
}

fn cpu(out: &mut Vec<u8>, cgroup: Cgroup, cpu: Option<(&CpuCounters, u32)>) {
    let (counters, cpus) = cpu.map_or((CpuCounters::default(), None), |(counters, cpus)| (*counters, Some(cpus)));
    field(out, "{\"cpu_usage\":{\"total_usage\":", counters.total_ns);
    if let (Cgroup::V1, Some(cpus)) = (cgroup, cpus) {
        text(out, ",\"percpu_usage\":[");
        for (index, share) in per_cpu(counters.total_ns, cpus).enumerate() {
            field(out, if index == 0 { "" } else { "," }, share);
        }
        text(out, "]");
    }
    field(out, ",\"usage_in_kernelmode\":", counters.kernel_ns);
    field(out, ",\"usage_in_usermode\":", counters.user_ns);
    text(out, "}");
    if let Some(cpus) = cpus {
        field(out, ",\"system_cpu_usage\":", counters.system_ns);
        field(out, ",\"online_cpus\":", u64::from(cpus));
    }
    field(out, ",\"throttling_data\":{\"periods\":", counters.periods);
    field(out, ",\"throttled_periods\":", counters.throttled_periods);
    field(out, ",\"throttled_time\":", counters.throttled_ns);
    text(out, "}}");
}

/// Bytes of one disk operation: turns bytes into operations.
const OPERATION: u64 = 65_536;

fn blkio(out: &mut Vec<u8>, cgroup: Cgroup, counters: Option<&Counters>) {
    let (read, write) = counters.map_or((0, 0), |counters| (counters.block_read_bytes, counters.block_write_bytes));
    // v1 lists are empty and v2 lists null until there was any I/O; a zero frame has null in both.
    let none = if counters.is_some() && cgroup == Cgroup::V1 { "[]" } else { "null" };
    let quiet = read == 0 && write == 0;
    text(out, "{\"io_service_bytes_recursive\":");
    match cgroup {
        _ if quiet => text(out, none),
        Cgroup::V1 => v1_operations(out, read, write),
        Cgroup::V2 => operations(out, &[("read", read), ("write", write)]),
    }
    text(out, ",\"io_serviced_recursive\":");
    match cgroup {
        Cgroup::V1 if !quiet => v1_operations(out, read.div_ceil(OPERATION), write.div_ceil(OPERATION)),
        _ => text(out, none),
    }
    for key in ["io_queue", "io_service_time", "io_wait_time", "io_merged", "io_time", "sectors"] {
        text(out, ",\"");
        text(out, key);
        text(out, "_recursive\":");
        text(out, none);
    }
    text(out, "}");
}

fn v1_operations(out: &mut Vec<u8>, read: u64, write: u64) {
    let total = read + write;
    operations(
        out,
        &[("Read", read), ("Write", write), ("Sync", total), ("Async", 0), ("Discard", 0), ("Total", total)],
    );
}

fn operations(out: &mut Vec<u8>, operations: &[(&str, u64)]) {
    for (index, (name, value)) in operations.iter().enumerate() {
        text(out, if index == 0 { "[" } else { "," });
        text(out, "{\"major\":254,\"minor\":0,\"op\":\"");
        text(out, name);
        field(out, "\",\"value\":", *value);
        text(out, "}");
    }
    text(out, "]");
}

fn networks(out: &mut Vec<u8>, interfaces: &[InterfaceCounters]) {
    text(out, ",\"networks\":{");
    for (index, interface) in interfaces.iter().enumerate() {
        text(out, if index == 0 { "\"" } else { ",\"" });
        text(out, &interface.name);
        field(out, "\":{\"rx_bytes\":", interface.rx_bytes);
        field(out, ",\"rx_packets\":", interface.rx_packets);
        text(out, ",\"rx_errors\":0,\"rx_dropped\":0");
        field(out, ",\"tx_bytes\":", interface.tx_bytes);
        field(out, ",\"tx_packets\":", interface.tx_packets);
        text(out, ",\"tx_errors\":0,\"tx_dropped\":0}");
    }
    text(out, "}");
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
