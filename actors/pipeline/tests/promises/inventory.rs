//! The inventory is the truth, however the engine answers.

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerState, LossReason, Stream};
use pipeline::ports::EngineFailure;
use tokio::time::sleep;

use crate::engine::{FakeEngine, Frames, Manner, event, record};
use crate::world::{Options, World, millis, seconds};

/// All of the first `count` containers have one stream that was opened once.
fn all_followed_once(engine: &FakeEngine, count: u32) -> bool {
    (0..count).all(|number| engine.streams(number) == (1, 1))
}

#[test]
fn what_is_there_at_the_start_is_not_new_however_slow_the_engine_is_and_however_often_it_is_asked() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..30);
        engine.inspects_all_after(millis(500));
        // Each event stream that begins asks for a full look.
        let feeds: Vec<_> = (0..3).map(|_| engine.feed()).collect();
        let world = World::start(&engine, Options::default());
        for feed in feeds {
            sleep(millis(150)).await;
            drop(feed);
        }
        sleep(seconds(20)).await;
        assert!(all_followed_once(&engine, 30));
        assert_eq!(world.events("start", true), 0);
        world.end().await;
    });
}

#[test]
fn a_full_look_that_overlaps_another_leaves_no_stream() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..30);
        let strikes = std::sync::Arc::new(std::sync::atomic::AtomicBool::default());
        let (armed, point) = (strikes.clone(), pipeline::faults::Point::Inventory);
        let faults = pipeline::faults::Faults::armed(move |at| {
            assert!(at != point || !armed.swap(false, std::sync::atomic::Ordering::Relaxed), "sabotage");
        });
        let _feeds: Vec<_> = (0..2).map(|_| engine.feed()).collect();
        let world = World::start(&engine, Options { faults, discovery: seconds(5), ..Options::default() });
        wait_for("all streams", || all_followed_once(&engine, 30)).await;
        // The next full look panics: inventory and event monitor begin anew, the streams go on.
        engine.inspects_all_after(millis(500));
        strikes.store(true, std::sync::atomic::Ordering::Relaxed);
        sleep(seconds(30)).await;
        assert!(world.restarts().0 > 0);
        assert!(all_followed_once(&engine, 30));
        world.end().await;
    });
}

#[test]
fn a_container_that_cannot_be_looked_at_costs_only_itself() {
    for manner in [Manner::Fail(EngineFailure::Server), Manner::Hang] {
        run(async {
            let engine = FakeEngine::new();
            engine.running(0..20);
            engine.inspects(7, manner);
            let _feed = engine.feed();
            let world = World::start(&engine, Options::default());
            wait_for("the other streams", || (0..20).filter(|n| engine.streams(*n).0 == 1).count() == 19).await;
            wait_for("the count of containers", || {
                world.board.all().first().is_some_and(|host| host.containers == Some(19))
            })
            .await;
            // What is new and was not told of is recorded all the same.
            engine.put(record(50, ContainerState::Running, 2));
            sleep(seconds(70)).await;
            assert_eq!(world.events("start", true), 1);
            engine.inspects(7, Manner::After(millis(1)));
            engine.inspects_all_after(millis(1));
            if !matches!(manner, Manner::Hang) {
                sleep(seconds(70)).await;
                assert_eq!(engine.streams(7).0, 1, "it is found once it can be looked at");
                assert_eq!(world.events("start", true), 1, "and it is not new");
            }
            world.end().await;
        });
    }
}

#[test]
fn a_failed_list_is_asked_for_again_soon() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        engine.fail_lists(4);
        let world = World::start(&engine, Options::default());
        sleep(seconds(20)).await;
        assert!(all_followed_once(&engine, 3));
        world.end().await;
    });
}

#[test]
fn an_event_that_was_told_is_not_told_again_by_a_slow_look() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        wait_for("all streams", || all_followed_once(&engine, 3)).await;
        engine.inspects_all_after(seconds(6));
        engine.put(record(1, ContainerState::Exited, 1));
        feed.try_send(event(1, "die", 1)).unwrap();
        sleep(seconds(30)).await;
        assert_eq!((world.events("die", false), world.events("die", true)), (1, 0));
        world.end().await;
    });
}

#[test]
fn a_restart_that_a_list_does_not_show_is_found_by_the_next_full_look() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        // A silent one is opened anew.
        let _feeds = [engine.feed(), engine.feed(), engine.feed()];
        let world = World::start(&engine, Options::default());
        wait_for("all streams", || all_followed_once(&engine, 3)).await;
        engine.put(record(1, ContainerState::Running, 9));
        sleep(seconds(65)).await;
        assert_eq!(world.events("start", true), 1);
        let run = world.seen(|seen| {
            let of = |row: &&model::StatsRecord| row.meta.container_name == "c1";
            seen.stats.iter().rfind(of).and_then(|row| row.meta.run)
        });
        assert_eq!(run.map(model::Timestamp::as_secs), Some(9));
        assert!(all_followed_once(&engine, 3), "the stream went on");
        world.end().await;
    });
}

#[test]
fn an_event_nobody_could_hear_is_waited_for() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let world = World::start(&engine, Options { discovery: seconds(5), ..Options::default() });
        // Nobody hears events: the engine does not answer that call.
        sleep(seconds(7)).await;
        engine.put(record(1, ContainerState::Exited, 1));
        sleep(seconds(12)).await;
        assert_eq!(world.events("die", true), 0, "it may be waiting at the engine");
        sleep(seconds(60)).await;
        assert_eq!(world.events("die", true), 1, "but not for ever");
        assert_eq!(engine.streams(1).0, 0);
        world.end().await;
    });
}

#[test]
fn states_of_a_large_host_wait_for_room_and_none_is_lost() {
    run(async {
        let engine = FakeEngine::new();
        (0..500).for_each(|number| engine.put(record(number, ContainerState::Exited, 1)));
        let _feed = engine.feed();
        let world = World::start(&engine, Options { parser_room: 16 << 10, ..Options::default() });
        world.open_gate(false);
        sleep(seconds(10)).await;
        world.open_gate(true);
        wait_for("all states", || world.seen(|seen| seen.containers.len()) == 500).await;
        assert_eq!(world.lost(Stream::Containers, LossReason::Overflow), 0);
        world.end().await;
    });
}

#[test]
fn more_than_is_kept_is_counted_and_shown_again() {
    run(async {
        let engine = FakeEngine::new();
        (0..4500).for_each(|number| engine.put(record(number, ContainerState::Exited, 1)));
        let _feed = engine.feed();
        let world = World::start(&engine, Options { parser_room: 16 << 10, ..Options::default() });
        world.open_gate(false);
        sleep(seconds(10)).await;
        let lost = world.lost(Stream::Containers, LossReason::Overflow);
        assert!(lost > 0);
        world.open_gate(true);
        sleep(seconds(70)).await;
        let mut names: Vec<_> =
            world.seen(|seen| seen.containers.iter().map(|row| row.container_name.clone()).collect());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4500);
        world.end().await;
    });
}

#[test]
fn a_removed_container_is_shown_as_removed_and_its_stream_ends() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        engine.sends(1, Frames::Every(seconds(1)));
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        wait_for("all streams", || all_followed_once(&engine, 2)).await;
        engine.take_away(1);
        feed.try_send(event(1, "destroy", 1)).unwrap();
        wait_for("the end of the stream", || engine.streams(1).0 == 0).await;
        sleep(seconds(5)).await;
        assert_eq!(engine.streams(1), (0, 1));
        let last = world.seen(|seen| seen.containers.last().map(|row| (row.container_name.clone(), row.state)));
        assert_eq!(last, Some(("c1".into(), ContainerState::Removed)));
        assert_eq!((world.events("destroy", false), world.events("destroy", true)), (1, 0));
        world.end().await;
    });
}
