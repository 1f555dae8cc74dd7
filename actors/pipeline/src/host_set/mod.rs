//! HostSet: a group for each host that is to be watched, no more and no fewer.
//!
//! In: the [`Fleet`], which the configuration sets and hosts that end change. Out: groups of hosts started and ended; of a
//! host that is watched no more an event and its last record, and those of its containers and images, to the parser; the
//! end of its marks in the journal. Owns the observations that wait for a parser; the fleet is the topology's and outlives it.

mod fleet;
mod memory;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Cell, ChildSpec, Drain, Exit, GroupHandle};
use model::{EngineEvent, HostRecord, HostStatus, Timestamp};
use tokio::time::sleep;

use crate::books::Books;
use crate::host_connection::HostBoard;
use crate::messages::{About, Observation, Seen};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::ports::{Journal, JournalError};
use crate::router::Router;

use fleet::{Chore, Retired};
pub use fleet::{Fleet, Wanted};
pub use memory::HostMemory;

/// Between two looks whether the last records of a host that went have been handed on, or journaled.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the set needs.
#[derive(Clone)]
pub struct HostSetDeps {
    /// Which hosts are to be watched, and which are.
    pub fleet: Fleet,
    /// The group of the hosts, which is its own.
    pub group: GroupHandle,
    /// Where hosts are shown.
    pub board: HostBoard,
    /// Where their marks are.
    pub journal: Arc<dyn Journal>,
    /// The way to the parsers.
    pub router: Router,
    /// The books.
    pub books: Arc<Books>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// The actor.
pub struct HostSet {
    cell: Cell,
    deps: HostSetDeps,
    outbox: Outbox,
}

impl HostSet {
    /// A set that lives in `cell`.
    pub fn new(cell: Cell, deps: HostSetDeps) -> Self {
        Self { cell, deps, outbox: Outbox::default() }
    }
}

/// Keeps the hosts that live and those that are wanted the same.
struct Keeper {
    deps: HostSetDeps,
    outbox: Outbox,
}

impl Keeper {
    async fn run(self) {
        loop {
            let waits = self.step();
            tokio::select! {
                () = self.deps.fleet.changed() => {}
                () = sleep(INTERVAL), if waits => {}
                () = self.tidy_up() => {}
            }
        }
    }

    /// Does what is to be done now; true where something waits for the outbox.
    fn step(&self) -> bool {
        let steps = self.deps.fleet.steps(&*self.deps.journal, self.outbox.is_empty());
        for host in steps.end {
            self.deps.group.remove(host.as_str());
        }
        for group in steps.begin {
            self.deps.group.add(ChildSpec::group(group));
        }
        for retired in steps.retire {
            self.retire(&retired);
        }
        steps.waits
    }

    /// A host is watched no more: what was shown of it goes, and whoever keeps its state is told.
    fn retire(&self, Retired { host, is_old }: &Retired) {
        self.deps.metrics.forget_host(host.as_str());
        let now = Timestamp::from(SystemTime::now());
        // How it was reached is not known of one that an earlier process watched.
        let (url, labels) = match self.deps.board.remove(host) {
            Some(shown) => (shown.url, shown.labels),
            None if *is_old => Default::default(),
            None => return,
        };
        let last = HostRecord {
            labels,
            status_since: Some(now),
            ..HostRecord::new(host.clone(), url, HostStatus::Removed, now)
        };
        self.send(Seen::Event {
            host: host.clone(),
            received_at: now,
            synthetic: true,
            about: About::default(),
            event: Box::new(EngineEvent {
                timestamp: now,
                kind: "host".to_owned(),
                action: HostStatus::Removed.name().to_owned(),
                argument: None,
                actor_id: host.to_string(),
                attributes: [("name", host.to_string()), ("url", last.url.clone())]
                    .map(|(key, value)| (key.to_owned(), value))
                    .into(),
            }),
        });
        self.send(Seen::Host(Box::new(last)));
    }

    fn send(&self, what: Seen) {
        let custody = self.deps.books.receive(what.stream());
        self.outbox.send(Observation { what, custody }, &self.deps.router);
    }

    /// Does what is left to be done for hosts that came or went, for ever. Cancel safe.
    async fn tidy_up(&self) {
        loop {
            self.outbox.room().await;
            match self.deps.fleet.next_chore(Timestamp::from(SystemTime::now())) {
                Chore::Tell(told) => {
                    for (what, place) in told {
                        let custody = self.deps.books.receive(what.stream()).at(place);
                        self.outbox.send(Observation { what, custody }, &self.deps.router);
                    }
                    sleep(INTERVAL).await;
                }
                Chore::Mark(host, marks) => {
                    let mut outcome = Ok(());
                    for mark in &marks {
                        outcome = outcome.and(self.deps.journal.mark(mark.clone()).await);
                    }
                    match outcome {
                        // A closed journal keeps what it has.
                        Ok(()) | Err(JournalError::Closed) => self.deps.fleet.marked(&host, &marks),
                        Err(error) => {
                            tracing::debug!(%host, %error, "its marks are not stored; trying again");
                            sleep(INTERVAL).await;
                        }
                    }
                }
                Chore::Later => sleep(INTERVAL).await,
                Chore::Nothing => std::future::pending().await,
            }
        }
    }
}

impl Actor for HostSet {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, outbox) = (self.deps.clone(), self.outbox.clone());
        let router = deps.router.clone();
        ctx.spawn(wrap_future(Keeper { deps, outbox: outbox.clone() }.run()));
        ctx.spawn(wrap_future(async move { outbox.run(&router).await }));
    }
}

impl actix::Supervised for HostSet {}

impl Handler<Drain> for HostSet {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        let (outbox, router) = (self.outbox.clone(), self.deps.router.clone());
        let emptied = wrap_future(async move { outbox.flush(&router).await });
        ctx.wait(emptied.map(|(), set: &mut Self, ctx| set.cell.finish(ctx, Exit::Drained)));
    }
}
