//! Restarts: what they keep, who gets one, and when.

use actor_runtime::testkit::{Cast, Deed, assert_all_permits_back, run};
use actor_runtime::{Backoff, Exit, ExitKind, Intensity, NodeState, RestartPolicy, Strategy};
use tokio::time::sleep;

use super::{at_most, group, group_of, millis, node, restarts, seconds, settle, start};

#[test]
fn queued_messages_survive_a_restart_in_their_order() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        for deed in
            [Deed::Note(1), Deed::Panic, Deed::Note(2), Deed::Note(3), Deed::Finish(Exit::failure("x")), Deed::Note(4)]
        {
            cast.send("a", deed).await;
        }
        settle().await;
        let handled: Vec<_> = cast.of("a").into_iter().filter(|done| done.starts_with("handled")).collect();
        assert_eq!(handled, ["handled 1", "handled 2", "handled 3", "handled 4"]);
        assert_eq!(restarts(&root.tree(), ["a"]), [2]);
        assert_all_permits_back(&cast.gauge("a"));
        root.kill().await;
    });
}

#[test]
fn timers_and_waits_do_not_outlive_a_restart() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        cast.send("a", Deed::PanicInTimer).await;
        cast.send("a", Deed::Finish(Exit::failure("before the timer"))).await;
        sleep(seconds(1)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [1], "the timer of the former life stays silent");
        root.kill().await;
    });
}

#[test]
fn a_stop_without_a_reason_is_a_failure() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        cast.send("a", Deed::Stop).await;
        settle().await;
        assert_eq!(node(&root.tree(), "a").last_exit.unwrap().to_string(), "failure: stopped without a reason");
        assert_eq!(restarts(&root.tree(), ["a"]), [1]);
        root.kill().await;
    });
}

#[test]
fn an_actor_nobody_sends_to_lives_on() {
    run(async {
        let cast = Cast::default();
        let mut spec = Some(cast.actor("a"));
        let root = start(group_of(at_most(0), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        // Another mailbox takes the place of the first, whose last address outside is gone with it.
        drop(cast.actor("a"));
        sleep(seconds(5)).await;
        assert_eq!(cast.of("a"), ["started"]);
        assert_eq!(node(&root.tree(), "a").state, NodeState::Running);
        root.kill().await;
    });
}

#[test]
fn each_policy_answers_each_exit_as_its_table_says() {
    let exits: [fn() -> Deed; 5] = [
        || Deed::Finish(Exit::Normal),
        || Deed::Finish(Exit::Drained),
        || Deed::Finish(Exit::failure("x")),
        || Deed::Panic,
        || Deed::Stop,
    ];
    let table = [
        (RestartPolicy::Permanent, [true, true, true, true, true]),
        (RestartPolicy::Transient, [false, false, true, true, true]),
        (RestartPolicy::Temporary, [false; 5]),
    ];
    for (policy, expected) in table {
        for (deed, restarted) in exits.iter().zip(expected) {
            run(async {
                let cast = Cast::default();
                let mine = cast.clone();
                let root =
                    start(group_of(at_most(9), Backoff::NONE, move || vec![mine.actor("a").policy(policy)])).await;
                cast.send("a", deed()).await;
                settle().await;
                let after = node(&root.tree(), "a");
                assert_eq!(after.restarts, u64::from(restarted), "{policy:?} after {:?}", after.last_exit);
                assert_eq!(after.state, if restarted { NodeState::Running } else { NodeState::Stopped });
                assert_eq!(cast.outlet("a").send(Deed::Note(1)).await.is_ok(), restarted);
                assert_eq!(root.tree().view().last_exit.map(|exit| exit.kind()), None, "the group lives on");
                root.kill().await;
            });
        }
    }
}

#[test]
fn restarts_are_counted_by_the_exit_that_led_to_them() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a", "b"])).await;
        cast.send("a", Deed::Panic).await;
        cast.send("b", Deed::Panic).await;
        cast.send("b", Deed::Stop).await;
        settle().await;
        let counted: Vec<_> = root.tree().restarts().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(ExitKind::Failure, 1), (ExitKind::Panicked, 2)]);
        root.kill().await;
    });
}

#[test]
fn restarts_wait_for_their_backoff_to_the_millisecond() {
    run(async {
        let backoff = Backoff::try_new(millis(100), millis(350), 0.0).unwrap();
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(9), backoff, move || vec![mine.actor("a")])).await;
        for (count, delay) in [(1, 100), (2, 200), (3, 350), (4, 350)] {
            cast.send("a", Deed::Panic).await;
            sleep(millis(delay - 1)).await;
            assert_eq!(restarts(&root.tree(), ["a"]), [count - 1]);
            sleep(millis(2)).await;
            assert_eq!(restarts(&root.tree(), ["a"]), [count]);
        }
        root.kill().await;
    });
}

#[test]
fn a_waiting_actor_is_shown_as_restarting_and_keeps_its_messages() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let backoff = Backoff::try_new(seconds(1), seconds(1), 0.0).unwrap();
        let root = start(group_of(at_most(9), backoff, move || vec![mine.actor("a")])).await;
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        let waiting = node(&root.tree(), "a");
        assert_eq!((waiting.state, waiting.depth), (NodeState::Restarting, Some(1)));
        sleep(seconds(1)).await;
        assert_eq!(cast.count("a", "handled 1"), 1);
        root.kill().await;
    });
}

#[test]
fn the_backoff_of_a_child_counts_its_own_failures_alone() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let backoff = Backoff::try_new(millis(100), seconds(10), 0.0).unwrap();
        let root = start(group_of(at_most(9), backoff, move || vec![mine.actor("a"), mine.actor("b")])).await;
        for _ in 0..3 {
            cast.send("a", Deed::Panic).await;
            sleep(seconds(1)).await;
        }
        cast.send("b", Deed::Panic).await;
        sleep(millis(110)).await;
        assert_eq!(restarts(&root.tree(), ["a", "b"]), [3, 1]);
        root.kill().await;
    });
}

#[test]
fn failures_that_left_the_window_are_forgiven() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let two_in_ten = Intensity::try_new(2, seconds(10)).unwrap();
        let mut root = start(group_of(two_in_ten, Backoff::NONE, move || vec![mine.actor("a")])).await;
        for _ in 0..6 {
            cast.send("a", Deed::Panic).await;
            sleep(seconds(6)).await;
        }
        assert_eq!(restarts(&root.tree(), ["a"]), [6]);
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::Panic).await;
        let exit = root.ended().await;
        assert_eq!(exit.to_string(), "escalated after 3 failures, the last: panicked: panic in a handler");
        root.kill().await;
    });
}
