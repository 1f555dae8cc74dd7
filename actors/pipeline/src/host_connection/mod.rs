//! HostConnection: finds out whether an engine answers, and tells all who wait for it.
//!
//! In: [`Suspect`] from streams that broke. Out: the [`Link`] of the host, host records to the parser.
//! Owns nothing; a restart asks the engine anew.

mod link;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::wrap_future;
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Backoff, Cell, Drain, Exit};
use model::{HostRecord, HostStatus, OsFamily, Timestamp};
use tokio::sync::Notify;

use crate::books::Books;
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::ports::{EngineApi, EngineError, EngineInfo};
use crate::router::Router;

pub use link::{HostBoard, Link};

/// Between two signs of life.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Between two host records where nothing changed.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// What a connection needs.
#[derive(Clone)]
pub struct HostConnectionDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// What it tells the others.
    pub link: Link,
    /// Where the latest state is shown.
    pub board: HostBoard,
    /// The way to the parsers.
    pub router: Router,
    /// The books.
    pub books: Arc<Books>,
    /// Waits between attempts while the engine does not answer.
    pub backoff: Backoff,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// The actor.
pub struct HostConnection {
    cell: Cell,
    deps: HostConnectionDeps,
    suspicion: Arc<Notify>,
}

/// A stream of this host broke: look now, not at the next ping.
#[derive(Clone, Copy, Debug)]
pub struct Suspect;

impl Message for Suspect {
    type Result = ();
}

impl HostConnection {
    /// A connection that lives in `cell`.
    pub fn new(cell: Cell, deps: HostConnectionDeps) -> Self {
        Self { cell, deps, suspicion: Arc::default() }
    }
}

async fn watch(deps: HostConnectionDeps, suspicion: Arc<Notify>) {
    let mut failures = 0;
    loop {
        match deps.engine.identify().await {
            Ok(info) => {
                let info = Arc::new(info);
                deps.up(&info, failures);
                failures = 0;
                let error = deps.until_silent(&info, &suspicion).await;
                deps.down(&error, failures);
            }
            Err(error) => {
                deps.metrics.engine_error(deps.engine.host().as_str(), error.failure.name());
                deps.down(&error, failures);
                failures = failures.saturating_add(1);
                tokio::time::sleep(deps.backoff.delay(failures)).await;
            }
        }
    }
}

impl HostConnectionDeps {
    fn up(&self, info: &Arc<EngineInfo>, failures: u32) {
        let host = self.engine.host().as_str();
        let (major, minor) = info.api_version;
        tracing::info!(
            host,
            engine = info.engine,
            version = info.version,
            api = format!("{major}.{minor}"),
            failures,
            "engine answers"
        );
        self.metrics.host(host, true);
        self.show(self.record(HostStatus::Up, Some(info), None, None));
        self.link.set(Some(info.clone()));
    }

    fn down(&self, error: &EngineError, failures: u32) {
        let host = self.engine.host().as_str();
        // One line at the first failure; a host that stays away is mentioned now and then.
        if failures == 0 || (failures.is_power_of_two() && failures >= 16) {
            tracing::warn!(host, failures, "{error}; trying again");
        }
        self.metrics.host(host, false);
        let was_down = self.board.get(self.engine.host()).is_some_and(|record| record.status == HostStatus::Down);
        let record = self.record(HostStatus::Down, None, Some(error), None);
        if was_down {
            self.board.set(record)
        } else {
            self.show(record)
        }
        self.link.set(None);
    }

    /// Pings until the engine does not answer twice in a row; the error of the last ping.
    async fn until_silent(&self, info: &Arc<EngineInfo>, suspicion: &Notify) -> EngineError {
        let mut reported = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(PING_INTERVAL) => {}
                () = suspicion.notified() => {}
            }
            match self.engine.ping().await {
                Ok(took) => {
                    self.metrics.engine_call(self.engine.host().as_str(), "ping", took);
                    let record = self.record(HostStatus::Up, Some(info), None, Some(took));
                    if reported.elapsed() >= REPORT_INTERVAL {
                        reported = tokio::time::Instant::now();
                        self.show(record);
                    } else {
                        self.board.set(record);
                    }
                }
                Err(error) => {
                    self.metrics.engine_error(self.engine.host().as_str(), error.failure.name());
                    return error;
                }
            }
        }
    }

    fn record(
        &self,
        status: HostStatus,
        info: Option<&Arc<EngineInfo>>,
        error: Option<&EngineError>,
        took: Option<Duration>,
    ) -> HostRecord {
        let before = self.board.get(self.engine.host());
        HostRecord {
            host: self.engine.host().clone(),
            url: self.engine.url().to_owned(),
            status,
            last_error: error.map(|error| error.message.clone()),
            engine: info.map(|info| info.engine.clone()),
            engine_version: info.map(|info| info.version.clone()),
            api_version: info.map(|info| format!("{}.{}", info.api_version.0, info.api_version.1)),
            os: info.map(|info| if info.os == OsFamily::Windows { "windows" } else { "linux" }.to_owned()),
            kernel: info.and_then(|info| info.kernel.clone()),
            cgroup_version: info.and_then(|info| info.cgroup_version),
            cpus: info.and_then(|info| info.cpus),
            memory_bytes: info.and_then(|info| info.memory_bytes),
            response_ns: took.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            containers: before.as_ref().and_then(|before| before.containers),
            containers_running: before.as_ref().and_then(|before| before.containers_running),
            observed_at: Timestamp::from(SystemTime::now()),
        }
    }

    /// Shows a state on the board and sends it on; where the pipeline is full, the next one will do.
    fn show(&self, record: HostRecord) {
        self.board.set(record.clone());
        let seen = Seen::Host(Box::new(record));
        let custody = self.books.receive(seen.stream());
        let observation = Observation { what: seen, custody };
        if let Err(actor_runtime::TrySendError::Full(observation)) =
            self.router.observations(self.engine.host().as_str()).try_send(observation)
        {
            observation.custody.lost(model::LossReason::Overflow);
        }
    }
}

impl Actor for HostConnection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(wrap_future(watch(self.deps.clone(), self.suspicion.clone())));
    }
}

impl actix::Supervised for HostConnection {}

impl Handler<Suspect> for HostConnection {
    type Result = ();

    fn handle(&mut self, _: Suspect, _: &mut Context<Self>) {
        self.suspicion.notify_one();
    }
}

impl Handler<Drain> for HostConnection {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
