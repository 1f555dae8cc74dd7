//! A fast source and a slow sink: the source waits for room, and a drain loses nothing.
//!
//! `cargo run -p actor-runtime --example pipeline`

use std::cell::Cell as Flag;
use std::rc::Rc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler};
use actix_rt::Arbiter;
use actor_runtime::{
    Backoff, Cell, ChildSpec, Drain, Envelope, Exit, GroupSpec, Intensity, Outlet, Placement, Root, Strategy, Weight,
    mailbox,
};

/// A batch of rows; its weight is their number.
struct Batch(Vec<u64>);

impl Weight for Batch {
    fn weight(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// Makes batches as fast as the sink takes them.
struct Source {
    cell: Cell,
    sink: Outlet<Batch>,
    ending: Rc<Flag<bool>>,
}

impl Actor for Source {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (sink, ending) = (self.sink.clone(), self.ending.clone());
        let making = async move {
            let mut next = 0;
            while !ending.get() && sink.send(Batch((next..next + 10).collect())).await.is_ok() {
                next += 10;
            }
            next
        };
        ctx.spawn(wrap_future(making).map(|rows, source: &mut Self, ctx| {
            println!("the source made {rows} rows");
            source.cell.finish(ctx, Exit::Drained);
        }));
    }
}

impl actix::Supervised for Source {}

impl Handler<Drain> for Source {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.ending.set(true);
    }
}

/// Takes 20 ms for a batch.
struct Sink {
    cell: Cell,
    rows: usize,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl actix::Supervised for Sink {}

impl Handler<Envelope<Batch>> for Sink {
    type Result = ();

    fn handle(&mut self, batch: Envelope<Batch>, ctx: &mut Context<Self>) {
        let (Batch(rows), permit) = batch.into_parts();
        self.rows += rows.len();
        // The next batch waits for this one, and its room is free only after that.
        ctx.wait(wrap_future(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(permit);
        }));
    }
}

impl Handler<Drain> for Sink {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        println!("the sink took {} rows", self.rows);
        self.cell.finish(ctx, Exit::Drained);
    }
}

fn main() {
    actix_rt::System::new().block_on(async {
        let (sink, sink_inbox) = mailbox(40);
        let (_source, source_inbox) = mailbox(1);
        let (outlet, gauge) = (sink.outlet(), sink.gauge());
        let thread = Arbiter::new();
        let mut children = vec![
            ChildSpec::actor("sink", sink_inbox, |cell| Sink { cell, rows: 0 }).on(Placement::On(thread.handle())),
            ChildSpec::actor("source", source_inbox, |cell| Source { cell, sink: outlet, ending: Rc::default() }),
        ];
        let intensity = Intensity::try_new(3, Duration::from_secs(60)).expect("the window is not empty");
        let root = Root::start(GroupSpec::new("root", Strategy::RestForOne, intensity, Backoff::NONE, move |_| {
            std::mem::take(&mut children)
        }));
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("{} of {} rows in the mailbox of the sink", gauge.depth(), gauge.capacity());
        let report = root.drain(Duration::from_secs(5)).await;
        println!("ended: {}; the source waited for {:?}", report.exit, gauge.waited());
        thread.stop();
        thread.join().expect("the thread of the sink ends well");
    });
}
