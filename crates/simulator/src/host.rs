//! Building and owning a simulated host.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use model::Timestamp;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::control::Control;
use crate::counters::Machine;
use crate::engine::{Engine, Order, Pace};
use crate::profile::Profile;
use crate::spec::ContainerSpec;
use crate::world::{Settings, World};

/// A host to be simulated: `Simulator::host("sim-1").containers(10).start()?`.
#[derive(Clone, Debug)]
pub struct Simulator {
    name: String,
    seed: u64,
    profile: Profile,
    machine: Machine,
    specs: Vec<ContainerSpec>,
    socket: Option<PathBuf>,
    interval: Duration,
    pace: Pace,
    epoch: Timestamp,
    truth_depth: usize,
    keeps_log: bool,
    churn: f64,
}

/// Why a simulated host cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its socket cannot be made.
    #[error("cannot listen on {}: {source}", socket.display())]
    Socket {
        /// Where it should be.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No thread, no runtime, or no temporary folder.
    #[error("cannot start a simulated host: {0}")]
    System(#[from] io::Error),
    /// Two containers have the same name.
    #[error("cannot make the containers: {0}")]
    Container(#[from] crate::Refused),
}

/// 2026-01-01T00:00:00Z, where a clock driven by hand begins.
const MANUAL_EPOCH: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

impl Simulator {
    /// A host without containers, of the newest profile, with 4 CPUs and 16 GiB, at one frame a second.
    pub fn host(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            seed: 1,
            profile: Profile::default(),
            machine: Machine { cpus: 4, memory_bytes: 16 << 30 },
            specs: Vec::new(),
            socket: None,
            interval: Duration::from_secs(1),
            pace: Pace::Spread,
            epoch: MANUAL_EPOCH,
            truth_depth: 1,
            keeps_log: false,
            churn: 0.0,
        }
    }

    /// Adds `count` generated containers: `web-1`, `api-1`, `db-1` … (see [`ContainerSpec::generated`]). All are started.
    pub fn containers(mut self, count: usize) -> Self {
        self.specs.extend((0..count).map(ContainerSpec::generated));
        self
    }

    /// Adds one container, to be started.
    pub fn container(mut self, spec: ContainerSpec) -> Self {
        self.specs.push(spec);
        self
    }

    /// Adds containers, to be started.
    pub fn with(mut self, specs: impl IntoIterator<Item = ContainerSpec>) -> Self {
        self.specs.extend(specs);
        self
    }

    /// Chooses the engine to imitate.
    pub fn engine(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets the seed of everything random: ids, noise, churn.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the machine's CPUs (at least one) and memory in bytes.
    pub fn machine(mut self, cpus: u32, memory_bytes: u64) -> Self {
        self.machine = Machine { cpus: cpus.max(1), memory_bytes };
        self
    }

    /// Sets the socket's path. By default it is in a temporary folder of its own.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = Some(path.into());
        self
    }

    /// Sets the time between two frames of a stream (by default 1 s); in manual pace, how far a tick moves the clock.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// One collector visits all watched containers one after another, each taking `cost`, then sleeps one interval: a
    /// stream's interval is then `interval + streams × cost`, as in the real engine (2.4 to 3.3 ms on 20.10).
    pub fn sequential(mut self, cost: Duration, order: Order) -> Self {
        self.pace = Pace::Sequential { cost, order };
        self
    }

    /// Time stands still but for [`Control::tick`] and [`Control::advance`]. It begins at 2026-01-01T00:00:00Z.
    pub fn manual(mut self) -> Self {
        self.pace = Pace::Manual;
        self
    }

    /// As [`Simulator::manual`], beginning at `time`.
    pub fn manual_from(mut self, time: Timestamp) -> Self {
        self.epoch = time;
        self.manual()
    }

    /// Keeps the last `frames` truths of each container (by default one).
    pub fn keep_truth(mut self, frames: usize) -> Self {
        self.truth_depth = frames.max(1);
        self
    }

    /// Keeps every call and every event, for [`Control::calls`] and [`Control::events`].
    pub fn keep_log(mut self) -> Self {
        self.keeps_log = true;
        self
    }

    /// Lets jobs come and go by themselves, at so many steps per second.
    pub fn churn(mut self, steps_per_second: f64) -> Self {
        self.churn = steps_per_second;
        self
    }

    /// Starts it, on a thread of its own. When this returns the socket takes connections.
    ///
    /// # Errors
    /// The socket is in use by a living process or cannot be made; two containers share a name.
    pub fn start(self) -> Result<SimulatedHost, StartError> {
        let (socket, folder) = match self.socket {
            Some(socket) => (socket, None),
            None => {
                let folder = tempfile::Builder::new().prefix("simulated-engine-").tempdir()?;
                (folder.path().join("docker.sock"), Some(folder))
            }
        };
        let clock = match self.pace {
            Pace::Manual => Clock::manual(self.epoch),
            Pace::Spread | Pace::Sequential { .. } => Clock::real(),
        };
        let settings = Settings {
            name: self.name.clone(),
            seed: self.seed,
            profile: self.profile,
            machine: self.machine,
            interval: self.interval.max(Duration::from_millis(10)),
            truth_depth: self.truth_depth,
            keeps_log: self.keeps_log,
        };
        let mut world = World::new(settings, clock);
        for spec in self.specs {
            let key = world.create(spec)?;
            world.start(key)?;
        }
        world.set_churn(self.churn);
        remove_stale(&socket);
        let engine =
            Engine::bind(world, socket.clone(), self.pace).map_err(|source| StartError::Socket { socket, source })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let running = Arc::clone(&engine);
        let thread = std::thread::Builder::new()
            .name(format!("sim {}", self.name))
            .spawn(move || runtime.block_on(running.run()))?;
        Ok(SimulatedHost { name: self.name, control: Control::new(engine), thread: Some(thread), _folder: folder })
    }
}

/// A socket that nobody answers on is left over from a process that was killed.
fn remove_stale(socket: &Path) {
    if UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        // Where it cannot be removed, binding says why.
        let _ = std::fs::remove_file(socket);
    }
}

/// A running simulated host. Dropping it ends it: connections break, the socket is removed, the thread is joined.
#[derive(Debug)]
pub struct SimulatedHost {
    name: String,
    control: Control,
    thread: Option<JoinHandle<()>>,
    _folder: Option<TempDir>,
}

impl SimulatedHost {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of its socket.
    pub fn socket(&self) -> &Path {
        self.control.engine().socket()
    }

    /// Its address, such as `unix:///tmp/x/docker.sock`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The handle that changes it. It can be cloned, sent, and outlive the host.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Drop for SimulatedHost {
    fn drop(&mut self) {
        self.control.engine().shut();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already; a second one here would abort.
            let _ = thread.join();
        }
    }
}
