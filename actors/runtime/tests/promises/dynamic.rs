//! Children added to a living group.

use actor_runtime::testkit::{Cast, Deed, Place, run};
use actor_runtime::{
    Backoff, ChildSpec, Exit, GroupHandle, GroupSpec, Intensity, NodeState, Quarantine, RestartPolicy, Root, Shutdown,
    Strategy,
};
use tokio::time::sleep;

use super::{at_most, find, group, group_of, node, restarts, seconds, settle, start};

/// A group with an owner, who hears of exits, and a quarantine of half a minute after three failures a minute.
async fn open_group(cast: &Cast) -> (Root, GroupHandle) {
    let mut owner = Some(cast.actor_with_room("owner", 1));
    let quarantine = Quarantine { intensity: at_most(3), lasting: seconds(30) };
    let spec = group_of(at_most(0), Backoff::NONE, move || owner.take().into_iter().collect())
        .quarantine(quarantine)
        .report_exits_to(cast.exits("owner"));
    let handle = spec.handle();
    (start(spec).await, handle)
}

#[test]
fn a_child_can_be_added_and_removed() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        assert!(handle.add(cast.actor("x")));
        cast.send("x", Deed::Note(1)).await;
        settle().await;
        assert_eq!(node(&root.tree(), "x").state, NodeState::Running);
        assert!(handle.remove("x"));
        settle().await;
        assert_eq!(cast.of("x"), ["started", "handled 1", "drained", "stopped", "dropped"]);
        assert!(find(&root.tree(), "x").is_none(), "the tree forgets it");
        assert_eq!(cast.of("owner"), ["started", "heard of x: drained"]);
        root.kill().await;
    });
}

#[test]
fn the_id_of_a_removed_child_may_be_used_again_at_once() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        handle.add(cast.actor("x"));
        cast.send("x", Deed::Slow(1, seconds(2))).await;
        settle().await;
        for _ in 0..3 {
            handle.remove("x");
            handle.add(cast.actor("x"));
        }
        cast.send("x", Deed::Note(2)).await;
        settle().await;
        assert_eq!(cast.count("x", "handled 2"), 1, "the newest lives while the first still drains");
        sleep(seconds(3)).await;
        assert_eq!(cast.count("x", "handled 1"), 1);
        assert_eq!(cast.count("owner", "heard of x: drained"), 3);
        assert_eq!(node(&root.tree(), "x").state, NodeState::Running);
        handle.remove("x");
        settle().await;
        assert!(find(&root.tree(), "x").is_none(), "the end of a former one does not hide the newest");
        root.kill().await;
    });
}

#[test]
fn an_id_that_lives_is_not_added_twice() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        handle.add(cast.actor("x"));
        let first = cast.outlet("x");
        handle.add(cast.actor("x"));
        settle().await;
        assert!(first.send(Deed::Note(1)).await.is_ok());
        assert!(cast.outlet("x").send(Deed::Note(2)).await.is_err(), "the mailbox of the second is closed");
        assert_eq!(cast.of("owner"), ["started"]);
        root.kill().await;
    });
}

#[test]
fn removing_nobody_does_nothing() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        assert!(handle.remove("x"));
        assert!(handle.remove("owner"), "static children cannot be removed");
        settle().await;
        assert_eq!(cast.of("owner"), ["started"]);
        root.kill().await;
    });
}

#[test]
fn the_owner_hears_how_a_child_ended() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        for name in ["x", "y"] {
            handle.add(cast.actor(name).policy(RestartPolicy::Temporary));
        }
        cast.send("x", Deed::Panic).await;
        cast.send("y", Deed::Finish(Exit::failure("no container"))).await;
        settle().await;
        assert_eq!(
            cast.of("owner"),
            ["started", "heard of x: panicked: panic in a handler", "heard of y: failure: no container"]
        );
        root.kill().await;
    });
}

#[test]
fn a_dynamic_child_that_cannot_be_built_is_reported_and_harms_nobody() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        cast.trap("x", Place::Build, 1);
        handle.add(cast.actor("x"));
        settle().await;
        assert_eq!(cast.of("owner"), ["started", "heard of x: panicked: trap at Build"]);
        assert!(find(&root.tree(), "x").is_none());
        root.kill().await;
    });
}

#[test]
fn a_child_over_its_budget_is_set_aside_and_tried_again() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        handle.add(cast.actor("x"));
        for _ in 0..4 {
            cast.send("x", Deed::Panic).await;
        }
        cast.send("x", Deed::Note(1)).await;
        settle().await;
        assert_eq!(node(&root.tree(), "x").state, NodeState::Quarantined);
        assert_eq!(root.tree().quarantines(), 1);
        assert_eq!(restarts(&root.tree(), ["x"]), [3]);
        sleep(seconds(29)).await;
        assert_eq!(cast.count("x", "handled 1"), 0);
        sleep(seconds(1)).await;
        assert_eq!(cast.count("x", "handled 1"), 1);
        assert_eq!(node(&root.tree(), "x").state, NodeState::Running);
        cast.send("x", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["x"]), [5], "its budget is whole again");
        root.kill().await;
    });
}

#[test]
fn each_dynamic_child_has_a_budget_of_its_own_and_never_escalates() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        let names: Vec<String> = (0..10).map(|n| format!("x{n}")).collect();
        for name in &names {
            handle.add(cast.actor(name));
            for _ in 0..3 {
                cast.send(name, Deed::Panic).await;
            }
        }
        settle().await;
        for name in &names {
            assert_eq!(restarts(&root.tree(), [name]), [3]);
            assert_eq!(node(&root.tree(), name).state, NodeState::Running);
        }
        assert_eq!(cast.of("owner"), ["started"]);
        root.kill().await;
    });
}

#[test]
fn without_a_quarantine_dynamic_children_share_the_budget_of_the_group() {
    run(async {
        let cast = Cast::default();
        let spec = group_of(at_most(3), Backoff::NONE, Vec::new);
        let handle = spec.handle();
        let mut root = start(spec).await;
        for name in ["x", "y"] {
            handle.add(cast.actor(name));
            for _ in 0..2 {
                cast.send(name, Deed::Panic).await;
            }
        }
        assert_eq!(
            root.ended().await.to_string(),
            "escalated after 4 failures, the last: panicked: panic in a handler"
        );
        root.kill().await;
    });
}

#[test]
fn the_failure_of_a_dynamic_child_restarts_nobody_else_and_the_other_way_round() {
    run(async {
        let cast = Cast::default();
        let spec = group(&cast, "root", Strategy::OneForAll, &["a", "b"]);
        let handle = spec.handle();
        let root = start(spec).await;
        handle.add(cast.actor("x"));
        cast.send("x", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["a", "b", "x"]), [0, 0, 1]);
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["a", "b", "x"]), [1, 1, 1]);
        root.kill().await;
    });
}

#[test]
fn a_removed_child_that_does_not_drain_is_killed_at_its_limit() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        handle.add(cast.actor("x").shutdown(Shutdown::Timeout(seconds(2))));
        cast.send("x", Deed::Hang).await;
        settle().await;
        handle.remove("x");
        sleep(seconds(1)).await;
        assert_eq!(node(&root.tree(), "x").state, NodeState::Draining);
        sleep(seconds(2)).await;
        assert_eq!(cast.of("owner"), ["started", "heard of x: killed"]);
        assert!(find(&root.tree(), "x").is_none());
        root.kill().await;
    });
}

#[test]
fn a_removed_child_that_waits_for_its_restart_is_ended_at_once() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        handle.add(cast.actor("x"));
        for _ in 0..4 {
            cast.send("x", Deed::Panic).await;
        }
        settle().await;
        handle.remove("x");
        settle().await;
        assert_eq!(cast.of("owner"), ["started", "heard of x: panicked: panic in a handler"]);
        sleep(seconds(600)).await;
        assert_eq!(cast.count("x", "restarting"), 3, "its restart was due, and found nobody");
        root.kill().await;
    });
}

#[test]
fn the_tree_does_not_grow_with_children_that_are_gone() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        for _ in 0..200 {
            handle.add(cast.actor("x").policy(RestartPolicy::Temporary));
            cast.send("x", Deed::Finish(Exit::Normal)).await;
            settle().await;
        }
        assert_eq!(root.tree().view().children.len(), 1);
        assert_eq!(cast.count("owner", "heard of x: normal"), 200);
        root.kill().await;
    });
}

#[test]
fn additions_wait_for_a_group_between_two_lives() {
    run(async {
        let cast = Cast::default();
        let quarantine = Quarantine { intensity: Intensity::try_new(3, seconds(60)).unwrap(), lasting: seconds(300) };
        let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(0), Backoff::NONE, {
            let cast = cast.clone();
            move |_| vec![cast.actor("a")]
        })
        .quarantine(quarantine);
        let handle = inner.handle();
        let mut inner = Some(inner);
        let backoff = Backoff::try_new(seconds(1), seconds(1), 0.0).unwrap();
        let root =
            start(group_of(at_most(3), backoff, move || inner.take().map(ChildSpec::group).into_iter().collect()))
                .await;
        handle.add(cast.actor("before"));
        settle().await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(node(&root.tree(), "inner").state, NodeState::Restarting);
        handle.add(cast.actor("removed"));
        handle.add(cast.actor("x"));
        handle.remove("removed");
        sleep(seconds(2)).await;
        assert_eq!(cast.of("x"), ["started"]);
        assert_eq!(cast.of("before"), ["started", "dropped"], "dynamic children of the former life are gone with it");
        assert_eq!(cast.of("a"), ["started", "dropped", "started"]);
        assert!(find(&root.tree(), "inner/removed").is_none());
        root.kill().await;
    });
}

#[test]
fn additions_made_while_a_group_kills_its_children_are_started_in_its_next_life() {
    /// Adds a child when it is dropped.
    struct Parting(GroupHandle, Option<ChildSpec>);
    impl Drop for Parting {
        fn drop(&mut self) {
            assert!(self.0.add(self.1.take().unwrap()));
        }
    }
    run(async {
        let cast = Cast::default();
        let inner = group(&cast, "inner", Strategy::OneForOne, &["b", "c"]);
        let handle = inner.handle();
        let (mut inner, mine) = (Some(inner), cast.clone());
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), Backoff::NONE, move |_| {
            std::iter::once(mine.actor("a")).chain(inner.take().map(ChildSpec::group)).collect()
        }))
        .await;
        cast.send("c", Deed::Hang).await;
        cast.send("c", Deed::Hold(Box::new(Parting(handle, Some(cast.actor("x")))))).await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["a", "inner"]), [1, 1]);
        assert_eq!(cast.of("x"), ["started"]);
        root.kill().await;
    });
}

#[test]
fn nothing_can_be_added_to_a_group_that_is_gone() {
    run(async {
        let cast = Cast::default();
        let (root, handle) = open_group(&cast).await;
        root.kill().await;
        assert!(!handle.add(cast.actor("x")));
        assert!(!handle.remove("x"));
    });
}

#[test]
fn children_added_before_the_group_lives_start_with_it() {
    run(async {
        let cast = Cast::default();
        let spec = group_of(at_most(0), Backoff::NONE, Vec::new);
        let handle = spec.handle();
        assert!(handle.add(cast.actor("x")));
        let root = start(spec).await;
        assert_eq!(cast.of("x"), ["started"]);
        root.kill().await;
    });
}
