//! `dockstream run`: collect, deliver and serve until told to end.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_runtime::{DrainReport, install_panic_hook};
use api::ApiConfig;
use model::Timestamp;
use pipeline::faults::Faults;
use pipeline::ports::EventHandlerPlan;

use super::greeting::{print_first_look, print_places};
use super::parts::{StartError, cached, dead_letter, engines, sinks};
use super::refuse;
use crate::cli::Exit;
use crate::config::{Config, Loaded, Reading};
use crate::data_folder::DataFolder;
use crate::reload::Reloads;
use crate::shutdown::EndSignals;
use crate::telemetry::{self, CacheMetrics, Telemetry};
use crate::topology::{Parts, Serving, Topology};

/// The last traces and metrics have this long to leave.
const TELEMETRY_END: Duration = Duration::from_secs(2);

/// Where the configuration can be had again while dockstream runs.
#[derive(Clone, Debug)]
pub struct Again {
    /// How it is read.
    pub reading: Reading,
    /// Whether its file is watched, beside SIGHUP.
    pub is_watched: bool,
}

/// Runs until a signal or the end of supervision. Without `again`, the configuration stays as it is.
pub fn run(loaded: &Loaded, again: Option<Again>) -> Exit {
    run_with(loaded, again, Vec::new())
}

/// As [`run`], with handlers that hear of every event.
pub fn run_with(loaded: &Loaded, again: Option<Again>, handlers: Vec<EventHandlerPlan>) -> Exit {
    let config = &loaded.config;
    let again = again.map(|mut again| {
        again.reading.keep_to(loaded.file.as_deref());
        again
    });
    let telemetry = match telemetry::init(&config.telemetry, &config.node) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(&error),
    };
    install_panic_hook();
    actix_rt::System::new().block_on(live(config, again, handlers, telemetry))
}

async fn live(
    config: &Config,
    again: Option<Again>,
    handlers: Vec<EventHandlerPlan>,
    mut telemetry: Telemetry,
) -> Exit {
    let exit = match start(config, again, handlers) {
        Ok(started) => {
            if let Err(error) = telemetry.export_metrics(started.topology.view().fresh_metrics().registry().clone()) {
                tracing::error!(%error, "metrics are not exported");
            }
            watch(config, started).await
        }
        Err(error) => refuse(&error),
    };
    telemetry.shutdown(TELEMETRY_END);
    exit
}

struct Started {
    topology: Topology,
    signals: EndSignals,
    reloads: Option<Reloads>,
    _folder: DataFolder,
}

fn start(config: &Config, again: Option<Again>, handlers: Vec<EventHandlerPlan>) -> Result<Started, StartError> {
    let signals = EndSignals::listen()?;
    let reloads = again.map(|again| Reloads::listen(again.reading, again.is_watched)).transpose()?;
    let folder = DataFolder::open(&config.data_dir)?;
    raise_open_files();
    if config.sinks.sqlite.enabled {
        let path = config.sqlite_path();
        let migrated = ::sinks::sqlite::migrate(&path);
        migrated.map_err(|error| StartError::Store { path: path.display().to_string(), error })?;
    }
    let (store, cache) = cached(config)?;
    let serving = match config.api.enabled {
        true => {
            let defaults = ApiConfig::default();
            let bound = api::bind(ApiConfig { listen: config.api.listen, ..defaults })?;
            let about = api::About { node: config.node.clone(), started_at: Timestamp::from(SystemTime::now()) };
            Some(Serving { bound: Arc::new(bound), store, about })
        }
        false => None,
    };
    let listen = serving.as_ref().map(|serving| serving.bound.address());
    let identity = folder.identity()?;
    let parts = Parts {
        engines: engines(config)?,
        sinks: sinks(config, Some(&identity)),
        dead_letter: dead_letter(config),
        handlers,
        serving,
        faults: Faults::NONE,
    };
    let topology = Topology::start(config, parts)?;
    if let Some(counts) = cache.filter(|_| config.api.enabled) {
        let registry = topology.view().metrics().registry();
        registry.register(Box::new(CacheMetrics::new(counts)?))?;
    }
    print_places(config, listen);
    Ok(Started { topology, signals, reloads, _folder: folder })
}

/// Waits for the end, and brings it about in order.
async fn watch(config: &Config, started: Started) -> Exit {
    let Started { mut topology, mut signals, mut reloads, _folder } = started;
    let mut in_effect = config.clone();
    let view = topology.view().clone();
    let metrics_view = view.clone();
    let (interval, hosts) = (config.telemetry.otlp_interval / 2, config.hosts.len());
    let mut first_look = std::pin::pin!(async move {
        print_first_look(view, hosts).await;
        // What is counted elsewhere is brought into the registry, which is exported from another thread.
        loop {
            tokio::time::sleep(interval).await;
            metrics_view.fresh_metrics();
        }
    });
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            exit = topology.ended() => {
                tracing::error!(%exit, "supervision gives up");
                topology.kill().await;
                return Exit::Escalated;
            }
            (reloads, reason) = reason_to_reload(&mut reloads) => {
                reloads.take_up(reason, &mut in_effect, &mut topology);
            }
            never = &mut first_look => never,
        }
    };
    tracing::info!(signal, grace = %humantime::format_duration(config.shutdown.grace), "draining");
    // Nobody is left to tell where the terminal is gone.
    let _ = writeln!(
        std::io::stdout(),
        "draining (at most {}); a second signal ends at once",
        humantime::format_duration(config.shutdown.grace)
    );
    let journal = topology.journal();
    let mut hurried = false;
    let hurry = async {
        let signal = signals.next().await;
        hurried = true;
        tracing::warn!(signal, "ended at once");
    };
    let report = topology.drain_unless(config.shutdown.grace, hurry).await;
    let exit = if hurried { Exit::DrainIncomplete } else { ended(&report) };
    let outlives = journal.storage().kind == "disk";
    for books in journal.books().iter().filter(|books| books.pending > 0) {
        let (sink, records) = (&books.sink, books.pending);
        if outlives {
            tracing::warn!(sink, records, "not delivered; the journal keeps them for the next start");
        } else {
            tracing::error!(sink, records, "not delivered, and lost");
        }
    }
    exit
}

async fn reason_to_reload(reloads: &mut Option<Reloads>) -> (&mut Reloads, &'static str) {
    match reloads {
        Some(reloads) => {
            let reason = reloads.next().await;
            (reloads, reason)
        }
        None => std::future::pending().await,
    }
}

fn ended(report: &DrainReport) -> Exit {
    if report.cut_short.is_empty() {
        tracing::info!("drained");
        Exit::Ended
    } else {
        tracing::error!(still_running = ?report.cut_short, "drain incomplete: not everything was delivered in time");
        Exit::DrainIncomplete
    }
}

/// Each stats stream is a connection: takes all the system allows.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
    }
}
