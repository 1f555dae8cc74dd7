//! A stream costs its engine nothing it need not, and loses nothing it need not.

use actor_runtime::testkit::{run, wait_for};
use actor_runtime::{NodeState, NodeView};
use model::{ContainerState, LossReason, Stream};
use pipeline::ports::EngineFailure;
use pipeline::stats_stream::StatsMode;
use tokio::time::sleep;

use crate::engine::{FakeEngine, Frames, event, record};
use crate::world::{Options, World, millis, seconds};

fn samples(world: &World) -> usize {
    world.seen(|seen| seen.stats.len())
}

fn find<'a>(view: &'a NodeView, name: &str) -> Option<&'a NodeView> {
    if view.name == name { Some(view) } else { view.children.iter().find_map(|child| find(child, name)) }
}

#[test]
fn while_the_pipeline_is_full_the_newest_frame_is_kept_and_the_others_are_counted() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let options = Options { parser_room: 1024, ..Options::default() };
        let world = World::start(&engine, options);
        wait_for("samples", || samples(&world) > 0).await;
        world.open_gate(false);
        sleep(seconds(100)).await;
        let lost = world.lost(Stream::Stats, LossReason::Coalesced);
        assert!(lost > 20, "{lost} frames gave way");
        world.open_gate(true);
        sleep(millis(100)).await;
        let age = world.seen(|seen| engine.now().since(seen.stats.last().unwrap().timestamp));
        assert!(age < seconds(2), "the newest of all is {age:?} old");
        world.end().await;
    });
}

#[test]
fn a_container_whose_every_frame_makes_the_decoder_panic_costs_its_own_frames_only() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        engine.sends(0, Frames::Deadly);
        let world = World::start(&engine, Options::default());
        sleep(seconds(120)).await;
        let lost = world.lost(Stream::Stats, LossReason::Panic);
        assert!(lost > 100, "{lost} frames lost");
        assert!(samples(&world) > 100, "the other container is followed");
        assert_eq!(world.restarts().0, 0);
        world.end().await;
    });
}

#[test]
fn a_frame_in_hand_is_handed_on_when_its_stream_ends() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let world = World::start(&engine, Options { parser_room: 1024, ..Options::default() });
        wait_for("samples", || samples(&world) > 0).await;
        world.open_gate(false);
        sleep(seconds(100)).await;
        // It is held while the container goes away.
        let (seen, books) = (world.share(), world.books.clone());
        let newest = engine.now();
        world.open_gate(true);
        world.end().await;
        let last = seen.lock().unwrap().stats.last().unwrap().timestamp;
        assert!(newest.since(last) < seconds(2), "the last is {:?} old", newest.since(last));
        assert!(books.of(Stream::Stats).dropped_before_parsing.iter().all(|(of, _)| *of == LossReason::Coalesced));
    });
}

#[test]
fn an_engine_that_answers_500_for_a_while_has_no_stream_set_aside() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..20);
        (0..20).for_each(|number| engine.sends(number, Frames::Fail(EngineFailure::Server)));
        let world = World::start(&engine, Options::default());
        sleep(seconds(30)).await;
        (0..20).for_each(|number| engine.sends(number, Frames::Every(seconds(1))));
        sleep(seconds(12)).await;
        assert_eq!(world.restarts().1, 0);
        assert!((0..20).all(|number| engine.streams(number).0 == 1), "all flow again");
        world.end().await;
    });
}

#[test]
fn a_request_the_engine_refuses_is_set_aside_and_its_stream_is_not_begun_twice() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        engine.sends(1, Frames::Fail(EngineFailure::Request));
        let world = World::start(&engine, Options { discovery: seconds(5), ..Options::default() });
        sleep(seconds(60)).await;
        let view = world.view();
        let streams = find(&view, "streams").unwrap();
        assert_eq!(streams.children.len(), 2);
        assert!(streams.children.iter().any(|child| child.state == NodeState::Quarantined));
        engine.sends(1, Frames::Every(seconds(1)));
        sleep(seconds(301)).await;
        assert_eq!(engine.streams(1), (1, 1), "it is tried again after its quarantine");
        world.end().await;
    });
}

#[test]
fn a_stream_the_engine_ends_at_once_is_opened_no_faster_than_once_a_second() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        engine.sends(0, Frames::Then(0));
        let world = World::start(&engine, Options::default());
        sleep(seconds(30)).await;
        let (_, opened) = engine.streams(0);
        assert!((20..=31).contains(&opened), "opened {opened} times in 30 s");
        world.end().await;
    });
}

#[test]
fn a_silent_stream_is_opened_anew_and_has_more_time_each_time() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        engine.sends(1, Frames::Never);
        let world = World::start(&engine, Options::default());
        sleep(seconds(300)).await;
        let (open, opened) = engine.streams(1);
        assert!(open == 1 && (4..=6).contains(&opened), "opened {opened} times in 300 s");
        assert!(samples(&world) > 280, "the other stream went on");
        let silent: Vec<_> = world.board.silence().all().into_iter().map(|silent| silent.container_name).collect();
        assert_eq!(silent, ["c1"]);
        engine.sends(1, Frames::Every(seconds(1)));
        sleep(seconds(130)).await;
        assert_eq!(world.board.silence().all(), []);
        world.end().await;
    });
}

#[test]
fn an_engine_slower_than_the_watchdog_is_heard_all_the_same() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..5);
        (0..5).for_each(|number| engine.sends(number, Frames::Every(seconds(16))));
        let world = World::start(&engine, Options::default());
        sleep(seconds(320)).await;
        assert!(samples(&world) >= 5 * 19, "{} samples of 5 containers in 20 ticks", samples(&world));
        world.end().await;
    });
}

#[test]
fn a_poll_is_sent_once_per_interval_and_a_container_that_hangs_costs_only_itself() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..10);
        engine.sends(3, Frames::Never);
        let options = Options { mode: StatsMode::Poll, stats_interval: seconds(5), ..Options::default() };
        let world = World::start(&engine, options);
        sleep(seconds(100)).await;
        let count = samples(&world);
        assert!((9 * 18..=9 * 21).contains(&count), "{count} samples");
        let per_second = world.seen(|seen| {
            let late = seen.stats.iter().filter(|row| row.timestamp.as_secs() > 1_000_050);
            late.map(|row| row.timestamp.as_secs() % 5).collect::<std::collections::BTreeSet<_>>()
        });
        assert!(per_second.len() >= 4, "polls are spread over the interval: {per_second:?}");
        world.end().await;
    });
}

#[test]
fn however_many_containers_hang_the_others_are_polled_on_and_a_removed_one_is_silent_no_more() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..60);
        (0..40).for_each(|number| engine.sends(number, Frames::Never));
        let options = Options { mode: StatsMode::Poll, stats_interval: seconds(5), ..Options::default() };
        let world = World::start(&engine, options);
        // Each of them takes ten seconds once, twelve at a time.
        sleep(seconds(60)).await;
        assert_eq!(world.board.silence().all().len(), 40);
        let before = samples(&world);
        sleep(seconds(100)).await;
        let count = samples(&world) - before;
        assert!((20 * 19..=20 * 21).contains(&count), "{count} samples of 20 containers in 20 intervals");
        (0..40).for_each(|number| engine.take_away(number));
        sleep(seconds(130)).await;
        assert_eq!(world.board.silence().all(), []);
        world.end().await;
    });
}

#[test]
fn a_clock_that_is_set_back_costs_no_samples() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let world = World::start(&engine, Options::default());
        sleep(seconds(10)).await;
        engine.set_clock(-3600);
        sleep(seconds(10)).await;
        assert_eq!(world.lost(Stream::Stats, LossReason::DuplicateFrame), 0);
        assert!(samples(&world) >= 19, "{} samples in 20 s", samples(&world));
        world.end().await;
    });
}

#[test]
fn a_container_that_dies_and_starts_at_once_has_one_stream() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        wait_for("the streams", || engine.streams(2).0 == 1).await;
        for round in 0..20 {
            engine.put(record(1, ContainerState::Running, 10 + round));
            feed.try_send(event(1, "die", round * 2)).unwrap();
            feed.try_send(event(1, "start", round * 2 + 1)).unwrap();
            sleep(millis(30)).await;
        }
        sleep(seconds(3)).await;
        assert_eq!(engine.streams(1).0, 1);
        assert_eq!((world.events("start", true), world.events("die", true)), (0, 0));
        world.end().await;
    });
}
