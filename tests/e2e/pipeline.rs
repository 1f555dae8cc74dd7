//! The whole pipeline in this process, against a simulated engine: for faults that only the inside can cause.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dockstream::commands::{dead_letter, engines};
use dockstream::config::{self, Config, Environment, Overrides};
use dockstream::topology::{Parts, SinkPlan, Topology};
use model::{BatchId, LossRecord, Rows, Stream};
use pipeline::faults::Faults;
use pipeline::ports::{Appetite, Deliver, DeliverError, Range, Receipt};
use simulator::{SimulatedHost, Simulator};
use sinks::sqlite::{SqliteConfig, SqliteSink};
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits for it that goes well.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Runs a future on an actix system of its own.
pub fn on_a_system<T>(test: impl Future<Output = T>) -> T {
    actor_runtime::install_panic_hook();
    actix_rt::System::new().block_on(test)
}

/// A configuration made of the defaults and these variables.
pub fn configured(folder: &Path, variables: &[(&str, &str)]) -> Config {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mut all = vec![("DOCKSTREAM_DATA_DIR".to_owned(), data.to_string_lossy().into_owned())];
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    config::load(&Overrides::default(), &all.into_iter().collect::<Environment>(), folder).unwrap().config
}

/// A simulated engine with the name `sim`, and a configuration that watches it: a frame every 50 ms, a sample every 100.
pub struct Simulated {
    pub engine: SimulatedHost,
    pub config: Config,
    _folder: TempDir,
}

impl Simulated {
    /// `shape` says what else the engine is, and `variables` what else is configured.
    pub fn new(shape: impl FnOnce(Simulator) -> Simulator, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Simulator::host("sim").socket(folder.path().join("sim.sock")).interval(Duration::from_millis(50));
        let engine = shape(engine).start().unwrap();
        let host = format!("sim={}", engine.url());
        let pace = [
            ("DOCKSTREAM_HOSTS", host.as_str()),
            ("DOCKSTREAM_COLLECT_STATS_INTERVAL", "100ms"),
            ("DOCKSTREAM_BATCH_AGE", "50ms"),
        ];
        let config = configured(folder.path(), &[&pace, variables].concat());
        Self { engine, config, _folder: folder }
    }

    /// Starts the pipeline with its own sink, SQLite.
    pub fn start(&self) -> Topology {
        start(&self.config, vec![sqlite(&self.config)], Faults::NONE)
    }
}

/// Starts the pipeline of `config` with these sinks.
pub fn start(config: &Config, sinks: Vec<SinkPlan>, faults: Faults) -> Topology {
    Topology::start(config, parts(config, sinks, faults)).unwrap()
}

/// What the pipeline of `config` is made of, with these sinks.
pub fn parts(config: &Config, sinks: Vec<SinkPlan>, faults: Faults) -> Parts {
    let (engines, dead_letter) = (engines(config).unwrap(), dead_letter(config));
    Parts { engines, sinks, dead_letter, handlers: Vec::new(), serving: None, faults }
}

/// The real SQLite sink, at the place the configuration gives it; its tables are there at once, as they are in the binary.
pub fn sqlite(config: &Config) -> SinkPlan {
    sinks::sqlite::migrate(&config.sqlite_path()).unwrap();
    let settings = SqliteConfig::new(config.sqlite_path());
    SinkPlan::new("sqlite", move || Box::new(SqliteSink::new(settings.clone())))
}

/// A number out of the SQLite sink's file.
pub fn count(config: &Config, sql: &str) -> u64 {
    let database = rusqlite::Connection::open(config.sqlite_path()).unwrap();
    let count: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

/// Waits until `probe` gives something.
pub async fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, probe).await
}

/// Waits until `probe` gives something, but no longer than `limit`.
pub async fn eventually_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A sink that remembers the ids of what it took, every time it took it.
#[derive(Clone, Default)]
pub struct Recorder {
    taken: Arc<Mutex<Vec<BatchId>>>,
    losses: Arc<Mutex<BTreeMap<(u64, u64), LossRecord>>>,
}

impl Recorder {
    pub fn plan(&self, name: &str) -> SinkPlan {
        let recorder = self.clone();
        SinkPlan::new(name, move || Box::new(recorder.clone()))
    }

    /// The records of losses, each once.
    pub fn losses(&self) -> Vec<LossRecord> {
        self.losses.lock().unwrap().values().cloned().collect()
    }

    /// Distinct sequence numbers taken of a stream, and how many were taken more than once.
    pub fn rows(&self, stream: Stream) -> (u64, u64) {
        let taken = self.taken.lock().unwrap();
        let mut all: Vec<u64> =
            taken.iter().filter(|id| id.stream == stream).flat_map(|id| id.first..=id.last).collect();
        let with_repeats = all.len() as u64;
        all.sort_unstable();
        all.dedup();
        (all.len() as u64, with_repeats - all.len() as u64)
    }
}

#[async_trait]
impl Deliver for Recorder {
    fn kind(&self) -> &'static str {
        "recorder"
    }

    fn target(&self) -> String {
        "memory".into()
    }

    fn appetite(&self) -> Appetite {
        Appetite { rows: 1000, bytes: 1 << 20, linger: Duration::ZERO, streams: Stream::ALL.to_vec() }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(())
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        self.taken.lock().unwrap().extend(range.batches.iter().map(|batch| batch.id.clone()));
        for batch in &range.batches {
            if let Rows::Losses(rows) = &batch.rows {
                let named = rows.iter().zip(batch.id.first..).map(|(row, sequence)| ((batch.id.epoch, sequence), row));
                self.losses.lock().unwrap().extend(named.map(|(name, row)| (name, row.clone())));
            }
        }
        Ok(Receipt::default())
    }
}
