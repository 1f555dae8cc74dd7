//! LogStream: the lines of one container.
//!
//! In: the engine's log of the container. Out: [`RawLog`](crate::messages::RawLog) to the parser of the container.
//! Owns its connection and the lines that came at once; a restart reads those again. Logs are the one thing that may
//! wait for the pipeline: the engine keeps them, and nobody but this connection is held up.
//!
//! Where it is in the log is lent: [`LogPositions`] outlives it, and is built from the journal at the start of the
//! process, so a line is neither lost nor told twice over restarts of the container, the engine or dockstream.

mod follower;
mod mark;
mod memory;
mod position;
mod rate;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::prelude::{Actor, AsyncContext, Context, Handler};
use actor_runtime::{Backoff, Cell, Control, Drain, Exit};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::books::Books;
use crate::faults::Faults;
use crate::host_connection::{Link, Suspect};
use crate::messages::Subject;
use crate::metrics::Metrics;
use crate::ports::{EngineApi, Journal};
use crate::router::Router;
use follower::Follower;

pub use position::LogPositions;
pub(crate) use position::floor_mark;
pub use rate::RateLimit;

/// The label with which a container says whether its log is read, whatever is configured.
pub const LABEL: &str = "dockstream.logs";

/// Whose logs are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSelection {
    /// Those of all containers that do not say otherwise.
    pub all: bool,
}

impl LogSelection {
    /// True where the log of a container with these labels is read. A label that says neither says nothing.
    pub fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        match labels.get(LABEL).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            _ => self.all,
        }
    }
}

/// Where to begin with a container that was never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstSight {
    /// With what is written from now on: from the start of dockstream, or from where it was stopped.
    #[default]
    Now,
    /// With all that the engine has of it.
    All,
}

/// What every log stream of a host needs.
#[derive(Clone)]
pub struct LogStreamDeps {
    /// The engine.
    pub engine: Arc<dyn EngineApi>,
    /// Up or down.
    pub link: Link,
    /// The way to the parsers.
    pub router: Router,
    /// Who looks after a broken connection.
    pub suspect: Control<Suspect>,
    /// Where each stream is.
    pub positions: LogPositions,
    /// Where the begin of reading is kept, and positions are forgotten.
    pub journal: Arc<dyn Journal>,
    /// Where to begin.
    pub first_sight: FirstSight,
    /// Lines a container may write.
    pub rate: Option<RateLimit>,
    /// Messages on their way to parsers at once, for the whole process: logs never take all their room.
    pub turns: Arc<Semaphore>,
    /// The books.
    pub books: Arc<Books>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Silence after which is looked whether the engine still tells.
    pub quiet: Duration,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// Messages on their way to parsers at once: see [`LogStreamDeps::turns`].
pub const TURNS: usize = 8;

/// Silence after which is looked whether the engine still tells: engines are known to forget followers when a log
/// file is rotated.
pub const QUIET: Duration = Duration::from_secs(300);

/// The actor.
pub struct LogStream {
    cell: Cell,
    deps: Arc<LogStreamDeps>,
    subject: watch::Receiver<Arc<Subject>>,
    draining: CancellationToken,
}

impl LogStream {
    /// A stream that lives in `cell`. It ends when the container's run has, and all of it was read.
    pub fn new(cell: Cell, deps: Arc<LogStreamDeps>, subject: watch::Receiver<Arc<Subject>>) -> Self {
        Self { cell, deps, subject, draining: CancellationToken::new() }
    }
}

impl Actor for LogStream {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let follower = Follower::new(self.deps.clone(), self.subject.clone());
        let draining = self.draining.clone();
        let following = async move {
            // What was read and not handed on yet is read again at the next start.
            tokio::select! {
                biased;
                () = draining.cancelled() => Exit::Drained,
                exit = follower.run() => exit,
            }
        };
        ctx.spawn(wrap_future(following).map(|exit, stream: &mut Self, ctx| stream.cell.finish(ctx, exit)));
    }
}

impl actix::Supervised for LogStream {}

impl Handler<Drain> for LogStream {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_wins_over_what_is_configured_and_nonsense_in_it_says_nothing() {
        let takes = |all, label: Option<&str>| {
            let labels = label.map(|value| (LABEL.to_owned(), value.to_owned())).into_iter().collect();
            LogSelection { all }.takes(&labels)
        };
        assert_eq!([takes(false, None), takes(true, None)], [false, true]);
        assert_eq!([takes(false, Some("true")), takes(true, Some("FALSE"))], [true, false]);
        assert_eq!([takes(false, Some("maybe")), takes(true, Some(""))], [false, true]);
    }
}
