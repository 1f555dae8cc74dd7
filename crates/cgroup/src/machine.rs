//! The machine beneath the containers.

use std::path::Path;
use std::time::{Duration, Instant};

use pipeline::ports::KernelError;

use crate::files::{Descriptors, Source};
use crate::flat::{lines, number, words};

/// The kernel counts a machine's CPU time in ticks of 10 ms (`USER_HZ` is 100 on every architecture).
pub(crate) const TICK_NS: u64 = 10_000_000;

/// Containers that are read within this time share one reading of the machine's: it counts in longer steps.
const SHARED: Duration = Duration::from_millis(4);

/// The machine's counters.
#[derive(Debug)]
pub(crate) struct Machine {
    stat: Source,
    memory: Option<u64>,
    last: Option<(Instant, Cpu)>,
}

/// CPU time of all CPUs, idle time included, in nanoseconds; and how many are online.
type Cpu = (Option<u64>, Option<u32>);

impl Machine {
    pub fn at(proc: &Path) -> Result<Self, KernelError> {
        let descriptors = Descriptors::new(1);
        let memory = match Source::find(&proc.join("meminfo"), &Descriptors::new(0))? {
            Some(mut listed) => listed.read(total_memory)?,
            None => None,
        };
        Ok(Self { stat: Source::open(&proc.join("stat"), &descriptors)?, memory, last: None })
    }

    /// Memory of the machine, in bytes.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    pub fn cpu(&mut self) -> Result<Cpu, KernelError> {
        let now = Instant::now();
        if let Some((at, cpu)) = self.last
            && now.duration_since(at) < SHARED
        {
            return Ok(cpu);
        }
        let cpu = self.stat.read(cpu)?;
        self.last = Some((now, cpu));
        Ok(cpu)
    }
}

/// `/proc/stat`: the sum of user, nice, system, idle, iowait, irq and softirq, as engines take it; and the lines `cpu0` …
fn cpu(text: &[u8]) -> Cpu {
    let (mut total, mut online) = (None, 0);
    for line in lines(text) {
        let Some(rest) = line.strip_prefix(b"cpu") else { break };
        if rest.first() == Some(&b' ') {
            let ticks = words(rest).take(7).try_fold(0_u64, |sum, word| sum.checked_add(number(word)?));
            total = ticks.and_then(|ticks| ticks.checked_mul(TICK_NS));
        } else {
            online += 1;
        }
    }
    (total, (online > 0).then_some(online))
}

/// `/proc/meminfo`: `MemTotal:       24684092 kB`.
fn total_memory(text: &[u8]) -> Option<u64> {
    let line = lines(text).find_map(|line| line.strip_prefix(b"MemTotal:"))?;
    number(words(line).next()?)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_and_guest_time_are_left_out_as_engines_do() {
        let text = b"cpu  10 20 30 40 50 60 70 8000 900 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\nintr 1 2 3\n";
        assert_eq!(cpu(text), (Some(280 * TICK_NS), Some(2)));
        assert_eq!(cpu(b""), (None, None));
        assert_eq!(cpu(b"cpu  1 x 3\n"), (None, None));
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(total_memory(b"MemTotal:       24684092 kB\nMemFree: 1 kB\n"), Some(24_684_092 * 1024));
        assert_eq!(total_memory(b"MemFree: 1 kB\n"), None);
    }
}
