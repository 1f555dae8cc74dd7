//! A served API: the server as an actor in a group, the store, and the sink that fills it, on a thread of their own.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::{Actor, Context, Handler, Message};
use actor_runtime::{
    Backoff, Cell, ChildSpec, Control, Drain, DrainReport, Exit, GroupSpec, Intensity, Root, Strategy, mailbox,
};
use api::{About, ApiConfig, ApiServer, bind};
use model::{Batch, BatchId, NodeName, Rows, Trigger};
use pipeline::ports::{Deliver, Range};
use sinks::sqlite::{SqliteConfig, SqliteSink};
use store::{SqliteStore, Store};

use crate::world::{World, at, containers, events, images, lines, sample, versions};

/// Time for everything to drain; what ends in it has ended by itself.
const GRACE: Duration = Duration::from_secs(90);

/// A running API. Dropping it drains it.
pub struct Served {
    pub address: SocketAddr,
    pub world: Arc<World>,
    commands: mpsc::Sender<Order>,
    thread: Option<JoinHandle<DrainReport>>,
}

enum Order {
    Store(Rows, mpsc::Sender<()>),
    Restart,
    Drain,
}

impl Served {
    /// The API over the known world, for tests that only read.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Served> = LazyLock::new(|| Served::filled(ApiConfig::default()));
        &SHARED
    }

    /// An API of one's own over the known world.
    pub fn filled(config: ApiConfig) -> Self {
        let served = Self::empty(config, World::default());
        served.store(Rows::Containers(containers().into()));
        served.store(Rows::Images(images().into()));
        served.store(Rows::ImageVersions(versions().into()));
        served.store(Rows::Events(events().into()));
        served.store(Rows::Logs(lines().into()));
        served.store(Rows::Stats((0..12).map(|step| sample(step * 5)).collect::<Vec<_>>().into()));
        served
    }

    /// An API over an empty store.
    pub fn empty(config: ApiConfig, world: World) -> Self {
        Self::start(config, world, None)
    }

    /// An API over any store.
    pub fn over(config: ApiConfig, store: Arc<dyn Store>) -> Self {
        Self::start(config, World::default(), Some(store))
    }

    fn start(config: ApiConfig, world: World, store: Option<Arc<dyn Store>>) -> Self {
        let world = Arc::new(world);
        let (commands, orders) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let sight = world.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, live(config, sight, store, orders, tell))
        });
        Self { address: told.recv().unwrap(), world, commands, thread: Some(thread) }
    }

    /// Stores `rows` as the sink does.
    pub fn store(&self, rows: Rows) {
        let (done, stored) = mpsc::channel();
        self.commands.send(Order::Store(rows, done)).unwrap();
        stored.recv().unwrap();
    }

    /// Makes a sibling of the server panic, in a group that restarts all its children.
    pub fn restart(&self) {
        self.commands.send(Order::Restart).unwrap();
    }

    pub fn drain(&self) {
        self.commands.send(Order::Drain).unwrap();
    }

    /// Waits until the server has drained; how it went.
    pub fn ended(mut self) -> DrainReport {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.commands.send(Order::Drain).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Panics on command.
struct Bomb(Cell);

struct Explode;

impl Message for Explode {
    type Result = ();
}

impl Actor for Bomb {
    type Context = Context<Self>;
}

impl actix::Supervised for Bomb {}

impl Handler<Explode> for Bomb {
    type Result = ();
    fn handle(&mut self, _: Explode, _: &mut Self::Context) {
        panic!("as told");
    }
}

impl Handler<Drain> for Bomb {
    type Result = ();
    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) {
        self.0.finish(ctx, Exit::Drained);
    }
}

async fn live(
    config: ApiConfig,
    sight: Arc<World>,
    store: Option<Arc<dyn Store>>,
    orders: mpsc::Receiver<Order>,
    tell: mpsc::Sender<SocketAddr>,
) -> DrainReport {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dockstream.db");
    let forever = Duration::from_secs(3_000_000_000);
    let retention = SqliteConfig {
        retention_raw: forever,
        retention_logs: forever,
        retention_events: forever,
        ..SqliteConfig::new(&path)
    };
    let mut sink = SqliteSink::new(retention);
    sink.prepare().await.unwrap();
    let bound = Arc::new(bind(ApiConfig { listen: "127.0.0.1:0".parse().unwrap(), ..config }).unwrap());
    let address = bound.address();
    let store = store.unwrap_or_else(|| Arc::new(SqliteStore::open(path)));
    let about = About { node: NodeName::try_new("node-1").unwrap(), started_at: at(0) };
    let (fuse, fuses) = mpsc::channel::<Control<Explode>>();
    let build = move |_: &_| {
        let (bomb_mail, bomb_inbox) = mailbox::<Bomb>(1);
        let (_, inbox) = mailbox::<ApiServer>(1);
        fuse.send(bomb_mail.control()).unwrap();
        let (bound, store, sight, about) = (bound.clone(), store.clone(), sight.clone(), about.clone());
        let server = move |cell| ApiServer::new(cell, bound, store, sight, about);
        vec![ChildSpec::actor("bomb", bomb_inbox, Bomb), ChildSpec::actor("api", inbox, server)]
    };
    let intensity = Intensity::try_new(10, Duration::from_secs(60)).unwrap();
    let root = Root::start(GroupSpec::new("root", Strategy::OneForAll, intensity, Backoff::NONE, build));
    tell.send(address).unwrap();
    let (mut sequence, mut lit) = (1, None);
    loop {
        match orders.try_recv() {
            Ok(Order::Store(rows, done)) => {
                let (first, count) = (sequence, rows.len() as u64);
                sequence += count;
                let node = NodeName::try_new("node-1").unwrap();
                let id = BatchId { node, epoch: 1, stream: rows.stream(), first, last: first + count - 1 };
                let batch = Batch { id, trigger: Trigger::Count, bytes: 1, opened_at: at(0), rows };
                sink.deliver(&Range { first, end: first + 1, batches: vec![batch] }).await.unwrap();
                done.send(()).unwrap();
            }
            Ok(Order::Restart) => {
                lit = fuses.try_iter().last().or(lit);
                assert!(lit.as_ref().unwrap().signal(Explode));
            }
            Ok(Order::Drain) | Err(mpsc::TryRecvError::Disconnected) => break,
            Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    let report = root.drain(GRACE).await;
    sink.close().await;
    report
}
