//! Actors on threads of their own: real arbiters, the real clock.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use actix_rt::Arbiter;
use actor_runtime::testkit::{Cast, Deed, assert_all_permits_back, run_on_system, wait_for};
use actor_runtime::{Backoff, ChildSpec, ExitKind, GroupSpec, NodeState, Placement, RestartPolicy, Strategy};
use tokio::time::timeout;

use super::{GRACE, at_most, group_of, millis, node, restarts, seconds, start};

/// Nothing that goes well takes so long, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn on(arbiter: &Arbiter) -> Placement {
    Placement::On(arbiter.handle())
}

fn end(arbiter: Arbiter) {
    arbiter.stop();
    arbiter.join().unwrap();
}

#[test]
fn actors_on_threads_of_their_own_are_supervised_alike() {
    run_on_system(async {
        let (one, two) = (Arbiter::new(), Arbiter::new());
        let (first, second) = (on(&one), on(&two));
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), Backoff::NONE, move |_| {
            vec![mine.actor("sink").on(first.clone()), mine.actor("source").on(second.clone()), mine.actor("here")]
        }))
        .await;
        for n in 0..100 {
            let note = if n % 25 == 24 { Deed::Panic } else { Deed::Note(n) };
            cast.send("source", Deed::Forward(cast.outlet("sink"), Box::new(note))).await;
        }
        // A restart of the sink restarts the source, which then loses what it has in hand, but nothing queued.
        wait_for("the restarts", || restarts(&root.tree(), ["sink"]) == [4]).await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        let handled = cast.of("sink").iter().filter(|done| done.starts_with("handled")).count();
        assert!((92..=96).contains(&handled), "{handled}");
        for name in ["sink", "source"] {
            assert_all_permits_back(&cast.gauge(name));
        }
        end(one);
        end(two);
    });
}

#[test]
fn a_panic_leaves_its_thread_and_its_neighbours_alive() {
    run_on_system(async {
        let arbiter = Arbiter::new();
        let place = on(&arbiter);
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(9), Backoff::NONE, move || {
            vec![mine.actor("a").on(place.clone()), mine.actor("b").on(place.clone())]
        }))
        .await;
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::Note(1)).await;
        cast.send("b", Deed::Note(1)).await;
        wait_for("both", || cast.count("a", "handled 1") + cast.count("b", "handled 1") == 2).await;
        assert_eq!(restarts(&root.tree(), ["a", "b"]), [1, 0]);
        root.kill().await;
        end(arbiter);
    });
}

#[test]
fn the_end_of_a_thread_is_noticed_and_its_group_built_anew() {
    run_on_system(async {
        let cast = Cast::default();
        let arbiters = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Arbiter>::new()));
        let (mine, threads) = (cast.clone(), arbiters.clone());
        let mut root = start(group_of(at_most(1), Backoff::NONE, move || {
            let (cast, threads) = (mine.clone(), threads.clone());
            vec![ChildSpec::group(GroupSpec::new("inner", Strategy::OneForOne, at_most(9), Backoff::NONE, move |_| {
                let arbiter = Arbiter::new();
                let place = on(&arbiter);
                threads.lock().unwrap().push(arbiter);
                vec![cast.actor("a").on(place)]
            }))]
        }))
        .await;
        wait_for("the start", || cast.count("a", "started") == 1).await;
        let former = cast.outlet("a");
        arbiters.lock().unwrap()[0].stop();
        wait_for("the second start", || cast.count("a", "started") == 2).await;
        assert!(former.send(Deed::Note(1)).await.is_err());
        assert_eq!(cast.of("a"), ["started", "dropped", "started"], "its actor was dropped, not stopped");
        let exit = node(&root.tree(), "inner").last_exit.unwrap();
        assert_eq!(exit.to_string(), "escalated after 0 failures, the last: killed");
        arbiters.lock().unwrap()[1].stop();
        assert_eq!(root.ended().await.kind(), ExitKind::Escalated);
        root.kill().await;
        arbiters.lock().unwrap().drain(..).for_each(end);
    });
}

#[test]
fn an_actor_for_a_thread_that_is_gone_is_noticed() {
    run_on_system(async {
        let arbiter = Arbiter::new();
        let place = on(&arbiter);
        end(arbiter);
        let cast = Cast::default();
        let mine = cast.clone();
        let mut root =
            start(group_of(at_most(9), Backoff::NONE, move || vec![mine.actor("a").on(place.clone())])).await;
        assert_eq!(root.ended().await.to_string(), "escalated after 0 failures, the last: killed");
        assert!(cast.outlet("a").send(Deed::Note(1)).await.is_err());
        root.kill().await;
    });
}

#[test]
fn a_blocked_thread_does_not_hold_up_the_end_of_the_others() {
    run_on_system(async {
        let arbiter = Arbiter::new();
        let place = on(&arbiter);
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(9), Backoff::NONE, move || {
            let (cast, place) = (mine.clone(), place.clone());
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(9), Backoff::NONE, move |_| {
                vec![cast.actor("b"), cast.actor("blocked").on(place.clone())]
            });
            vec![mine.actor("a"), ChildSpec::group(inner)]
        }))
        .await;
        let (freed, until) = channel();
        cast.send("blocked", Deed::Block(until)).await;
        wait_for("the start", || cast.count("blocked", "blocks") == 1).await;
        let report = timeout(PATIENCE, root.drain(millis(200))).await.expect("nobody waits for a blocked thread");
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(report.cut_short, ["root/a", "root/inner/b", "root/inner/blocked"]);
        assert_eq!(cast.of("a").last().unwrap(), "dropped");
        assert_eq!(cast.of("b").last().unwrap(), "dropped");
        assert_eq!(cast.of("blocked"), ["started", "blocks"]);
        drop(freed);
        end(arbiter);
        assert_eq!(cast.of("blocked"), ["started", "blocks", "dropped"], "it ends when its thread comes back");
        assert_all_permits_back(&cast.gauge("blocked"));
    });
}

#[test]
fn backpressure_reaches_over_threads() {
    run_on_system(async {
        let arbiter = Arbiter::new();
        let place = on(&arbiter);
        let cast = Cast::default();
        let mine = cast.clone();
        let root =
            start(group_of(at_most(9), Backoff::NONE, move || vec![mine.actor_with_room("a", 2).on(place.clone())]))
                .await;
        let since = Instant::now();
        for n in 0..10 {
            cast.send("a", Deed::Slow(n, millis(20))).await;
        }
        assert!(since.elapsed() >= millis(160), "eight of ten had to wait: {:?}", since.elapsed());
        assert!(cast.gauge("a").waited() >= millis(150));
        assert_eq!(root.drain(GRACE).await.exit.kind(), ExitKind::Drained);
        end(arbiter);
    });
}

#[test]
fn blocked_threads_do_not_add_up() {
    run_on_system(async {
        // A second each, one after the other, would be far longer than what is allowed below, on a busy machine too.
        let arbiters: Vec<Arbiter> = (0..40).map(|_| Arbiter::new()).collect();
        let places: Vec<Placement> = arbiters.iter().map(on).collect();
        let names: Vec<String> = (0..40).map(|number| format!("a{number}")).collect();
        let cast = Cast::default();
        let mine = cast.clone();
        let actors = names.clone();
        let root = start(group_of(at_most(9), Backoff::NONE, move || {
            actors.iter().zip(&places).map(|(name, place)| mine.actor(name).on(place.clone())).collect()
        }))
        .await;
        let mut freed = Vec::new();
        for name in &names {
            let (free, until) = channel();
            freed.push(free);
            cast.send(name, Deed::Block(until)).await;
        }
        wait_for("the blocks", || names.iter().all(|name| cast.count(name, "blocks") == 1)).await;
        timeout(seconds(30), root.kill()).await.expect("blocked threads are given up on together");
        drop(freed);
        arbiters.into_iter().for_each(end);
    });
}

#[test]
fn a_temporary_actor_may_end_with_its_thread() {
    run_on_system(async {
        let arbiter = Arbiter::new();
        let place = on(&arbiter);
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(0), Backoff::NONE, move || {
            vec![mine.actor("a").policy(RestartPolicy::Temporary).on(place.clone()), mine.actor("b")]
        }))
        .await;
        wait_for("the start", || cast.count("a", "started") == 1).await;
        end(arbiter);
        wait_for("the end", || node(&root.tree(), "a").state == NodeState::Stopped).await;
        assert_eq!(node(&root.tree(), "a").last_exit.unwrap().kind(), ExitKind::Killed);
        assert_eq!(node(&root.tree(), "b").state, NodeState::Running);
        root.kill().await;
    });
}
