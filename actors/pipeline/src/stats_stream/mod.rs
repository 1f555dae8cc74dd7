//! StatsStream: the frames of one container.
//!
//! In: the engine's stats stream, or its answers to polls. Out: [`RawFrame`] to the parser of its series.
//! Owns its connection and at most one frame: the engine is never made to wait, so while the pipeline is
//! busy a newer frame replaces an older one, counted. A restart loses the frame in hand, counted.

mod pace;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain, Exit, TrySendError};
use bytes::Bytes;
use futures_util::StreamExt;
use model::{LossReason, Stream, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::host_connection::{Link, Suspect};
use crate::inventory::Look;
use crate::messages::{RawFrame, Subject};
use crate::metrics::Metrics;
use crate::ports::{EngineApi, EngineError, EngineFailure};
use crate::router::Router;
use pace::{Pace, idle_limit, phase};

/// How frames are got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsMode {
    /// Poll where the engine answers a poll at once (API 1.44 and later), else stream.
    #[default]
    Auto,
    /// Follow the engine's stream, at the engine's pace.
    Stream,
    /// Ask once per interval.
    Poll,
}

/// What every stream of a host needs.
#[derive(Clone)]
pub struct StatsStreamDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// The way to the parsers.
    pub router: Router,
    /// Who looks after a broken connection.
    pub suspect: Control<Suspect>,
    /// Who knows whether the container still runs.
    pub look: Control<Look>,
    /// The books.
    pub books: Arc<Books>,
    /// How frames are got.
    pub mode: StatsMode,
    /// One frame per interval.
    pub interval: Duration,
    /// Polls in flight at once, for the whole host.
    pub polls: Arc<Semaphore>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct StatsStream {
    cell: Cell,
    deps: StatsStreamDeps,
    series: u64,
    subject: watch::Receiver<Arc<Subject>>,
    draining: CancellationToken,
}

/// First API version whose engine answers a one-shot poll without waiting for its collector's tick.
const POLL_AT_ONCE: (u32, u32) = (1, 44);

/// Placeholders in a row after which the container is looked at: it may have stopped unheard.
const EMPTY_BEFORE_LOOK: u32 = 3;

impl StatsStream {
    /// A stream that lives in `cell`.
    pub fn new(cell: Cell, deps: StatsStreamDeps, series: u64, subject: watch::Receiver<Arc<Subject>>) -> Self {
        Self { cell, deps, series, subject, draining: CancellationToken::new() }
    }
}

/// Why following stopped.
enum Stop {
    Drained,
    /// The engine ended the stream in order: the container was removed.
    Ended,
    Failed(EngineError),
}

struct Follower {
    deps: StatsStreamDeps,
    series: u64,
    subject: watch::Receiver<Arc<Subject>>,
    draining: CancellationToken,
    pace: Pace,
    waiting: Option<RawFrame>,
    empty: u32,
    got_any: bool,
    polls: bool,
}

impl Follower {
    /// Follows until the container is gone, the stream is drained, or the engine refuses.
    async fn run(mut self) -> Exit {
        let mut failures = 0;
        loop {
            let link = self.deps.link.clone();
            let info = tokio::select! {
                biased;
                () = self.draining.cancelled() => return Exit::Drained,
                info = link.up() => info,
            };
            self.polls = match self.deps.mode {
                StatsMode::Auto => info.api_version >= POLL_AT_ONCE,
                StatsMode::Poll => true,
                StatsMode::Stream => false,
            };
            self.got_any = false;
            let stop = if self.polls { self.poll().await } else { self.stream().await };
            failures = if self.got_any { 1 } else { failures + 1 };
            match stop {
                Stop::Drained => return Exit::Drained,
                Stop::Ended => return Exit::Normal,
                Stop::Failed(error) => {
                    let host = self.deps.engine.host().as_str();
                    self.deps.metrics.engine_error(host, error.failure.name());
                    tracing::debug!(host, container = self.container().short(), %error, "stats stream broke");
                    match error.failure {
                        EngineFailure::Unreachable | EngineFailure::Timeout => self.deps.suspect.signal(Suspect),
                        EngineFailure::Gone => {
                            // The inventory is asked after this; no faster than once a second.
                            sleep(Duration::from_secs(1)).await;
                            return Exit::Normal;
                        }
                        _ => return Exit::Failure(Arc::new(error)),
                    };
                }
            }
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return Exit::Drained,
                () = sleep(self.deps.backoff.delay(failures)) => {}
            }
        }
    }

    /// Follows the engine's stream.
    async fn stream(&mut self) -> Stop {
        let id = self.container();
        let draining = self.draining.clone();
        let opened = tokio::select! {
            biased;
            () = draining.cancelled() => return Stop::Drained,
            opened = self.deps.engine.stats(&id) => opened,
        };
        let mut feed = match opened {
            Ok(feed) => feed,
            Err(error) => return Stop::Failed(error),
        };
        let idle = idle_limit(self.deps.interval);
        let outlet = self.deps.router.frames(self.series).clone();
        loop {
            let weight = self.waiting.as_ref().map(actor_runtime::Weight::weight);
            let room = async {
                match weight {
                    Some(weight) => outlet.reserve(weight).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = draining.cancelled() => return self.hand_on_last().await,
                room = room => match (room, self.waiting.take()) {
                    (Some(room), Some(frame)) => drop(room.send(frame)),
                    _ => return Stop::Drained,
                },
                frame = timeout(idle, feed.next()) => match frame {
                    Ok(Some(Ok(bytes))) => self.take(bytes),
                    Ok(Some(Err(error))) => return Stop::Failed(error),
                    Ok(None) => return Stop::Ended,
                    Err(_) => return Stop::Failed(self.silent(idle)),
                },
            }
        }
    }

    /// Asks once per interval.
    async fn poll(&mut self) -> Stop {
        let id = self.container();
        let draining = self.draining.clone();
        let mut due =
            Instant::now() + if self.pace_is_new() { Duration::ZERO } else { phase(self.series, self.deps.interval) };
        loop {
            let polls = self.deps.polls.clone();
            let engine = self.deps.engine.clone();
            let idle = idle_limit(self.deps.interval);
            let polling = async {
                sleep_until(due).await;
                let _turn = polls.acquire().await;
                timeout(idle, engine.stats_once(&id)).await
            };
            let answer = tokio::select! {
                biased;
                () = draining.cancelled() => return self.hand_on_last().await,
                answer = polling => answer,
            };
            match answer {
                Ok(Ok(bytes)) => {
                    let is_first = !self.got_any;
                    self.take(bytes);
                    let now = Instant::now();
                    // The first frame is taken at once, the second at the series' own phase of the interval.
                    due = if is_first {
                        now + phase(self.series, self.deps.interval).max(self.deps.interval / 2)
                    } else {
                        due + self.deps.interval
                    };
                    if due < now {
                        due = now + self.deps.interval;
                    }
                }
                Ok(Err(error)) => return Stop::Failed(error),
                Err(_) => return Stop::Failed(self.silent(idle)),
            }
            if let Some(frame) = self.waiting.take() {
                // A poll has nobody waiting behind it: this is the pipeline's own pace.
                self.deps.router.frames(self.series).clone().send(frame).await.ok();
            }
        }
    }

    fn pace_is_new(&self) -> bool {
        !self.got_any
    }

    /// Takes one frame: hands it on, or holds it as the newest.
    fn take(&mut self, bytes: Bytes) {
        self.got_any = true;
        let custody = self.deps.books.receive(Stream::Stats);
        self.deps.faults.strike(Point::StatsStream);
        self.watch_for_placeholders(&bytes);
        if !self.polls && !self.pace.keep(Instant::now()) {
            return custody.lost(LossReason::BetweenIntervals);
        }
        let subject = self.subject.borrow().clone();
        let received_at = Timestamp::from(SystemTime::now());
        let frame = RawFrame { series: self.series, subject, received_at, bytes, custody };
        let frame = match self.waiting.take() {
            Some(older) => {
                older.custody.lost(LossReason::Coalesced);
                frame
            }
            None => match self.deps.router.frames(self.series).try_send(frame) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(frame)) => frame,
            },
        };
        self.waiting = Some(frame);
    }

    /// A stream does not tell that its container stopped: it goes on with placeholders.
    fn watch_for_placeholders(&mut self, bytes: &[u8]) {
        const NEVER: &[u8] = b"\"read\":\"0001-01-01T00:00:00Z\"";
        let head = &bytes[..bytes.len().min(512)];
        self.empty =
            if head.windows(NEVER.len()).any(|window| window == NEVER) { self.empty.saturating_add(1) } else { 0 };
        if self.empty == EMPTY_BEFORE_LOOK {
            self.deps.look.signal(Look(self.container()));
        }
    }

    async fn hand_on_last(&mut self) -> Stop {
        if let Some(frame) = self.waiting.take() {
            self.deps.router.frames(self.series).clone().send(frame).await.ok();
        }
        Stop::Drained
    }

    fn container(&self) -> model::ContainerId {
        self.subject.borrow().meta.container_id.clone()
    }

    fn silent(&self, limit: Duration) -> EngineError {
        let message = format!("no stats frame of container {} for {} s", self.container().short(), limit.as_secs());
        EngineError { failure: EngineFailure::Timeout, message }
    }
}

impl Actor for StatsStream {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let follower = Follower {
            deps: self.deps.clone(),
            series: self.series,
            subject: self.subject.clone(),
            draining: self.draining.clone(),
            pace: Pace::new(self.deps.interval),
            waiting: None,
            empty: 0,
            got_any: false,
            polls: false,
        };
        ctx.spawn(wrap_future(follower.run()).map(|exit, stream: &mut Self, ctx| stream.cell.finish(ctx, exit)));
    }
}

impl actix::Supervised for StatsStream {}

impl Handler<Drain> for StatsStream {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining.cancel();
    }
}
