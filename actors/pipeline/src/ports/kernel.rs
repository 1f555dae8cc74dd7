//! The kernel port: counters of containers on this machine, read without their engine.

use model::{ContainerId, Frame};

/// The kernel that runs containers, where that is ours.
pub trait Kernel: Send + Sync + 'static {
    /// Opens the counters of one run of a container.
    ///
    /// # Errors
    /// As [`Counters::read`].
    fn open(&self, process: &Process) -> Result<Box<dyn Counters>, KernelError>;
}

/// The counters of one run of one container.
pub trait Counters: Send {
    /// What they are now: what the engine would tell in a stats frame. Takes microseconds and waits for nobody.
    ///
    /// # Errors
    /// `Gone` where the run is over, `Unreadable` where the engine has to be asked instead.
    fn read(&mut self) -> Result<Frame, KernelError>;
}

/// The first process of a run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The container.
    pub container_id: ContainerId,
    /// Its number, as the machine's own pid namespace has it.
    pub pid: u32,
    /// Whether it has network devices that are told of it: one on the host's network has not.
    pub has_network: bool,
}

/// Why there are no counters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The run is over.
    #[error("the container's control group is gone")]
    Gone,
    /// They cannot be read here; why, in one line.
    #[error("{0}")]
    Unreadable(String),
}
