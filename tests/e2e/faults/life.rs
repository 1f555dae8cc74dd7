//! One life of dockstream: the binary as a process of its own, or all of it in this one, where its stages can be made to panic.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use api::ApiConfig;
use dockstream::commands::{dead_letter, engines, sinks};
use dockstream::config::{self, Environment, Overrides};
use dockstream::data_folder::DataFolder;
use dockstream::topology::{Parts, Serving, Topology};
use model::Timestamp;
use pipeline::faults::Faults;
use serde_json::Value;
use store::SqliteStore;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::books::Books;
use super::world::PATIENCE;
use crate::binary::{Dockstream, Launch};
use crate::http;
use crate::pipeline::on_a_system;

/// Where dockstream runs.
pub enum Life {
    /// As a process.
    Binary(Dockstream),
    /// Here.
    Inside(Inside),
}

impl Life {
    /// Starts the binary in `folder`, which has its configuration.
    pub fn binary(folder: &Arc<TempDir>, variables: &[(&'static str, String)]) -> Self {
        let launch = Launch::in_folder(folder.clone());
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, value));
        Self::Binary(launch.start())
    }

    /// Starts all of it here.
    pub fn inside(folder: &Path, faults: Faults) -> Self {
        Self::Inside(Inside::start(folder, faults))
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Binary(dockstream) => dockstream.address(),
            Self::Inside(inside) => inside.address,
        }
    }

    /// Status and body of an answer of its API.
    pub fn ask(&self, path: &str) -> (u16, Value) {
        let (status, body) = http::get(self.address(), path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// Its books at this moment; they balance.
    pub fn books(&self) -> Books {
        let (status, pipeline) = self.ask("/api/pipeline");
        assert_eq!(status, 200, "{pipeline}");
        Books::of(&pipeline)
    }

    /// Asks it to end, and waits until everything is delivered.
    pub fn end(self) {
        match self {
            Self::Binary(dockstream) => {
                dockstream.signal("TERM");
                let finished = dockstream.finished(PATIENCE);
                assert_eq!(finished.code, Some(0), "{finished:?}");
            }
            Self::Inside(inside) => inside.end(),
        }
    }
}

/// A pipeline in this process, on a thread of its own.
pub struct Inside {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<Vec<String>>,
}

/// Time to deliver everything at the end.
const GRACE: Duration = Duration::from_secs(150);

impl Inside {
    fn start(folder: &Path, faults: Faults) -> Self {
        let (started, address) = sync_channel(1);
        let (end, told) = oneshot::channel();
        let folder = folder.to_owned();
        let thread = std::thread::spawn(move || {
            on_a_system(async move {
                let loaded = config::load(&Overrides::default(), &Environment::default(), &folder);
                let config = loaded.expect("the configuration is right").config;
                let data = DataFolder::open(&config.data_dir).expect("a folder");
                let identity = data.identity().expect("whose folder it is");
                ::sinks::sqlite::migrate(&config.sqlite_path()).expect("a database");
                let bound = api::bind(ApiConfig { listen: ([127, 0, 0, 1], 0).into(), ..ApiConfig::default() });
                let bound = Arc::new(bound.expect("a free port"));
                let about = api::About { node: config.node.clone(), started_at: Timestamp::from(SystemTime::now()) };
                let store = Arc::new(SqliteStore::open(config.sqlite_path()));
                let serving = Some(Serving { bound: bound.clone(), store, about });
                let engines = engines(&config).expect("an engine");
                let (sinks, dead_letter) = (sinks(&config, Some(&identity)), dead_letter(&config));
                let parts = Parts { engines, sinks, dead_letter, handlers: Vec::new(), serving, faults };
                let topology = Topology::start(&config, parts).expect("a pipeline");
                started.send(bound.address()).expect("somebody waits for it");
                // Nobody left to tell: the test has failed.
                told.await.ok();
                topology.drain(GRACE).await.cut_short.iter().map(|left| format!("{left:?}")).collect()
            })
        });
        let address = address.recv().expect("the pipeline starts");
        Self { address, end, thread }
    }

    fn end(self) {
        self.end.send(()).expect("the pipeline runs");
        let cut_short = self.thread.join().expect("the pipeline ends in order");
        assert!(cut_short.is_empty(), "still running: {cut_short:?}");
    }
}
