//! The cell: owns the task that polls one actor, and everything that can happen to it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use actix::dev::ContextFut;
use actix::prelude::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::child::{Command, Seed};
use crate::mailbox::Open;
use crate::panics::{Entered, text_of};
use crate::progress::StallWatch;
use crate::{Exit, ExitKind, Inbox, NodeState, Progress};

/// What a supervised actor must be: an actix actor on its own [`Context`] that can drain.
///
/// The contract: the struct is `{ deps, state }`; `restarting()` replaces the state with a fresh one;
/// `started()` runs at the start and after every restart, and arms streams and timers anew. Spawned
/// futures and pending waits are gone after a restart, queued messages are not.
///
/// `stopping()` and `stopped()` run when the actor ends itself, never after a panic or a kill;
/// `stopping()` is left alone: an actor that has finished cannot change its mind.
pub trait Supervised: Actor<Context = Context<Self>> + actix::Supervised + Handler<Drain> {}

impl<A> Supervised for A where A: Actor<Context = Context<A>> + actix::Supervised + Handler<Drain> {}

/// Asks an actor to hand on what it holds and to end with [`Exit::Drained`]. It arrives after all data
/// that was sent before; it may arrive more than once.
#[derive(Clone, Copy, Debug)]
pub struct Drain;

impl Message for Drain {
    type Result = ();
}

/// An actor's handle to the cell it lives in.
#[derive(Clone, Debug)]
pub struct Cell {
    path: Arc<str>,
    exit: Arc<Mutex<Option<Exit>>>,
    progress: Progress,
}

impl Cell {
    pub(crate) fn new(path: Arc<str>) -> Self {
        Self { path, exit: Arc::default(), progress: Progress::default() }
    }

    /// The actor's path in the supervision tree.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the actor reports progress that its mailbox does not show.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Ends the actor with `exit`: what happens next is the group's decision.
    pub fn finish<A: Actor<Context = Context<A>>>(&self, ctx: &mut Context<A>, exit: Exit) {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exit);
        ctx.stop();
    }

    /// Runs code of the actor; a panic in it becomes an exit.
    fn guarded<T>(&self, code: impl FnOnce() -> T) -> Result<T, Exit> {
        let _entered = Entered::new(&self.path);
        catch_unwind(AssertUnwindSafe(code)).map_err(|panic| Exit::Panicked(text_of(&*panic).to_owned()))
    }

    fn take_exit(&self) -> Option<Exit> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What ended a stretch of polling.
enum Turn {
    Ended(Result<(), Exit>),
    Told(Command),
    Watched,
}

/// Runs the actor that `build` makes until its group ends it.
pub(crate) async fn run<A: Supervised>(
    inbox: Inbox<A>,
    build: impl FnOnce(Cell) -> A,
    stall_after: Option<Duration>,
    mut seed: Seed,
) {
    let mut life = match Life::begin(inbox, build, stall_after, seed.node.path().clone()) {
        Ok(life) => life,
        // There is no actor to restart: its group has to be built anew.
        Err(exit) => return seed.leave(exit),
    };
    while let Some(mut exit) = life.lead(&mut seed).await {
        loop {
            seed.report(exit.clone());
            if !seed.next_restart().await {
                return life.end(seed, exit);
            }
            match life.restart() {
                Ok(()) => break seed.node.restarted(exit.kind()),
                Err(again) => exit = again,
            }
        }
    }
    life.end(seed, Exit::Killed);
}

/// The actor, its context and its watch.
struct Life<A: Supervised> {
    future: ContextFut<A, Context<A>>,
    /// Held for as long as the actor lives: that nobody sends to it is no reason to end.
    address: Addr<A>,
    open: Open,
    cell: Cell,
    stall: Option<Stall>,
}

struct Stall {
    watch: StallWatch,
    ticker: Interval,
}

impl Stall {
    fn new(after: Duration) -> Self {
        let mut ticker = interval((after / 4).max(Duration::from_millis(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { watch: StallWatch::new(after), ticker }
    }
}

impl<A: Supervised> Life<A> {
    /// Builds the actor; the error is how that failed.
    fn begin(
        inbox: Inbox<A>,
        build: impl FnOnce(Cell) -> A,
        stall_after: Option<Duration>,
        path: Arc<str>,
    ) -> Result<Self, Exit> {
        let Inbox { receiver, open } = inbox;
        let cell = Cell::new(path);
        let actor = cell.guarded(|| build(cell.clone()))?;
        let context = Context::with_receiver(receiver);
        let address = context.address();
        Ok(Self { future: context.into_future(actor), address, open, cell, stall: stall_after.map(Stall::new) })
    }

    /// Polls the actor until it ends by itself, and says how; `None` where it was killed.
    async fn lead(&mut self, seed: &mut Seed) -> Option<Exit> {
        loop {
            match self.turn(&mut seed.commands).await {
                Turn::Ended(Ok(())) => {
                    return Some(self.cell.take_exit().unwrap_or_else(|| Exit::failure("stopped without a reason")));
                }
                Turn::Ended(Err(panicked)) => return Some(panicked),
                Turn::Told(Command::Restart { epoch }) => {
                    seed.epoch = epoch;
                    seed.node.exited(&Exit::Killed);
                    if let Err(exit) = self.restart() {
                        return Some(exit);
                    }
                    seed.node.restarted(ExitKind::Killed);
                }
                Turn::Told(Command::Drain { .. }) => {
                    seed.node.set_state(NodeState::Draining);
                    #[expect(clippy::disallowed_methods, reason = "a signal, queued behind all data on purpose")]
                    self.address.do_send(Drain);
                }
                Turn::Told(Command::Kill) => return None,
                Turn::Watched if self.is_stalled() => return Some(Exit::Stalled),
                Turn::Watched => {}
            }
        }
    }

    /// Polls the actor until it ends, a command comes, or it is time to look at its progress.
    async fn turn(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Turn {
        let Self { future, cell, stall, .. } = self;
        let polled = poll_fn(|context| match cell.guarded(|| Pin::new(&mut *future).poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(panicked) => Poll::Ready(Err(panicked)),
        });
        let watched = async {
            match stall {
                Some(stall) => {
                    stall.ticker.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            command = commands.recv() => Turn::Told(command.unwrap_or(Command::Kill)),
            () = watched => Turn::Watched,
            result = polled => Turn::Ended(result),
        }
    }

    fn is_stalled(&mut self) -> bool {
        let Self { cell, open, stall, .. } = self;
        stall.as_mut().is_some_and(|stall| stall.watch.is_stalled(&cell.progress, open.gauge(), Instant::now()))
    }

    /// Restarts in place; the error is how that failed.
    fn restart(&mut self) -> Result<(), Exit> {
        self.cell.take_exit();
        self.cell.progress.reset();
        if let Some(stall) = &mut self.stall {
            stall.watch.reset();
        }
        let has_begun = self.cell.guarded(|| self.future.restart())?;
        debug_assert!(has_begun, "actix refuses only where no address is left, and this cell holds one");
        Ok(())
    }

    /// Drops the actor and its queue; nothing that panics on the way harms the thread.
    fn end(self, seed: Seed, exit: Exit) {
        let cell = self.cell.clone();
        let dropped = cell.guarded(|| drop(self));
        seed.leave(dropped.err().unwrap_or(exit));
    }
}

impl<A: Supervised> Drop for Life<A> {
    /// An actor that is dropped has panicked or was killed, or has ended and said so: without this, actix would
    /// poll it once more on the way out, through `started()` if need be, then `stopping()` and `stopped()`.
    fn drop(&mut self) {
        self.future.ctx().terminate();
    }
}
