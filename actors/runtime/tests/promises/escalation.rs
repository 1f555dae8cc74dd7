//! Groups that give up, and what becomes of that.

use std::sync::{Arc, Mutex};

use actor_runtime::testkit::{Cast, Deed, run};
use actor_runtime::{Backoff, ChildSpec, Exit, ExitKind, GroupSpec, RestartPolicy, Strategy};
use tokio::time::{Instant, sleep};

use super::{GRACE, at_most, find, group, group_of, millis, node, restarts, seconds, settle, start};

/// A root with an actor beside a group `inner` of two actors, which takes one failure a minute.
fn nested(cast: &Cast, strategy: Strategy, budget: u32) -> GroupSpec {
    let cast = cast.clone();
    GroupSpec::new("root", strategy, at_most(budget), Backoff::NONE, move |_| {
        let mine = cast.clone();
        let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(1), Backoff::NONE, move |_| {
            vec![mine.actor("a"), mine.actor("b")]
        });
        vec![ChildSpec::group(inner), cast.actor("beside")]
    })
}

async fn exhaust_inner(cast: &Cast) {
    for _ in 0..2 {
        cast.send("a", Deed::Panic).await;
    }
    settle().await;
}

#[test]
fn a_group_that_gives_up_is_built_anew_by_the_group_above() {
    run(async {
        let cast = Cast::default();
        let root = start(nested(&cast, Strategy::OneForOne, 1)).await;
        let former = cast.outlet("b");
        exhaust_inner(&cast).await;
        assert_eq!(restarts(&root.tree(), ["inner", "inner/a", "inner/b", "beside"]), [1, 0, 0, 0]);
        assert_eq!(cast.of("b"), ["started", "dropped", "started"]);
        assert!(former.send(Deed::Note(1)).await.is_err(), "the addresses are new");
        cast.send("b", Deed::Note(2)).await;
        settle().await;
        assert_eq!(cast.count("b", "handled 2"), 1);
        let exit = node(&root.tree(), "inner").last_exit.unwrap();
        assert_eq!(exit.to_string(), "escalated after 2 failures, the last: panicked: panic in a handler");
        root.kill().await;
    });
}

#[test]
fn a_group_built_anew_has_its_budget_back() {
    run(async {
        let cast = Cast::default();
        let root = start(nested(&cast, Strategy::OneForOne, 1)).await;
        exhaust_inner(&cast).await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["inner", "inner/a"]), [1, 1]);
        root.kill().await;
    });
}

#[test]
fn escalation_climbs_to_the_root() {
    run(async {
        let cast = Cast::default();
        let mut root = start(nested(&cast, Strategy::OneForOne, 1)).await;
        exhaust_inner(&cast).await;
        exhaust_inner(&cast).await;
        let exit = root.ended().await;
        assert_eq!(
            exit.to_string(),
            "escalated after 2 failures, the last: escalated after 2 failures, the last: panicked: panic in a handler"
        );
        assert_eq!(root.ended().await.kind(), ExitKind::Escalated, "it may be asked again");
        assert_eq!(cast.of("beside"), ["started", "dropped"], "nobody is left");
        root.kill().await;
    });
}

#[test]
fn a_rest_for_one_root_restarts_what_was_started_after_the_group() {
    run(async {
        let cast = Cast::default();
        let root = start(nested(&cast, Strategy::RestForOne, 1)).await;
        exhaust_inner(&cast).await;
        assert_eq!(restarts(&root.tree(), ["inner", "beside"]), [1, 1]);
        root.kill().await;
    });
}

#[test]
fn groups_that_begin_anew_together_are_built_one_after_another_in_start_order() {
    run(async {
        let (cast, built) = (Cast::default(), Arc::new(Mutex::new(Vec::new())));
        let (actors, log) = (cast.clone(), built.clone());
        let root = GroupSpec::new("root", Strategy::RestForOne, at_most(3), Backoff::NONE, move |_| {
            // The group in the middle has the most to end before it can be built.
            let sizes = [("first", 1), ("middle", 30), ("last", 1)];
            let group = |(name, size): (&'static str, usize)| {
                let (actors, log) = (actors.clone(), log.clone());
                ChildSpec::group(GroupSpec::new(name, Strategy::OneForOne, at_most(0), Backoff::NONE, move |_| {
                    log.lock().unwrap().push(name);
                    (0..size).map(|index| actors.actor(&format!("{name}-{index}"))).collect()
                }))
            };
            sizes.into_iter().map(group).collect()
        });
        let root = start(root).await;
        cast.send("first-0", Deed::Panic).await;
        settle().await;
        assert_eq!(*built.lock().unwrap(), ["first", "middle", "last", "first", "middle", "last"]);
        assert_eq!(restarts(&root.tree(), ["first", "middle", "last"]), [1, 1, 1]);
        root.kill().await;
    });
}

#[test]
fn a_group_that_gives_up_kills_its_children_in_reverse_order() {
    run(async {
        let cast = Cast::default();
        let mut root = start(group(&cast, "root", Strategy::OneForOne, &["a", "b", "c"])).await;
        for _ in 0..4 {
            cast.send("b", Deed::Panic).await;
        }
        root.ended().await;
        let dropped: Vec<_> = cast.all().into_iter().filter(|done| done.ends_with("dropped")).collect();
        assert_eq!(dropped, ["c dropped", "b dropped", "a dropped"]);
        root.kill().await;
    });
}

#[test]
fn the_failures_of_former_children_reach_nobody() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let backoff = Backoff::try_new(millis(100), millis(100), 0.0).unwrap();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), Backoff::NONE, move |_| {
            let cast = mine.clone();
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(9), backoff, move |_| {
                vec![cast.actor("b"), cast.actor("c")]
            });
            vec![mine.actor("a"), ChildSpec::group(inner)]
        }))
        .await;
        // The restart of b is due when its group has been built anew, and b with it.
        cast.send("b", Deed::Panic).await;
        sleep(millis(50)).await;
        cast.send("a", Deed::Panic).await;
        sleep(seconds(1)).await;
        assert_eq!(restarts(&root.tree(), ["a", "inner", "inner/b", "inner/c"]), [1, 1, 0, 0]);
        assert_eq!(cast.of("b"), ["started", "dropped", "started"]);
        root.kill().await;
    });
}

#[test]
fn a_group_built_anew_forgets_the_nodes_of_its_former_children() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(99), Backoff::NONE, move |_| {
            let cast = mine.clone();
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(0), Backoff::NONE, move |_| {
                vec![cast.actor("b"), cast.actor("c").policy(RestartPolicy::Temporary)]
            });
            vec![mine.actor("a"), ChildSpec::group(inner)]
        }))
        .await;
        for _ in 0..5 {
            cast.send("c", Deed::Finish(Exit::Normal)).await;
            settle().await;
            cast.send("a", Deed::Panic).await;
            settle().await;
        }
        assert_eq!(node(&root.tree(), "inner").children.len(), 2);
        root.kill().await;
    });
}

#[test]
fn a_root_that_gave_up_can_still_be_drained_and_killed() {
    run(async {
        for waits_first in [true, false] {
            let cast = Cast::default();
            let mut root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
            for _ in 0..4 {
                cast.send("a", Deed::Panic).await;
            }
            if waits_first {
                root.ended().await;
            }
            settle().await;
            let since = Instant::now();
            let report = root.drain(GRACE).await;
            assert_eq!(report.exit.kind(), ExitKind::Escalated);
            assert_eq!(since.elapsed(), std::time::Duration::ZERO);
        }
    });
}

#[test]
fn a_root_that_gives_up_may_drain_what_still_lives() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let spec = group_of(at_most(0), Backoff::NONE, move || vec![mine.actor("sink"), mine.actor("source")]);
        let mut root = start(spec.drain_before_escalation(GRACE)).await;
        cast.send("sink", Deed::Slow(1, seconds(1))).await;
        cast.send("source", Deed::Panic).await;
        let since = Instant::now();
        let exit = root.ended().await;
        assert_eq!(since.elapsed().as_secs(), 1, "it waits for those that live, not for the one that failed");
        assert_eq!(exit.to_string(), "escalated after 1 failures, the last: panicked: panic in a handler");
        assert_eq!(cast.of("sink"), ["started", "handled 1", "drained", "stopped", "dropped"]);
        assert!(root.kill().await.cut_short.is_empty());
    });
}

#[test]
fn a_second_escalation_while_a_group_is_built_anew_is_counted_once() {
    run(async {
        let cast = Cast::default();
        let root = start(nested(&cast, Strategy::RestForOne, 9)).await;
        // The group gives up at the moment at which its sibling fails.
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert!(cast.outlet("a").try_send(Deed::Panic).is_ok());
        assert!(cast.outlet("beside").try_send(Deed::Panic).is_ok());
        settle().await;
        assert_eq!(restarts(&root.tree(), ["inner"]), [1]);
        assert!(find(&root.tree(), "inner/a").is_some());
        assert_eq!(cast.of("a").last().unwrap(), "started");
        assert_eq!(cast.of("beside").last().unwrap(), "started");
        root.kill().await;
    });
}

#[test]
fn a_group_that_is_told_to_begin_anew_while_it_gives_up_does_so_at_once() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), Backoff::NONE, move |_| {
            let cast = mine.clone();
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(0), Backoff::NONE, move |_| {
                vec![cast.actor("stuck"), cast.actor("fails")]
            });
            vec![mine.actor("a"), ChildSpec::group(inner.drain_before_escalation(seconds(3600)))]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        cast.send("fails", Deed::Panic).await;
        settle().await;
        cast.send("a", Deed::Panic).await;
        sleep(seconds(1)).await;
        assert_eq!(restarts(&root.tree(), ["a", "inner"]), [1, 1]);
        assert_eq!(cast.of("stuck"), ["started", "dropped", "started"]);
        root.kill().await;
    });
}
