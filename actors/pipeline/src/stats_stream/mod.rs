//! StatsStream: the frames of one container.
//!
//! In: the engine's stats stream, its answers to polls, or the kernel's counters. Out: [`RawFrame`](crate::messages::RawFrame) to the
//! parser of its series.
//! Owns its connection and at most one frame: the engine is never made to wait, so while the pipeline is
//! busy a newer frame replaces an older one, counted. A restart loses the frame in hand, counted.
//!
//! What an engine does wrong is waited out in here, however long; a failure of the actor, and so a step
//! towards being set aside, is only what another attempt would not cure.

mod follower;
mod local;
mod pace;
mod polls;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::books::Books;
use crate::faults::Faults;
use crate::host_connection::{Link, Suspect};
use crate::inventory::Look;
use crate::messages::Subject;
use crate::metrics::Metrics;
use crate::ports::EngineApi;
use crate::router::Router;
use follower::Follower;
pub use local::LocalKernel;
pub use polls::Polls;
pub use silence::{SilenceBoard, Silent};

/// How frames are got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsMode {
    /// Poll where the engine answers a poll at once (API 1.44 and later), else stream.
    #[default]
    Auto,
    /// Follow the engine's stream, at the engine's pace.
    Stream,
    /// Ask once per interval.
    Poll,
    /// Read the kernel's counters, where the host is this machine and they may be read; else as `Auto`.
    Cgroup,
}

/// What every stream of a host needs.
#[derive(Clone)]
pub struct StatsStreamDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// The way to the parsers.
    pub router: Router,
    /// Who looks after a broken connection.
    pub suspect: Control<Suspect>,
    /// Who knows whether the container still runs.
    pub look: Control<Look>,
    /// The books.
    pub books: Arc<Books>,
    /// How frames are got.
    pub mode: StatsMode,
    /// One frame per interval.
    pub interval: Duration,
    /// The kernel beneath the host's containers, where that is ours and is to be read.
    pub kernel: Option<Arc<LocalKernel>>,
    /// Turns to poll, for the whole host.
    pub polls: Arc<Polls>,
    /// Where streams are told from which nothing comes.
    pub silence: SilenceBoard,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct StatsStream {
    cell: Cell,
    deps: Arc<StatsStreamDeps>,
    series: u64,
    subject: watch::Receiver<Arc<Subject>>,
    draining: CancellationToken,
}

impl StatsStream {
    /// A stream that lives in `cell`. It ends by itself when the sender of its subject is gone: then nobody
    /// knows of it any more.
    pub fn new(cell: Cell, deps: Arc<StatsStreamDeps>, series: u64, subject: watch::Receiver<Arc<Subject>>) -> Self {
        Self { cell, deps, series, subject, draining: CancellationToken::new() }
    }
}

impl Actor for StatsStream {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let follower = Follower::new(self.deps.clone(), self.series, self.subject.clone());
        let following = follower.run(self.draining.clone());
        ctx.spawn(wrap_future(following).map(|exit, stream: &mut Self, ctx| stream.cell.finish(ctx, exit)));
    }
}

impl actix::Supervised for StatsStream {}

impl Handler<Drain> for StatsStream {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining.cancel();
    }
}
