//! A group at work: starts, failures, restarts, additions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::timers::Timers;
use super::{Build, ChildExit, Ending, Exits, GroupEvent, GroupHandle, GroupSpec, Quarantine};
use crate::child::{Command, Seed};
use crate::panics::{Entered, text_of};
use crate::policy::{FailureWindow, Verdict};
use crate::tree::Node;
use crate::{Backoff, ChildSpec, Exit, Intensity, NodeKind, NodeState, RestartPolicy, Shutdown, Strategy};

/// The living group.
pub(super) struct Group {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    quarantine: Option<Quarantine>,
    exits: Option<Exits>,
    last_drain: Option<Duration>,
    handle: GroupHandle,
    events: mpsc::UnboundedReceiver<GroupEvent>,
    pub(super) timers: Timers,
    pub(super) node: Arc<Node>,
    /// By key; keys grow and are never used again, so this is start order, and events of former children find nobody.
    pub(super) children: BTreeMap<u64, Child>,
    dynamic: HashMap<String, u64>,
    /// Groups below that are to begin anew, one after another: what a group builds, the later ones take up.
    pub(super) rebuilding: VecDeque<u64>,
    /// Additions and removals that came while the group was between two lives.
    pub(super) deferred: Vec<GroupEvent>,
    window: FailureWindow,
    next_key: u64,
}

pub(super) struct Child {
    pub id: String,
    pub kind: NodeKind,
    pub policy: RestartPolicy,
    pub shutdown: Shutdown,
    pub is_dynamic: bool,
    pub node: Arc<Node>,
    commands: mpsc::UnboundedSender<Command>,
    pub phase: Phase,
    /// The number of its life.
    epoch: u64,
    /// Its own failures: for its backoff, and for its quarantine.
    window: FailureWindow,
    /// How this life of it ended.
    pub last_exit: Option<Exit>,
    /// Failures since it was asked to drain.
    pub drain_failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Has exited; a `RestartDue` is on its way.
    Waiting,
    /// Is to end for good by itself.
    Leaving,
    /// Was told to end now.
    Killed,
}

impl Child {
    pub fn tell(&self, command: Command) {
        self.commands.send(command).ok();
    }

    /// Ends the life before, if it has not ended, and begins a new one.
    pub fn restart(&mut self) {
        self.phase = Phase::Running;
        self.last_exit = None;
        self.epoch += 1;
        self.tell(Command::Restart { epoch: self.epoch });
    }

    /// Whether `epoch` is the number of its present life.
    pub const fn is_life(&self, epoch: u64) -> bool {
        self.epoch == epoch
    }

    const fn is_staying(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Waiting)
    }
}

impl Group {
    pub fn new(spec: GroupSpec, node: Arc<Node>) -> (Self, Build) {
        let GroupSpec { strategy, intensity, backoff, quarantine, exits, last_drain, build, handle, events, .. } = spec;
        let group = Self {
            strategy,
            intensity,
            backoff,
            quarantine,
            exits,
            last_drain,
            handle,
            events,
            timers: Timers::default(),
            node,
            children: BTreeMap::new(),
            dynamic: HashMap::new(),
            rebuilding: VecDeque::new(),
            deferred: Vec::new(),
            window: FailureWindow::default(),
            next_key: 0,
        };
        (group, build)
    }

    /// Runs until the group gives up or its parent ends it; then no child is left.
    pub async fn live(&mut self, build: &mut Build, seed: &mut Seed) -> Ending {
        loop {
            if let Err(panicked) = self.populate(build) {
                return Ending::Failed(panicked);
            }
            seed.begun();
            loop {
                tokio::select! {
                    biased;
                    command = seed.commands.recv() => match command {
                        Some(Command::Drain { until }) => return Ending::Told(self.drain(until, seed).await),
                        Some(Command::Restart { epoch }) => {
                            self.kill_all().await;
                            seed.epoch = epoch;
                            self.node.exited(&Exit::Killed);
                            self.node.restarted(Exit::Killed.kind());
                            break;
                        }
                        Some(Command::Kill) | None => {
                            self.kill_all().await;
                            return Ending::Told(Exit::Killed);
                        }
                    },
                    event = self.next_event() => if let Some(escalated) = self.react(event) {
                        if let Some(grace) = self.last_drain {
                            let until = Instant::now().checked_add(grace).unwrap_or_else(super::far_future);
                            self.drain(until, seed).await;
                        }
                        self.kill_all().await;
                        return Ending::Failed(escalated);
                    },
                }
            }
        }
    }

    /// Starts the static children, and what was added while there was no group to add to.
    fn populate(&mut self, build: &mut Build) -> Result<(), Exit> {
        self.window.clear();
        let children = catch_unwind(AssertUnwindSafe(|| {
            let _entered = Entered::new(self.node.path());
            build(&self.handle)
        }))
        .map_err(|panic| Exit::Panicked(text_of(&*panic).to_owned()))?;
        for child in children {
            self.start(child, false);
        }
        for event in std::mem::take(&mut self.deferred) {
            self.react(event);
        }
        Ok(())
    }

    /// The next event, its timers' included. Cancel safe.
    pub(super) async fn next_event(&mut self) -> GroupEvent {
        let Self { timers, events, .. } = self;
        tokio::select! {
            biased;
            event = timers.next() => event,
            Some(event) = events.recv() => event,
        }
    }

    fn start(&mut self, spec: ChildSpec, is_dynamic: bool) {
        let key = self.next_key;
        self.next_key += 1;
        let (kind, gauge) = spec.node_parts();
        let node = self.node.child(key, &spec.id, kind, gauge);
        #[expect(clippy::disallowed_methods, reason = "commands: a few in a child's life")]
        let (commands, receiver) = mpsc::unbounded_channel();
        let child = Child {
            id: spec.id.clone(),
            kind,
            policy: spec.policy,
            shutdown: spec.shutdown,
            is_dynamic,
            node: node.clone(),
            commands,
            phase: Phase::Running,
            epoch: 0,
            window: FailureWindow::default(),
            last_exit: None,
            drain_failures: 0,
        };
        if is_dynamic {
            self.dynamic.insert(child.id.clone(), key);
        }
        self.children.insert(key, child);
        spec.launch(Seed::new(key, node, receiver, self.handle.events.clone()));
    }

    /// Handles one event; an exit where the group has to give up.
    fn react(&mut self, event: GroupEvent) -> Option<Exit> {
        match event {
            GroupEvent::Exited { key, epoch, exit } => {
                let escalated = self.child_exited(key, epoch, exit);
                self.rebuilt(key);
                return escalated;
            }
            GroupEvent::Ended { key, exit } => {
                let escalated = self.child_ended(key, exit);
                self.rebuilt(key);
                return escalated;
            }
            GroupEvent::Begun { key, epoch } => self.child_begun(key, epoch),
            GroupEvent::RestartDue { key, epoch } => self.restart_due(key, epoch),
            GroupEvent::KillDue { key } => self.kill(key),
            GroupEvent::GoneDue { key } => {
                if let Some(child) = self.give_up_on(key) {
                    self.tell_exit(child);
                }
            }
            // A former life's.
            GroupEvent::DrainOver => {}
            GroupEvent::Add(spec) => {
                if self.dynamic.contains_key(spec.id()) {
                    tracing::warn!(group = &**self.node.path(), child = spec.id(), "added twice; the first one stays");
                } else {
                    self.start(*spec, true);
                }
            }
            GroupEvent::Remove(id) => self.remove(&id),
        }
        None
    }

    /// Decides what follows the exit of a child; an exit where the group has to give up.
    pub(super) fn child_exited(&mut self, key: u64, epoch: u64, exit: Exit) -> Option<Exit> {
        // A restart of the group may have overtaken the report.
        let child = self.children.get_mut(&key).filter(|child| child.is_life(epoch))?;
        child.last_exit = Some(exit.clone());
        if child.is_staying() && !child.policy.restarts(&exit) {
            child.phase = Phase::Leaving;
        }
        if !child.is_staying() {
            child.tell(Command::Kill);
            return None;
        }
        let now = Instant::now();
        let quarantine = self.quarantine.filter(|_| child.is_dynamic);
        let own = child.window.record(quarantine.map_or(self.intensity, |quarantine| quarantine.intensity), now);
        let verdict = if quarantine.is_some() { own } else { self.window.record(self.intensity, now) };
        let delay = match (verdict, quarantine) {
            (Verdict::Restart(_), _) => {
                child.node.set_state(NodeState::Restarting);
                self.backoff.delay(own.failures())
            }
            (Verdict::Exceeded(_), Some(quarantine)) => {
                child.node.quarantined();
                child.window.clear();
                quarantine.lasting
            }
            (Verdict::Exceeded(restarts), None) => {
                tracing::error!(group = &**self.node.path(), child = child.id, restarts, last = %exit, "gives up: too many failures");
                child.phase = Phase::Leaving;
                return Some(Exit::Escalated { restarts, last: Box::new(exit) });
            }
        };
        tracing::warn!(actor = &**child.node.path(), exit = %exit, delay_ms = delay.as_millis(), "restarts after its exit");
        child.phase = Phase::Waiting;
        self.timers.after(delay, GroupEvent::RestartDue { key, epoch });
        None
    }

    pub(super) fn restart_due(&mut self, key: u64, epoch: u64) {
        let Some(failed) =
            self.children.get(&key).filter(|child| child.is_life(epoch) && child.phase == Phase::Waiting)
        else {
            return;
        };
        let alone = failed.is_dynamic || self.strategy == Strategy::OneForOne;
        let mut groups = Vec::new();
        for (other, child) in &mut self.children {
            let affected = *other == key
                || (!alone && !child.is_dynamic && (self.strategy == Strategy::OneForAll || *other > key));
            match child.kind {
                _ if !affected || !child.is_staying() => {}
                NodeKind::Actor => child.restart(),
                NodeKind::Group => groups.push(*other),
            }
        }
        self.rebuild(groups);
    }

    /// Has these groups begin anew in start order, each when the one before has begun.
    fn rebuild(&mut self, groups: Vec<u64>) {
        let is_idle = self.rebuilding.is_empty();
        let under_way = self.rebuilding.front().copied();
        // A group that is under way builds from what is there now; it begins once more if it is among these.
        self.rebuilding.retain(|key| Some(*key) == under_way || !groups.contains(key));
        self.rebuilding.extend(groups);
        if is_idle {
            self.rebuild_next();
        }
    }

    fn rebuild_next(&mut self) {
        while let Some(next) = self.rebuilding.front() {
            match self.children.get_mut(next).filter(|child| child.is_staying()) {
                Some(child) => return child.restart(),
                None => drop(self.rebuilding.pop_front()),
            }
        }
    }

    pub(super) fn child_begun(&mut self, key: u64, epoch: u64) {
        if self.children.get(&key).is_some_and(|child| child.is_life(epoch)) {
            self.rebuilt(key);
        }
    }

    /// The group under way has begun, or will not: it is the next one's turn.
    fn rebuilt(&mut self, key: u64) {
        if self.rebuilding.front() == Some(&key) {
            self.rebuilding.pop_front();
            self.rebuild_next();
        }
    }

    /// The task of a child is gone. One that was to stay was never built, or its thread died under it.
    fn child_ended(&mut self, key: u64, exit: Option<Exit>) -> Option<Exit> {
        let child = self.bury(key, exit)?;
        if child.is_dynamic {
            self.tell_exit(child);
            return None;
        }
        let last = child.last_exit.clone().unwrap_or(Exit::Killed);
        child.node.exited(&last);
        if !child.is_staying() || !child.policy.restarts(&last) {
            return None;
        }
        tracing::error!(group = &**self.node.path(), child = child.id, last = %last, "gives up: a child is gone");
        Some(Exit::Escalated { restarts: 0, last: Box::new(last) })
    }

    /// Forgets a child whose task is gone, or that is given up on. A static one stays visible in the tree.
    pub(super) fn bury(&mut self, key: u64, exit: Option<Exit>) -> Option<Child> {
        let mut child = self.children.remove(&key)?;
        child.last_exit = exit.or(child.last_exit);
        if child.is_dynamic {
            self.node.forget(key);
            if self.dynamic.get(&child.id) == Some(&key) {
                self.dynamic.remove(&child.id);
            }
        }
        Some(child)
    }

    fn tell_exit(&self, child: Child) {
        if let Some(exits) = &self.exits {
            exits(ChildExit { id: child.id, exit: child.last_exit.unwrap_or(Exit::Killed) });
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(key) = self.dynamic.remove(id) else { return };
        let Some(child) = self.children.get_mut(&key) else { return };
        match child.shutdown {
            Shutdown::Timeout(limit) if child.phase == Phase::Running => {
                child.phase = Phase::Leaving;
                let until = Instant::now().checked_add(limit).unwrap_or_else(super::far_future);
                child.tell(Command::Drain { until });
                self.timers.at(until, GroupEvent::KillDue { key });
            }
            _ => self.kill(key),
        }
    }
}
