//! From the configuration to the parts the topology joins.

use std::sync::Arc;

use engine::{HostUrl, InvalidHostUrl, UnixEngine};
use pipeline::ports::EngineApi;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use sinks::kafka::{KafkaConfig, KafkaSink};
use sinks::sqlite::{SqliteConfig, SqliteError, SqliteSink};

use crate::config::Config;
use crate::data_folder::DataFolderError;
use crate::topology::{SinkPlan, TopologyError};

/// Why dockstream cannot start, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The embedded store.
    #[error("cannot open the embedded store {path}: {error}")]
    Store {
        /// The database file.
        path: String,
        /// What is wrong with it.
        error: SqliteError,
    },
    /// The API's address.
    #[error("`api.listen`: {0}")]
    Bind(#[from] api::BindError),
    /// An engine's address.
    #[error("`hosts.{host}.url`: {error}")]
    HostUrl {
        /// The host.
        host: String,
        /// What is wrong with it.
        error: InvalidHostUrl,
    },
    /// The pipeline.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The simulated hosts of the demo.
    #[error("cannot simulate hosts: {0}")]
    Simulator(#[from] simulator::StartError),
    /// The operating system.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// A client for every configured host.
pub fn engines(config: &Config) -> Result<Vec<Arc<dyn EngineApi>>, StartError> {
    let engine = |host: &crate::config::Host| {
        let url: HostUrl = host.url.parse().map_err(|error| StartError::HostUrl { host: host.name.to_string(), error })?;
        let limits = engine::Limits { connections: host.max_connections.get(), timeout: host.timeout };
        Ok(Arc::new(UnixEngine::new(host.name.clone(), url, limits)) as Arc<dyn EngineApi>)
    };
    config.hosts.iter().map(engine).collect()
}

/// The enabled sinks.
pub fn sinks(config: &Config) -> Vec<SinkPlan> {
    let mut plans = Vec::new();
    if config.sinks.sqlite.enabled {
        let settings = sqlite(config);
        plans.push(SinkPlan::new("sqlite", move || Box::new(SqliteSink::new(settings.clone()))));
    }
    if config.sinks.kafka.enabled {
        let settings = kafka(config);
        plans.push(SinkPlan::new("kafka", move || Box::new(KafkaSink::new(settings.clone()))));
    }
    if config.sinks.clickhouse.enabled {
        let settings = clickhouse(config);
        plans.push(SinkPlan::new("clickhouse", move || Box::new(ClickHouseSink::new(settings.clone()))));
    }
    plans
}
