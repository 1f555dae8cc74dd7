//! Promises of the memory of events.

use super::*;

fn memory() -> EventMemory {
    EventMemory::new(&HostName::try_new("h").unwrap(), None)
}

/// As another life of the process finds it.
fn again(mark: &Mark) -> EventMemory {
    EventMemory::new(&HostName::try_new("h").unwrap(), mark.position.as_deref())
}

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

const SECOND: i64 = 1_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(second * SECOND)
}

/// Takes one event a second, the seconds given.
fn take(memory: &EventMemory, seconds: impl IntoIterator<Item = i64>) -> Vec<u64> {
    let prints: Vec<_> = seconds.into_iter().map(|second| print(second * SECOND, "start")).collect();
    prints.iter().for_each(|print| memory.take(*print));
    prints.iter().map(|print| print.number()).collect()
}

#[test]
fn a_replayed_event_is_recognised_and_a_new_one_at_the_same_time_is_not_taken_for_it() {
    let memory = memory();
    memory.take(print(5, "kill"));
    assert!(!memory.is_new(print(5, "kill")));
    assert!(memory.is_new(print(5, "die")));
    assert!(memory.is_new(print(6, "kill")));
}

#[test]
fn a_resumed_stream_begins_before_the_newest_event_even_if_an_older_one_came_last() {
    let memory = memory();
    take(&memory, [10, 9]);
    assert_eq!(memory.resume_point(None), Some(at(8)));
}

#[test]
fn a_first_stream_begins_a_second_before_the_engines_clock_and_so_does_that_of_the_next_life() {
    let first = memory();
    assert_eq!(first.resume_point(Some(at(5))), Some(at(4)));
    let mark = first.begin(at(4)).unwrap();
    assert_eq!(first.begin(at(4)), None, "once");
    assert_eq!(again(&mark).resume_point(Some(at(100))), Some(at(4)), "nothing in between is missed");
    assert_eq!(memory().resume_point(None), None);
}

#[test]
fn memory_is_bounded_but_for_what_is_on_its_way() {
    let memory = memory();
    let numbers = take(&memory, 0..10_000);
    assert_eq!(memory.lock().taken.len(), 10_000);
    memory.kept(&numbers[..9_000]);
    let state = memory.lock();
    assert_eq!((state.order.len(), state.taken.len()), (REMEMBERED + 1000, REMEMBERED + 1000));
    drop(state);
    memory.kept(&numbers[9_000..]);
    assert_eq!(memory.lock().taken.len(), REMEMBERED);
    assert!(!memory.is_new(print(9_999 * SECOND, "start")));
}

#[test]
fn the_next_life_begins_before_the_oldest_event_that_was_not_journaled_and_knows_those_that_were() {
    let memory = memory();
    let numbers = take(&memory, 10..20);
    // The first, and all behind the third, are journaled; the third is still on its way.
    memory.kept(&[numbers[0], numbers[1]]);
    let next = again(&memory.mark(&numbers[3..]));
    assert_eq!(next.resume_point(None), Some(at(10)));
    let new: Vec<i64> = (10..20).filter(|second| next.is_new(print(second * SECOND, "start"))).collect();
    assert_eq!(new, [12]);
    memory.kept(&numbers[2..]);
    assert_eq!(again(&memory.mark(&[])).resume_point(None), Some(at(17)), "two seconds before the newest");
}

#[test]
fn an_event_that_was_lost_is_asked_for_again_and_taken_again_once() {
    let memory = memory();
    let numbers = take(&memory, [10, 20, 30]);
    memory.kept(&numbers[1..]);
    memory.lost(&numbers[..1]);
    assert_eq!(again(&memory.mark(&[])).resume_point(None), Some(at(8)), "also by the next life");
    assert_eq!(memory.resume_point(None), Some(at(8)));
    assert!(memory.is_new(print(10 * SECOND, "start")));
    assert!(again(&memory.mark(&[])).is_new(print(10 * SECOND, "start")), "it is not among the journaled");
    take(&memory, [10]);
    assert_eq!(memory.resume_point(None), Some(at(28)), "it came");
    assert!(!memory.is_new(print(10 * SECOND, "start")));
    memory.lost(&numbers[..1]);
    assert_eq!(memory.resume_point(None), Some(at(28)), "what is lost twice is given up");
    assert!(!memory.is_new(print(10 * SECOND, "start")));
}

#[test]
fn a_lost_event_is_asked_for_until_the_engine_is_seen_to_have_it_no_more() {
    let asked = || {
        let memory = memory();
        let numbers = take(&memory, [10, 20, 30]);
        memory.kept(&numbers[1..]);
        memory.lost(&numbers[..1]);
        assert_eq!(memory.resume_point(None), Some(at(8)));
        memory
    };
    let memory = asked();
    assert_eq!(memory.resume_point(None), Some(at(8)), "the engine may not have heard");
    assert_eq!(again(&memory.mark(&[])).resume_point(None), Some(at(8)), "nor may this process live to hear");
    memory.passed(at(12));
    assert_eq!(memory.resume_point(None), Some(at(8)), "events may come out of order");
    memory.passed(at(20));
    assert_eq!(memory.resume_point(None), Some(at(28)), "the replay is past it");
    let memory = asked();
    memory.silent();
    assert_eq!(memory.resume_point(None), Some(at(28)), "there is no replay");
    assert_eq!(again(&memory.mark(&[])).resume_point(None), Some(at(28)));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_does_not_hide_what_happened_since() {
    let memory = memory();
    take(&memory, [3600]);
    memory.listened();
    tokio::time::advance(Duration::from_secs(10)).await;
    // An hour back: the events of the ten seconds nobody listened are asked for.
    assert_eq!(memory.resume_point(Some(at(100))), Some(at(88)));
    take(&memory, [101]);
    assert_eq!(memory.resume_point(Some(at(105))), Some(at(99)));
}

#[test]
fn a_clock_told_in_whole_seconds_is_not_one_that_was_set_back() {
    let memory = memory();
    memory.take(print(10_900_000_000, "start"));
    assert_eq!(memory.resume_point(Some(at(10))), Some(Timestamp::from_nanos(8_900_000_000)));
}

#[test]
fn a_mark_of_another_make_begins_anew_and_one_of_this_make_is_read_for_ever() {
    for bytes in [&[][..], &[9; 40], &[1, 2, 3]] {
        assert_eq!(mark::decode(bytes), None);
    }
    // These bytes are in journals: they must not change.
    let bytes = mark::encode(Timestamp::from_nanos(1), &[(2, Timestamp::from_nanos(3))]);
    assert_eq!(bytes, [1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(mark::decode(&bytes), Some((Timestamp::from_nanos(1), vec![(2, Timestamp::from_nanos(3))])));
    assert_eq!(print(5, "kill").number(), FINGERPRINT);
}

/// The number of one event, for ever.
const FINGERPRINT: u64 = 15_939_537_700_526_196_392;
