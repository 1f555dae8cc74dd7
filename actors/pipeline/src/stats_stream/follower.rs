//! Following one container: opens, takes frames, opens again.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use actor_runtime::{Exit, Room, TrySendError, Weight};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use memchr::memmem::Finder;
use model::{ContainerId, LossReason, NetworkScope, Stream, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::local::{LocalKernel, together};
use super::pace::{Pace, Patience, phase};
use super::silence::Silence;
use super::{StatsMode, StatsStreamDeps};
use crate::faults::Point;
use crate::host_connection::Suspect;
use crate::inventory::Look;
use crate::messages::{Payload, RawFrame, Subject};
use crate::ports::{EngineError, EngineFailure, EngineInfo, KernelError, Process};

/// First API version whose engine answers a one-shot poll without waiting for its collector's tick.
const POLL_AT_ONCE: (u32, u32) = (1, 44);

/// Placeholders in a row after which the container is looked at: it may have stopped unheard.
const EMPTY_BEFORE_LOOK: u32 = 3;

/// A connection that lived so long was a good one: the next pause begins small again.
const STEADY: Duration = Duration::from_secs(10);

/// A stream that ends in order is opened anew no faster than this, however fast the engine ends it.
const REOPEN: Duration = Duration::from_secs(1);

/// Why following stopped.
enum Stop {
    /// The engine ended the stream in order: the container was removed.
    Ended,
    /// Nobody knows of this stream any more.
    Forgotten,
    Failed(EngineError),
    /// The parsers are gone: their group is about to be built anew, and this stream with it.
    CutOff,
    /// The engine has to be asked instead.
    Unreadable,
}

/// Where frames are got.
enum Way {
    Stream,
    Poll,
    Kernel(Arc<LocalKernel>, Process),
}

/// Room at the parser, on its way.
type Awaited = BoxFuture<'static, Option<Room<RawFrame>>>;

pub(super) struct Follower {
    deps: Arc<StatsStreamDeps>,
    series: u64,
    subject: watch::Receiver<Arc<Subject>>,
    pace: Pace,
    /// With a stream's next frame.
    patience: Patience,
    /// With a poll's answer, which follows no interval.
    with_answers: Patience,
    waiting: Option<RawFrame>,
    empty: u32,
    /// When the last frame came.
    heard: Option<Instant>,
    /// While nothing comes.
    silence: Option<Silence>,
    /// The kernel's counters are not for us.
    is_unreadable: bool,
}

impl Follower {
    pub fn new(deps: Arc<StatsStreamDeps>, series: u64, subject: watch::Receiver<Arc<Subject>>) -> Self {
        let (pace, patience) = (Pace::new(deps.interval), Patience::new(deps.interval));
        let with_answers = Patience::new(Duration::ZERO);
        Self {
            deps,
            series,
            subject,
            pace,
            patience,
            with_answers,
            waiting: None,
            empty: 0,
            heard: None,
            silence: None,
            is_unreadable: false,
        }
    }

    /// Follows until the container is gone, the stream is drained, or the engine refuses. Hands on the frame
    /// it holds in any case.
    pub async fn run(mut self, draining: CancellationToken) -> Exit {
        let exit = tokio::select! {
            biased;
            () = draining.cancelled() => Exit::Drained,
            exit = self.follow() => exit,
        };
        self.hand_on().await;
        exit
    }

    async fn follow(&mut self) -> Exit {
        let deps = self.deps.clone();
        let mut failures: u32 = 0;
        loop {
            let info = deps.link.up().await;
            let opened = Instant::now();
            let stop = match self.way(&info) {
                Way::Kernel(kernel, process) => self.count(&kernel, &process).await,
                Way::Poll => self.poll().await,
                Way::Stream => self.stream().await,
            };
            // The time it was good for counts, not the time it was waited for.
            let was_good = self.heard.is_some_and(|heard| heard.duration_since(opened) >= STEADY);
            failures = if was_good { 1 } else { failures.saturating_add(1) };
            match stop {
                Stop::Forgotten => return Exit::Normal,
                Stop::Unreadable => {
                    self.is_unreadable = true;
                    continue;
                }
                Stop::CutOff => return Exit::failure("the parsers are gone"),
                Stop::Ended => {
                    self.hand_on().await;
                    sleep_until(opened + REOPEN).await;
                    return Exit::Normal;
                }
                Stop::Failed(error) => {
                    let host = deps.engine.host().as_str();
                    deps.metrics.engine_error(host, error.failure.name());
                    tracing::debug!(host, container = self.container().short(), %error, "stats stream broke");
                    if error.failure == EngineFailure::Timeout {
                        self.falls_silent(opened);
                    }
                    match error.failure {
                        EngineFailure::Unreachable | EngineFailure::Timeout => drop(deps.suspect.signal(Suspect)),
                        // An engine in trouble answers so to all its streams, and gets over it.
                        EngineFailure::Server => {}
                        EngineFailure::Gone => {
                            // The inventory is asked after this.
                            self.hand_on().await;
                            sleep(REOPEN).await;
                            return Exit::Normal;
                        }
                        EngineFailure::Refused | EngineFailure::Request | EngineFailure::Malformed => {
                            return Exit::Failure(Arc::new(error));
                        }
                    }
                }
            }
            self.hand_on().await;
            sleep(deps.backoff.delay(failures)).await;
        }
    }

    fn way(&self, info: &EngineInfo) -> Way {
        match self.deps.mode {
            StatsMode::Poll => Way::Poll,
            StatsMode::Stream => Way::Stream,
            StatsMode::Cgroup if let Some((kernel, process)) = self.local() => Way::Kernel(kernel, process),
            StatsMode::Auto | StatsMode::Cgroup if info.api_version >= POLL_AT_ONCE => Way::Poll,
            StatsMode::Auto | StatsMode::Cgroup => Way::Stream,
        }
    }

    /// The kernel, and the process to read of, where they are known and not closed to us.
    fn local(&self) -> Option<(Arc<LocalKernel>, Process)> {
        let kernel = self.deps.kernel.clone().filter(|_| !self.is_unreadable)?;
        Some((kernel, process(&self.subject.borrow())?))
    }

    /// Reads the kernel's counters once per interval, together with other containers.
    async fn count(&mut self, kernel: &LocalKernel, of: &Process) -> Stop {
        let deps = self.deps.clone();
        let refused = |error| match error {
            KernelError::Gone => Stop::Ended,
            KernelError::Unreadable(why) => {
                kernel.refuses(deps.engine.host(), &why);
                Stop::Unreadable
            }
        };
        let mut counters = match kernel.get().open(of) {
            Ok(counters) => counters,
            Err(error) => return refused(error),
        };
        kernel.works(deps.engine.host());
        let mut due = Instant::now();
        let mut is_first = true;
        loop {
            sleep_until(due).await;
            if self.subject.has_changed().is_err() {
                return Stop::Forgotten;
            }
            if process(&self.subject.borrow_and_update()).is_none_or(|now| now != *of) {
                // Another run.
                return Stop::Ended;
            }
            match counters.read() {
                Ok(frame) => {
                    self.hears(Instant::now());
                    self.take(Payload::Counters(Box::new(frame)));
                }
                Err(error) => return refused(error),
            }
            if !self.send_on().await {
                return Stop::CutOff;
            }
            due = match std::mem::take(&mut is_first) {
                true => together(Instant::now() + deps.interval / 2 + phase(self.series, deps.interval)),
                // What could not be read in time is read with the next group.
                false => (due + deps.interval).max(together(Instant::now())),
            };
        }
    }

    /// Follows the engine's stream.
    async fn stream(&mut self) -> Stop {
        let deps = self.deps.clone();
        let mut feed = match deps.engine.stats(&self.container()).await {
            Ok(feed) => feed,
            Err(error) => return Stop::Failed(error),
        };
        let mut room: Option<Awaited> = None;
        let mut taken = Instant::now();
        // One timer for the whole stream: it is moved when it fires, not with every frame.
        let mut silence = std::pin::pin!(sleep(self.patience.limit()));
        loop {
            tokio::select! {
                biased;
                room_there = arrival(&mut room) => match (room_there, self.waiting.take()) {
                    (Some(free), Some(frame)) => {
                        room = None;
                        // Where the parser is gone for good the frame is dropped, and its custody counts it.
                        free.send(frame).ok();
                    }
                    _ => return Stop::CutOff,
                },
                frame = feed.next() => match frame {
                    Some(Ok(_)) if self.subject.has_changed().is_err() => return Stop::Forgotten,
                    Some(Ok(bytes)) => {
                        let now = Instant::now();
                        self.patience.came(now.duration_since(taken));
                        taken = now;
                        self.hears(now);
                        if self.pace.keep(now) {
                            self.take(Payload::Document(bytes));
                        } else {
                            self.pass_over(&bytes);
                        }
                        if let (Some(frame), None) = (&self.waiting, &room) {
                            // The place in the queue is kept while newer frames replace the one that waits.
                            let (outlet, weight) = (deps.router.frames(self.series).clone(), frame.weight());
                            room = Some(Box::pin(async move { outlet.reserve(weight).await }));
                        }
                    }
                    Some(Err(error)) => return Stop::Failed(error),
                    None => return Stop::Ended,
                },
                () = silence.as_mut() => {
                    if self.subject.has_changed().is_err() {
                        return Stop::Forgotten;
                    }
                    let due = taken + self.patience.limit();
                    if due <= Instant::now() {
                        let limit = self.patience.limit();
                        // An engine with many containers is slow: next time it has more.
                        self.patience.ran_out();
                        return Stop::Failed(silent(&self.container(), limit));
                    }
                    silence.as_mut().reset(due);
                }
            }
        }
    }

    /// Asks once per interval: first at once, then at the series' own phase of the interval.
    async fn poll(&mut self) -> Stop {
        let deps = self.deps.clone();
        let id = self.container();
        let mut due = Instant::now();
        let mut is_first = true;
        loop {
            sleep_until(due).await;
            if self.subject.has_changed().is_err() {
                return Stop::Forgotten;
            }
            let limit = self.with_answers.limit();
            let (asked, answer) = {
                let _turn = deps.polls.turn(self.silence.is_some()).await;
                (Instant::now(), timeout(limit, deps.engine.stats_once(&id)).await)
            };
            match answer {
                Ok(Ok(bytes)) => {
                    let now = Instant::now();
                    self.with_answers.came(now.duration_since(asked));
                    self.hears(now);
                    self.take(Payload::Document(bytes));
                }
                Ok(Err(error)) => return Stop::Failed(error),
                Err(_) => {
                    self.with_answers.ran_out();
                    return Stop::Failed(silent(&id, limit));
                }
            }
            if !self.send_on().await {
                return Stop::CutOff;
            }
            let now = Instant::now();
            due = match std::mem::take(&mut is_first) {
                true => now + deps.interval / 2 + phase(self.series, deps.interval),
                // An engine that cannot keep up is asked less often.
                false if due + deps.interval < now => now + deps.interval,
                false => due + deps.interval,
            };
        }
    }

    /// Sends the frame that is held. Nobody waits behind it: this is the pipeline's own pace. False where the parser is gone.
    async fn send_on(&mut self) -> bool {
        let Some(frame) = &self.waiting else { return true };
        let room = self.deps.router.frames(self.series).reserve(frame.weight()).await;
        let is_there = room.is_some();
        if let (Some(room), Some(frame)) = (room, self.waiting.take()) {
            room.send(frame).ok();
        }
        is_there
    }

    fn hears(&mut self, now: Instant) {
        self.heard = Some(now);
        if let Some(silence) = self.silence.take() {
            silence.ends();
        }
    }

    /// Nothing has come since a while.
    fn falls_silent(&mut self, opened: Instant) {
        if self.silence.is_none() {
            let (subject, lasting) = (self.subject.borrow().clone(), self.heard.unwrap_or(opened).elapsed());
            self.silence = Some(self.deps.silence.begin(self.series, &subject, lasting, &self.deps.metrics));
        }
    }

    /// Takes one frame: hands it on, or holds it as the newest.
    fn take(&mut self, payload: Payload) {
        let custody = self.deps.books.receive(Stream::Stats);
        self.deps.faults.strike(Point::StatsStream);
        if let Payload::Document(bytes) = &payload {
            self.watch_for_placeholders(bytes);
        }
        let subject = self.subject.borrow().clone();
        let received_at = Timestamp::from(SystemTime::now());
        let frame = RawFrame { series: self.series, subject, received_at, payload, custody };
        if let Some(older) = self.waiting.take() {
            older.custody.lost(LossReason::Coalesced);
            self.waiting = Some(frame);
        } else if let Err(TrySendError::Full(frame)) = self.deps.router.frames(self.series).try_send(frame) {
            self.waiting = Some(frame);
        }
    }

    /// A frame that came before the next one is due.
    fn pass_over(&mut self, bytes: &[u8]) {
        let custody = self.deps.books.receive(Stream::Stats);
        self.deps.faults.strike(Point::StatsStream);
        self.watch_for_placeholders(bytes);
        custody.lost(LossReason::BetweenIntervals);
    }

    /// A stream does not tell that its container stopped: it goes on with placeholders.
    fn watch_for_placeholders(&mut self, bytes: &[u8]) {
        static NEVER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"read\":\"0001-01-01T00:00:00Z\""));
        let head = &bytes[..bytes.len().min(512)];
        self.empty = if NEVER.find(head).is_some() { self.empty.saturating_add(1) } else { 0 };
        if self.empty == EMPTY_BEFORE_LOOK {
            self.deps.look.signal(Look(self.container()));
        }
    }

    /// Hands on the frame that is held, as soon as there is room.
    async fn hand_on(&mut self) {
        self.send_on().await;
    }

    fn container(&self) -> ContainerId {
        self.subject.borrow().meta.container_id.clone()
    }
}

/// The first process of a container that runs.
fn process(subject: &Subject) -> Option<Process> {
    let has_network = !matches!(subject.network_scope, Some(NetworkScope::Host | NetworkScope::None));
    Some(Process { container_id: subject.meta.container_id.clone(), pid: subject.pid?, has_network })
}

fn silent(container: &ContainerId, limit: Duration) -> EngineError {
    let message = format!("no stats frame of container {} for {} s", container.short(), limit.as_secs());
    EngineError { failure: EngineFailure::Timeout, message }
}

/// The room that is awaited; for ever where none is.
async fn arrival(room: &mut Option<Awaited>) -> Option<Room<RawFrame>> {
    match room {
        Some(room) => room.await,
        None => std::future::pending().await,
    }
}
