//! What is remembered of an event stream: which events were taken, and what became of them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{EngineEvent, HostName, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::mark;
use crate::ports::Mark;
use crate::position::Source;

/// How far before the last event a resumed stream begins: the engine stores racing events out of order,
/// and its replay stops at the first one that is older than asked for.
pub(super) const OVERLAP: Duration = Duration::from_secs(2);

/// Events remembered for recognising repetitions: the engine's ring holds 256.
const REMEMBERED: usize = 4096;

/// How far the engine's clock may be off by what is known of it: it is told in whole seconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// An event that was lost on the way so often is not asked for again.
const TRIES: u8 = 2;

/// The events of one host: outlives restarts of its `EventMonitor` and, by its mark in the journal, the process.
///
/// Events reach the journal in another order than they were taken in. So the mark names the time before which every
/// event is journaled, and those after it that are: what is between, and was not, is asked for again.
#[derive(Debug)]
pub struct EventMemory {
    source: String,
    state: Mutex<State>,
    /// An event was lost, and the engine may still have it.
    missing: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The newest event that was taken.
    last: Option<Timestamp>,
    heard_at: Option<Instant>,
    taken: HashMap<u64, Taken>,
    /// In the order they were taken in.
    order: VecDeque<u64>,
    /// Those on their way to the journal, by time.
    on_their_way: BTreeSet<(Timestamp, u64)>,
    /// Those that were lost and not asked for since, by time.
    missing: BTreeSet<(Timestamp, u64)>,
    /// Those that were asked for, and may still come, by time.
    asked: BTreeSet<(Timestamp, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    timestamp: Timestamp,
    losses: u8,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    OnItsWay,
    /// Journaled, or given up.
    Settled,
    Lost,
}

/// What an event is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: u64,
    timestamp: Timestamp,
}

impl Fingerprint {
    /// Its number as a place.
    pub(super) fn number(self) -> u64 {
        self.hash
    }
}

impl EventMemory {
    /// The memory of a host's events, from the mark that the journal has of it.
    pub fn new(host: &HostName, mark: Option<&[u8]>) -> Self {
        let source = Self::source_of(host);
        let mut state = State::default();
        if let Some(bytes) = mark {
            match mark::decode(bytes) {
                Some((watermark, kept)) => {
                    state.last = Some(watermark);
                    for (hash, timestamp) in kept {
                        state.taken.insert(hash, Taken { timestamp, losses: 0, fate: Fate::Settled });
                        state.order.push_back(hash);
                    }
                }
                None => tracing::error!(source, "the mark of events cannot be read; they begin anew"),
            }
        }
        Self { source, state: Mutex::new(state), missing: Notify::new() }
    }

    /// The name of a host's mark in the journal.
    pub fn source_of(host: &HostName) -> String {
        format!("events/{host}")
    }

    /// From when on to ask; `engine_now` is what the engine's clock shows.
    ///
    /// Where the last event lies in the engine's future its clock was set back, or it lied: then what counts is how
    /// long nobody has listened. What was lost is asked for until it comes, or the engine has it no more: see
    /// [`passed`](Self::passed) and [`silent`](Self::silent).
    pub(super) fn resume_point(&self, engine_now: Option<Timestamp>) -> Option<Timestamp> {
        let mut state = self.lock();
        let mut missing = std::mem::take(&mut state.missing);
        state.asked.append(&mut missing);
        let lost = state.asked.first().map(|(timestamp, _)| *timestamp);
        match (state.last, engine_now) {
            (Some(last), Some(now)) if last > now + CLOCK_SLACK => {
                let silence = state.heard_at.map_or(Duration::ZERO, |heard_at| heard_at.elapsed());
                let resumed = now - silence;
                state.last = Some(resumed);
                Some(resumed - OVERLAP)
            }
            (Some(last), _) => Some(lost.map_or(last, |lost| lost.min(last)) - OVERLAP),
            (None, now) => now.map(|now| now - Duration::from_secs(1)),
        }
    }

    /// The mark of a stream that begins at `since`, where there is none yet: from here on no event is to be missed.
    pub(super) fn begin(&self, since: Timestamp) -> Option<Mark> {
        let mut state = self.lock();
        if state.last.is_some() {
            return None;
        }
        state.last = Some(since + OVERLAP);
        Some(Mark { source: self.source.clone(), position: Some(mark::encode(since + OVERLAP, &[])) })
    }

    /// The name of its mark.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What the journal's mark is to be now; `None` where the events have not begun.
    pub fn present_mark(&self) -> Option<Mark> {
        self.lock().last?;
        Some(self.mark(&[]))
    }

    /// Events are, or were until now, listened to.
    pub(super) fn listened(&self) {
        self.lock().heard_at = Some(Instant::now());
    }

    /// The stream has come to events of this time: what was asked for and lies well before is not in the engine.
    pub(super) fn passed(&self, timestamp: Timestamp) {
        let mut state = self.lock();
        while state.asked.first().is_some_and(|(asked, _)| *asked + OVERLAP < timestamp) {
            state.asked.pop_first();
        }
    }

    /// The stream has nothing to tell: nor has it what was asked for.
    pub(super) fn silent(&self) {
        self.lock().asked.clear();
    }

    /// Waits until an event is missing that the engine may still have.
    pub(super) async fn missing(&self) {
        while self.lock().missing.is_empty() {
            self.missing.notified().await;
        }
    }

    /// True where this event has not been taken yet, or was lost since.
    pub(super) fn is_new(&self, event: Fingerprint) -> bool {
        self.lock().taken.get(&event.hash).is_none_or(|taken| taken.fate == Fate::Lost)
    }

    /// True where this event was taken and lost since: it was wanted, and what came of it is known.
    pub(super) fn is_lost(&self, event: Fingerprint) -> bool {
        self.lock().taken.get(&event.hash).is_some_and(|taken| taken.fate == Fate::Lost)
    }

    /// Remembers an event that nobody wants: it is done with.
    pub(super) fn pass_over(&self, event: Fingerprint) {
        let mut state = self.lock();
        let Fingerprint { hash, timestamp } = event;
        let passed = Taken { timestamp, losses: 0, fate: Fate::Settled };
        if state.taken.insert(hash, passed).is_none() {
            state.order.push_back(hash);
        }
        state.missing.remove(&(timestamp, hash));
        state.asked.remove(&(timestamp, hash));
        state.last = Some(state.last.map_or(timestamp, |last| last.max(timestamp)));
        state.forget();
    }

    /// What is missing before `first`, the first event of a stream that was asked for from `since` on: an engine that
    /// still had what came since the last known event would have told that one again.
    pub(super) fn gap(&self, since: Timestamp, first: Fingerprint) -> Option<(Timestamp, Timestamp)> {
        let state = self.lock();
        if state.taken.contains_key(&first.hash) {
            return None;
        }
        let times = state.taken.values().map(|taken| taken.timestamp);
        let last = times.filter(|time| (since..first.timestamp).contains(time)).max()?;
        Some((last, first.timestamp))
    }

    /// Remembers an event that is about to be handed on.
    pub(super) fn take(&self, event: Fingerprint) {
        let mut state = self.lock();
        let Fingerprint { hash, timestamp } = event;
        let known = state.taken.get(&hash).map(|taken| taken.losses);
        state.taken.insert(hash, Taken { timestamp, losses: known.unwrap_or(0), fate: Fate::OnItsWay });
        if known.is_none() {
            state.order.push_back(hash);
        }
        state.missing.remove(&(timestamp, hash));
        state.asked.remove(&(timestamp, hash));
        state.on_their_way.insert((timestamp, hash));
        state.last = Some(state.last.map_or(timestamp, |last| last.max(timestamp)));
        state.forget();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the oldest events beyond what is remembered, but for those on their way: the pipeline bounds them.
    fn forget(&mut self) {
        for _ in 0..self.order.len() {
            if self.order.len() <= REMEMBERED + self.on_their_way.len() {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            match self.taken.get(&oldest) {
                Some(taken) if taken.fate == Fate::OnItsWay => self.order.push_back(oldest),
                Some(taken) => {
                    self.missing.remove(&(taken.timestamp, oldest));
                    self.asked.remove(&(taken.timestamp, oldest));
                    self.taken.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

impl Source for EventMemory {
    fn mark(&self, places: &[u64]) -> Mark {
        let (state, places) = (self.lock(), places.iter().collect::<HashSet<_>>());
        let last = state.last.unwrap_or_default();
        let behind = state.on_their_way.iter().find(|(_, hash)| !places.contains(hash));
        let open = behind.into_iter().chain(state.missing.first()).chain(state.asked.first());
        let watermark = open.map(|(timestamp, _)| *timestamp).min();
        let watermark = watermark.map_or(last, |open| open.min(last));
        let since = watermark - OVERLAP;
        let event = |hash: &u64| Some((*hash, *state.taken.get(hash)?));
        let is_kept = |(hash, taken): &(u64, Taken)| {
            taken.timestamp >= since && (taken.fate == Fate::Settled || places.contains(hash))
        };
        let kept = state.order.iter().filter_map(event).filter(is_kept).map(|(hash, taken)| (hash, taken.timestamp));
        Mark { source: self.source.clone(), position: Some(mark::encode(watermark, &kept.collect::<Vec<_>>())) }
    }

    fn kept(&self, places: &[u64]) {
        let mut state = self.lock();
        for hash in places {
            if let Some(taken) = state.taken.get_mut(hash) {
                taken.fate = Fate::Settled;
                let key = (taken.timestamp, *hash);
                state.on_their_way.remove(&key);
            }
        }
        state.forget();
    }

    fn lost(&self, places: &[u64]) {
        let mut state = self.lock();
        for hash in places {
            let Some(taken) = state.taken.get_mut(hash) else { continue };
            taken.losses = taken.losses.saturating_add(1);
            let (key, is_asked_for) = ((taken.timestamp, *hash), taken.losses < TRIES);
            taken.fate = if is_asked_for { Fate::Lost } else { Fate::Settled };
            state.on_their_way.remove(&key);
            if is_asked_for {
                state.missing.insert(key);
            }
        }
        let is_missing = !state.missing.is_empty();
        drop(state);
        if is_missing {
            self.missing.notify_one();
        }
    }
}

/// Equal for equal (time, type, action, actor), in every life of every build: it is kept in the journal.
pub(super) fn fingerprint(event: &EngineEvent) -> Fingerprint {
    let mut hash = Fnv::default();
    hash.add(&event.timestamp.as_nanos().to_le_bytes());
    for text in [&event.kind, &event.action, &event.actor_id] {
        hash.text(Some(text));
    }
    hash.text(event.argument.as_deref());
    // An event of one network tells of many containers.
    hash.text(event.attributes.get("container").map(String::as_str));
    Fingerprint { hash: hash.0, timestamp: event.timestamp }
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&mut self, text: Option<&str>) {
        self.add(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        self.add(text.unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
