//! Each event exactly once, whatever becomes of those who carry it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use actor_runtime::testkit::{run, wait_for};
use model::{LossReason, Stream};
use pipeline::faults::{Faults, Point};
use tokio::time::sleep;

use crate::engine::{DAWN_S, FakeEngine, event, id};
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

#[test]
fn the_events_of_each_actor_come_in_their_order_however_many_parsers_there_are_and_however_tight_it_is() {
    for seed in 0..8u64 {
        run(async move {
            let mut chance = fastrand::Rng::with_seed(seed);
            let (engine, actors, count) = (FakeEngine::new(), chance.u32(1..20), 400);
            let feed = engine.feed();
            let options = Options { parsers: chance.u32(1..6), ..tight(Faults::NONE) };
            let world = World::start(&engine, options);
            world.open_gate(false);
            for at in 0..count {
                feed.try_send(event(chance.u32(0..actors), "kill", at)).unwrap();
                if chance.u32(0..20) == 0 {
                    world.open_gate(chance.bool());
                    sleep(millis(chance.u64(0..20))).await;
                }
            }
            world.open_gate(true);
            let expected = usize::try_from(count).unwrap();
            wait_for("every event", || world.events("kill", false) == expected).await;
            for number in 0..actors {
                let times: Vec<_> = world.seen(|seen| {
                    let of = seen.events.iter().filter(|event| event.actor_id == id(number).as_str());
                    of.map(|event| event.timestamp).collect()
                });
                assert!(times.is_sorted(), "seed {seed}, actor {number}: {times:?}");
            }
            world.end().await;
        });
    }
}

#[test]
fn what_an_engine_has_forgotten_is_told_once_with_its_times() {
    run(async {
        let engine = FakeEngine::new();
        let feeds = [engine.feed(), engine.feed(), engine.feed()];
        let at = |second: i64| (DAWN_S + second) * 1000;
        let world = World::start(&engine, Options::default());
        feeds[0].try_send(event(1, "kill", at(1))).unwrap();
        wait_for("the first event", || world.events("kill", false) == 1).await;
        let [first, second, third] = feeds;
        // It comes again with what it had told: nothing is missing.
        second.try_send(event(1, "kill", at(1))).unwrap();
        second.try_send(event(2, "kill", at(2))).unwrap();
        drop(first);
        wait_for("the second event", || world.events("kill", false) == 2).await;
        assert_eq!(world.events("events_missed", true), 0);
        // It does not know the last one any more: it was restarted, or told 256 others meanwhile.
        third.try_send(event(3, "kill", at(60))).unwrap();
        third.try_send(event(4, "kill", at(61))).unwrap();
        drop(second);
        wait_for("the fourth event", || world.events("kill", false) == 4).await;
        assert_eq!(world.events("events_missed", true), 1);
        world.seen(|seen| {
            let told = seen.events.iter().find(|event| event.action == "events_missed").unwrap();
            assert_eq!((told.kind.as_str(), told.actor_id.as_str(), told.container_id.as_ref()), ("host", "h", None));
            let time = |key: &str| told.attributes[key].parse::<model::Timestamp>().unwrap().as_secs() - DAWN_S;
            assert_eq!((time("from"), time("to")), (2, 60));
        });
        assert!(world.metrics.text().contains("dockstream_event_history_lost_total{host=\"h\"} 1"));
        world.end().await;
    });
}

#[test]
fn the_end_of_a_container_tells_of_memory_where_an_event_told_of_it_before() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        let died = |number: u32, at: i64| {
            let mut died = event(number, "die", at);
            died.attributes.insert("exitCode".into(), "137".into());
            died
        };
        for event in [event(1, "oom", 1), died(1, 2), died(2, 3), event(1, "start", 4), died(1, 5)] {
            feed.try_send(event).unwrap();
        }
        wait_for("the ends", || world.events("die", false) == 3).await;
        let causes: Vec<_> = world.seen(|seen| {
            let ends = seen.events.iter().filter(|event| event.action == "die");
            ends.map(|event| event.exit_cause.clone().unwrap()).collect()
        });
        assert_eq!(causes, ["killed (SIGKILL), out of memory", "killed (SIGKILL)", "killed (SIGKILL)"]);
        world.end().await;
    });
}
