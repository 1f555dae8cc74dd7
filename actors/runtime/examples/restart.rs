//! An actor that panics and comes back: its address stays the same, and no queued message is lost.
//!
//! `cargo run -p actor-runtime --example restart`

use std::time::Duration;

use actix::prelude::{Actor, Context, Handler};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, Envelope, Exit, GroupSpec, Intensity, Root, Strategy, Weight, mailbox,
};

/// Divides a hundred, and remembers how often.
struct Divider {
    cell: Cell,
    divisions: u32,
}

struct By(i32);

impl Weight for By {}

impl Actor for Divider {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        println!("{} starts", self.cell.path());
    }
}

impl actix::Supervised for Divider {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.divisions = 0;
    }
}

impl Handler<Envelope<By>> for Divider {
    type Result = ();

    fn handle(&mut self, message: Envelope<By>, _: &mut Context<Self>) {
        let By(divisor) = message.open();
        let quotient = 100 / divisor;
        self.divisions += 1;
        println!("100 / {divisor} = {quotient}, division {} of this life", self.divisions);
    }
}

impl Handler<Drain> for Divider {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}

fn main() {
    actix_rt::System::new().block_on(async {
        let (divider, inbox) = mailbox(8);
        let outlet = divider.outlet();
        let mut child = Some(ChildSpec::actor("divider", inbox, |cell| Divider { cell, divisions: 0 }));
        let intensity = Intensity::try_new(3, Duration::from_secs(60)).expect("the window is not empty");
        let backoff = Backoff::try_new(Duration::from_millis(100), Duration::from_secs(1), 0.1).expect("in order");
        let root = Root::start(GroupSpec::new("root", Strategy::OneForOne, intensity, backoff, move |_| {
            child.take().into_iter().collect()
        }));
        for divisor in [5, 0, 20, 25] {
            if outlet.send(By(divisor)).await.is_err() {
                println!("the divider is gone");
            }
        }
        let tree = root.tree();
        let report = root.drain(Duration::from_secs(5)).await;
        let divider = &tree.view().children[0];
        println!("ended: {}; restarts of {}: {}", report.exit, divider.name, divider.restarts);
    });
}
