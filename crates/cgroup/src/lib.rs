//! What the kernel of this machine counts of a container: the numbers an engine tells, without asking the engine.
//!
//! An engine reads the same files for each sample, and spends far longer on making a document of them. Here
//! [`Kernel`] finds a container's control groups by the first process of it (`/proc/<pid>/cgroup`) or by their name, keeps the files open,
//! and reads them anew for each [`Frame`]: CPU, memory, block I/O and processes from version 1 or 2 of control groups,
//! network from `/proc/<pid>/net/dev`, the machine's own CPU time from `/proc/stat`. The frame holds what the engine's
//! would, by the same rules, so that the formulas of [`model::compute`] give the same values.
//!
//! Sources: the kernel's `Documentation/admin-guide/cgroup-v1` and `cgroup-v2.rst`, moby `daemon/stats`, and frames of
//! engines beside the files they were made of.

mod files;
mod flat;
mod machine;
mod mounts;
mod network;
mod version1;
mod version2;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use model::{ContainerId, Frame, Timestamp};
use pipeline::ports::{self, Counters, KernelError, Process};

use files::{Descriptors, Source};
use machine::Machine;
use mounts::{Groups, Mounts};
use version1::Version1;
use version2::Version2;

/// The kernel of this machine, as `/proc` and the control groups mounted here show it. Shared by all containers.
#[derive(Debug)]
pub struct Kernel {
    proc: PathBuf,
    mounts: Mounts,
    machine: Arc<Mutex<Machine>>,
    descriptors: Descriptors,
    /// Groups by the container they are named after, as of the last look.
    known: Mutex<BTreeMap<ContainerId, PathBuf>>,
    /// A container was read: this is the machine they run on.
    has_read: AtomicBool,
}

impl Kernel {
    /// Looks at what is mounted.
    ///
    /// # Errors
    /// Where `/proc` cannot be read, or no control groups are mounted.
    pub fn of_this_machine() -> Result<Self, KernelError> {
        Self::at(Path::new("/proc"))
    }

    /// The kernel whose `/proc` is mounted at `proc`.
    ///
    /// # Errors
    /// As [`Kernel::of_this_machine`].
    pub fn at(proc: &Path) -> Result<Self, KernelError> {
        let listed = proc.join("self/mountinfo");
        let text = std::fs::read(&listed).map_err(|error| unreadable(&listed, &error))?;
        let mounts = Mounts::parse(&text);
        if mounts.is_empty() {
            return Err(KernelError::Unreadable("no control groups are mounted here".into()));
        }
        let machine = Arc::new(Mutex::new(Machine::at(proc)?));
        Ok(Self {
            proc: proc.to_owned(),
            mounts,
            machine,
            descriptors: Descriptors::half_of_the_limit(),
            known: Mutex::default(),
            has_read: AtomicBool::new(false),
        })
    }

    /// Where a container's processes are: by its first process, or where that has another number here by its name.
    fn groups(&self, process: &Process) -> Result<Groups, KernelError> {
        let listed = self.proc.join(process.pid.to_string()).join("cgroup");
        let by_process = std::fs::read(&listed).ok().and_then(|text| Groups::of(&text, &process.container_id));
        if let Some(groups) = by_process {
            return Ok(groups);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut path = known.get(&process.container_id).cloned();
        if path
            .as_deref()
            .is_none_or(|path| self.mounts.folder(&Groups::at(path)).is_none_or(|folder| !folder.exists()))
        {
            *known = self.mounts.containers();
            path = known.get(&process.container_id).cloned();
        }
        match path {
            Some(path) => Ok(Groups::at(&path)),
            // Where containers are seen at all, this one has ended.
            None if self.has_read.load(Relaxed) => Err(KernelError::Gone),
            None => Err(KernelError::Unreadable(format!(
                "no control group of container {} is seen here: the engine runs on another machine, or \
                 /sys/fs/cgroup of this one is hidden from dockstream",
                process.container_id.short()
            ))),
        }
    }

    /// The devices of a container, as any of its processes sees them.
    fn devices(&self, groups: &Groups) -> Result<Source, KernelError> {
        let folder = self.mounts.folder(groups).ok_or(KernelError::Gone)?;
        let Some(pid) = first_process(&folder)? else {
            return Err(KernelError::Unreadable(
                "processes of containers are hidden from dockstream: in a container it needs the host's pid namespace"
                    .into(),
            ));
        };
        Source::open(&self.proc.join(pid.to_string()).join("net/dev"), &self.descriptors)
    }
}

/// The first process in a group, or in one below it; `None` where they have no number here.
fn first_process(folder: &Path) -> Result<Option<u64>, KernelError> {
    let listed = folder.join("cgroup.procs");
    let text = std::fs::read(&listed).map_err(|error| files::failed(&listed, &error))?;
    let mut processes = flat::lines(&text).filter_map(flat::number).peekable();
    if processes.peek().is_some() {
        return Ok(processes.find(|pid| *pid > 0));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| files::failed(folder, &error))?;
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if let Some(pid) = first_process(&entry.path())? {
            return Ok(Some(pid));
        }
    }
    // It has no process at all.
    Err(KernelError::Gone)
}

impl ports::Kernel for Kernel {
    fn open(&self, process: &Process) -> Result<Box<dyn Counters>, KernelError> {
        let groups = self.groups(process)?;
        let version = match self.mounts.version2(&groups) {
            Some(folder) => Version::Two(Version2::open(&folder, &self.descriptors)?),
            None => Version::One(Version1::open(|name| self.mounts.version1(&groups, name), &self.descriptors)?),
        };
        let network = process.has_network.then(|| self.devices(&groups)).transpose()?;
        let mut counters = Container { version, network, machine: self.machine.clone() };
        counters.read()?;
        self.has_read.store(true, Relaxed);
        Ok(Box::new(counters))
    }
}

/// One run of one container.
struct Container {
    version: Version,
    network: Option<Source>,
    machine: Arc<Mutex<Machine>>,
}

enum Version {
    One(Version1),
    Two(Version2),
}

impl Counters for Container {
    fn read(&mut self) -> Result<Frame, KernelError> {
        let now = Timestamp::from(SystemTime::now());
        let mut frame = Frame { read: Some(now), ..Frame::default() };
        // Read first: it is gone with the container, while the network's may outlive it.
        match &mut self.version {
            Version::One(files) => files.read(&mut frame)?,
            Version::Two(files) => files.read(&mut frame)?,
        }
        if let Some(devices) = &mut self.network {
            frame.network = devices.read(network::sum)?;
        }
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        (frame.cpu.system, frame.cpu.online_cpus) = machine.cpu()?;
        let memory = machine.memory();
        drop(machine);
        // A limit beyond what there is limits nothing.
        frame.memory.limit = match (frame.memory.limit, memory) {
            (Some(limit), Some(memory)) => Some(limit.min(memory)),
            (None, memory) if frame.memory.usage.is_some() => memory,
            (limit, _) => limit,
        };
        Ok(frame)
    }
}

/// The control group, or the process, is not there any more.
fn is_gone(error: &io::Error) -> bool {
    // ENODEV: an open file of a control group that was removed. ESRCH: one of a process that has ended.
    matches!(error.raw_os_error(), Some(3 | 19)) || error.kind() == io::ErrorKind::NotFound
}

fn unreadable(path: &Path, error: &io::Error) -> KernelError {
    KernelError::Unreadable(format!("{}: {error}", path.display()))
}
