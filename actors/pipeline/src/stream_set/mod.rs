//! StreamSet: one stats stream per container that has stats, no more and no fewer.
//!
//! In: [`Track`] from the `Inventory`, exits of its streams. Out: streams started and ended in their group,
//! [`Look`] where a stream ended by itself. Owns nothing: the roster is the topology's and outlives it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::{Actor, Context, Handler, Message};
use actor_runtime::{Cell, ChildExit, ChildSpec, Control, Drain, Exit, GroupHandle, RestartPolicy, Shutdown, mailbox};
use model::ContainerId;
use tokio::sync::watch;

use crate::faults::{Faults, Point};
use crate::inventory::{Look, Resync};
use crate::messages::Subject;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::stats_stream::{StatsStream, StatsStreamDeps};

/// What the set needs.
#[derive(Clone)]
pub struct StreamSetDeps {
    /// The group of the streams.
    pub group: GroupHandle,
    /// What every stream needs.
    pub stream: StatsStreamDeps,
    /// The way to the parsers.
    pub router: Router,
    /// Who keeps the truth.
    pub look: Control<Look>,
    /// Asks for the whole truth.
    pub resync: Control<Resync>,
    /// The streams that are followed.
    pub roster: Roster,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Armed faults.
    pub faults: Faults,
}

/// The streams that are followed. Outlives restarts of the set, as the streams do.
#[derive(Clone, Default)]
pub struct Roster {
    streams: Arc<Mutex<Streams>>,
}

#[derive(Default)]
struct Streams {
    followed: HashMap<ContainerId, Followed>,
    containers: HashMap<u64, ContainerId>,
}

struct Followed {
    series: u64,
    /// A stream whose sender is gone ends by itself.
    subject: watch::Sender<Arc<Subject>>,
}

impl Roster {
    /// Forgets all streams: their group begins anew. The numbers of those that were followed.
    pub fn clear(&self) -> Vec<u64> {
        let mut streams = self.lock();
        streams.followed.clear();
        streams.containers.drain().map(|(series, _)| series).collect()
    }

    /// The containers that are followed.
    pub fn containers(&self) -> Vec<ContainerId> {
        self.lock().followed.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn remove(&mut self, id: &ContainerId) -> Option<u64> {
        let series = self.followed.remove(id)?.series;
        self.containers.remove(&series);
        Some(series)
    }
}

/// What is to be followed.
#[derive(Clone, Debug)]
pub enum Track {
    /// These and no others.
    Exactly {
        /// To be followed.
        subjects: Vec<Subject>,
        /// In doubt: followed on if they are, and not begun if they are not.
        unsure: HashSet<ContainerId>,
    },
    /// This one too, or with this new subject.
    Follow(Box<Subject>),
    /// Not this one any more.
    Leave(ContainerId),
}

impl Message for Track {
    type Result = ();
}

/// The actor.
pub struct StreamSet {
    cell: Cell,
    deps: StreamSetDeps,
    stream: Arc<StatsStreamDeps>,
}

/// Every stream has a number of its own in the life of the process.
static NEXT_SERIES: AtomicU64 = AtomicU64::new(0);

/// A stream's mailbox holds signals only.
const STREAM_PERMITS: u32 = 1;

/// A stream has this long to hand on the frame it holds.
const STREAM_DRAIN: Duration = Duration::from_secs(2);

impl StreamSet {
    /// A set that lives in `cell`.
    pub fn new(cell: Cell, deps: StreamSetDeps) -> Self {
        let stream = Arc::new(deps.stream.clone());
        Self { cell, deps, stream }
    }

    fn follow(&self, subject: Subject) {
        let mut streams = self.deps.roster.lock();
        let id = subject.meta.container_id.clone();
        if let Some(followed) = streams.followed.get(&id) {
            followed.subject.send_if_modified(|current| {
                let is_new = **current != subject;
                if is_new {
                    *current = Arc::new(subject);
                }
                is_new
            });
            return;
        }
        let series = NEXT_SERIES.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = watch::channel(Arc::new(subject));
        let (_, inbox) = mailbox::<StatsStream>(STREAM_PERMITS);
        let deps = self.stream.clone();
        let stream =
            ChildSpec::actor(child_id(&id, series), inbox, move |cell| StatsStream::new(cell, deps, series, receiver))
                .policy(RestartPolicy::Transient)
                .shutdown(Shutdown::Timeout(STREAM_DRAIN));
        streams.containers.insert(series, id.clone());
        streams.followed.insert(id, Followed { series, subject: sender });
        self.deps.group.add(stream);
    }

    fn leave(&self, id: &ContainerId) {
        let followed = self.deps.roster.lock().remove(id);
        if let Some(series) = followed {
            self.deps.group.remove(child_id(id, series));
        }
    }

    fn show_count(&self) {
        let count = self.deps.roster.lock().followed.len();
        let host = self.deps.stream.engine.host();
        self.deps.metrics.streams(host.as_str(), count);
        self.deps.metrics.silent(host.as_str(), self.deps.stream.silence.of(host));
    }
}

/// The name of a stream in its group: unique even where a container is left and followed again.
fn child_id(id: &ContainerId, series: u64) -> String {
    format!("{}.{series}", id.short())
}

fn series_of(child: &str) -> Option<u64> {
    child.rsplit_once('.')?.1.parse().ok()
}

impl Actor for StreamSet {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.deps.resync.signal(Resync);
    }
}

impl actix::Supervised for StreamSet {}

impl Handler<Track> for StreamSet {
    type Result = ();

    fn handle(&mut self, track: Track, _: &mut Context<Self>) {
        self.deps.faults.strike(Point::StreamSet);
        match track {
            Track::Exactly { subjects, unsure } => {
                let wanted: HashSet<&ContainerId> =
                    subjects.iter().map(|subject| &subject.meta.container_id).chain(&unsure).collect();
                let left = self.deps.roster.containers().into_iter().filter(|id| !wanted.contains(id));
                left.for_each(|id| self.leave(&id));
                subjects.into_iter().for_each(|subject| self.follow(subject));
            }
            Track::Follow(subject) => self.follow(*subject),
            Track::Leave(id) => self.leave(&id),
        }
        self.show_count();
    }
}

impl Handler<ChildExit> for StreamSet {
    type Result = ();

    fn handle(&mut self, ended: ChildExit, _: &mut Context<Self>) {
        let Some(series) = series_of(&ended.id) else { return };
        self.deps.router.forget(series);
        let ended = {
            let mut streams = self.deps.roster.lock();
            let id = streams.containers.remove(&series);
            if let Some(id) = &id {
                streams.followed.remove(id);
            }
            id
        };
        if let Some(id) = ended {
            // It ended by itself: whether there is anything left to follow, the engine knows.
            self.deps.look.signal(Look(id));
            self.show_count();
        }
    }
}

impl Handler<Drain> for StreamSet {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.cell.finish(ctx, Exit::Drained);
    }
}
