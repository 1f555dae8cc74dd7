//! The running engine: one thread that accepts connections and lets time pass, around the world behind its lock.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::routes::{self, Answer};
use crate::world::{SLOTS, World};

/// The order in which a sequential collector visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The same order in each pass.
    Fixed,
    /// Another order in each pass, by the seed: the real engine walks a map.
    Random,
}

/// How frames are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each container once per interval, all of them spread evenly over it.
    Spread,
    /// One collector that visits one after another, each visit taking `cost`, and then sleeps one interval.
    Sequential { cost: Duration, order: Order },
    /// By hand.
    Manual,
}

/// One simulated engine, shared by its thread and the control handles.
pub(crate) struct Engine {
    world: Mutex<World>,
    socket: PathBuf,
    pub(crate) pace: Pace,
    door: Mutex<Door>,
    door_changed: Notify,
}

/// Whether the socket is there.
struct Door {
    state: DoorState,
    /// Raised each time it closes: what was accepted before is turned away.
    generation: u64,
}

enum DoorState {
    /// To be taken over by the accept loop.
    Opened(StdListener),
    Open,
    Closed {
        reopen_at: Option<Instant>,
    },
    Shut,
}

impl Engine {
    /// Binds the socket; nothing is accepted until [`Engine::run`].
    pub(crate) fn bind(world: World, socket: PathBuf, pace: Pace) -> io::Result<Arc<Self>> {
        let listener = bind(&socket)?;
        let door = Mutex::new(Door { state: DoorState::Opened(listener), generation: 0 });
        Ok(Arc::new(Self { world: Mutex::new(world), socket, pace, door, door_changed: Notify::new() }))
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon dies: the socket is gone, every connection breaks, events are forgotten. Containers live on.
    pub(crate) fn close(&self, reopen_after: Option<Duration>) {
        self.leave(DoorState::Closed { reopen_at: reopen_after.map(|after| Instant::now() + after) });
    }

    /// The end: as [`Engine::close`], for good.
    pub(crate) fn shut(&self) {
        self.leave(DoorState::Shut);
    }

    fn leave(&self, state: DoorState) {
        let mut door = self.door();
        if matches!(door.state, DoorState::Shut) {
            return;
        }
        if !matches!(door.state, DoorState::Closed { .. }) {
            // It may have been removed by others; then the aim is reached too.
            let _ = std::fs::remove_file(&self.socket);
        }
        door.state = state;
        door.generation += 1;
        let mut world = self.world();
        world.log.is_down = true;
        world.drop_everyone();
        drop(world);
        drop(door);
        self.door_changed.notify_one();
    }

    /// The daemon is back: when this returns, the socket takes connections.
    pub(crate) fn open(&self) -> io::Result<()> {
        let mut door = self.door();
        if matches!(door.state, DoorState::Closed { .. }) {
            door.state = DoorState::Opened(bind(&self.socket)?);
            let mut world = self.world();
            world.drop_everyone();
            world.log.is_down = false;
        }
        drop(door);
        self.door_changed.notify_one();
        Ok(())
    }

    /// Serves until shut.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::select! {
            () = Arc::clone(&self).accept() => {}
            () = self.collect() => {}
        }
    }

    /// Takes a connection in, unless the daemon it was made to has died since.
    fn admit(&self, connection: &Arc<Connection>, generation: u64) -> Option<u64> {
        let door = self.door();
        (door.generation == generation).then(|| self.world().admit(Arc::clone(connection)))
    }

    async fn accept(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let mut listener: Option<(UnixListener, u64)> = None;
        loop {
            let reopen_at = match self.follow_door(&mut listener) {
                Ok(reopen_at) => reopen_at,
                Err(Shut) => return,
            };
            tokio::select! {
                biased;
                () = self.door_changed.notified() => {}
                () = at(reopen_at) => {
                    if self.open().is_err() {
                        // The folder may come back: try again.
                        self.close(Some(Duration::from_millis(100)));
                    }
                }
                // A task that panicked took its own connection with it, and nothing else.
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                Some((stream, generation)) = accepted(listener.as_ref()) => {
                    tasks.spawn(serve(Arc::clone(&self), stream, generation));
                }
            }
        }
    }

    /// Makes `listener` what the door says; gives the time to reopen.
    fn follow_door(&self, listener: &mut Option<(UnixListener, u64)>) -> Result<Option<Instant>, Shut> {
        let mut door = self.door();
        match std::mem::replace(&mut door.state, DoorState::Open) {
            DoorState::Open => Ok(None),
            DoorState::Opened(fresh) => {
                // Only a runtime that shuts down refuses a listener.
                *listener = UnixListener::from_std(fresh).ok().map(|fresh| (fresh, door.generation));
                Ok(None)
            }
            DoorState::Closed { reopen_at } => {
                door.state = DoorState::Closed { reopen_at };
                *listener = None;
                Ok(reopen_at)
            }
            DoorState::Shut => {
                door.state = DoorState::Shut;
                Err(Shut)
            }
        }
    }

    async fn collect(&self) {
        let interval = self.world().settings.interval;
        match self.pace {
            Pace::Spread => self.collect_spread(interval).await,
            Pace::Sequential { cost, order } => self.collect_sequentially(interval, cost, order).await,
            Pace::Manual => std::future::pending().await,
        }
    }

    async fn collect_spread(&self, interval: Duration) {
        let step = interval / SLOTS as u32;
        let mut next = Instant::now();
        loop {
            for slot in 0..SLOTS {
                next += step;
                sleep_until(next).await;
                let mut world = self.world();
                world.run_due();
                world.visit_slot(slot);
            }
            // After a stop of the whole machine the lost frames are not made up for.
            next = next.max(Instant::now().checked_sub(interval).unwrap_or(next));
        }
    }

    async fn collect_sequentially(&self, interval: Duration, cost: Duration, order: Order) {
        let mut rng = fastrand::Rng::with_seed(self.world().settings.seed);
        loop {
            let mut turn = self.world().watched();
            if order == Order::Random {
                rng.shuffle(&mut turn);
            }
            let mut next = Instant::now();
            for key in turn {
                next += cost;
                // Timers are no finer than a millisecond: visits closer than that share a wake-up.
                if next > Instant::now() {
                    sleep_until(next).await;
                }
                let mut world = self.world();
                world.run_due();
                world.visit(key);
            }
            self.rest(interval).await;
        }
    }

    /// Sleeps for one interval, with what falls due in it done in time.
    async fn rest(&self, interval: Duration) {
        let step = interval / 20;
        let until = Instant::now() + interval;
        while Instant::now() < until {
            sleep_until(until.min(Instant::now() + step)).await;
            self.world().run_due();
        }
    }
}

struct Shut;

fn bind(socket: &Path) -> io::Result<StdListener> {
    let listener = StdListener::bind(socket)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn accepted(listener: Option<&(UnixListener, u64)>) -> Option<(UnixStream, u64)> {
    let Some((listener, generation)) = listener else { return std::future::pending().await };
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, *generation)),
        Err(_) => {
            // Out of file descriptors: connections wait in the backlog until some are free.
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

/// Serves one connection until either side ends it.
async fn serve(engine: Arc<Engine>, stream: UnixStream, generation: u64) {
    let connection = Arc::new(Connection::new(stream));
    let Some(number) = engine.admit(&connection, generation) else { return };
    let mut buffer = Vec::new();
    while let Some(request) = connection.next_request(&mut buffer).await {
        if buffer.is_empty() {
            // A stream may stay open for days: it needs no buffer.
            buffer = Vec::new();
        }
        let (mut answer, call) = {
            let mut world = engine.world();
            let now = world.clock.elapsed();
            let call = world.log.asked(&request.method, &request.path, now);
            (routes::answer_with_faults(&mut world, &connection, &request), call)
        };
        if let Answer::After(delay) = answer {
            tokio::time::sleep(delay).await;
            answer = routes::answer(&mut engine.world(), &connection, &request);
        }
        if answer == Answer::Hangup || connection.settle(&mut buffer).await.is_err() {
            break;
        }
        let mut world = engine.world();
        let now = world.clock.elapsed();
        world.log.answered(call, now);
        if request.close {
            break;
        }
    }
    engine.world().forget(number);
}
