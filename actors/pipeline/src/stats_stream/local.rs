//! Counters of this machine's own kernel.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use model::HostName;
use tokio::time::Instant;

use crate::ports::Kernel;

/// The kernel beneath one host's containers. What is wrong with it is said once.
pub struct LocalKernel {
    kernel: Arc<dyn Kernel>,
    was_refused: AtomicBool,
    was_read: AtomicBool,
}

impl LocalKernel {
    /// One of which nothing is known yet.
    pub fn new(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, was_refused: AtomicBool::new(false), was_read: AtomicBool::new(false) }
    }

    pub(super) fn get(&self) -> &dyn Kernel {
        &*self.kernel
    }

    /// A container of `host` is read.
    pub(super) fn works(&self, host: &HostName) {
        if !self.was_read.swap(true, Relaxed) {
            tracing::info!(host = host.as_str(), "stats are read from the kernel's control groups");
        }
    }

    /// A container of `host` cannot be read.
    pub(super) fn refuses(&self, host: &HostName, why: &str) {
        if !self.was_refused.swap(true, Relaxed) {
            tracing::warn!(host = host.as_str(), why, "stats cannot be read from control groups: the engine is asked");
        }
    }
}

/// Containers are read in groups, so that they share what is the machine's, and its thread wakes once for each group.
const TOGETHER: Duration = Duration::from_millis(20);

/// The first moment from `due` on at which containers are read.
pub(super) fn together(due: Instant) -> Instant {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = due.saturating_duration_since(*BEGINNING).as_nanos();
    let past = since % TOGETHER.as_nanos();
    match u64::try_from(past) {
        Ok(past) if past > 0 => due + (TOGETHER - Duration::from_nanos(past)),
        _ => due,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_about_the_same_time_is_read_at_the_same_time() {
        let start = together(Instant::now() + Duration::from_secs(1));
        assert_eq!(together(start), start);
        for late in [1, 7, 19] {
            assert_eq!(together(start + Duration::from_millis(late)), start + TOGETHER, "{late} ms");
        }
    }
}
