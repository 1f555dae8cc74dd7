//! The supervision tree as data: readable from any thread, at any time, without asking an actor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::{Exit, ExitKind, MailboxGauge};

/// The live tree.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Arc<Node>,
}

impl Tree {
    pub(crate) fn new(root: Arc<Node>) -> Self {
        Self { root }
    }

    /// The whole tree as it is now.
    pub fn view(&self) -> NodeView {
        self.root.view()
    }

    /// Exits that led to a restart, since the start, by kind; nodes that are gone included.
    pub fn restarts(&self) -> Vec<(ExitKind, u64)> {
        ExitKind::ALL
            .iter()
            .map(|kind| (*kind, self.root.totals.restarts[*kind as usize].load(Ordering::Relaxed)))
            .collect()
    }

    /// How often a child was set aside for failing too often.
    pub fn quarantines(&self) -> u64 {
        self.root.totals.quarantines.load(Ordering::Relaxed)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// An actor.
    Actor,
    /// A supervisor of actors or groups.
    Group,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// At work.
    Running,
    /// Failed; waits for its backoff.
    Restarting,
    /// Failed too often; set aside for a while.
    Quarantined,
    /// Handing on what it has, before it ends.
    Draining,
    /// Ended.
    Stopped,
}

/// One node, copied out of the live tree.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    /// Its name inside its group.
    pub name: String,
    /// Actor or group.
    pub kind: NodeKind,
    /// What it is doing.
    pub state: NodeState,
    /// Restarts since it was made.
    pub restarts: u64,
    /// How it last ended; `None` where it never did.
    pub last_exit: Option<Exit>,
    /// When it last ended, as nanoseconds since the epoch.
    pub last_exit_at_ns: Option<i64>,
    /// Units queued or being handled; `None` for a group.
    pub depth: Option<u32>,
    /// Units its mailbox holds at most.
    pub capacity: Option<u32>,
    /// Time senders waited for its mailbox, in nanoseconds.
    pub backpressure_ns: Option<u64>,
    /// Children in start order.
    pub children: Vec<NodeView>,
}

#[derive(Debug, Default)]
struct Totals {
    restarts: [AtomicU64; ExitKind::ALL.len()],
    quarantines: AtomicU64,
    cut_short: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
pub(crate) struct Node {
    path: Arc<str>,
    name: String,
    kind: NodeKind,
    gauge: Option<Arc<MailboxGauge>>,
    totals: Arc<Totals>,
    live: Mutex<Live>,
    children: Mutex<BTreeMap<u64, Arc<Node>>>,
}

#[derive(Debug)]
struct Live {
    state: NodeState,
    restarts: u64,
    last_exit: Option<(Exit, SystemTime)>,
}

impl Node {
    pub fn root(name: &str) -> Arc<Self> {
        Self::make(name.into(), name.into(), NodeKind::Group, None, Arc::default())
    }

    pub fn child(
        self: &Arc<Self>,
        key: u64,
        name: &str,
        kind: NodeKind,
        gauge: Option<Arc<MailboxGauge>>,
    ) -> Arc<Self> {
        let node = Self::make(format!("{}/{name}", self.path).into(), name.into(), kind, gauge, self.totals.clone());
        lock(&self.children).insert(key, node.clone());
        node
    }

    fn make(
        path: Arc<str>,
        name: String,
        kind: NodeKind,
        gauge: Option<Arc<MailboxGauge>>,
        totals: Arc<Totals>,
    ) -> Arc<Self> {
        let live = Mutex::new(Live { state: NodeState::Running, restarts: 0, last_exit: None });
        Arc::new(Self { path, name, kind, gauge, totals, live, children: Mutex::default() })
    }

    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub fn forget(&self, key: u64) {
        lock(&self.children).remove(&key);
    }

    pub fn forget_children(&self) {
        lock(&self.children).clear();
    }

    pub fn set_state(&self, state: NodeState) {
        lock(&self.live).state = state;
    }

    pub fn exited(&self, exit: &Exit) {
        let mut live = lock(&self.live);
        live.state = NodeState::Stopped;
        live.last_exit = Some((exit.clone(), SystemTime::now()));
    }

    pub fn restarted(&self, after: ExitKind) {
        let mut live = lock(&self.live);
        live.state = NodeState::Running;
        live.restarts += 1;
        self.totals.restarts[after as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn quarantined(&self) {
        self.set_state(NodeState::Quarantined);
        self.totals.quarantines.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the actors at and below this node that have not ended: they are about to be killed in a drain.
    pub fn cut_short(&self) {
        let mut names = self.unfinished();
        let mut noted = lock(&self.totals.cut_short);
        // A group and the group above it may both be over their time.
        names.retain(|name| noted.insert(name.clone()));
        drop(noted);
        if !names.is_empty() {
            tracing::warn!(actors = ?names, "drain deadline passed; ending what still runs");
        }
    }

    /// Forgets what [`Node::cut_short`] noted so far.
    pub fn forget_cut_short(&self) {
        lock(&self.totals.cut_short).clear();
    }

    /// Everything noted by [`Node::cut_short`], anywhere in the tree, in the order of the alphabet.
    pub fn all_cut_short(&self) -> Vec<String> {
        lock(&self.totals.cut_short).iter().cloned().collect()
    }

    fn unfinished(&self) -> Vec<String> {
        let children: Vec<_> = lock(&self.children).values().cloned().collect();
        let mut names: Vec<String> = children.iter().flat_map(|child| child.unfinished()).collect();
        if self.kind == NodeKind::Actor && lock(&self.live).state != NodeState::Stopped {
            names.push(self.path.to_string());
        }
        names
    }

    fn view(&self) -> NodeView {
        let children: Vec<_> = lock(&self.children).values().cloned().collect();
        let live = lock(&self.live);
        NodeView {
            name: self.name.clone(),
            kind: self.kind,
            state: live.state,
            restarts: live.restarts,
            last_exit: live.last_exit.as_ref().map(|(exit, _)| exit.clone()),
            last_exit_at_ns: live
                .last_exit
                .as_ref()
                .and_then(|(_, at)| i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()).ok()),
            depth: self.gauge.as_ref().map(|gauge| gauge.depth()),
            capacity: self.gauge.as_ref().map(|gauge| gauge.capacity()),
            backpressure_ns: self
                .gauge
                .as_ref()
                .map(|gauge| u64::try_from(gauge.waited().as_nanos()).unwrap_or(u64::MAX)),
            children: children.iter().map(|child| child.view()).collect(),
        }
    }
}

/// A panic while the lock was held leaves the data whole: every update is a plain assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
