//! Reading one container's log: opens, hands on, opens again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_runtime::{Exit, Weight};
use futures_util::StreamExt;
use model::{ContainerId, LossReason, Stream, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::memory::{Fate, LogMemory, Reading, Taken};
use super::rate::Bucket;
use super::{FirstSight, LogStreamDeps};
use crate::faults::Point;
use crate::host_connection::Suspect;
use crate::messages::{NumberedLine, RawLog, Subject};
use crate::ports::{EngineError, EngineFailure, LogLine, LogQuery, LogStart};
use crate::position::Place;

/// Lines in a message, at most; of long lines, so many bytes.
const LINES: usize = 64;
const BYTES: usize = 128 << 10;

/// A log that ends is opened anew no faster than this, however fast the engine ends it.
const REOPEN: Duration = Duration::from_secs(1);

/// Once its container does not run any more, a log that is silent for so long is over, whether the engine says so or
/// not.
const LINGER: Duration = Duration::from_secs(2);

/// A connection that lived so long was a good one: the next pause begins small again.
const STEADY: Duration = Duration::from_secs(10);

/// How far the engine's clock may be off by what is known of it: it is told in whole seconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Why a reading stopped.
enum Stop {
    /// The engine ended it, or would not.
    Ended,
    /// Lines that were handed on were lost, and are to be read again.
    Lost,
    /// The engine has other lines than it tells.
    Stuck,
    Failed(EngineError),
    /// The parsers are gone: their group is about to be built anew, and this stream with it.
    CutOff,
}

/// The parsers are gone.
struct Gone;

pub(super) struct Follower {
    deps: Arc<LogStreamDeps>,
    id: ContainerId,
    memory: Arc<LogMemory>,
    subject: watch::Receiver<Arc<Subject>>,
    bucket: Option<Bucket>,
    /// The engine's clock was set back: to ask for lines from a time on would hide what was written since.
    is_set_back: bool,
}

impl Follower {
    pub fn new(deps: Arc<LogStreamDeps>, subject: watch::Receiver<Arc<Subject>>) -> Self {
        let id = subject.borrow().meta.container_id.clone();
        let memory = deps.positions.of(deps.engine.host(), &id);
        let bucket = deps.rate.map(Bucket::new);
        Self { deps, id, memory, subject, bucket, is_set_back: false }
    }

    /// Reads until the container's run is over and all of it was read, or nobody knows of this stream any more.
    pub async fn run(mut self) -> Exit {
        let deps = self.deps.clone();
        let mut failures: u32 = 0;
        loop {
            deps.link.up().await;
            let opened = Instant::now();
            let subject = self.subject.borrow_and_update().clone();
            let stop = self.read(subject.state.is_live()).await;
            failures = if opened.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
            match stop {
                Stop::CutOff => return Exit::failure("the parsers are gone"),
                Stop::Stuck => continue,
                Stop::Lost => {
                    // What is on its way may be lost, too: it is read again at once.
                    self.memory.settled().await;
                    continue;
                }
                Stop::Ended => {
                    if !subject.state.is_live() {
                        if !self.memory.settled().await {
                            continue;
                        }
                        self.memory.finish(subject.meta.run);
                    }
                    // The inventory is asked after this, and what it finds is followed: the next run, or what was
                    // written before the end and not told.
                    sleep_until(opened + REOPEN).await;
                    return Exit::Normal;
                }
                Stop::Failed(error) => {
                    if let Some(exit) = self.failed(&error, &subject).await {
                        return exit;
                    }
                }
            }
            if self.is_forgotten() {
                return Exit::Normal;
            }
            sleep(deps.backoff.delay(failures)).await;
        }
    }

    /// What a failure means: `None` where another attempt may do.
    async fn failed(&self, error: &EngineError, subject: &Subject) -> Option<Exit> {
        let host = self.deps.engine.host().as_str();
        let container = self.id.short();
        self.deps.metrics.engine_error(host, error.failure.name());
        match error.failure {
            EngineFailure::Unreachable | EngineFailure::Timeout => drop(self.deps.suspect.signal(Suspect)),
            EngineFailure::Gone => {
                sleep(REOPEN).await;
                return Some(Exit::Normal);
            }
            EngineFailure::Request => {
                // Its log driver keeps nothing that could be read. It is asked once a run, and told once.
                if self.memory.found_unreadable() {
                    tracing::warn!(host, container, %error, "the log of this container cannot be read");
                }
                self.memory.finish(subject.meta.run);
                return Some(Exit::Normal);
            }
            EngineFailure::Malformed => tracing::warn!(host, container, %error, "log stream broke"),
            EngineFailure::Server | EngineFailure::Refused => {}
        }
        tracing::debug!(host, container, %error, "log stream broke");
        None
    }

    /// Reads from where the last reading stopped; of a container that runs, also what it writes from now on.
    async fn read(&mut self, follow: bool) -> Stop {
        let (deps, memory) = (self.deps.clone(), self.memory.clone());
        let (start, mut reading) = self.begin();
        let mut feed = match deps.engine.logs(&self.id, LogQuery { start, follow, tail: None }).await {
            Ok(feed) => feed,
            Err(error) => return Stop::Failed(error),
        };
        let mut is_over = false;
        let mut silence = std::pin::pin!(sleep(deps.quiet));
        loop {
            tokio::select! {
                biased;
                () = memory.loss_behind(&reading) => return Stop::Lost,
                lines = feed.next() => match lines {
                    Some(Ok(lines)) => {
                        if let Err(Gone) = self.take(lines, &mut reading).await {
                            return Stop::CutOff;
                        }
                        silence.as_mut().reset(Instant::now() + if is_over { LINGER } else { deps.quiet });
                    }
                    Some(Err(error)) => return Stop::Failed(error),
                    None => {
                        reading.ended(&memory);
                        return Stop::Ended;
                    }
                },
                changed = self.subject.changed(), if !is_over => {
                    if changed.is_err() || !self.subject.borrow().state.is_live() {
                        is_over = true;
                        silence.as_mut().reset(Instant::now() + LINGER);
                    }
                }
                () = silence.as_mut() => {
                    if is_over {
                        return Stop::Ended;
                    }
                    match self.is_stuck(start).await {
                        Ok(false) => silence.as_mut().reset(Instant::now() + deps.quiet),
                        Ok(true) => return Stop::Stuck,
                        Err(error) => return Stop::Failed(error),
                    }
                }
            }
        }
    }

    /// Where to begin, by the engine's clock.
    fn begin(&mut self) -> (LogStart, Reading) {
        let (last, reading) = self.memory.begin();
        let engine_now = self.deps.link.engine_now();
        let is_set_back = std::mem::take(&mut self.is_set_back);
        let start = match (last, self.deps.first_sight) {
            (Some((_, last)), _) if is_set_back || engine_now.is_some_and(|now| last.timestamp > now + CLOCK_SLACK) => {
                LogStart::Beginning
            }
            _ if let Some(from) = reading.from => LogStart::At(engine_now.map_or(from, |now| from.min(now))),
            (Some((_, last)), _) => LogStart::After { newest: last.timestamp, is_partial: last.is_partial },
            (None, FirstSight::All) => LogStart::Beginning,
            (None, FirstSight::Now) => {
                let now = || engine_now.unwrap_or_else(|| Timestamp::from(SystemTime::now()));
                LogStart::At(self.deps.positions.floor().unwrap_or_else(now))
            }
        };
        (start, reading)
    }

    /// Whether the engine has another line than the last that was read.
    async fn is_stuck(&mut self, start: LogStart) -> Result<bool, EngineError> {
        let last = LogQuery { start: LogStart::Beginning, follow: false, tail: Some(1) };
        let mut feed = self.deps.engine.logs(&self.id, last).await?;
        let mut newest: Option<Timestamp> = None;
        while let Some(lines) = feed.next().await {
            newest = newest.max(lines?.iter().map(|line| line.timestamp).max());
        }
        let known = self.memory.last().map(|cursor| cursor.timestamp);
        self.is_set_back = newest.zip(known).is_some_and(|(newest, known)| newest < known);
        Ok(newest.is_some_and(|newest| match (known, start) {
            // Lines before that are not wanted.
            (known, LogStart::At(from)) if known.is_none_or(|known| known < from) => newest >= from,
            (Some(known), _) => newest != known,
            (None, _) => true,
        }))
    }

    /// Hands on what is new of these lines. While there is no room, the engine waits.
    async fn take(&mut self, lines: Vec<LogLine>, reading: &mut Reading) -> Result<(), Gone> {
        self.deps.faults.strike(Point::LogStream);
        let received_at = Timestamp::from(SystemTime::now());
        let mut open = Open::default();
        for line in lines {
            let Some(mut taken) = reading.see(&line, &self.memory) else { continue };
            if taken.fate == Fate::OnItsWay && self.bucket.as_mut().is_some_and(|bucket| !bucket.take(line.timestamp)) {
                taken.fate = Fate::Settled;
                open.over_rate += 1;
            }
            if taken.fate == Fate::OnItsWay {
                open.bytes += line.bytes.len();
                open.lines.push(NumberedLine { line, ordinal: taken.cursor.ordinal });
            }
            open.taken.push(taken);
            if open.lines.len() >= LINES || open.bytes >= BYTES {
                self.hand_on(std::mem::take(&mut open), received_at).await?;
            }
        }
        if reading.found_gap() {
            let (host, container) = (self.deps.engine.host().as_str(), self.id.short());
            self.deps.metrics.log_gap(host);
            tracing::warn!(
                host,
                container,
                "where this log was left it is gone: lines may have been rotated away unread"
            );
        }
        self.hand_on(open, received_at).await
    }

    async fn hand_on(&self, open: Open, received_at: Timestamp) -> Result<(), Gone> {
        let deps = &self.deps;
        let Open { lines, taken, over_rate, .. } = open;
        if lines.is_empty() {
            self.memory.take(&taken);
        } else {
            let turn = deps.turns.clone().acquire_owned().await.expect("the turns are never closed");
            let subject = self.subject.borrow().clone();
            let outlet = deps.router.logs(&self.id);
            let room = outlet.reserve(RawLog::weight_of(&lines)).await.ok_or(Gone)?;
            // Only now: until here they may be dropped, and read again, without a word.
            let mut custody = deps.books.receive_many(Stream::Logs, lines.len() as u64);
            for number in self.memory.take(&taken) {
                custody = custody.at(Place { source: self.memory.clone(), number });
            }
            let raw = RawLog { subject, received_at, lines, custody, turn };
            debug_assert_eq!(raw.weight(), RawLog::weight_of(&raw.lines));
            // Where the parser is gone for good they are dropped, and their custody counts them.
            room.send(raw).ok();
        }
        if over_rate > 0 {
            deps.books.receive_many(Stream::Logs, over_rate).lost(LossReason::RateLimited);
        }
        Ok(())
    }

    /// Nobody knows of this stream any more: its container is gone, or is not to be read.
    fn is_forgotten(&self) -> bool {
        self.subject.has_changed().is_err()
    }
}

/// Lines that are handed on together.
#[derive(Default)]
struct Open {
    lines: Vec<NumberedLine>,
    bytes: usize,
    /// The same lines as they are remembered, and between them those that are not handed on.
    taken: Vec<Taken>,
    over_rate: u64,
}
