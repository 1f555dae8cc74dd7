//! Parser: frames, lines and observations in, records out.
//!
//! In: [`RawFrame`], [`RawLog`], [`Observation`]. Out: [`Chunk`] to the `Batcher`. Owns the previous frame of every
//! series routed to it. A restart loses those (the next sample of each series has no deltas), the frame
//! in hand and the open chunk, both counted.

mod event;
mod log;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message};
use actor_runtime::{Cell, Drain, Envelope, Exit, Outlet, Permit, TurnBudget};
use model::{Frame, LossReason, NetworkScope, StatsRecord, Stream, Timestamp, compute};

use crate::books::{Books, Custody};
use crate::event_handlers::EventHandlers;
use crate::faults::{Faults, Point};
use crate::messages::{Chunk, ChunkRows, Observation, Payload, RawFrame, RawLog, Seen};
use crate::ports::Decode;

pub(crate) use event::is_of_engine;
pub use event::{EventPolicy, EventRules};

/// Records a chunk holds at most.
pub const CHUNK_ROWS: usize = 64;

/// How long a record waits for others to go to the batcher with: each chunk wakes another thread, and a batch waits
/// far longer.
const CHUNK_AGE: Duration = Duration::from_millis(10);

/// What a parser needs.
#[derive(Clone)]
pub struct ParserDeps {
    /// Decodes frames.
    pub decode: Arc<dyn Decode>,
    /// Where records go.
    pub batcher: Outlet<Chunk>,
    /// The books.
    pub books: Arc<Books>,
    /// What rides on event records, and what may be kept of them.
    pub events: EventPolicy,
    /// Who else hears of events.
    pub handlers: EventHandlers,
    /// Armed faults.
    pub faults: Faults,
}

/// The actor.
pub struct Parser {
    cell: Cell,
    deps: ParserDeps,
    state: State,
}

struct State {
    previous: HashMap<u64, Previous>,
    rows: Vec<StatsRecord>,
    custody: Custody,
    /// The room of the frames behind `rows`, given back together.
    room: Option<Permit>,
    flush_is_due: bool,
    turn: TurnBudget,
}

/// The last frame of a series, and the run it belongs to.
#[derive(Clone, Copy)]
struct Previous {
    run: Option<Timestamp>,
    frame: Frame,
}

/// A series has ended: its previous frame is not needed any more.
#[derive(Clone, Copy, Debug)]
pub struct Forget(pub u64);

impl Message for Forget {
    type Result = ();
}

/// What is in the open chunk goes to the batcher. One of these is under way at most.
struct FlushChunk;

impl Message for FlushChunk {
    type Result = ();
}

impl Parser {
    /// A parser that lives in `cell`.
    pub fn new(cell: Cell, deps: ParserDeps) -> Self {
        let state = State::fresh(&deps);
        Self { cell, deps, state }
    }

    /// Decodes and computes; the reason where there is no record in the frame.
    fn parse(&mut self, raw: &RawFrame) -> Result<StatsRecord, LossReason> {
        let frame = match &raw.payload {
            Payload::Document(bytes) => {
                // A frame on which the decoder panics costs itself, not the parser: the next one comes in a second.
                let decoded = catch_unwind(AssertUnwindSafe(|| self.deps.decode.decode(bytes)));
                decoded.unwrap_or(Err(LossReason::Panic))?
            }
            Payload::Counters(frame) => **frame,
        };
        let run = raw.subject.meta.run;
        let Some(timestamp) = frame.read else {
            self.state.previous.remove(&raw.series);
            return Err(LossReason::EmptyFrame);
        };
        let subject = &raw.subject;
        let slot = self.state.previous.get_mut(&raw.series);
        let earlier = slot.as_deref().filter(|previous| previous.run == run).map(|previous| &previous.frame);
        // An earlier read than before is no repetition: the engine's clock was set back.
        if earlier.is_some_and(|earlier| earlier.read == frame.read) {
            return Err(LossReason::DuplicateFrame);
        }
        let sample = compute::sample(earlier, &frame, subject.os, subject.cpu_clock);
        let current = Previous { run, frame };
        match slot {
            Some(slot) => *slot = current,
            None => drop(self.state.previous.insert(raw.series, current)),
        }
        Ok(StatsRecord {
            meta: subject.meta.clone(),
            timestamp,
            received_at: raw.received_at,
            network_scope: subject.network_scope.clone().or_else(|| frame.network.map(|_| NetworkScope::Own)),
            sample,
        })
    }

    /// Puts a record into the open chunk.
    fn hold(&mut self, record: StatsRecord, permit: Permit, ctx: &mut Context<Self>) {
        self.state.rows.push(record);
        match &mut self.state.room {
            Some(room) => room.absorb(permit),
            None => self.state.room = Some(permit),
        }
        if self.state.rows.len() >= CHUNK_ROWS {
            self.flush(ctx);
        } else if !self.state.flush_is_due {
            self.state.flush_is_due = true;
            ctx.notify_later(FlushChunk, CHUNK_AGE);
        }
    }

    /// Sends a chunk; no other message is handled before the batcher has taken it.
    fn send(&self, chunk: Chunk, room: impl Send + 'static, ctx: &mut Context<Self>) {
        let batcher = self.deps.batcher.clone();
        let protected = self.cell.progress().protect();
        ctx.wait(
            wrap_future(async move {
                // Where the batcher is gone for good the chunk is dropped, and its custody counts it.
                batcher.send(chunk).await.ok();
            })
            .map(move |(), _: &mut Self, _| drop((room, protected))),
        );
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.state.rows.is_empty() {
            return;
        }
        let rows = std::mem::replace(&mut self.state.rows, Vec::with_capacity(CHUNK_ROWS));
        let custody = std::mem::replace(&mut self.state.custody, Custody::empty(&self.deps.books, Stream::Stats));
        let room = self.state.room.take();
        self.send(Chunk { rows: ChunkRows::Stats(rows), custody }, room, ctx);
    }
}

impl State {
    fn fresh(deps: &ParserDeps) -> Self {
        Self {
            previous: HashMap::new(),
            rows: Vec::with_capacity(CHUNK_ROWS),
            custody: Custody::empty(&deps.books, Stream::Stats),
            room: None,
            flush_is_due: false,
            turn: TurnBudget::default(),
        }
    }
}

impl Actor for Parser {
    type Context = Context<Self>;
}

impl actix::Supervised for Parser {
    fn restarting(&mut self, _: &mut Context<Self>) {
        std::mem::replace(&mut self.state, State::fresh(&self.deps)).custody.lost(LossReason::Panic);
    }
}

impl Handler<Envelope<RawFrame>> for Parser {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<RawFrame>, ctx: &mut Context<Self>) {
        let (raw, permit) = envelope.into_parts();
        self.deps.faults.strike(Point::Parser);
        match self.parse(&raw) {
            Ok(record) => {
                self.state.custody.absorb(raw.custody.parsed());
                self.deps.faults.strike(Point::ParserChunk);
                self.hold(record, permit, ctx);
            }
            Err(reason) => raw.custody.lost(reason),
        }
        self.state.turn.spend(ctx);
    }
}

impl Handler<FlushChunk> for Parser {
    type Result = ();

    fn handle(&mut self, _: FlushChunk, ctx: &mut Context<Self>) {
        self.state.flush_is_due = false;
        self.flush(ctx);
    }
}

impl Handler<Envelope<Observation>> for Parser {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Observation>, ctx: &mut Context<Self>) {
        let (observation, permit) = envelope.into_parts();
        self.deps.faults.strike(Point::Parser);
        let rows = match observation.what {
            Seen::Event { host, received_at, synthetic, event, about } => {
                let record = Box::new(self.deps.events.get().record(host, received_at, synthetic, *event, &about));
                self.deps.handlers.tell(&record);
                ChunkRows::Event(record)
            }
            Seen::Container(record) => ChunkRows::Container(record),
            Seen::Image(record) => ChunkRows::Image(record),
            Seen::ImageVersion(record) => ChunkRows::ImageVersion(record),
            Seen::Host(record) => ChunkRows::Host(record),
        };
        self.send(Chunk { rows, custody: observation.custody.parsed() }, Some(permit), ctx);
    }
}

impl Handler<Envelope<RawLog>> for Parser {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<RawLog>, ctx: &mut Context<Self>) {
        let (raw, permit) = envelope.into_parts();
        self.deps.faults.strike(Point::Parser);
        let RawLog { subject, received_at, lines, custody, turn } = raw;
        let rows = ChunkRows::Logs(log::records(&subject.meta, received_at, lines));
        self.send(Chunk { rows, custody: custody.parsed() }, (permit, turn), ctx);
    }
}

impl Handler<Forget> for Parser {
    type Result = ();

    fn handle(&mut self, Forget(series): Forget, _: &mut Context<Self>) {
        self.state.previous.remove(&series);
    }
}

impl Handler<Drain> for Parser {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        if self.state.rows.is_empty() {
            self.cell.finish(ctx, Exit::Drained);
        } else {
            // The chunk is sent before the next message, and that is this one again.
            self.flush(ctx);
            ctx.notify(Drain);
        }
    }
}
