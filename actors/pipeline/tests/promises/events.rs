//! Each event exactly once, whatever becomes of those who carry it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use actor_runtime::testkit::{run, wait_for};
use model::{LossReason, Stream};
use pipeline::faults::{Faults, Point};
use tokio::time::sleep;

use crate::engine::{DAWN_S, FakeEngine, event};
use crate::world::{Options, World, millis, seconds};

fn tight(faults: Faults) -> Options {
    Options { parser_room: 16 << 10, faults, ..Options::default() }
}

#[test]
fn events_that_wait_for_room_survive_a_restart_of_their_monitor() {
    run(async {
        let engine = FakeEngine::new();
        let (first, second) = (engine.feed(), engine.feed());
        let left = Arc::new(AtomicI64::new(100));
        let counted = left.clone();
        let faults = Faults::armed(move |point| {
            assert!(point != Point::EventMonitor || counted.fetch_sub(1, Ordering::Relaxed) != 1, "sabotage");
        });
        let world = World::start(&engine, tight(faults));
        world.open_gate(false);
        for number in 0..100 {
            first.try_send(event(number, "kill", i64::from(number))).unwrap();
        }
        wait_for("the panic", || left.load(Ordering::Relaxed) == 0).await;
        // The engine replays what the panic lost, among others.
        for number in 90..100 {
            second.try_send(event(number, "kill", i64::from(number))).unwrap();
        }
        sleep(seconds(5)).await;
        world.open_gate(true);
        wait_for("every event", || world.events("kill", false) == 100).await;
        sleep(seconds(5)).await;
        assert_eq!(world.events("kill", false), 100);
        assert_eq!(world.lost(Stream::Events, LossReason::Panic), 1, "and the replay brought that one back");
        world.end().await;
    });
}

#[test]
fn at_a_drain_the_events_that_wait_are_handed_on() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let world = World::start(&engine, tight(Faults::NONE));
        world.open_gate(false);
        for number in 0..100 {
            feed.try_send(event(number, "kill", i64::from(number))).unwrap();
        }
        sleep(seconds(1)).await;
        let (seen, books) = (world.share(), world.books.clone());
        let report = world.end().await;
        assert!(report.cut_short.is_empty(), "{:?}", report.cut_short);
        assert_eq!(seen.lock().unwrap().events.len(), 100);
        assert_eq!(books.of(Stream::Events).journaled, 100);
    });
}

#[test]
fn what_finds_no_room_is_left_with_the_engine_and_asked_for_again() {
    run(async {
        let engine = FakeEngine::new();
        let feeds = [engine.feed(), engine.feed(), engine.feed()];
        let world = World::start(&engine, tight(Faults::NONE));
        world.open_gate(false);
        for number in 0..6000 {
            feeds[0].try_send(event(number, "die", i64::from(number))).unwrap();
        }
        // Nobody reads the stream any more: an engine must not wait for its readers.
        wait_for("the end of the first stream", || feeds[0].is_closed()).await;
        sleep(seconds(60)).await;
        assert_eq!(engine.calls("events"), 1);
        let received = world.books.of(Stream::Events).received;
        assert!((4096..4300).contains(&received), "{received} are kept");
        for feed in &feeds[1..] {
            for number in 3000..6000 {
                feed.try_send(event(number, "die", i64::from(number))).unwrap();
            }
        }
        world.open_gate(true);
        wait_for("every event", || world.events("die", false) == 6000).await;
        sleep(seconds(20)).await;
        assert_eq!(world.events("die", false), 6000, "each once");
        assert_eq!(world.lost(Stream::Events, LossReason::Overflow), 0);
        world.end().await;
    });
}

#[test]
fn huge_labels_are_bounded_by_bytes() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let world = World::start(&engine, tight(Faults::NONE));
        world.open_gate(false);
        let huge = |number: u32, mib: usize| {
            let mut huge = event(number, "kill", i64::from(number));
            huge.attributes.insert("label".into(), "x".repeat(mib << 20));
            huge
        };
        for number in 0..64 {
            feed.try_send(huge(number, 1)).unwrap();
        }
        wait_for("the end of the stream", || feed.is_closed()).await;
        let received = world.books.of(Stream::Events).received;
        assert!((7..=10).contains(&received), "8 MiB of 64 are kept, and {received} are");
        world.end().await;
    });
}

#[test]
fn an_event_that_never_finds_room_is_dropped_counted_and_its_container_looked_at() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        // The engine tells it again where it is asked again.
        let feeds: Vec<_> = (0..8).map(|_| engine.feed()).collect();
        let world = World::start(&engine, Options::default());
        wait_for("the first look", || engine.calls("inspect") >= 1).await;
        sleep(seconds(5)).await;
        let looks = engine.calls("inspect");
        let mut huge = event(0, "die", 5);
        huge.attributes.insert("label".into(), "x".repeat(9 << 20));
        for feed in &feeds {
            feed.try_send(huge.clone()).unwrap();
            feed.try_send(event(0, "start", 6)).unwrap();
        }
        wait_for("the event after it", || world.events("start", false) == 1).await;
        sleep(seconds(20)).await;
        let (lost, opened) = (world.lost(Stream::Events, LossReason::Overflow), engine.calls("events"));
        assert!(lost >= 1 && opened < 8, "lost {lost} times, opened {opened} times: it is given up in the end");
        assert_eq!(world.events("start", false), 1);
        wait_for("another look", || engine.calls("inspect") > looks).await;
        world.end().await;
    });
}

#[test]
fn an_event_that_was_lost_behind_the_monitor_is_asked_for_again() {
    run(async {
        let engine = FakeEngine::new();
        let (first, second) = (engine.feed(), engine.feed());
        let left = Arc::new(AtomicI64::new(6));
        let counted = left.clone();
        let faults = Faults::armed(move |point| {
            assert!(point != Point::Parser || counted.fetch_sub(1, Ordering::Relaxed) != 1, "sabotage");
        });
        let world = World::start(&engine, Options { parser_faults: faults, ..Options::default() });
        for feed in [&first, &second] {
            for number in 0..10 {
                feed.try_send(event(number, "kill", i64::from(number))).unwrap();
            }
        }
        wait_for("every event", || world.events("kill", false) == 10).await;
        sleep(seconds(5)).await;
        assert_eq!(world.events("kill", false), 10);
        assert_eq!(world.lost(Stream::Events, LossReason::Panic), 1, "and the replay brought that one back");
        assert!(!second.is_closed());
        world.end().await;
    });
}

#[test]
fn a_repetition_is_recognised_over_reconnects() {
    run(async {
        let engine = FakeEngine::new();
        for _ in 0..3 {
            let feed = engine.feed();
            for number in 0..50 {
                feed.try_send(event(number, "kill", i64::from(number))).unwrap();
            }
        }
        let world = World::start(&engine, Options::default());
        sleep(seconds(20)).await;
        assert_eq!((world.events("kill", false), engine.calls("events")), (50, 4));
        world.end().await;
    });
}

#[test]
fn a_stream_that_is_cut_at_once_is_opened_ever_more_slowly_although_it_replays() {
    run(async {
        let engine = FakeEngine::new();
        for _ in 0..200 {
            engine.feed().try_send(event(1, "kill", 5)).unwrap();
        }
        let world = World::start(&engine, Options::default());
        sleep(seconds(60)).await;
        let (opened, listed) = (engine.calls("events"), engine.calls("list"));
        assert!(opened <= 15 && listed <= 2 * opened, "opened {opened} times, listed {listed} times");
        world.end().await;
    });
}

#[test]
fn a_stream_that_is_silent_is_opened_anew_and_costs_no_look() {
    run(async {
        let engine = FakeEngine::new();
        let (dead, second) = (engine.feed(), engine.feed());
        let world = World::start(&engine, Options::default());
        dead.try_send(event(1, "kill", 5)).unwrap();
        wait_for("the first event", || world.events("kill", false) == 1).await;
        let listed = engine.calls("list");
        // The engine tells it to a connection that nobody reads, and to the next one.
        second.try_send(event(1, "kill", 5)).unwrap();
        second.try_send(event(2, "kill", 6)).unwrap();
        sleep(seconds(31)).await;
        assert_eq!((world.events("kill", false), engine.calls("events")), (2, 2));
        assert_eq!(engine.calls("list"), listed);
        world.end().await;
    });
}

#[test]
fn a_resumed_stream_begins_before_the_last_event_even_where_the_clock_was_set_back() {
    run(async {
        let engine = FakeEngine::new();
        let (first, second) = (engine.feed(), engine.feed());
        let world = World::start(&engine, Options::default());
        sleep(seconds(20)).await;
        first.try_send(event(1, "kill", (DAWN_S + 20) * 1000)).unwrap();
        sleep(millis(10)).await;
        drop(first);
        wait_for("the second stream", || engine.since().len() == 2).await;
        assert_eq!(engine.since()[1].map(|since| since.as_secs()), Some(DAWN_S + 18));
        // An event from the future, then the clock of an engine that was away is an hour behind.
        second.try_send(event(1, "start", (DAWN_S + 21) * 1000)).unwrap();
        sleep(millis(10)).await;
        engine.go_down(true);
        drop(second);
        sleep(seconds(30)).await;
        engine.set_clock(-3600);
        engine.go_down(false);
        wait_for("the third stream", || engine.since().len() == 3).await;
        let now = engine.now().as_secs();
        let since = engine.since()[2].map_or(0, |since| since.as_secs());
        assert!((now - 45..now - 29).contains(&since), "asked from {since} on, at {now}");
        world.end().await;
    });
}
