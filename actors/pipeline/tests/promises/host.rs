//! One prober a host, and it keeps its head.

use actor_runtime::testkit::{run, wait_for};
use model::HostStatus;
use pipeline::ports::EngineFailure;
use tokio::time::sleep;

use crate::engine::{FakeEngine, Frames};
use crate::world::{Options, World, millis, seconds};

fn states(world: &World) -> Vec<HostStatus> {
    world.seen(|seen| seen.hosts.iter().map(|host| host.status).collect())
}

#[test]
fn a_host_that_goes_and_comes_is_shown_once_each_time() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let world = World::start(&engine, Options::default());
        wait_for("the streams", || engine.streams(1).0 == 1).await;
        engine.go_down(true);
        sleep(seconds(40)).await;
        assert_eq!(states(&world), [HostStatus::Up, HostStatus::Down]);
        engine.go_down(false);
        sleep(seconds(10)).await;
        assert_eq!(states(&world), [HostStatus::Up, HostStatus::Down, HostStatus::Up]);
        // And each is an event of its own.
        let told: Vec<_> = world.seen(|seen| {
            let of_host = seen.events.iter().filter(|event| event.kind == "host");
            of_host
                .map(|event| (event.action.clone(), event.synthetic, event.attributes.get("error").cloned()))
                .collect()
        });
        let error = Some("scripted: unreachable".to_owned());
        assert_eq!(told, [("down".to_owned(), true, error), ("up".to_owned(), true, None)]);
        world.end().await;
    });
}

#[test]
fn a_host_that_does_not_answer_shows_since_when_how_often_it_was_tried_and_when_it_is_tried_again() {
    run(async {
        let engine = FakeEngine::new();
        engine.go_down(true);
        let world = World::start(&engine, Options::default());
        let shown = || world.board.all().into_iter().next().unwrap();
        sleep(seconds(30)).await;
        let down = shown();
        assert_eq!((down.status, down.last_error.as_deref()), (HostStatus::Down, Some("scripted: unreachable")));
        assert!(down.failures >= 5 && down.retry_at > Some(down.observed_at), "{down:?}");
        assert!(down.status_since.is_some_and(|since| since < down.observed_at), "{down:?}");
        assert_eq!(down.labels["site"], "north");
        // One record and one event, however often it was tried.
        assert_eq!((states(&world).len(), world.events("down", true)), (1, 1));
        engine.go_down(false);
        sleep(seconds(10)).await;
        let up = shown();
        assert_eq!((up.status, up.last_error, up.failures, up.retry_at), (HostStatus::Up, None, 0, None));
        assert!(up.status_since > down.status_since);
        assert_eq!(world.events("up", true), 1);
        world.end().await;
    });
}

#[test]
fn a_host_that_refuses_us_is_tried_once_a_minute_and_its_new_words_are_shown() {
    run(async {
        let engine = FakeEngine::new();
        engine.fails(Some(EngineFailure::Refused));
        let world = World::start(&engine, Options::default());
        sleep(seconds(5 * 60 + 1)).await;
        assert!((5..=6).contains(&engine.calls("identify")), "{} attempts in five minutes", engine.calls("identify"));
        engine.fails(Some(EngineFailure::Unreachable));
        sleep(seconds(61)).await;
        let errors: Vec<_> = world.seen(|seen| seen.hosts.iter().filter_map(|host| host.last_error.clone()).collect());
        assert_eq!(errors, ["scripted: refused", "scripted: unreachable"]);
        assert_eq!(world.events("down", true), 1);
        world.end().await;
    });
}

#[test]
fn a_host_is_shown_while_the_first_attempt_is_under_way() {
    run(async {
        let engine = FakeEngine::new();
        engine.hang();
        let world = World::start(&engine, Options::default());
        sleep(seconds(5)).await;
        let shown = world.board.all();
        assert_eq!(shown.iter().map(|host| host.status).collect::<Vec<_>>(), [HostStatus::Connecting]);
        assert!(states(&world).is_empty(), "nothing is known of it yet");
        world.end().await;
    });
}

#[test]
fn while_a_host_is_down_nothing_is_asked_of_it_but_who_it_is() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..100);
        let feed = engine.feed();
        let world = World::start(&engine, Options { discovery: seconds(5), ..Options::default() });
        wait_for("the streams", || engine.streams(99).0 == 1).await;
        engine.go_down(true);
        engine.cut_streams();
        drop(feed);
        sleep(seconds(30)).await;
        assert_eq!(states(&world).last(), Some(&HostStatus::Down));
        let of_all = ["list", "inspect", "stats", "events", "ping"];
        let before = of_all.map(|call| engine.calls(call));
        let tried = engine.calls("identify");
        sleep(seconds(600)).await;
        assert_eq!(of_all.map(|call| engine.calls(call)), before, "{of_all:?}");
        assert!((100..200).contains(&(engine.calls("identify") - tried)), "one prober, every five seconds at last");
        engine.go_down(false);
        wait_for("its streams", || (0..100).all(|number| engine.streams(number).0 == 1)).await;
        world.end().await;
    });
}

#[test]
fn one_ping_that_a_busy_engine_missed_is_no_outage() {
    run(async {
        let engine = FakeEngine::new();
        let world = World::start(&engine, Options::default());
        wait_for("the host", || states(&world) == [HostStatus::Up]).await;
        engine.fail_pings(1);
        sleep(seconds(25)).await;
        assert!(!states(&world).contains(&HostStatus::Down));
        engine.fail_pings(2);
        sleep(seconds(25)).await;
        assert!(states(&world).contains(&HostStatus::Down));
        world.end().await;
    });
}

#[test]
fn a_thousand_suspicions_are_one_ping_a_second() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..100);
        (0..100).for_each(|number| engine.sends(number, Frames::Fail(EngineFailure::Timeout)));
        let world = World::start(&engine, Options::default());
        sleep(seconds(60)).await;
        assert!(engine.calls("ping") <= 62, "{} pings in a minute", engine.calls("ping"));
        world.end().await;
    });
}

#[test]
fn a_host_that_is_down_at_a_drain_holds_nothing_up() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..10);
        let world = World::start(&engine, Options::default());
        wait_for("the streams", || engine.streams(9).0 == 1).await;
        engine.go_down(true);
        sleep(seconds(15)).await;
        let began = tokio::time::Instant::now();
        let report = world.end().await;
        assert!(report.cut_short.is_empty(), "{:?}", report.cut_short);
        assert!(began.elapsed() < millis(500), "{:?}", began.elapsed());
    });
}
