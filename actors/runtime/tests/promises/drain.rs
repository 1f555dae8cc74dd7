//! The end: drains in their order and within their time, and kills.

use std::time::Duration;

use actor_runtime::testkit::{Cast, Deed, Place, assert_all_permits_back, run};
use actor_runtime::{
    Backoff, ChildSpec, Exit, ExitKind, GroupSpec, Quarantine, RestartPolicy, Root, Shutdown, Strategy,
};
use tokio::time::{Instant, sleep};

use super::{GRACE, MINUTE, at_most, group, group_of, millis, node, seconds, settle, start};

fn drained(cast: &Cast) -> Vec<String> {
    cast.all().into_iter().filter(|done| done.ends_with("drained")).collect()
}

#[test]
fn children_drain_one_by_one_in_reverse_start_order() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["sink", "parser", "source"])).await;
        for (name, time) in [("source", 1), ("parser", 2), ("sink", 1)] {
            cast.send(name, Deed::Slow(time, seconds(time))).await;
        }
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed().as_secs(), 2, "they worked at the same time");
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert!(report.cut_short.is_empty());
        let ends: Vec<_> = cast
            .all()
            .into_iter()
            .filter(|done| ["drained", "dropped"].iter().any(|end| done.ends_with(end)))
            .collect();
        assert_eq!(
            ends,
            ["source drained", "source dropped", "parser drained", "parser dropped", "sink drained", "sink dropped"]
        );
    });
}

#[test]
fn what_was_sent_before_a_drain_is_handled_all_the_way_down() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["sink", "source"])).await;
        for n in 0..8 {
            let note = Box::new(Deed::Slow(n, millis(100)));
            cast.send("source", Deed::Forward(cast.outlet("sink"), note)).await;
        }
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        let mut expected: Vec<_> = (0..8).map(|n| format!("handled {n}")).collect();
        expected.insert(0, "started".into());
        expected.extend(["drained", "stopped", "dropped"].map(String::from));
        assert_eq!(cast.of("sink"), expected);
        assert_all_permits_back(&cast.gauge("sink"));
    });
}

#[test]
fn groups_drain_in_their_turn() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::RestForOne, at_most(3), Backoff::NONE, move |_| {
            vec![
                ChildSpec::group(group(&mine, "delivery", Strategy::OneForOne, &["sink", "batcher"])),
                ChildSpec::group(group(&mine, "parsing", Strategy::OneForOne, &["parser"])),
                mine.actor("source"),
            ]
        }))
        .await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(drained(&cast), ["source drained", "parser drained", "batcher drained", "sink drained"]);
    });
}

#[test]
fn past_the_deadline_what_still_runs_is_named_and_killed() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::OneForOne, at_most(3), Backoff::NONE, move |_| {
            let hour = Shutdown::Timeout(seconds(3600));
            let inner = mine.clone();
            let parsing = GroupSpec::new("parsing", Strategy::OneForOne, at_most(3), Backoff::NONE, move |_| {
                vec![inner.actor("idle"), inner.actor("stuck").shutdown(hour)]
            });
            vec![mine.actor("sink"), ChildSpec::group(parsing), mine.actor("source")]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed(), GRACE);
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(report.cut_short, ["root/parsing/idle", "root/parsing/stuck", "root/sink"]);
        assert_eq!(drained(&cast), ["source drained"]);
        assert_eq!(cast.count("stuck", "dropped"), 1);
    });
}

#[test]
fn a_child_over_its_own_limit_is_killed_and_the_others_drain() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            vec![mine.actor("sink"), mine.actor("stuck").shutdown(Shutdown::Timeout(seconds(2)))]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed().as_secs(), 2);
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(report.cut_short, ["root/stuck"]);
        assert_eq!(drained(&cast), ["sink drained"]);
    });
}

#[test]
fn a_group_keeps_to_the_limit_it_was_given() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            let inner = group(&mine, "inner", Strategy::OneForOne, &["stuck"]);
            vec![mine.actor("sink"), ChildSpec::group(inner).shutdown(Shutdown::Timeout(seconds(1)))]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed().as_secs(), 1);
        assert_eq!(report.cut_short, ["root/inner/stuck"]);
        assert_eq!(drained(&cast), ["sink drained"]);
        assert_eq!(cast.count("stuck", "started"), 1, "a group that was cut short is not built anew");
    });
}

#[test]
fn a_child_to_be_killed_is_not_asked_to_drain() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            vec![mine.actor("sink"), mine.actor("cache").shutdown(Shutdown::Kill)]
        }))
        .await;
        cast.send("cache", Deed::Hang).await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed(), Duration::ZERO);
        assert_eq!((report.exit.kind(), report.cut_short), (ExitKind::Drained, vec![]));
        assert_eq!(drained(&cast), ["sink drained"]);
    });
}

#[test]
fn an_actor_in_its_backoff_is_restarted_to_drain() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let hour = Backoff::try_new(seconds(3600), seconds(3600), 0.0).unwrap();
        let root = start(group_of(at_most(3), hour, move || vec![mine.actor("a")])).await;
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(cast.of("a"), ["started", "restarting", "started", "handled 1", "drained", "stopped", "dropped"]);
    });
}

#[test]
fn a_quarantined_child_is_brought_back_to_drain() {
    run(async {
        let cast = Cast::default();
        let quarantine = Quarantine { intensity: at_most(0), lasting: seconds(300) };
        let spec = group_of(at_most(0), Backoff::NONE, Vec::new).quarantine(quarantine);
        let handle = spec.handle();
        let root = start(spec).await;
        handle.add(cast.actor("a"));
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(cast.count("a", "handled 1"), 1);
    });
}

#[test]
fn an_actor_that_fails_while_it_drains_tries_again() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["sink", "source"])).await;
        cast.trap("source", Place::Stopping, 3);
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(cast.count("source", "restarting"), 3);
        assert_eq!(drained(&cast).last().unwrap(), "sink drained");
    });
}

#[test]
fn an_actor_that_keeps_failing_while_it_drains_is_ended_and_the_drain_is_not_clean() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["sink", "source"])).await;
        cast.trap("source", Place::Stopping, 99);
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed(), Duration::ZERO);
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert!(report.cut_short.is_empty(), "it was not still running");
        assert_eq!(cast.count("source", "restarting"), 3);
        assert_eq!(drained(&cast).last().unwrap(), "sink drained");
    });
}

#[test]
fn a_temporary_actor_that_panics_instead_of_draining_makes_the_drain_unclean() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root =
            start(group_of(at_most(3), Backoff::NONE, move || vec![mine.actor("a").policy(RestartPolicy::Temporary)]))
                .await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        cast.send("a", Deed::Panic).await;
        assert_eq!(root.drain(GRACE).await.exit.kind(), ExitKind::Killed);
    });
}

#[test]
fn a_downstream_actor_that_fails_while_others_drain_is_restarted_after_its_backoff() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let backoff = Backoff::try_new(millis(500), millis(500), 0.0).unwrap();
        let root = start(group_of(at_most(3), backoff, move || vec![mine.actor("sink"), mine.actor("source")])).await;
        cast.send("source", Deed::Slow(1, seconds(1))).await;
        cast.send("source", Deed::Forward(cast.outlet("sink"), Box::new(Deed::Note(7)))).await;
        cast.send("sink", Deed::Panic).await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(cast.of("sink"), ["started", "restarting", "started", "handled 7", "drained", "stopped", "dropped"]);
    });
}

#[test]
fn a_downstream_actor_that_fails_too_often_while_others_drain_is_ended_and_the_drain_goes_on() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["journal", "sink", "source"])).await;
        cast.send("source", Deed::Slow(1, seconds(1))).await;
        cast.trap("sink", Place::Started, u32::MAX);
        cast.send("sink", Deed::Panic).await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed().as_secs(), 1);
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(cast.count("sink", "restarting"), 3, "no more than its group allows");
        assert_eq!(drained(&cast), ["source drained", "journal drained"]);
    });
}

#[test]
fn a_group_that_gives_up_while_it_drains_is_not_built_anew() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            let cast = mine.clone();
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(0), Backoff::NONE, move |_| {
                vec![cast.actor("slow"), cast.actor("fails")]
            });
            vec![mine.actor("sink"), ChildSpec::group(inner.drain_before_escalation(MINUTE))]
        }))
        .await;
        cast.send("slow", Deed::Slow(1, seconds(2))).await;
        cast.send("fails", Deed::Panic).await;
        sleep(seconds(1)).await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(cast.count("fails", "started"), 1);
        assert_eq!(drained(&cast), ["slow drained", "sink drained"]);
    });
}

#[test]
fn dynamic_children_drain_first_and_together() {
    run(async {
        let cast = Cast::default();
        let spec = group(&cast, "root", Strategy::OneForOne, &["sink", "owner"]);
        let handle = spec.handle();
        let root = start(spec).await;
        for name in ["x", "y", "z"] {
            handle.add(cast.actor(name));
            cast.send(name, Deed::Slow(1, seconds(2))).await;
        }
        settle().await;
        let since = Instant::now();
        let report = root.drain(GRACE).await;
        assert_eq!(since.elapsed().as_secs(), 1);
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(drained(&cast), ["x drained", "y drained", "z drained", "owner drained", "sink drained"]);
    });
}

#[test]
fn hurry_ends_a_drain_at_once() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            vec![ChildSpec::group(group(&mine, "inner", Strategy::OneForOne, &["sink", "stuck"])), mine.actor("source")]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        let since = Instant::now();
        let report = root.drain_unless(GRACE, sleep(seconds(1))).await;
        assert_eq!(since.elapsed().as_secs(), 1);
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(report.cut_short, ["root/inner/sink", "root/inner/stuck"]);
    });
}

#[test]
fn a_kill_ends_an_actor_stuck_in_a_wait_at_once() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            let inner = group(&mine, "inner", Strategy::OneForOne, &["stuck"]);
            vec![mine.actor("a"), ChildSpec::group(inner)]
        }))
        .await;
        cast.send("stuck", Deed::Hang).await;
        cast.send("stuck", Deed::Note(1)).await;
        settle().await;
        let since = Instant::now();
        let report = root.kill().await;
        assert_eq!(since.elapsed(), Duration::ZERO, "nested groups included");
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert_eq!(cast.of("stuck"), ["started", "dropped"]);
        assert_all_permits_back(&cast.gauge("stuck"));
    });
}

#[test]
fn an_actor_that_stalls_while_it_drains_is_restarted_to_drain() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root =
            start(group_of(at_most(3), Backoff::NONE, move || vec![mine.actor("a").stall_after(seconds(1))])).await;
        cast.send("a", Deed::Hang).await;
        cast.send("a", Deed::Note(1)).await;
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
        assert_eq!(cast.count("a", "handled 1"), 1);
    });
}

#[test]
fn nothing_runs_any_more_when_the_root_is_dropped() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            vec![ChildSpec::group(group(&mine, "inner", Strategy::OneForOne, &["a"]))]
        }))
        .await;
        drop(root);
        settle().await;
        assert_eq!(cast.of("a"), ["started", "dropped"]);
    });
}

#[test]
fn a_drain_before_anybody_started_ends_everybody() {
    run(async {
        let cast = Cast::default();
        let root = Root::start(group(&cast, "root", Strategy::OneForOne, &["a"]));
        let report = root.drain(GRACE).await;
        assert_eq!(report.exit.kind(), ExitKind::Drained);
    });
}

#[test]
fn a_drained_tree_shows_how_everybody_ended() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a", "b"])).await;
        cast.send("b", Deed::Finish(Exit::failure("x"))).await;
        settle().await;
        let tree = root.tree();
        root.drain(GRACE).await;
        for path in ["a", "b"] {
            assert_eq!(node(&tree, path).last_exit.unwrap().kind(), ExitKind::Drained);
        }
        assert_eq!(tree.view().last_exit.unwrap().kind(), ExitKind::Drained);
    });
}

#[test]
fn what_was_removed_before_and_did_not_drain_says_nothing_about_the_end() {
    run(async {
        let cast = Cast::default();
        let group = group(&cast, "root", Strategy::OneForOne, &["sink"]);
        let handle = group.handle();
        let root = start(group).await;
        handle.add(ChildSpec::group(super::group(&cast, "inner", Strategy::OneForOne, &["stuck"])));
        settle().await;
        cast.send("stuck", Deed::Hang).await;
        handle.remove("inner");
        sleep(MINUTE).await;
        assert_eq!(cast.count("stuck", "dropped"), 1);
        let report = root.drain(GRACE).await;
        assert_eq!((report.exit.kind(), report.cut_short), (ExitKind::Drained, vec![]));
    });
}
