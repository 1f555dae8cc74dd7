//! LossReporter: tells what was lost, as records of the stream `losses`.
//!
//! In: nothing; it looks at the books and at the journal, at an interval and once when the pipeline drains. Out:
//! [`Chunk`] to the `Batcher`. Owns nothing: what it has told is in the [`Reported`] it is lent, so a restart tells
//! nothing twice and leaves nothing out.
//!
//! What is lost of the stream `losses` itself is counted, and is no record: one that is refused would make the
//! next for ever. One that is lost before the journal is told again by the next.

mod mark;
mod reported;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Drain, Exit, Outlet};
use model::Stream;

use crate::books::Books;
use crate::faults::{Faults, Point};
use crate::messages::{Chunk, ChunkRows};
use crate::ports::Journal;

pub use reported::Reported;

/// What the reporter needs.
#[derive(Clone)]
pub struct LossReporterDeps {
    /// What was lost before the journal.
    pub books: Arc<Books>,
    /// What was lost after it.
    pub journal: Arc<dyn Journal>,
    /// What has been told.
    pub reported: Arc<Reported>,
    /// Where records go.
    pub batcher: Outlet<Chunk>,
    /// Time between two reports.
    pub interval: Duration,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct LossReporter {
    cell: Cell,
    deps: LossReporterDeps,
}

/// It is time to report.
struct ReportDue;

impl Message for ReportDue {
    type Result = ();
}

impl LossReporter {
    /// A reporter that lives in `cell`.
    pub fn new(cell: Cell, deps: LossReporterDeps) -> Self {
        Self { cell, deps }
    }

    /// What has not been told yet, as records; `None` where there is nothing.
    fn report(&self) -> Option<Chunk> {
        let LossReporterDeps { books, journal, reported, faults, .. } = &self.deps;
        let losses = books.fresh_losses().into_iter().chain(journal.fresh_losses());
        let (rows, custody) = reported.report(books, losses.filter(|loss| loss.stream != Stream::Losses));
        if rows.is_empty() {
            return None;
        }
        let chunk = Chunk { rows: ChunkRows::Losses(rows), custody };
        faults.strike(Point::LossReporter);
        Some(chunk)
    }

    /// Sends a chunk, then says so.
    fn send(&self, chunk: Chunk, ctx: &mut Context<Self>, sent: fn(&mut Self, bool, &mut Context<Self>)) {
        let batcher = self.deps.batcher.clone();
        let protected = self.cell.progress().protect();
        // Where the batcher is gone for good the chunk is dropped, and what it tells is given back.
        let sending = async move { batcher.send(chunk).await.is_ok() };
        ctx.wait(wrap_future(sending).map(move |is_sent, reporter: &mut Self, ctx| {
            drop(protected);
            sent(reporter, is_sent, ctx);
        }));
    }
}

impl Actor for LossReporter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify_later(ReportDue, self.deps.interval);
    }
}

impl actix::Supervised for LossReporter {}

impl Handler<ReportDue> for LossReporter {
    type Result = ();

    fn handle(&mut self, _: ReportDue, ctx: &mut Context<Self>) {
        if let Some(chunk) = self.report() {
            self.send(chunk, ctx, |_, _, _| {});
        }
        ctx.notify_later(ReportDue, self.deps.interval);
    }
}

impl Handler<Drain> for LossReporter {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        match self.report() {
            None => self.cell.finish(ctx, Exit::Drained),
            Some(chunk) => self.send(chunk, ctx, |reporter, is_sent, ctx| {
                // Until nothing is left to tell, or nobody to tell it to.
                if is_sent {
                    ctx.notify(Drain)
                } else {
                    reporter.cell.finish(ctx, Exit::failure("the batcher is gone"))
                }
            }),
        }
    }
}
