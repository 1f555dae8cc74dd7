//! The serde path: all of JSON, and a reason for what is none.

use std::borrow::Cow;
use std::fmt;

use model::{BlockCounters, CpuCounters, Frame, LossReason, MemoryCounters, NetworkCounters, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::time;

/// Decodes a frame, or says why not.
pub(super) fn decode(bytes: &[u8]) -> Result<Frame, LossReason> {
    let raw: RawFrame<'_> = serde_json::from_slice(bytes).map_err(|error| reason(bytes, &error))?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(LossReason::UnexpectedShape);
    }
    match raw.into_frame() {
        Some(frame) => Ok(frame),
        None if raw_error(bytes) => Err(LossReason::EngineError),
        None => Err(LossReason::UnexpectedShape),
    }
}

/// A field of a wrong type is met before the end is: only a walk to the end tells a frame cut short from a strange one.
fn reason(bytes: &[u8], error: &serde_json::Error) -> LossReason {
    use serde_json::error::Category;
    match error.classify() {
        Category::Eof => LossReason::Truncated,
        Category::Syntax | Category::Io if ends_inside_a_number(bytes, error) => LossReason::Truncated,
        Category::Syntax | Category::Io => LossReason::NotJson,
        Category::Data => match serde_json::from_slice::<IgnoredAny>(bytes) {
            Err(error) if !error.is_data() => reason(bytes, &error),
            _ if raw_error(bytes) => LossReason::EngineError,
            _ => LossReason::UnexpectedShape,
        },
    }
}

/// serde_json calls `14.` and `-` at the very end wrong numbers, not unfinished ones.
fn ends_inside_a_number(bytes: &[u8], error: &serde_json::Error) -> bool {
    let before: usize =
        bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    matches!(bytes.last(), Some(b'.' | b'-' | b'+' | b'e' | b'E')) && before + error.column() >= bytes.len()
}

/// True for the error objects of Docker (`message`) and Podman (`cause`, `message`, `response`).
fn raw_error(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ErrorObject {
        message: Option<IgnoredAny>,
        cause: Option<IgnoredAny>,
        read: Option<IgnoredAny>,
    }
    serde_json::from_slice::<ErrorObject>(bytes)
        .is_ok_and(|object| object.read.is_none() && (object.message.is_some() || object.cause.is_some()))
}

#[derive(Deserialize)]
struct RawFrame<'a> {
    #[serde(borrow)]
    read: Option<Text<'a>>,
    #[serde(borrow)]
    preread: Option<Text<'a>>,
    cpu_stats: Option<RawCpu>,
    memory_stats: Option<RawMemory>,
    networks: Option<Interfaces>,
    #[serde(borrow)]
    blkio_stats: Option<RawBlkio<'a>>,
    pids_stats: Option<RawPids>,
    num_procs: Option<u64>,
    storage_stats: Option<RawStorage>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct RawCpu {
    cpu_usage: Option<RawUsage>,
    system_cpu_usage: Option<u64>,
    online_cpus: Option<u64>,
    throttling_data: Option<RawThrottling>,
}

#[derive(Deserialize, Default)]
struct RawUsage {
    total_usage: Option<u64>,
    usage_in_kernelmode: Option<u64>,
    usage_in_usermode: Option<u64>,
    percpu_usage: Option<Length>,
}

#[derive(Deserialize, Default)]
struct RawThrottling {
    throttled_periods: Option<u64>,
    throttled_time: Option<u64>,
}

#[derive(Deserialize, Default)]
struct RawMemory {
    usage: Option<u64>,
    limit: Option<u64>,
    privateworkingset: Option<u64>,
    stats: Option<RawMemoryStats>,
}

#[derive(Deserialize, Default)]
struct RawMemoryStats {
    total_inactive_file: Option<u64>,
    inactive_file: Option<u64>,
    total_cache: Option<u64>,
    cache: Option<u64>,
    file: Option<u64>,
}

#[derive(Deserialize)]
struct RawBlkio<'a> {
    #[serde(borrow)]
    io_service_bytes_recursive: Option<Vec<RawBlkioEntry<'a>>>,
}

#[derive(Deserialize)]
struct RawBlkioEntry<'a> {
    #[serde(borrow)]
    op: Option<Text<'a>>,
    value: Option<u64>,
}

#[derive(Deserialize, Default)]
struct RawPids {
    current: Option<u64>,
    limit: Option<u64>,
}

#[derive(Deserialize)]
struct RawStorage {
    read_size_bytes: Option<u64>,
    write_size_bytes: Option<u64>,
}

impl RawFrame<'_> {
    /// `None` where it lacks what every stats frame has: `read` and `cpu_stats`.
    fn into_frame(self) -> Option<Frame> {
        let read = self.read?.time()?;
        let preread = self.preread.map_or(Some(None), |preread| preread.time())?;
        let cpu = self.cpu_stats?;
        let usage = cpu.cpu_usage.unwrap_or_default();
        let throttling = cpu.throttling_data.unwrap_or_default();
        let memory = self.memory_stats.unwrap_or_default();
        let stats = memory.stats.unwrap_or_default();
        let pids = self.pids_stats.unwrap_or_default();
        let block = self.blkio_stats.and_then(|blkio| blkio.io_service_bytes_recursive).map(|entries| sum(&entries));
        Some(Frame {
            read,
            preread,
            num_procs: self.num_procs.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            cpu: CpuCounters {
                total: usage.total_usage,
                user: usage.usage_in_usermode,
                kernel: usage.usage_in_kernelmode,
                system: cpu.system_cpu_usage,
                online_cpus: super::online_cpus(cpu.online_cpus, usage.percpu_usage.map_or(0, |length| length.0)),
                throttled_periods: throttling.throttled_periods,
                throttled: throttling.throttled_time,
            },
            memory: MemoryCounters {
                usage: memory.usage,
                limit: memory.limit,
                total_inactive_file: stats.total_inactive_file,
                inactive_file: stats.inactive_file,
                cache: stats.total_cache.or(stats.cache).or(stats.file),
                private_working_set: memory.privateworkingset,
            },
            network: self.networks.and_then(|interfaces| interfaces.0),
            block: block.or_else(|| self.storage_stats.and_then(RawStorage::block)),
            pids: pids.current,
            pids_limit: super::pids_limit(pids.limit),
        })
    }
}

impl Text<'_> {
    fn time(&self) -> Option<Option<Timestamp>> {
        if self.0.as_bytes() == time::UNSET { Some(None) } else { self.0.parse().ok().map(Some) }
    }
}

fn sum(entries: &[RawBlkioEntry<'_>]) -> BlockCounters {
    let mut sum = BlockCounters::default();
    for entry in entries {
        let value = entry.value.unwrap_or(0);
        match entry.op.as_ref().map(|op| op.0.as_ref()) {
            Some(op) if op.eq_ignore_ascii_case("read") => sum.read = sum.read.saturating_add(value),
            Some(op) if op.eq_ignore_ascii_case("write") => sum.write = sum.write.saturating_add(value),
            _ => {}
        }
    }
    sum
}

impl RawStorage {
    fn block(self) -> Option<BlockCounters> {
        let any = self.read_size_bytes.is_some() || self.write_size_bytes.is_some();
        any.then(|| BlockCounters {
            read: self.read_size_bytes.unwrap_or(0),
            write: self.write_size_bytes.unwrap_or(0),
        })
    }
}

/// How many elements an array has.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Length, A::Error> {
                let mut count = 0;
                while elements.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Length(count))
            }
        }
        deserializer.deserialize_seq(Counting)
    }
}

/// The sum over all interfaces; `None` where there are none.
struct Interfaces(Option<NetworkCounters>);

#[derive(Deserialize)]
struct Interface {
    rx_bytes: Option<u64>,
    tx_bytes: Option<u64>,
    rx_packets: Option<u64>,
    tx_packets: Option<u64>,
    rx_errors: Option<u64>,
    tx_errors: Option<u64>,
    rx_dropped: Option<u64>,
    tx_dropped: Option<u64>,
}

impl<'de> Deserialize<'de> for Interfaces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Summing;
        impl<'de> Visitor<'de> for Summing {
            type Value = Interfaces;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of interfaces")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut interfaces: A) -> Result<Interfaces, A::Error> {
                let mut sum = NetworkCounters::default();
                while let Some((_, interface)) = interfaces.next_entry::<IgnoredAny, Interface>()? {
                    add(&mut sum, &interface);
                }
                Ok(Interfaces((sum.interfaces > 0).then_some(sum)))
            }
        }
        deserializer.deserialize_map(Summing)
    }
}

fn add(sum: &mut NetworkCounters, interface: &Interface) {
    sum.interfaces += 1;
    for (slot, value) in [
        (&mut sum.rx_bytes, interface.rx_bytes),
        (&mut sum.tx_bytes, interface.tx_bytes),
        (&mut sum.rx_packets, interface.rx_packets),
        (&mut sum.tx_packets, interface.tx_packets),
        (&mut sum.rx_errors, interface.rx_errors),
        (&mut sum.tx_errors, interface.tx_errors),
        (&mut sum.rx_dropped, interface.rx_dropped),
        (&mut sum.tx_dropped, interface.tx_dropped),
    ] {
        *slot = slot.saturating_add(value.unwrap_or(0));
    }
}
