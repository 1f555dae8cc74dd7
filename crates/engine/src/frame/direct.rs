//! The direct path: one pass, any order of keys, no allocation.

use model::{BlockCounters, CpuCounters, Frame, MemoryCounters, NetworkCounters};

use super::cursor::Cursor;
use super::time;

/// Decodes a frame, or gives up.
pub(super) fn decode(bytes: &[u8]) -> Option<Frame> {
    let mut cursor = Cursor::new(bytes);
    let mut frame = Frame::default();
    let mut storage = None;
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"read" => {
            seen.once(READ)?;
            frame.read = read_time(cursor)?;
            Some(())
        }
        b"preread" => {
            seen.once(PREREAD)?;
            frame.preread = read_time(cursor)?;
            Some(())
        }
        b"cpu_stats" => {
            seen.once(CPU)?;
            cpu(cursor, &mut frame.cpu)
        }
        b"memory_stats" => {
            seen.once(MEMORY)?;
            memory(cursor, &mut frame.memory)
        }
        b"networks" => {
            seen.once(NETWORKS)?;
            frame.network = networks(cursor)?;
            Some(())
        }
        b"blkio_stats" => {
            seen.once(BLKIO)?;
            frame.block = blkio(cursor)?;
            Some(())
        }
        b"pids_stats" => {
            seen.once(PIDS)?;
            pids(cursor, &mut frame)
        }
        b"num_procs" => {
            seen.once(NUM_PROCS)?;
            frame.num_procs = cursor.counter()?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
            Some(())
        }
        b"storage_stats" => {
            seen.once(STORAGE)?;
            storage = storage_stats(cursor)?;
            Some(())
        }
        _ => cursor.skip(),
    })?;
    frame.block = frame.block.or(storage);
    (seen.all(1 << READ | 1 << CPU) && cursor.at_end()).then_some(frame)
}

const READ: u32 = 0;
const PREREAD: u32 = 1;
const CPU: u32 = 2;
const MEMORY: u32 = 3;
const NETWORKS: u32 = 4;
const BLKIO: u32 = 5;
const PIDS: u32 = 6;
const NUM_PROCS: u32 = 7;
const STORAGE: u32 = 8;

/// The known keys met in one object. A key that comes twice is left to serde, which refuses it.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    #[inline]
    fn once(&mut self, key: u32) -> Option<()> {
        let bit = 1 << key;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new.then_some(())
    }

    fn all(&self, mask: u32) -> bool {
        self.0 & mask == mask
    }

    /// Reads a counter into `slot`.
    #[inline]
    fn counter(&mut self, key: u32, cursor: &mut Cursor<'_>, slot: &mut Option<u64>) -> Option<()> {
        self.once(key)?;
        *slot = cursor.counter()?;
        Some(())
    }
}

#[inline]
fn read_time(cursor: &mut Cursor<'_>) -> Option<Option<model::Timestamp>> {
    match cursor.text()? {
        time::UNSET => Some(None),
        text => time::parse(text).map(Some),
    }
}

fn cpu(cursor: &mut Cursor<'_>, cpu: &mut CpuCounters) -> Option<()> {
    let mut online = None;
    let mut listed = 0;
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"cpu_usage" => {
            seen.once(0)?;
            let mut seen = Seen::default();
            cursor.object(|cursor, key| match key {
                b"total_usage" => seen.counter(0, cursor, &mut cpu.total),
                b"usage_in_kernelmode" => seen.counter(1, cursor, &mut cpu.kernel),
                b"usage_in_usermode" => seen.counter(2, cursor, &mut cpu.user),
                b"percpu_usage" => {
                    seen.once(3)?;
                    if !cursor.null() {
                        listed = cursor.array(|cursor| cursor.number().map(|_| ()))?;
                    }
                    Some(())
                }
                _ => cursor.skip(),
            })
        }
        b"system_cpu_usage" => seen.counter(1, cursor, &mut cpu.system),
        b"online_cpus" => seen.counter(2, cursor, &mut online),
        b"throttling_data" => {
            seen.once(3)?;
            let mut seen = Seen::default();
            cursor.object(|cursor, key| match key {
                b"throttled_periods" => seen.counter(0, cursor, &mut cpu.throttled_periods),
                b"throttled_time" => seen.counter(1, cursor, &mut cpu.throttled),
                _ => cursor.skip(),
            })
        }
        _ => cursor.skip(),
    })?;
    cpu.online_cpus = super::online_cpus(online, listed);
    Some(())
}

fn memory(cursor: &mut Cursor<'_>, memory: &mut MemoryCounters) -> Option<()> {
    if cursor.null() {
        return Some(());
    }
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"usage" => seen.counter(0, cursor, &mut memory.usage),
        b"limit" => seen.counter(1, cursor, &mut memory.limit),
        b"privateworkingset" => seen.counter(2, cursor, &mut memory.private_working_set),
        b"stats" => {
            seen.once(3)?;
            memory_stats(cursor, memory)
        }
        _ => cursor.skip(),
    })
}

fn memory_stats(cursor: &mut Cursor<'_>, memory: &mut MemoryCounters) -> Option<()> {
    if cursor.null() {
        return Some(());
    }
    let (mut total_cache, mut cache, mut file) = (None, None, None);
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"total_inactive_file" => seen.counter(0, cursor, &mut memory.total_inactive_file),
        b"inactive_file" => seen.counter(1, cursor, &mut memory.inactive_file),
        b"total_cache" => seen.counter(2, cursor, &mut total_cache),
        b"cache" => seen.counter(3, cursor, &mut cache),
        b"file" => seen.counter(4, cursor, &mut file),
        _ => cursor.skip(),
    })?;
    memory.cache = total_cache.or(cache).or(file);
    Some(())
}

fn networks(cursor: &mut Cursor<'_>) -> Option<Option<NetworkCounters>> {
    if cursor.null() {
        return Some(None);
    }
    let mut sum = NetworkCounters::default();
    cursor.object(|cursor, _| {
        let mut seen = Seen::default();
        sum.interfaces += 1;
        cursor.object(|cursor, key| {
            let (index, slot) = match key {
                b"rx_bytes" => (0, &mut sum.rx_bytes),
                b"rx_packets" => (1, &mut sum.rx_packets),
                b"rx_errors" => (2, &mut sum.rx_errors),
                b"rx_dropped" => (3, &mut sum.rx_dropped),
                b"tx_bytes" => (4, &mut sum.tx_bytes),
                b"tx_packets" => (5, &mut sum.tx_packets),
                b"tx_errors" => (6, &mut sum.tx_errors),
                b"tx_dropped" => (7, &mut sum.tx_dropped),
                _ => return cursor.skip(),
            };
            seen.once(index)?;
            *slot = slot.saturating_add(cursor.counter()?.unwrap_or(0));
            Some(())
        })
    })?;
    Some((sum.interfaces > 0).then_some(sum))
}

fn blkio(cursor: &mut Cursor<'_>) -> Option<Option<BlockCounters>> {
    if cursor.null() {
        return Some(None);
    }
    let mut block = None;
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"io_service_bytes_recursive" => {
            seen.once(0)?;
            if cursor.null() {
                return Some(());
            }
            let sum: &mut BlockCounters = block.insert(BlockCounters::default());
            cursor.array(|cursor| block_entry(cursor, sum)).map(|_| ())
        }
        _ => cursor.skip(),
    })?;
    Some(block)
}

/// The whole word counts: Podman writes `rios`, a number of requests, into the same list.
fn block_entry(cursor: &mut Cursor<'_>, sum: &mut BlockCounters) -> Option<()> {
    let (mut op, mut value): (&[u8], _) = (b"", None);
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"op" => {
            seen.once(0)?;
            op = cursor.text()?;
            Some(())
        }
        b"value" => seen.counter(1, cursor, &mut value),
        _ => cursor.skip(),
    })?;
    let value = value.unwrap_or(0);
    if op.eq_ignore_ascii_case(b"read") {
        sum.read = sum.read.saturating_add(value);
    } else if op.eq_ignore_ascii_case(b"write") {
        sum.write = sum.write.saturating_add(value);
    }
    Some(())
}

fn pids(cursor: &mut Cursor<'_>, frame: &mut Frame) -> Option<()> {
    if cursor.null() {
        return Some(());
    }
    let mut limit = None;
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"current" => seen.counter(0, cursor, &mut frame.pids),
        b"limit" => seen.counter(1, cursor, &mut limit),
        _ => cursor.skip(),
    })?;
    frame.pids_limit = super::pids_limit(limit);
    Some(())
}

/// Windows only; an empty object elsewhere.
fn storage_stats(cursor: &mut Cursor<'_>) -> Option<Option<BlockCounters>> {
    if cursor.null() {
        return Some(None);
    }
    let (mut read, mut write) = (None, None);
    let mut seen = Seen::default();
    cursor.object(|cursor, key| match key {
        b"read_size_bytes" => seen.counter(0, cursor, &mut read),
        b"write_size_bytes" => seen.counter(1, cursor, &mut write),
        _ => cursor.skip(),
    })?;
    Some(
        (read.is_some() || write.is_some())
            .then(|| BlockCounters { read: read.unwrap_or(0), write: write.unwrap_or(0) }),
    )
}
