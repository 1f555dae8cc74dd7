//! Stalls: who stands still, and who only waits.

use actor_runtime::testkit::{Cast, Deed, run};
use actor_runtime::{Backoff, Root};
use tokio::time::sleep;

use super::{at_most, group_of, millis, node, restarts, seconds, start};

/// A lone actor, watched for stalls of ten seconds.
async fn watched(cast: &Cast) -> Root {
    let mine = cast.clone();
    start(group_of(at_most(3), Backoff::NONE, move || vec![mine.actor("a").stall_after(seconds(10))])).await
}

#[test]
fn an_actor_with_work_and_no_progress_is_restarted() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        cast.send("a", Deed::Hang).await;
        cast.send("a", Deed::Note(1)).await;
        sleep(millis(9900)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [0], "not before its time");
        sleep(seconds(3)).await;
        assert_eq!(cast.of("a"), ["started", "restarting", "started", "handled 1"]);
        assert_eq!(node(&root.tree(), "a").last_exit.unwrap().to_string(), "stalled");
        root.kill().await;
    });
}

#[test]
fn an_actor_that_waits_under_protection_is_left_alone() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        cast.send("a", Deed::HangProtected).await;
        cast.send("a", Deed::Note(1)).await;
        sleep(seconds(3600)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [0]);
        root.kill().await;
    });
}

#[test]
fn an_idle_actor_does_not_stall() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        cast.send("a", Deed::Note(1)).await;
        sleep(seconds(3600)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [0]);
        root.kill().await;
    });
}

#[test]
fn room_that_is_only_reserved_is_no_work() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        let outlet = cast.outlet("a");
        let room = outlet.reserve(1).await.unwrap();
        sleep(seconds(3600)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [0]);
        drop(room);
        root.kill().await;
    });
}

#[test]
fn a_slow_actor_that_makes_progress_does_not_stall() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        for n in 0..30 {
            cast.send("a", Deed::Slow(n, seconds(7))).await;
        }
        sleep(seconds(100)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [0]);
        root.kill().await;
    });
}

#[test]
fn work_outside_the_mailbox_counts_where_the_actor_states_it() {
    run(async {
        let cast = Cast::default();
        let root = watched(&cast).await;
        cast.send("a", Deed::Owe(1)).await;
        sleep(seconds(20)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [1]);
        sleep(seconds(3600)).await;
        assert_eq!(restarts(&root.tree(), ["a"]), [1], "the new life owes nothing");
        root.kill().await;
    });
}
