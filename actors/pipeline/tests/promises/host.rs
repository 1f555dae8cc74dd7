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
