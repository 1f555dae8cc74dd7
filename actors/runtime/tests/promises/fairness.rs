//! Fairness inside a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::testkit::{run_on_system, wait_for};
use actor_runtime::{Backoff, ChildSpec, Drain, Envelope, TurnBudget, Weight, mailbox};

use super::{at_most, group_of, millis, start};

struct Work;

impl Weight for Work {}

/// Handles each message in 50 µs without an await, and counts the ticks of its timer.
struct Busy {
    ticks: Arc<AtomicU64>,
    /// The ticks before the message that came last.
    until_now: Arc<AtomicU64>,
    budget: Option<TurnBudget>,
}

impl Actor for Busy {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(millis(2), |actor, _| {
            actor.ticks.fetch_add(1, Ordering::Relaxed);
        });
    }
}

impl actix::Supervised for Busy {}

impl Handler<Drain> for Busy {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}

impl Handler<Envelope<Work>> for Busy {
    type Result = ();

    fn handle(&mut self, _: Envelope<Work>, ctx: &mut Context<Self>) {
        let since = Instant::now();
        while since.elapsed().as_micros() < 50 {
            std::hint::spin_loop();
        }
        self.until_now.store(self.ticks.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(budget) = &mut self.budget {
            budget.spend(ctx);
        }
    }
}

/// Ticks of a 2 ms timer of an actor, until the last message, while it works off 4000 queued messages of 50 µs.
fn ticks_under_flood(budget: Option<TurnBudget>) -> u64 {
    run_on_system(async {
        let (ticks, until_last) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let (mail, inbox) = mailbox::<Busy>(4000);
        let (outlet, shared, until_now) = (mail.outlet(), ticks.clone(), until_last.clone());
        let mut spec = Some(ChildSpec::actor("a", inbox, move |_| Busy { ticks: shared, until_now, budget }));
        let root = start(group_of(at_most(0), Backoff::NONE, move || spec.take().into_iter().collect())).await;
        for _ in 0..4000 {
            outlet.try_send(Work).unwrap();
        }
        ticks.store(0, Ordering::Relaxed);
        wait_for("the last message", || outlet.gauge().depth() == 0).await;
        root.kill().await;
        until_last.load(Ordering::Relaxed)
    })
}

#[test]
fn timers_run_during_a_flood_where_a_turn_has_a_budget() {
    assert!(ticks_under_flood(None) <= 2, "without one the mailbox is worked off in one go");
    // 200 ms of work; a machine that is busy elsewhere loses ticks, not all of them.
    let ticks = ticks_under_flood(Some(TurnBudget::default()));
    assert!(ticks >= 20, "{ticks} ticks");
}
