//! HostConnection: finds out whether an engine answers, and tells all who wait for it.
//!
//! In: [`Suspect`] from streams that broke. Out: the [`Link`] of the host, host records to the parser.
//! Owns the host records that wait for a parser; a restart asks the engine anew.

mod link;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Backoff, Cell, Drain, Exit};
use model::{HostRecord, HostStatus, OsFamily, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::books::Books;
use crate::messages::{Observation, Seen};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{EngineApi, EngineError, EngineFailure, EngineInfo};
use crate::router::Router;

pub use link::{HostBoard, Link};

/// Between two signs of life.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Between two signs of life, however many streams break: a thousand of them are one suspicion.
const SUSPICION_INTERVAL: Duration = Duration::from_secs(1);

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
    outbox: Outbox,
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
        Self { cell, deps, suspicion: Arc::default(), outbox: Outbox::default() }
    }
}

/// Finds out how it is with the engine, for ever.
struct Watch {
    deps: HostConnectionDeps,
    suspicion: Arc<Notify>,
    outbox: Outbox,
}

impl Watch {
    async fn run(self) {
        let mut failures = 0;
        loop {
            match self.deps.engine.identify().await {
                Ok(info) => {
                    let info = Arc::new(info);
                    self.up(&info, failures);
                    failures = 1;
                    let error = self.until_silent(&info).await;
                    self.down(&error, failures);
                }
                Err(error) => {
                    self.failed(&error);
                    failures = failures.saturating_add(1);
                    self.down(&error, failures);
                    sleep(self.deps.backoff.delay(failures)).await;
                }
            }
        }
    }

    fn failed(&self, error: &EngineError) {
        self.deps.metrics.engine_error(self.deps.engine.host().as_str(), error.failure.name());
    }

    fn up(&self, info: &Arc<EngineInfo>, failures: u32) {
        let host = self.deps.engine.host().as_str();
        let (major, minor) = info.api_version;
        tracing::info!(
            host,
            engine = info.engine,
            version = info.version,
            api = format!("{major}.{minor}"),
            failures,
            "engine answers"
        );
        self.deps.metrics.host(host, true);
        self.show(self.deps.record(HostStatus::Up, Some(info), None, None));
        self.deps.link.set(Some(info.clone()));
    }

    /// `failures` counts those in a row, this one included.
    fn down(&self, error: &EngineError, failures: u32) {
        let host = self.deps.engine.host().as_str();
        // One line at the first failure; a host that stays away is mentioned now and then.
        if failures == 1 || (failures >= 16 && failures.is_power_of_two()) {
            tracing::warn!(host, failures, "{error}; trying again");
        }
        self.deps.metrics.host(host, false);
        let was_down =
            self.deps.board.get(self.deps.engine.host()).is_some_and(|record| record.status == HostStatus::Down);
        let record = self.deps.record(HostStatus::Down, None, Some(error), None);
        if was_down {
            self.deps.board.set(record)
        } else {
            self.show(record)
        }
        self.deps.link.set(None);
    }

    /// Pings until the engine does not answer; the error of the last ping.
    async fn until_silent(&self, info: &Arc<EngineInfo>) -> EngineError {
        let mut reported = Instant::now();
        loop {
            let suspected = async {
                sleep(SUSPICION_INTERVAL).await;
                self.suspicion.notified().await;
            };
            tokio::select! {
                () = sleep(PING_INTERVAL) => {}
                () = suspected => {}
            }
            match self.ping().await {
                Ok(took) => {
                    self.deps.metrics.engine_call(self.deps.engine.host().as_str(), "ping", took);
                    let record = self.deps.record(HostStatus::Up, Some(info), None, Some(took));
                    if reported.elapsed() >= REPORT_INTERVAL {
                        reported = Instant::now();
                        self.show(record);
                    } else {
                        self.deps.board.set(record);
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// A busy engine may miss one ping: one that is there and slow is asked twice.
    async fn ping(&self) -> Result<Duration, EngineError> {
        match self.deps.engine.ping().await {
            Err(error) if matches!(error.failure, EngineFailure::Timeout | EngineFailure::Server) => {
                self.failed(&error);
            }
            Err(error) => {
                self.failed(&error);
                return Err(error);
            }
            answered => return answered,
        }
        self.deps.engine.ping().await.inspect_err(|error| self.failed(error))
    }

    /// Shows a state on the board and sends it on.
    fn show(&self, record: HostRecord) {
        self.deps.board.set(record.clone());
        let what = Seen::Host(Box::new(record));
        let custody = self.deps.books.receive(what.stream());
        self.outbox.send(Observation { what, custody }, &self.deps.router);
    }
}

impl HostConnectionDeps {
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
}

impl Actor for HostConnection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, suspicion, outbox) = (self.deps.clone(), self.suspicion.clone(), self.outbox.clone());
        let router = deps.router.clone();
        ctx.spawn(wrap_future(Watch { deps, suspicion, outbox: outbox.clone() }.run()));
        ctx.spawn(wrap_future(async move { outbox.run(&router).await }));
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
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), connection: &mut Self, ctx| connection.cell.finish(ctx, Exit::Drained)));
    }
}
