//! What a scenario is played on, and its beginning.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use pipeline::faults::Faults;
use simulator::Simulator;
use tempfile::TempDir;
use test_support::{SmallDisk, SteppedClock, unique};

use super::chance::Chance;
use super::life::Life;
use super::servers::{Lines, Servers};
use super::stir::{self, Stir};
use super::world::{Past, SINKS, World};

/// What a scenario is played on.
pub struct Setting {
    containers: usize,
    pace: Duration,
    restarts: Duration,
    seed: u64,
    servers: Servers,
    disk: Option<u64>,
    clock: bool,
}

impl Setting {
    /// Twenty containers, ten samples a second of each.
    pub fn new(chance: &mut Chance) -> Self {
        let (containers, pace) = (20, Duration::from_millis(100));
        Self {
            containers,
            pace,
            restarts: stir::PAUSE,
            seed: chance.another(),
            servers: Servers::Shared,
            disk: None,
            clock: false,
        }
    }

    /// So many containers, a sample of each every `pace`.
    pub fn containers(self, containers: usize, pace: Duration) -> Self {
        Self { containers, pace, ..self }
    }

    /// A restart of some container after every `pause`.
    pub fn restarts_every(self, pause: Duration) -> Self {
        Self { restarts: pause, ..self }
    }

    /// Servers of its own, which can be killed.
    pub fn with_its_own_servers(self) -> Self {
        Self { servers: Servers::Own, ..self }
    }

    /// Lines that can be spoiled between dockstream and everything else.
    pub fn with_lines(self) -> Self {
        Self { servers: Servers::OwnBehindLines, ..self }
    }

    /// A disk of its own for the data folder.
    pub fn on_a_disk_of(self, bytes: u64) -> Self {
        Self { disk: Some(bytes), ..self }
    }

    /// A clock of its own for dockstream.
    pub fn with_a_clock(self) -> Self {
        Self { clock: true, ..self }
    }

    /// Starts everything, dockstream as a process of its own; returns once records flow into every store.
    pub fn begin(self) -> World {
        self.begin_as(|folder, clock| {
            let variables = clock.map(|clock| clock.variables().to_vec()).unwrap_or_default();
            Life::binary(folder, &variables)
        })
    }

    /// Starts everything, dockstream in this process.
    pub fn begin_inside(self, faults: Faults) -> World {
        self.begin_as(move |folder, _| Life::inside(folder.path(), faults))
    }

    fn begin_as(self, start: impl FnOnce(&Arc<TempDir>, Option<&SteppedClock>) -> Life) -> World {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        // A stream is a connection, and there may be thousands.
        rlimit::increase_nofile_limit(u64::MAX).expect("open files");
        let engine = Simulator::host("sim")
            .socket(folder.path().join("engine.sock"))
            .seed(self.seed)
            .containers(self.containers)
            .interval(self.pace)
            .keep_truth(usize::MAX)
            .start()
            .expect("a simulated host");
        let lines = (self.servers == Servers::OwnBehindLines).then(|| Lines::before(folder.path(), &engine));
        let (kafka, clickhouse) = self.servers.start(lines.as_ref());
        let disk = self.disk.map(|bytes| SmallDisk::mount(&folder.path().join("data"), bytes));
        let clock = self.clock.then(|| SteppedClock::new(folder.path()));

        let control = engine.control().clone();
        let (life, stir, past, name) = (None, None, Past::default(), unique("chaos"));
        let mut world =
            World { life, stir, past, engine, kafka, clickhouse, name, lines, disk, clock, folder, pace: self.pace };
        fs::write(world.folder.path().join("pipeline.toml"), config(&world, self.pace)).expect("a file");
        world.life = Some(start(&world.folder, world.clock.as_ref()));
        world.flows_into(&SINKS, 100);
        // What an engine told before anybody listened is nobody's: so events begin here.
        let stir = Stir::begin(control.clone(), control.ids(), self.seed, self.restarts, world.database());
        world.stir = Some(stir);
        world
    }
}

/// What dockstream is told.
fn config(world: &World, pace: Duration) -> String {
    let lines = world.lines.as_ref();
    let socket = lines.map_or(world.engine.socket(), |lines| lines.engine.socket());
    let own = || world.clickhouse.url().to_owned();
    let clickhouse = lines.map_or_else(own, |lines| format!("http://{}", lines.clickhouse.address()));
    format!(
        r#"
node = "{name}"
data_dir = "{data}"
[[hosts]]
name = "sim"
url = "unix://{socket}"
[collect]
mode = "stream"
stats_interval = "{pace}ms"
discovery_interval = "5s"
[collect.logs]
enabled = {logs}
[losses]
interval = "1s"
[batch]
age = "100ms"
[retry]
min = "50ms"
max = "1s"
[shutdown]
grace = "120s"
[sinks.kafka]
enabled = true
brokers = ["{kafka}"]
topic_prefix = "{name}."
partitions = 3
exactly_once = true
[sinks.clickhouse]
enabled = true
url = "{clickhouse}"
database = "{name}"
linger = "200ms"
"#,
        data = world.folder.path().join("data").display(),
        socket = socket.display(),
        pace = pace.as_millis(),
        // A log is a connection more, and a place in it is a time of the engine's clock.
        logs = world.control().ids().len() <= 100 && world.clock.is_none(),
        kafka = world.kafka.bootstrap(),
        name = world.name,
    )
}
