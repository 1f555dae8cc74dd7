//! HostConnection: finds out whether an engine answers, and tells all who wait for it.
//!
//! In: [`Suspect`] from streams that broke. Out: the [`Link`] of the host; host records, and an event where the host
//! goes or comes, to the parser. Owns those that wait for a parser; a restart asks the engine anew.

mod link;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler, Message};
use actor_runtime::{Backoff, Cell, Drain, Exit};
use model::{EngineEvent, HostRecord, HostStatus, OsFamily, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::books::Books;
use crate::messages::{About, Observation, Seen};
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

/// Shortest pause before a host is tried again that refused us: it takes a person, and a door that is tried too often
/// is locked.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// What a connection needs.
#[derive(Clone)]
pub struct HostConnectionDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// What it tells the others.
    pub link: Link,
    /// The configuration's own words about the host.
    pub labels: BTreeMap<String, String>,
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
        if self.deps.shown().is_none() {
            // It may hang for a while, and is to be seen doing so.
            self.deps.board.set(self.deps.record(HostStatus::Connecting));
        }
        loop {
            let (error, pause) = match self.deps.engine.identify().await {
                Ok(info) => {
                    let info = Arc::new(info);
                    self.up(&info, failures);
                    failures = 1;
                    (self.until_silent(&info).await, Duration::ZERO)
                }
                Err(error) => {
                    self.failed(&error);
                    failures = failures.saturating_add(1);
                    let pause = self.deps.pause(&error, failures);
                    (error, pause)
                }
            };
            self.down(&error, failures, pause);
            sleep(pause).await;
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
        let was_down = self.deps.shown().is_some_and(|record| record.status == HostStatus::Down);
        self.show(self.deps.up(info, None));
        if was_down {
            self.tell("up", None);
        }
        self.deps.metrics.host(host, true);
        self.deps.link.set(Some(info.clone()));
    }

    /// `failures` counts those in a row, this one included; it is tried again after `pause`.
    fn down(&self, error: &EngineError, failures: u32, pause: Duration) {
        let host = self.deps.engine.host().as_str();
        let before = self.deps.shown();
        let was_down = before.as_ref().is_some_and(|record| record.status == HostStatus::Down);
        let is_news = before.as_ref().is_none_or(|record| record.last_error.as_deref() != Some(error.message.as_str()));
        // One line for each new reason, and a host that stays away is mentioned now and then.
        if failures == 1 || (is_news && failures < 16) || (failures >= 16 && failures.is_power_of_two()) {
            tracing::warn!(host, failures, failure = error.failure.name(), "{error}; trying again");
        }
        let record = self.deps.down(error, failures, pause);
        if is_news {
            self.show(record)
        } else {
            self.deps.board.set(record)
        }
        if !was_down {
            self.tell("down", Some(error));
        }
        self.deps.metrics.host(host, false);
        self.deps.metrics.connections(host, self.deps.engine.connections());
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
                    let host = self.deps.engine.host().as_str();
                    self.deps.metrics.connections(host, self.deps.engine.connections());
                    let record = self.deps.up(info, Some(took));
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
        self.send(Seen::Host(Box::new(record)));
    }

    /// Tells that the host went or came, as an event of type `host`.
    fn tell(&self, action: &str, error: Option<&EngineError>) {
        let (host, now) = (self.deps.engine.host(), Timestamp::from(SystemTime::now()));
        let name = Some(("name", host.to_string()));
        let error = error.map(|error| ("error", error.message.clone()));
        let attributes = [name, Some(("url", self.deps.engine.url().to_owned())), error].into_iter().flatten();
        let event = EngineEvent {
            timestamp: now,
            kind: "host".to_owned(),
            action: action.to_owned(),
            argument: None,
            actor_id: host.to_string(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        self.send(Seen::Event {
            host: host.clone(),
            received_at: now,
            synthetic: true,
            event: Box::new(event),
            about: About::default(),
        });
    }

    fn send(&self, what: Seen) {
        let custody = self.deps.books.receive(what.stream());
        self.outbox.send(Observation { what, custody }, &self.deps.router);
    }
}

impl HostConnectionDeps {
    /// The state that is shown.
    fn shown(&self) -> Option<HostRecord> {
        self.board.get(self.engine.host())
    }

    fn pause(&self, error: &EngineError, failures: u32) -> Duration {
        let pause = self.backoff.delay(failures);
        if error.failure == EngineFailure::Refused { pause.max(REFUSED_PAUSE) } else { pause }
    }

    fn up(&self, info: &EngineInfo, took: Option<Duration>) -> HostRecord {
        HostRecord {
            engine: Some(info.engine.clone()),
            engine_version: Some(info.version.clone()),
            api_version: Some(format!("{}.{}", info.api_version.0, info.api_version.1)),
            os: Some(if info.os == OsFamily::Windows { "windows" } else { "linux" }.to_owned()),
            kernel: info.kernel.clone(),
            cgroup_version: info.cgroup_version,
            cpus: info.cpus,
            memory_bytes: info.memory_bytes,
            response_ns: took.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            ..self.record(HostStatus::Up)
        }
    }

    fn down(&self, error: &EngineError, failures: u32, pause: Duration) -> HostRecord {
        let record = self.record(HostStatus::Down);
        HostRecord {
            last_error: Some(error.message.clone()),
            failures: failures.into(),
            retry_at: Some(record.observed_at + pause),
            ..record
        }
    }

    /// What is known of the host in either state.
    fn record(&self, status: HostStatus) -> HostRecord {
        let (before, now) = (self.shown(), Timestamp::from(SystemTime::now()));
        let lasting = before.as_ref().filter(|before| before.status == status).and_then(|before| before.status_since);
        HostRecord {
            labels: self.labels.clone(),
            status_since: Some(lasting.unwrap_or(now)),
            containers: before.as_ref().and_then(|before| before.containers),
            containers_running: before.as_ref().and_then(|before| before.containers_running),
            ..HostRecord::new(self.engine.host().clone(), self.engine.url(), status, now)
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
