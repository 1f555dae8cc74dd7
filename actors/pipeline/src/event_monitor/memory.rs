//! What is remembered of an event stream: pure.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use model::{EngineEvent, Timestamp};
use tokio::time::Instant;

/// How far before the last event a resumed stream begins: the engine stores racing events out of order,
/// and its replay stops at the first one that is older than asked for.
const OVERLAP: Duration = Duration::from_secs(2);

/// Events remembered for recognising repetitions: the engine's ring holds 256.
const REMEMBERED: usize = 4096;

/// How far the engine's clock may be off by what is known of it: it is told in whole seconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The last event seen, and the recent ones. Outlives restarts of the `EventMonitor`.
#[derive(Debug, Default)]
pub struct EventMemory {
    last: Option<Timestamp>,
    heard_at: Option<Instant>,
    order: VecDeque<u64>,
    recent: HashSet<u64>,
}

/// What an event is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: u64,
    timestamp: Timestamp,
}

impl EventMemory {
    /// From when on to ask; `engine_now` is what the engine's clock shows.
    ///
    /// Where the last event lies in the engine's future its clock was set back, or it lied: then what counts is how
    /// long nobody has listened.
    pub fn resume_point(&mut self, engine_now: Option<Timestamp>) -> Option<Timestamp> {
        match (self.last, engine_now) {
            (Some(last), Some(now)) if last > now + CLOCK_SLACK => {
                let silence = self.heard_at.map_or(Duration::ZERO, |heard_at| heard_at.elapsed());
                let resumed = now - silence;
                self.last = Some(resumed);
                Some(resumed - OVERLAP)
            }
            (Some(last), _) => Some(last - OVERLAP),
            (None, now) => now.map(|now| now - Duration::from_secs(1)),
        }
    }

    /// Events are, or were until now, listened to.
    pub fn listened(&mut self) {
        self.heard_at = Some(Instant::now());
    }

    /// True where this event has not been remembered yet.
    pub fn is_new(&self, event: Fingerprint) -> bool {
        !self.recent.contains(&event.hash)
    }

    /// Remembers an event that has been handed on.
    pub fn remember(&mut self, event: Fingerprint) {
        if self.recent.insert(event.hash) {
            self.order.push_back(event.hash);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        self.last = Some(self.last.map_or(event.timestamp, |last| last.max(event.timestamp)));
    }
}

/// Equal for equal (time, type, action, actor).
pub fn fingerprint(event: &EngineEvent) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    (event.timestamp, &event.kind, &event.action, &event.argument, &event.actor_id).hash(&mut hasher);
    // An event of one network tells of many containers.
    event.attributes.get("container").hash(&mut hasher);
    Fingerprint { hash: hasher.finish(), timestamp: event.timestamp }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(nanos: i64, action: &str) -> EngineEvent {
        EngineEvent {
            timestamp: Timestamp::from_nanos(nanos),
            kind: "container".into(),
            action: action.into(),
            argument: None,
            actor_id: "a".repeat(64),
            attributes: Default::default(),
        }
    }

    fn print(nanos: i64, action: &str) -> Fingerprint {
        fingerprint(&event(nanos, action))
    }

    #[test]
    fn a_replayed_event_is_recognised_and_a_new_one_at_the_same_time_is_not_taken_for_it() {
        let mut memory = EventMemory::default();
        memory.remember(print(5, "kill"));
        assert!(!memory.is_new(print(5, "kill")));
        assert!(memory.is_new(print(5, "die")));
        assert!(memory.is_new(print(6, "kill")));
    }

    #[test]
    fn a_resumed_stream_begins_before_the_newest_event_even_if_an_older_one_came_last() {
        let mut memory = EventMemory::default();
        memory.remember(print(10_000_000_000, "start"));
        memory.remember(print(9_000_000_000, "create"));
        assert_eq!(memory.resume_point(None), Some(Timestamp::from_nanos(8_000_000_000)));
    }

    #[test]
    fn a_first_stream_begins_a_second_before_the_engines_clock() {
        let clock = Timestamp::from_nanos(5_000_000_000);
        assert_eq!(EventMemory::default().resume_point(Some(clock)), Some(Timestamp::from_nanos(4_000_000_000)));
        assert_eq!(EventMemory::default().resume_point(None), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = EventMemory::default();
        for nanos in 0..10_000 {
            memory.remember(print(nanos, "start"));
        }
        assert_eq!((memory.order.len(), memory.recent.len()), (REMEMBERED, REMEMBERED));
        assert!(!memory.is_new(print(9_999, "start")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_does_not_hide_what_happened_since() {
        let at = |second: i64| Timestamp::from_nanos(second * 1_000_000_000);
        let mut memory = EventMemory::default();
        memory.remember(print(at(3600).as_nanos(), "start"));
        memory.listened();
        tokio::time::advance(Duration::from_secs(10)).await;
        // An hour back: the events of the ten seconds nobody listened are asked for.
        assert_eq!(memory.resume_point(Some(at(100))), Some(at(88)));
        memory.remember(print(at(101).as_nanos(), "die"));
        assert_eq!(memory.resume_point(Some(at(105))), Some(at(99)));
    }

    #[test]
    fn a_clock_told_in_whole_seconds_is_not_one_that_was_set_back() {
        let mut memory = EventMemory::default();
        memory.remember(print(10_900_000_000, "start"));
        assert_eq!(
            memory.resume_point(Some(Timestamp::from_nanos(10_000_000_000))),
            Some(Timestamp::from_nanos(8_900_000_000))
        );
    }
}
