//! What is remembered of an event stream: pure.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use model::{EngineEvent, Timestamp};

/// How far before the last event a resumed stream begins: the engine stores racing events out of order,
/// and its replay stops at the first one that is older than asked for.
const OVERLAP: Duration = Duration::from_secs(2);

/// Events remembered for recognising repetitions: the engine's ring holds 256.
const REMEMBERED: usize = 4096;

/// The last event seen, and the recent ones. Outlives restarts of the `EventMonitor`.
#[derive(Debug, Default)]
pub struct EventMemory {
    last: Option<Timestamp>,
    order: VecDeque<u64>,
    recent: HashSet<u64>,
}

impl EventMemory {
    /// From when on to ask; `clock` is the engine's, for a first start.
    pub fn resume_point(&self, clock: Option<Timestamp>) -> Option<Timestamp> {
        self.last.map(|last| last - OVERLAP).or_else(|| clock.map(|clock| clock - Duration::from_secs(1)))
    }

    /// True where this event has not been remembered yet.
    pub fn is_new(&self, event: &EngineEvent) -> bool {
        !self.recent.contains(&fingerprint(event))
    }

    /// Remembers an event that has been handed on.
    pub fn remember(&mut self, event: &EngineEvent) {
        let fingerprint = fingerprint(event);
        if self.recent.insert(fingerprint) {
            self.order.push_back(fingerprint);
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
fn fingerprint(event: &EngineEvent) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.timestamp, &event.kind, &event.action, &event.argument, &event.actor_id).hash(&mut hasher);
    // An event of one network tells of many containers.
    event.attributes.get("container").hash(&mut hasher);
    hasher.finish()
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

    #[test]
    fn a_replayed_event_is_recognised_and_a_new_one_at_the_same_time_is_not_taken_for_it() {
        let mut memory = EventMemory::default();
        memory.remember(&event(5, "kill"));
        assert!(!memory.is_new(&event(5, "kill")));
        assert!(memory.is_new(&event(5, "die")));
        assert!(memory.is_new(&event(6, "kill")));
    }

    #[test]
    fn a_resumed_stream_begins_before_the_newest_event_even_if_an_older_one_came_last() {
        let mut memory = EventMemory::default();
        memory.remember(&event(10_000_000_000, "start"));
        memory.remember(&event(9_000_000_000, "create"));
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
            memory.remember(&event(nanos, "start"));
        }
        assert_eq!((memory.order.len(), memory.recent.len()), (REMEMBERED, REMEMBERED));
        assert!(!memory.is_new(&event(9_999, "start")));
    }
}
