//! Mailboxes: bounds, weights, what comes back, and signals.

use std::sync::Arc;

use actix::prelude::{Actor, Context, Handler};
use actor_runtime::testkit::{Cast, Deed, Signal, assert_all_permits_back, run};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, Envelope, Exit, Permit, RestartPolicy, Strategy, TrySendError, mailbox,
};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::{at_most, group, group_of, millis, seconds, settle, start};

/// A lone actor that ends for good when it ends, with that much room.
async fn alone(cast: &Cast, permits: u32) -> actor_runtime::Root {
    let mine = cast.clone();
    start(group_of(at_most(0), Backoff::NONE, move || {
        vec![mine.actor_with_room("a", permits).policy(RestartPolicy::Temporary)]
    }))
    .await
}

#[test]
fn a_sender_waits_for_room_and_its_wait_is_measured() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 2).await;
        let since = Instant::now();
        for n in 0..4 {
            cast.send("a", Deed::Slow(n, seconds(1))).await;
        }
        assert_eq!(since.elapsed().as_secs(), 2, "two found room, two waited for one each");
        let gauge = cast.gauge("a");
        assert_eq!((gauge.depth(), gauge.capacity()), (2, 2));
        assert_eq!(gauge.waited().as_secs(), 2);
        sleep(seconds(3)).await;
        assert_eq!(gauge.settled(), 4);
        assert_all_permits_back(&gauge);
        root.kill().await;
    });
}

#[test]
fn room_is_kept_until_the_message_is_handled_awaits_included() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        sleep(millis(500)).await;
        assert_eq!(cast.gauge("a").depth(), 1);
        sleep(seconds(1)).await;
        assert_eq!(cast.gauge("a").depth(), 0);
        root.kill().await;
    });
}

/// Joins the permits of what it is sent, until it is drained.
struct Collector {
    cell: Cell,
    room: Option<Permit>,
}

impl Actor for Collector {
    type Context = Context<Self>;
}

impl actix::Supervised for Collector {}

impl Handler<Envelope<Deed>> for Collector {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Deed>, _: &mut Context<Self>) {
        let (_, permit) = envelope.into_parts();
        match &mut self.room {
            Some(room) => room.absorb(permit),
            None => self.room = Some(permit),
        }
    }
}

impl Handler<Drain> for Collector {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.room = None;
        self.cell.finish(ctx, Exit::Drained);
    }
}

#[test]
fn room_of_many_messages_is_given_back_at_once() {
    run(async {
        let (collector, inbox) = mailbox::<Collector>(10);
        let mut spec = Some(ChildSpec::actor("a", inbox, |cell| Collector { cell, room: None }));
        let root = start(group_of(at_most(0), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        let (outlet, gauge) = (collector.outlet(), collector.gauge());
        for weight in [2, 3, 5] {
            outlet.send(Deed::Heavy(0, weight)).await.unwrap();
        }
        settle().await;
        assert_eq!((gauge.depth(), gauge.settled()), (10, 0), "all of it is kept");
        let waiting = spawn_local(async move { outlet.reserve(10).await.is_some() });
        settle().await;
        assert!(!waiting.is_finished());
        collector.control().signal(Drain);
        settle().await;
        assert_eq!(gauge.settled(), 3);
        root.kill().await;
        assert!(waiting.is_finished());
    });
}

#[test]
fn a_wait_that_is_given_up_takes_no_room_and_is_measured() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        cast.send("a", Deed::Slow(1, seconds(5))).await;
        let outlet = cast.outlet("a");
        assert!(timeout(seconds(2), outlet.send(Deed::Note(2))).await.is_err());
        assert_eq!(outlet.gauge().waited().as_secs(), 2);
        sleep(seconds(4)).await;
        assert_eq!(cast.of("a"), ["started", "handled 1"]);
        assert_all_permits_back(outlet.gauge());
        root.kill().await;
    });
}

#[test]
fn messages_take_room_by_their_weight() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 10).await;
        let outlet = cast.outlet("a");
        assert!(outlet.try_send(Deed::Heavy(1, 6)).is_ok());
        assert!(matches!(outlet.try_send(Deed::Heavy(2, 5)), Err(TrySendError::Full(Deed::Heavy(2, 5)))));
        assert!(outlet.try_send(Deed::Heavy(3, 4)).is_ok());
        assert_eq!(outlet.gauge().depth(), 10);
        settle().await;
        assert_all_permits_back(outlet.gauge());
        root.kill().await;
    });
}

#[test]
fn a_message_heavier_than_the_mailbox_passes_alone() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 4).await;
        cast.send("a", Deed::Heavy(1, u32::MAX)).await;
        assert_eq!(cast.gauge("a").depth(), 4);
        cast.send("a", Deed::Heavy(2, 0)).await;
        settle().await;
        assert_eq!(cast.of("a"), ["started", "handled 1", "handled 2"]);
        root.kill().await;
    });
}

#[test]
fn a_heavy_message_is_not_overtaken_by_light_ones() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 4).await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        let heavy = spawn_local({
            let outlet = cast.outlet("a");
            async move { outlet.send(Deed::Heavy(2, 4)).await }
        });
        tokio::task::yield_now().await;
        assert!(matches!(cast.outlet("a").try_send(Deed::Note(3)), Err(TrySendError::Full(_))));
        cast.send("a", Deed::Note(3)).await;
        heavy.await.unwrap().unwrap();
        settle().await;
        assert_eq!(cast.of("a"), ["started", "handled 1", "handled 2", "handled 3"]);
        root.kill().await;
    });
}

#[test]
fn what_cannot_be_delivered_comes_back() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        let outlet = cast.outlet("a");
        cast.send("a", Deed::Finish(Exit::Normal)).await;
        settle().await;
        assert!(matches!(outlet.send(Deed::Note(1)).await.unwrap_err().0, Deed::Note(1)));
        assert!(matches!(outlet.try_send(Deed::Note(2)), Err(TrySendError::Closed(Deed::Note(2)))));
        assert!(outlet.reserve(1).await.is_none());
        assert!(!cast.signals("a").signal(Signal(1)));
        root.kill().await;
    });
}

#[test]
fn a_waiting_sender_gets_its_message_back_when_the_receiver_goes() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        let (outlet, other) = (cast.outlet("a"), cast.outlet("a"));
        let (one, two, ()) = tokio::join!(outlet.send(Deed::Finish(Exit::Normal)), other.send(Deed::Note(2)), settle());
        assert!(one.is_ok());
        assert!(matches!(two.unwrap_err().0, Deed::Note(2)));
        root.kill().await;
    });
}

#[test]
fn nobody_waits_for_room_that_outlives_the_receiver() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        let outlet = cast.outlet("a");
        let room = outlet.reserve(1).await.unwrap();
        let waiting = spawn_local({
            let outlet = outlet.clone();
            async move { outlet.send(Deed::Note(1)).await }
        });
        settle().await;
        root.kill().await;
        assert!(waiting.await.unwrap().is_err());
        assert!(room.send(Deed::Note(2)).is_err(), "room in a mailbox that is gone");
        assert_all_permits_back(outlet.gauge());
    });
}

#[test]
fn a_mailbox_whose_actor_never_lived_is_closed() {
    run(async {
        let cast = Cast::default();
        let spec = cast.actor_with_room("a", 1);
        cast.send("a", Deed::Note(1)).await;
        let waiting = spawn_local({
            let outlet = cast.outlet("a");
            async move { outlet.send(Deed::Note(2)).await }
        });
        settle().await;
        drop(spec);
        assert!(waiting.await.unwrap().is_err());
        assert_all_permits_back(&cast.gauge("a"));
    });
}

#[test]
fn what_is_queued_when_an_actor_ends_is_dropped_once() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 8).await;
        let value = Arc::new(());
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        cast.send("a", Deed::Finish(Exit::Normal)).await;
        for _ in 0..4 {
            cast.send("a", Deed::Hold(Box::new(value.clone()))).await;
        }
        assert_eq!(Arc::strong_count(&value), 5);
        sleep(seconds(2)).await;
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(cast.gauge("a").settled(), 6);
        assert_all_permits_back(&cast.gauge("a"));
        root.kill().await;
    });
}

#[test]
fn a_message_being_handled_when_its_actor_is_killed_gives_its_room_back() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 8).await;
        cast.send("a", Deed::Hang).await;
        cast.send("a", Deed::Note(1)).await;
        settle().await;
        assert_eq!(cast.gauge("a").depth(), 2);
        root.kill().await;
        assert_all_permits_back(&cast.gauge("a"));
    });
}

#[test]
fn unused_room_is_given_back() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 2).await;
        let outlet = cast.outlet("a");
        drop(outlet.reserve(2).await.unwrap());
        assert_all_permits_back(outlet.gauge());
        outlet.reserve(1).await.unwrap().send(Deed::Note(1)).unwrap();
        settle().await;
        assert_eq!(cast.of("a"), ["started", "handled 1"]);
        root.kill().await;
    });
}

#[test]
fn the_messages_of_a_sender_arrive_in_their_order() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 3).await;
        for n in 0..100 {
            cast.send("a", Deed::Note(n)).await;
        }
        settle().await;
        let expected: Vec<_> = (0..100).map(|n| format!("handled {n}")).collect();
        assert_eq!(cast.of("a")[1..], expected);
        root.kill().await;
    });
}

#[test]
fn control_passes_a_full_mailbox() {
    run(async {
        let cast = Cast::default();
        let root = alone(&cast, 1).await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        let data = spawn_local({
            let outlet = cast.outlet("a");
            async move { outlet.send(Deed::Note(2)).await }
        });
        settle().await;
        for n in 0..100 {
            assert!(cast.signals("a").signal(Signal(n)));
        }
        data.await.unwrap().unwrap();
        settle().await;
        assert_eq!(cast.of("a")[..3], ["started", "handled 1", "signalled 0"]);
        assert_eq!(cast.of("a").last().unwrap(), "handled 2");
        root.kill().await;
    });
}

#[test]
fn an_address_works_before_its_actor_lives() {
    run(async {
        let cast = Cast::default();
        let mut spec = Some(cast.actor("a"));
        cast.send("a", Deed::Note(1)).await;
        let root = start(group_of(at_most(0), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        assert_eq!(cast.of("a"), ["started", "handled 1"]);
        root.kill().await;
    });
}

#[test]
fn permits_all_come_back_after_panics() {
    run(async {
        let cast = Cast::default();
        let root = start(group(&cast, "root", Strategy::OneForOne, &["a"])).await;
        cast.send("a", Deed::Panic).await;
        cast.send("a", Deed::PanicInWait).await;
        cast.send("a", Deed::Slow(1, seconds(1))).await;
        cast.send("a", Deed::PanicInSpawned).await;
        sleep(seconds(2)).await;
        assert_all_permits_back(&cast.gauge("a"));
        root.kill().await;
    });
}
