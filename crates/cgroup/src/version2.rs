//! Control groups, version 2: one folder with all controllers.

use std::path::Path;

use model::{BlockCounters, CpuCounters, Frame};
use pipeline::ports::KernelError;

use crate::files::{Descriptors, Source};
use crate::flat::{lines, number, pairs, words};

/// What is read of one container. A controller that is off has no file, and its counters are not known.
#[derive(Debug)]
pub(crate) struct Version2 {
    cpu: Source,
    memory: Option<Source>,
    memory_stat: Option<Source>,
    memory_limit: Option<Source>,
    block: Option<Source>,
    pids: Option<Source>,
    pids_limit: Option<Source>,
}

impl Version2 {
    pub fn open(folder: &Path, descriptors: &Descriptors) -> Result<Self, KernelError> {
        let find = |name: &str| Source::find(&folder.join(name), descriptors);
        Ok(Self {
            cpu: Source::open(&folder.join("cpu.stat"), descriptors)?,
            memory: find("memory.current")?,
            memory_stat: find("memory.stat")?,
            memory_limit: find("memory.max")?,
            block: find("io.stat")?,
            pids: find("pids.current")?,
            pids_limit: find("pids.max")?,
        })
    }

    /// Reads all of them into `frame`.
    pub fn read(&mut self, frame: &mut Frame) -> Result<(), KernelError> {
        frame.cpu = self.cpu.read(cpu)?;
        frame.memory.usage = told(&mut self.memory)?;
        frame.memory.limit = told(&mut self.memory_limit)?;
        if let Some(stat) = &mut self.memory_stat {
            stat.read(|text| memory_stat(text, frame))?;
        }
        if let Some(block) = &mut self.block {
            frame.block = Some(block.read(block_bytes)?);
        }
        frame.pids = told(&mut self.pids)?;
        frame.pids_limit = told(&mut self.pids_limit)?;
        Ok(())
    }
}

/// The number in a file, where there is one.
fn told(source: &mut Option<Source>) -> Result<Option<u64>, KernelError> {
    source.as_mut().map_or(Ok(None), |source| source.read(number))
}

/// `cpu.stat`: microseconds, told in nanoseconds. Where the controller is off nothing can be throttled.
fn cpu(text: &[u8]) -> CpuCounters {
    let mut cpu = CpuCounters { throttled_periods: Some(0), throttled: Some(0), ..CpuCounters::default() };
    for (key, value) in pairs(text) {
        let nanos = value.checked_mul(1000);
        match key {
            b"usage_usec" => cpu.total = nanos,
            b"user_usec" => cpu.user = nanos,
            b"system_usec" => cpu.kernel = nanos,
            b"nr_throttled" => cpu.throttled_periods = Some(value),
            b"throttled_usec" => cpu.throttled = nanos,
            _ => {}
        }
    }
    cpu
}

/// `memory.stat`: what engines show of it.
fn memory_stat(text: &[u8], frame: &mut Frame) {
    for (key, value) in pairs(text) {
        match key {
            b"file" => frame.memory.cache = Some(value),
            b"inactive_file" => frame.memory.inactive_file = Some(value),
            _ => {}
        }
    }
}

/// `io.stat`: `8:0 rbytes=4096 wbytes=0 rios=1 …`, a line for each device.
fn block_bytes(text: &[u8]) -> BlockCounters {
    let mut sum = BlockCounters::default();
    for word in lines(text).flat_map(words) {
        if let Some(bytes) = word.strip_prefix(b"rbytes=").and_then(number) {
            sum.read = sum.read.wrapping_add(bytes);
        } else if let Some(bytes) = word.strip_prefix(b"wbytes=").and_then(number) {
            sum.write = sum.write.wrapping_add(bytes);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_told_in_nanoseconds_and_what_cannot_be_throttled_was_not() {
        let told = cpu(b"usage_usec 12\nuser_usec 8\nsystem_usec 4\n");
        assert_eq!((told.total, told.user, told.kernel), (Some(12_000), Some(8_000), Some(4_000)));
        assert_eq!((told.throttled_periods, told.throttled), (Some(0), Some(0)));
        let told = cpu(b"usage_usec 12\nnr_periods 3\nnr_throttled 2\nthrottled_usec 5\n");
        assert_eq!((told.throttled_periods, told.throttled), (Some(2), Some(5_000)));
    }

    #[test]
    fn devices_are_summed() {
        let text = b"254:0 rbytes=4096 wbytes=1 rios=1 wios=0 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=2\n7:0 \n";
        assert_eq!(block_bytes(text), BlockCounters { read: 4100, write: 3 });
    }
}
