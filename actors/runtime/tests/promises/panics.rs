//! Panics, in every place where one can be.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AtomicResponse, Context, Handler};
use actor_runtime::testkit::{Bomb, Cast, Deed, Place, assert_all_permits_back, run};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, Envelope, Exit, ExitKind, GroupSpec, RestartPolicy, Strategy, Weight,
    current_actor, mailbox,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{at_most, group, group_of, node, restarts, settle, start};

#[test]
fn a_panic_unwinds_in_this_profile() {
    const { assert!(cfg!(panic = "unwind"), "supervision rests on it") };
    assert!(catch_unwind(|| panic!("caught")).is_err());
}

/// Sends the deeds to a lone actor, then a note; what it did.
fn after(deeds: Vec<Deed>) -> (Vec<String>, Exit) {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        for deed in deeds {
            cast.send("a", deed).await;
        }
        cast.send("a", Deed::Note(1)).await;
        tokio::time::sleep(super::seconds(1)).await;
        assert_all_permits_back(&cast.gauge("a"));
        let exit = node(&root.tree(), "a").last_exit.unwrap();
        root.kill().await;
        let mut done = cast.of("a");
        assert_eq!(done.pop().unwrap(), "dropped");
        (done, exit)
    })
}

const ONE_RESTART: [&str; 4] = ["started", "restarting", "started", "handled 1"];

#[test]
fn the_mailbox_survives_a_panic() {
    let (done, exit) = after(vec![Deed::Panic]);
    assert_eq!(done, ONE_RESTART);
    assert_eq!(exit.to_string(), "panicked: panic in a handler");
}

#[test]
fn a_panic_in_a_wait_restarts_the_actor() {
    let (done, exit) = after(vec![Deed::PanicInWait]);
    assert_eq!(done, ONE_RESTART);
    assert_eq!(exit.to_string(), "panicked: panic in a wait");
}

#[test]
fn a_panic_in_the_drop_of_a_handled_message_restarts_the_actor() {
    let (done, exit) = after(vec![Deed::PanicInDrop(Bomb)]);
    assert_eq!(done, ONE_RESTART);
    assert_eq!(exit.to_string(), "panicked: bomb");
}

#[test]
fn a_panic_in_a_spawned_future_restarts_the_actor() {
    let (done, exit) = after(vec![Deed::PanicInSpawned]);
    // The note was handled before the spawned future had its first turn.
    assert_eq!(done, ["started", "handled 1", "restarting", "started"]);
    assert_eq!(exit.to_string(), "panicked: panic in a spawned future");
}

#[test]
fn a_panic_in_a_timer_restarts_the_actor() {
    let (done, exit) = after(vec![Deed::PanicInTimer]);
    assert_eq!(done, ["started", "handled 1", "restarting", "started"]);
    assert_eq!(exit.to_string(), "panicked: panic in a timer");
}

#[test]
fn a_panic_in_an_atomic_response_restarts_the_actor() {
    struct Atomic(Arc<Mutex<Vec<bool>>>);
    struct Go(bool);
    impl Weight for Go {}
    impl Actor for Atomic {
        type Context = Context<Self>;
    }
    impl actix::Supervised for Atomic {}
    impl Handler<Drain> for Atomic {
        type Result = ();
        fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
    }
    impl Handler<Envelope<Go>> for Atomic {
        type Result = AtomicResponse<Self, ()>;
        fn handle(&mut self, go: Envelope<Go>, _: &mut Context<Self>) -> Self::Result {
            let (Go(well), permit) = go.into_parts();
            let work = async move {
                let _permit = permit;
                tokio::task::yield_now().await;
                assert!(well, "panic in an atomic response");
                well
            };
            AtomicResponse::new(Box::pin(
                wrap_future(work).map(|well, actor: &mut Self, _| actor.0.lock().unwrap().push(well)),
            ))
        }
    }
    run(async {
        let done = Arc::<Mutex<Vec<bool>>>::default();
        let (mail, inbox) = mailbox::<Atomic>(8);
        let (outlet, shared) = (mail.outlet(), done.clone());
        let mut spec = Some(ChildSpec::actor("a", inbox, move |_| Atomic(shared)));
        let root = start(group_of(at_most(3), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        for well in [true, false, true] {
            outlet.send(Go(well)).await.unwrap();
        }
        settle().await;
        assert_eq!(*done.lock().unwrap(), [true, true]);
        assert_eq!(node(&root.tree(), "a").last_exit.unwrap().to_string(), "panicked: panic in an atomic response");
        assert_all_permits_back(outlet.gauge());
        root.kill().await;
    });
}

/// A trap at a place of an actor that finishes once, in a group that restarts it whatever it does.
fn after_trap(place: Place, times: u32, deed: Deed) -> (Vec<String>, Exit) {
    run(async {
        let cast = Cast::default();
        cast.trap("a", place, times);
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        cast.send("a", deed).await;
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        let exit = node(&root.tree(), "a").last_exit.unwrap();
        root.kill().await;
        (cast.of("a"), exit)
    })
}

#[test]
fn a_panic_in_started_restarts_the_actor() {
    let (done, exit) = after_trap(Place::Started, 1, Deed::Note(0));
    assert_eq!(done, ["started", "restarting", "started", "handled 0", "handled 1", "dropped"]);
    assert_eq!(exit.to_string(), "panicked: trap at Started");
}

#[test]
fn a_panic_in_restarting_is_one_more_failure() {
    let (done, exit) = after_trap(Place::Restarting, 1, Deed::Panic);
    assert_eq!(done, ["started", "restarting", "restarting", "started", "handled 1", "dropped"]);
    assert_eq!(exit.to_string(), "panicked: trap at Restarting");
}

#[test]
fn a_panic_in_stopping_restarts_the_actor() {
    let (done, exit) = after_trap(Place::Stopping, 1, Deed::Finish(Exit::Normal));
    assert_eq!(done, ["started", "restarting", "started", "handled 1", "dropped"]);
    assert_eq!(exit.to_string(), "panicked: trap at Stopping");
}

#[test]
fn an_exit_stated_before_a_panic_is_forgotten() {
    run(async {
        let cast = Cast::default();
        cast.trap("a", Place::Stopping, 1);
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        cast.send("a", Deed::Finish(Exit::Normal)).await;
        cast.send("a", Deed::Stop).await;
        settle().await;
        assert_eq!(node(&root.tree(), "a").last_exit.unwrap().to_string(), "failure: stopped without a reason");
        root.kill().await;
    });
}

#[test]
fn a_panic_in_stopped_restarts_the_actor() {
    let (done, exit) = after_trap(Place::Stopped, 1, Deed::Finish(Exit::Normal));
    assert_eq!(done, ["started", "stopped", "restarting", "started", "handled 1", "dropped"]);
    assert_eq!(exit.to_string(), "panicked: trap at Stopped");
}

#[test]
fn a_panic_in_the_drop_of_an_actor_harms_nobody() {
    run(async {
        let cast = Cast::default();
        cast.trap("b", Place::Drop, 1);
        let mine = cast.clone();
        let root = start(group_of(at_most(0), Backoff::NONE, move || {
            vec![mine.actor("a"), mine.actor("b").policy(RestartPolicy::Temporary)]
        }))
        .await;
        cast.send("b", Deed::Finish(Exit::Normal)).await;
        settle().await;
        assert_eq!(node(&root.tree(), "b").last_exit.unwrap().to_string(), "panicked: trap at Drop");
        assert!(cast.outlet("b").send(Deed::Note(1)).await.is_err(), "its mailbox is closed all the same");
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        assert_eq!(cast.of("a"), ["started", "handled 1"]);
        root.kill().await;
    });
}

#[test]
fn an_actor_that_panics_while_it_is_built_takes_its_group_down_to_be_built_anew() {
    run(async {
        let cast = Cast::default();
        cast.trap("b", Place::Build, 1);
        let mine = cast.clone();
        let root = start(GroupSpec::new("root", Strategy::OneForOne, at_most(1), Backoff::NONE, move |_| {
            vec![ChildSpec::group(group(&mine, "inner", Strategy::OneForOne, &["a", "b"]))]
        }))
        .await;
        assert_eq!(cast.of("b"), ["started"]);
        assert_eq!(cast.of("a"), ["started", "dropped", "started"]);
        let inner = node(&root.tree(), "inner");
        assert_eq!(
            inner.last_exit.unwrap().to_string(),
            "escalated after 0 failures, the last: panicked: trap at Build"
        );
        assert_eq!(inner.restarts, 1);
        root.kill().await;
    });
}

#[test]
fn a_panic_while_a_group_is_built_is_the_exit_of_the_group() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let mut root = start(GroupSpec::new("root", Strategy::OneForOne, at_most(1), Backoff::NONE, move |_| {
            let (cast, mut builds) = (mine.clone(), 0);
            let inner = GroupSpec::new("inner", Strategy::OneForOne, at_most(1), Backoff::NONE, move |_| {
                builds += 1;
                assert!(builds == 2, "build number {builds}");
                vec![cast.actor("a")]
            });
            vec![ChildSpec::group(inner)]
        }))
        .await;
        assert_eq!(node(&root.tree(), "inner").last_exit.unwrap().to_string(), "panicked: build number 1");
        cast.send("a", Deed::Finish(Exit::failure("x"))).await;
        cast.send("a", Deed::Panic).await;
        let exit = root.ended().await;
        assert!(matches!(exit, Exit::Escalated { restarts: 2, .. }), "{exit}");
        root.kill().await;
    });
}

#[test]
fn a_panic_of_one_leaves_its_siblings_untouched() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a", "b"])).await;
        cast.send("b", Deed::Slow(1, super::seconds(1))).await;
        cast.send("b", Deed::Note(2)).await;
        cast.send("a", Deed::Panic).await;
        tokio::time::sleep(super::seconds(2)).await;
        assert_eq!(cast.of("b"), ["started", "handled 1", "handled 2"]);
        assert_eq!(restarts(&root.tree(), ["a", "b"]), [1, 0]);
        root.kill().await;
    });
}

#[test]
fn neither_a_panic_nor_a_kill_calls_stopped() {
    run(async {
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(3), Backoff::NONE, move || {
            vec![mine.actor("panics").policy(RestartPolicy::Temporary), mine.actor("killed"), mine.actor("ends")]
        }))
        .await;
        cast.send("panics", Deed::Panic).await;
        cast.send("ends", Deed::Finish(Exit::Normal)).await;
        settle().await;
        root.kill().await;
        assert_eq!(cast.of("panics"), ["started", "dropped"]);
        assert_eq!(cast.of("killed"), ["started", "dropped"]);
        assert_eq!(cast.of("ends"), ["started", "stopped", "restarting", "started", "dropped"]);
    });
}

#[test]
fn an_actor_killed_before_it_started_is_never_started() {
    run(async {
        let cast = Cast::default();
        let root = actor_runtime::Root::start(group(&cast, "root", Strategy::OneForOne, &["a"]));
        let report = root.kill().await;
        assert_eq!(report.exit.kind(), ExitKind::Killed);
        assert!(!cast.of("a").contains(&"started".into()), "{:?}", cast.of("a"));
    });
}

#[test]
fn the_actor_being_polled_is_known_by_its_path() {
    struct Curious;
    impl Actor for Curious {
        type Context = Context<Self>;
    }
    impl actix::Supervised for Curious {}
    impl Handler<Drain> for Curious {
        type Result = ();
        fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
    }
    run(async {
        let seen = Arc::new(Mutex::new(None));
        let shared = seen.clone();
        let (_mailbox, inbox) = mailbox::<Curious>(1);
        let mut spec = Some(ChildSpec::actor("a", inbox, move |cell: Cell| {
            *shared.lock().unwrap() = current_actor();
            assert_eq!(cell.path(), "root/a");
            Curious
        }));
        let root = start(group_of(at_most(0), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        assert_eq!(seen.lock().unwrap().as_deref(), Some("root/a"));
        assert_eq!(current_actor(), None, "outside of actors there is none");
        root.kill().await;
    });
}

#[test]
fn a_panic_is_logged_once_with_the_path_of_its_actor() {
    /// Keeps the fields of error events, as text.
    struct Log(Arc<Mutex<Vec<String>>>);
    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::ERROR
        }
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    struct Line(String);
    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() != "place" {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
    }
    let lines = Arc::<Mutex<Vec<String>>>::default();
    tracing::subscriber::with_default(Log(lines.clone()), || after(vec![Deed::Panic]));
    assert_eq!(*lines.lock().unwrap(), [r#"message=actor panicked actor="root/a" panic="panic in a handler" "#]);
}
