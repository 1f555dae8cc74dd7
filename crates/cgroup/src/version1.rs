//! Control groups, version 1: a hierarchy for each controller.

use std::path::PathBuf;

use model::{BlockCounters, Frame};
use pipeline::ports::KernelError;

use crate::files::{Descriptors, Source};
use crate::flat::{lines, number, pairs, words};
use crate::machine::TICK_NS;

/// What is read of one container.
#[derive(Debug)]
pub(crate) struct Version1 {
    cpu_usage: Source,
    cpu_modes: Option<Source>,
    throttling: Option<Source>,
    memory: Option<Memory>,
    block: Option<Source>,
    pids: Option<Pids>,
}

#[derive(Debug)]
struct Memory {
    usage: Source,
    stat: Source,
    limit: Source,
}

#[derive(Debug)]
struct Pids {
    current: Source,
    most: Source,
}

impl Version1 {
    /// Opens the files in the folders that `folder` gives, one for each controller that is mounted.
    pub fn open(
        folder: impl Fn(&'static str) -> Option<PathBuf>,
        descriptors: &Descriptors,
    ) -> Result<Self, KernelError> {
        let find = |controller, name: &str| match folder(controller) {
            Some(folder) => Source::find(&folder.join(name), descriptors),
            None => Ok(None),
        };
        let Some(cpuacct) = folder("cpuacct") else {
            return Err(KernelError::Unreadable("the controller cpuacct is not mounted here".into()));
        };
        let memory = (
            find("memory", "memory.usage_in_bytes")?,
            find("memory", "memory.stat")?,
            find("memory", "memory.limit_in_bytes")?,
        );
        let pids = (find("pids", "pids.current")?, find("pids", "pids.max")?);
        // With a scheduler that counts by group its numbers are whole; the throttler sees the rest of all others.
        let mut block = find("blkio", "blkio.bfq.io_service_bytes_recursive")?;
        if let Some(scheduled) = &mut block
            && scheduled.read(|text| lines(text).next().is_none_or(|line| line.starts_with(b"Total")))?
        {
            block = None;
        }
        if block.is_none() {
            block = find("blkio", "blkio.throttle.io_service_bytes_recursive")?;
        }
        if block.is_none() {
            block = find("blkio", "blkio.throttle.io_service_bytes")?;
        }
        Ok(Self {
            cpu_usage: Source::open(&cpuacct.join("cpuacct.usage"), descriptors)?,
            cpu_modes: Source::find(&cpuacct.join("cpuacct.stat"), descriptors)?,
            throttling: find("cpu", "cpu.stat")?,
            memory: match memory {
                (Some(usage), Some(stat), Some(limit)) => Some(Memory { usage, stat, limit }),
                _ => None,
            },
            block,
            pids: match pids {
                (Some(current), Some(most)) => Some(Pids { current, most }),
                _ => None,
            },
        })
    }

    /// Reads all of them into `frame`.
    pub fn read(&mut self, frame: &mut Frame) -> Result<(), KernelError> {
        frame.cpu.total = self.cpu_usage.read(number)?;
        if let Some(modes) = &mut self.cpu_modes {
            (frame.cpu.user, frame.cpu.kernel) = modes.read(cpu_modes)?;
        }
        if let Some(throttling) = &mut self.throttling {
            (frame.cpu.throttled_periods, frame.cpu.throttled) = throttling.read(throttled)?;
        }
        if let Some(memory) = &mut self.memory {
            frame.memory.usage = memory.usage.read(number)?;
            frame.memory.limit = memory.limit.read(number)?;
            memory.stat.read(|text| memory_stat(text, frame))?;
        }
        if let Some(block) = &mut self.block {
            frame.block = Some(block.read(block_bytes)?);
        }
        if let Some(pids) = &mut self.pids {
            frame.pids = pids.current.read(number)?;
            frame.pids_limit = pids.most.read(number)?;
        }
        Ok(())
    }
}

/// `cpuacct.stat`: ticks in user and kernel mode, in nanoseconds.
fn cpu_modes(text: &[u8]) -> (Option<u64>, Option<u64>) {
    let of = |key: &[u8]| pairs(text).find(|pair| pair.0 == key).and_then(|pair| pair.1.checked_mul(TICK_NS));
    (of(b"user"), of(b"system"))
}

/// `cpu.stat`: throttled periods, and the time of it in nanoseconds.
fn throttled(text: &[u8]) -> (Option<u64>, Option<u64>) {
    let of = |key: &[u8]| pairs(text).find(|pair| pair.0 == key).map(|pair| pair.1);
    (of(b"nr_throttled"), of(b"throttled_time"))
}

/// `memory.stat`: what engines show of it.
fn memory_stat(text: &[u8], frame: &mut Frame) {
    let memory = &mut frame.memory;
    let (mut own, mut all) = (None, None);
    for (key, value) in pairs(text) {
        match key {
            b"cache" => own = Some(value),
            b"total_cache" => all = Some(value),
            b"inactive_file" => memory.inactive_file = Some(value),
            b"total_inactive_file" => memory.total_inactive_file = Some(value),
            _ => {}
        }
    }
    memory.cache = all.or(own);
}

/// `blkio…io_service_bytes`: `8:0 Read 4096`, a line for each device and kind, and a total.
fn block_bytes(text: &[u8]) -> BlockCounters {
    let mut sum = BlockCounters::default();
    for line in lines(text) {
        let mut words = words(line);
        let (Some(_), Some(kind), Some(bytes)) = (words.next(), words.next(), words.next().and_then(number)) else {
            continue;
        };
        match kind {
            b"Read" => sum.read = sum.read.wrapping_add(bytes),
            b"Write" => sum.write = sum.write.wrapping_add(bytes),
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_summed_by_reads_and_writes() {
        let text =
            b"8:0 Read 4096\n8:0 Write 1024\n8:0 Sync 5120\n8:0 Total 5120\n8:16 Read 1\n8:16 Write 2\nTotal 5123\n";
        assert_eq!(block_bytes(text), BlockCounters { read: 4097, write: 1026 });
        assert_eq!(block_bytes(b"Total 0\n"), BlockCounters::default());
    }

    #[test]
    fn ticks_are_told_in_nanoseconds() {
        assert_eq!(cpu_modes(b"user 79\nsystem 5\n"), (Some(790_000_000), Some(50_000_000)));
        assert_eq!(throttled(b"nr_periods 9\nnr_throttled 3\nthrottled_time 77\n"), (Some(3), Some(77)));
        assert_eq!(throttled(b""), (None, None));
    }

    #[test]
    fn memory_of_groups_below_counts_where_it_is_told() {
        let mut frame = Frame::default();
        memory_stat(b"cache 1\ninactive_file 2\ntotal_cache 3\ntotal_inactive_file 4\nrss 5\n", &mut frame);
        let memory = frame.memory;
        assert_eq!((memory.cache, memory.inactive_file, memory.total_inactive_file), (Some(3), Some(2), Some(4)));
    }
}
