//! Whom a failure restarts.

use actor_runtime::testkit::{Cast, Deed, run};
use actor_runtime::{Backoff, ChildSpec, Exit, GroupSpec, RestartPolicy, Strategy};
use tokio::time::sleep;

use super::{at_most, group, millis, restarts, seconds, settle, start};

const THREE: [&str; 3] = ["a", "b", "c"];

/// Restarts of three actors after a panic of the second, while each holds a queued message.
fn after_a_panic_of_the_second(strategy: Strategy) -> [u64; 3] {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", strategy, &THREE)).await;
        cast.send("b", Deed::Panic).await;
        for name in THREE {
            cast.send(name, Deed::Note(1)).await;
        }
        settle().await;
        for name in THREE {
            assert_eq!(cast.count(name, "handled 1"), 1, "{name} lost its message");
        }
        let counted = restarts(&root.tree(), THREE);
        for (name, count) in THREE.iter().zip(counted) {
            assert_eq!(cast.count(name, "started") as u64, count + 1);
        }
        root.kill().await;
        counted
    })
}

#[test]
fn one_for_one_restarts_the_one_that_failed() {
    assert_eq!(after_a_panic_of_the_second(Strategy::OneForOne), [0, 1, 0]);
}

#[test]
fn rest_for_one_restarts_it_and_those_started_after_it() {
    assert_eq!(after_a_panic_of_the_second(Strategy::RestForOne), [0, 1, 1]);
}

#[test]
fn one_for_all_restarts_all() {
    assert_eq!(after_a_panic_of_the_second(Strategy::OneForAll), [1, 1, 1]);
}

#[test]
fn a_sibling_restarted_with_another_ends_what_it_was_doing() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForAll, &["a", "b"])).await;
        cast.send("b", Deed::Hang).await;
        cast.send("b", Deed::Note(1)).await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(cast.of("b"), ["started", "restarting", "started", "handled 1"]);
        root.kill().await;
    });
}

#[test]
fn siblings_that_fail_at_the_same_moment_are_restarted_once() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForAll, &THREE)).await;
        for time in 1..=3 {
            for name in THREE {
                assert!(cast.outlet(name).try_send(Deed::Panic).is_ok());
            }
            settle().await;
            assert_eq!(restarts(&root.tree(), THREE), [time; 3], "each time is one failure of three that are allowed");
        }
        root.kill().await;
    });
}

#[test]
fn a_sibling_in_its_backoff_is_restarted_with_the_other_and_not_again() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let backoff = Backoff::try_new(millis(100), millis(100), 0.0).unwrap();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), backoff, move |_| {
            THREE.iter().map(|name| mine.actor(name)).collect()
        }))
        .await;
        cast.send("a", Deed::Panic).await;
        sleep(millis(50)).await;
        cast.send("b", Deed::Panic).await;
        sleep(seconds(1)).await;
        assert_eq!(restarts(&root.tree(), THREE), [1, 1, 1]);
        root.kill().await;
    });
}

#[test]
fn a_child_that_ended_for_good_stays_ended_when_its_siblings_restart() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::OneForAll, at_most(9), Backoff::NONE, move |_| {
            vec![mine.actor("a"), mine.actor("b").policy(RestartPolicy::Transient)]
        }))
        .await;
        cast.send("b", Deed::Finish(Exit::Normal)).await;
        settle().await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["a", "b"]), [1, 0]);
        assert_eq!(cast.of("b"), ["started", "stopped", "dropped"]);
        root.kill().await;
    });
}

#[test]
fn groups_are_restarted_like_actors_and_built_anew() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(9), Backoff::NONE, move |_| {
            vec![mine.actor("a"), ChildSpec::group(group(&mine, "inner", Strategy::OneForOne, &["b"]))]
        }))
        .await;
        cast.send("a", Deed::Panic).await;
        settle().await;
        assert_eq!(restarts(&root.tree(), ["a", "inner", "inner/b"]), [1, 1, 0]);
        assert_eq!(cast.of("b"), ["started", "dropped", "started"]);
        root.kill().await;
    });
}
