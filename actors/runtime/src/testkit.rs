//! Parts for testing supervised actors: a clock that jumps, an actor that misbehaves on request, and a
//! record of what happened.
//!
//! ```
//! use actor_runtime::testkit::{Cast, Deed, run, wait_for};
//! use actor_runtime::{Backoff, GroupSpec, Intensity, Root, Strategy};
//! use std::time::Duration;
//!
//! run(async {
//!     let cast = Cast::default();
//!     let actors = cast.clone();
//!     let intensity = Intensity::try_new(3, Duration::from_secs(60)).expect("a window");
//!     let root = Root::start(GroupSpec::new("root", Strategy::OneForOne, intensity, Backoff::NONE, move |_| {
//!         vec![actors.actor("a")]
//!     }));
//!     wait_for("the start", || !cast.of("a").is_empty()).await;
//!     cast.send("a", Deed::Panic).await;
//!     cast.send("a", Deed::Note(1)).await;
//!     wait_for("the note", || cast.of("a").contains(&"handled 1".into())).await;
//!     assert_eq!(cast.of("a"), ["started", "restarting", "started", "handled 1"]);
//!     root.kill().await;
//! });
//! ```

use std::any::Any;
use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Running};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::{
    Cell, ChildExit, ChildSpec, Control, Drain, Envelope, Exit, Mailbox, MailboxGauge, Outlet, Weight, mailbox,
};

/// Runs `test` on one thread, where actors can live, with a clock that jumps ahead whenever everybody waits.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime without threads needs nothing");
    LocalSet::new().block_on(&runtime, test)
}

/// Runs `test` in an actix system, where arbiters can be made, with the real clock.
pub fn run_on_system<T>(test: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(test)
}

/// Waits until `condition` holds; panics where it does not within a minute of the clock of the test.
pub async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Asserts that nothing is queued, handled or reserved in a mailbox any more.
pub fn assert_all_permits_back(gauge: &MailboxGauge) {
    assert_eq!(gauge.depth(), 0, "permits are missing of {}", gauge.capacity());
}

/// What a [`Scripted`] actor is to do on a message.
#[derive(Debug)]
pub enum Deed {
    /// Record the number.
    Note(u64),
    /// Record the number, with a message of that weight.
    Heavy(u64, u32),
    /// Wait, then record the number; other messages wait as well.
    Slow(u64, Duration),
    /// Keep a value until the message is handled or dropped.
    Hold(Box<dyn Any + Send>),
    /// Send a deed to another actor, and wait until it is taken.
    Forward(Outlet<Deed>, Box<Deed>),
    /// Panic in the handler.
    Panic,
    /// Panic in a future given to `ctx.spawn`.
    PanicInSpawned,
    /// Panic in a future given to `ctx.wait`.
    PanicInWait,
    /// Panic in a timer of the actor.
    PanicInTimer,
    /// Panic while the handled message is dropped.
    PanicInDrop(Bomb),
    /// End with an exit.
    Finish(Exit),
    /// Stop without saying why.
    Stop,
    /// Wait for ever.
    Hang,
    /// Wait for ever, under [`Progress::protect`](crate::Progress::protect).
    HangProtected,
    /// State that so much work waits outside the mailbox.
    Owe(u64),
    /// Block the thread, so that nothing else on it runs, until the other end of the channel is dropped.
    Block(Receiver<()>),
}

impl Weight for Deed {
    fn weight(&self) -> u32 {
        if let Self::Heavy(_, weight) = self { *weight } else { 1 }
    }
}

/// Panics when it is dropped, unless a panic is under way.
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "bomb");
    }
}

/// A signal to a [`Scripted`] actor, which records the number.
#[derive(Clone, Copy, Debug)]
pub struct Signal(pub u64);

impl Message for Signal {
    type Result = ();
}

/// A place outside of handlers where a [`Scripted`] actor can be made to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of the methods of an actor")]
pub enum Place {
    Build,
    Started,
    Restarting,
    Stopping,
    Stopped,
    Drop,
}

/// Scripted actors, by name, and the record of what they did. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    record: Vec<(String, String)>,
    traps: HashMap<(String, Place), u32>,
    mailboxes: HashMap<String, Mailbox<Scripted>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Cast {
    /// A new actor of that name with a mailbox for eight messages; it takes the place of a former one.
    pub fn actor(&self, name: &str) -> ChildSpec {
        self.actor_with_room(name, 8)
    }

    /// A new actor of that name with that much room in its mailbox.
    pub fn actor_with_room(&self, name: &str, permits: u32) -> ChildSpec {
        let (mailbox, inbox) = mailbox(permits);
        self.lock().mailboxes.insert(name.into(), mailbox);
        let (cast, own_name) = (self.clone(), name.to_owned());
        ChildSpec::actor(name, inbox, move |cell| {
            cast.step_on(&own_name, Place::Build);
            Scripted { name: own_name, cell, cast }
        })
    }

    /// Hands a deed to an actor.
    ///
    /// # Panics
    /// Where the actor is gone for good.
    pub async fn send(&self, name: &str, deed: Deed) {
        assert!(self.outlet(name).send(deed).await.is_ok(), "{name} is gone");
    }

    /// The way in for deeds.
    ///
    /// # Panics
    /// Where there never was an actor of that name.
    pub fn outlet(&self, name: &str) -> Outlet<Deed> {
        self.mailbox(name).outlet()
    }

    /// The way in for signals.
    ///
    /// # Panics
    /// Where there never was an actor of that name.
    pub fn signals(&self, name: &str) -> Control<Signal> {
        self.mailbox(name).control()
    }

    /// The way in for exits of dynamic children, which the actor records.
    ///
    /// # Panics
    /// Where there never was an actor of that name.
    pub fn exits(&self, name: &str) -> Control<ChildExit> {
        self.mailbox(name).control()
    }

    /// The gauge of an actor's mailbox.
    ///
    /// # Panics
    /// Where there never was an actor of that name.
    pub fn gauge(&self, name: &str) -> Arc<MailboxGauge> {
        self.mailbox(name).gauge()
    }

    /// Makes the next `times` visits of a place by that actor panic.
    pub fn trap(&self, name: &str, place: Place, times: u32) {
        self.lock().traps.insert((name.into(), place), times);
    }

    /// What an actor did, in order: `started`, `restarting`, `handled 7`, `signalled 7`, `drained`, `stopped`,
    /// `dropped`, `blocks`, and `heard of x: killed` for an exit.
    pub fn of(&self, name: &str) -> Vec<String> {
        self.lock().record.iter().filter(|(actor, _)| actor == name).map(|(_, what)| what.clone()).collect()
    }

    /// What all of them did, in order, each with the name before it.
    pub fn all(&self) -> Vec<String> {
        self.lock().record.iter().map(|(actor, what)| format!("{actor} {what}")).collect()
    }

    /// How often an actor did this.
    pub fn count(&self, name: &str, what: &str) -> usize {
        self.of(name).iter().filter(|done| *done == what).count()
    }

    fn mailbox(&self, name: &str) -> Mailbox<Scripted> {
        self.lock().mailboxes.get(name).unwrap_or_else(|| panic!("no actor is called {name}")).clone()
    }

    fn note(&self, name: &str, what: impl Into<String>) {
        self.lock().record.push((name.into(), what.into()));
    }

    fn step_on(&self, name: &str, place: Place) {
        let mut shared = self.lock();
        let left = shared.traps.entry((name.into(), place)).or_default();
        let is_armed = *left > 0;
        *left = left.saturating_sub(1);
        drop(shared);
        assert!(!is_armed, "trap at {place:?}");
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An actor that does what each message says.
#[derive(Debug)]
pub struct Scripted {
    name: String,
    cell: Cell,
    cast: Cast,
}

impl Scripted {
    fn note(&self, what: impl Into<String>) {
        self.cast.note(&self.name, what);
    }
}

impl Actor for Scripted {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.note("started");
        self.cast.step_on(&self.name, Place::Started);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.cast.step_on(&self.name, Place::Stopping);
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.note("stopped");
        self.cast.step_on(&self.name, Place::Stopped);
    }
}

impl actix::Supervised for Scripted {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.note("restarting");
        self.cast.step_on(&self.name, Place::Restarting);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.note("dropped");
        if !std::thread::panicking() {
            self.cast.step_on(&self.name, Place::Drop);
        }
    }
}

impl Handler<Envelope<Deed>> for Scripted {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Deed>, ctx: &mut Context<Self>) {
        // The permit is held until the deed is done, awaits included.
        let (deed, permit) = envelope.into_parts();
        match deed {
            Deed::Note(n) | Deed::Heavy(n, _) => self.note(format!("handled {n}")),
            Deed::Slow(n, time) => ctx.wait(wrap_future(sleep(time)).map(move |(), actor: &mut Self, _| {
                actor.note(format!("handled {n}"));
                drop(permit);
            })),
            Deed::Hold(value) => drop(value),
            Deed::Forward(outlet, deed) => ctx.wait(wrap_future(async move {
                outlet.send(*deed).await.ok();
                drop(permit);
            })),
            Deed::Panic => panic!("panic in a handler"),
            Deed::PanicInSpawned => {
                ctx.spawn(wrap_future(async { panic!("panic in a spawned future") }));
            }
            Deed::PanicInWait => ctx.wait(wrap_future(async move {
                let _permit = permit;
                tokio::task::yield_now().await;
                panic!("panic in a wait")
            })),
            Deed::PanicInTimer => {
                ctx.run_later(Duration::from_millis(1), |_, _| panic!("panic in a timer"));
            }
            Deed::PanicInDrop(bomb) => drop(bomb),
            Deed::Finish(exit) => self.cell.finish(ctx, exit),
            Deed::Stop => ctx.stop(),
            Deed::Hang => ctx.wait(wrap_future(async move {
                let _permit = permit;
                std::future::pending().await
            })),
            Deed::HangProtected => {
                let guard = self.cell.progress().protect();
                ctx.wait(wrap_future(async move {
                    let _held = (permit, guard);
                    std::future::pending().await
                }));
            }
            Deed::Owe(work) => self.cell.progress().pending(work),
            Deed::Block(until) => {
                self.note("blocks");
                // An error: the other end is gone, as awaited.
                until.recv().ok();
            }
        }
    }
}

impl Handler<Signal> for Scripted {
    type Result = ();

    fn handle(&mut self, Signal(n): Signal, _: &mut Context<Self>) {
        self.note(format!("signalled {n}"));
    }
}

impl Handler<ChildExit> for Scripted {
    type Result = ();

    fn handle(&mut self, ChildExit { id, exit }: ChildExit, _: &mut Context<Self>) {
        self.note(format!("heard of {id}: {exit}"));
    }
}

impl Handler<Drain> for Scripted {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.note("drained");
        self.cell.finish(ctx, Exit::Drained);
    }
}
