//! How a group ends: a drain in order, within its time, or a kill.

use std::time::Duration;

use tokio::time::Instant;

use super::living::{Child, Group, Phase};
use super::{GroupEvent, far_future};
use crate::child::{Command, Seed};
use crate::{Exit, NodeKind, NodeState, Shutdown};

/// A killed actor is given so long to go; on a blocked thread it never does.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// Failures a child may have while it drains, before it is ended.
const DRAIN_RESTARTS: u32 = 3;

impl Group {
    /// Drains: dynamic children all at once, then the static ones one by one in reverse start order.
    ///
    /// `Drained` where every child handed on what it had. A kill from above ends it at once.
    pub async fn drain(&mut self, mut until: Instant, seed: &mut Seed) -> Exit {
        self.node.set_state(NodeState::Draining);
        self.timers.at(until, GroupEvent::DrainOver);
        // The one for which the group gives up has ended: who sends to it gets its messages back.
        for child in self.children.values().filter(|child| child.phase == Phase::Leaving && child.last_exit.is_some()) {
            child.tell(Command::Kill);
        }
        let mut is_clean = true;
        let mut is_over = false;
        let mut asked: Vec<u64> = Vec::new();
        while !self.children.is_empty() {
            asked.retain(|key| self.children.contains_key(key));
            if asked.is_empty() {
                asked = self.next_to_drain();
                for key in &asked {
                    self.ask_to_drain(*key, until);
                }
            }
            tokio::select! {
                biased;
                command = seed.commands.recv(), if !is_over => match command {
                    Some(Command::Drain { until: sooner }) if sooner < until => {
                        until = sooner;
                        self.timers.at(until, GroupEvent::DrainOver);
                    }
                    Some(Command::Drain { .. }) => {}
                    Some(Command::Restart { epoch }) => {
                        seed.postponed = Some(epoch);
                        is_over = true;
                        self.cut_all_short();
                    }
                    Some(Command::Kill) | None => {
                        is_over = true;
                        self.cut_all_short();
                    }
                },
                event = self.next_event() => is_clean &= self.react_in_drain(event, until),
            }
        }
        if is_clean { Exit::Drained } else { Exit::Killed }
    }

    /// The children that stand most upstream.
    fn next_to_drain(&self) -> Vec<u64> {
        let dynamic: Vec<u64> =
            self.children.iter().filter(|(_, child)| child.is_dynamic).map(|(key, _)| *key).collect();
        if dynamic.is_empty() { self.children.keys().next_back().copied().into_iter().collect() } else { dynamic }
    }

    fn ask_to_drain(&mut self, key: u64, until: Instant) {
        let Some(child) = self.children.get_mut(&key) else { return };
        let own = match child.shutdown {
            Shutdown::Timeout(own) => Instant::now().checked_add(own).unwrap_or_else(far_future),
            Shutdown::Kill => return self.kill(key),
        };
        match (child.phase, child.kind) {
            // Its children are gone, and what was queued for them.
            (Phase::Waiting, NodeKind::Group) => return self.kill(key),
            // What is queued for it can only be handed on by a living actor.
            (Phase::Waiting, NodeKind::Actor) => child.restart(),
            (Phase::Running, _) => {}
            (Phase::Leaving | Phase::Killed, _) => return,
        }
        child.phase = Phase::Leaving;
        child.tell(Command::Drain { until: own.min(until) });
        // A group keeps its time itself, and so does this one where the child's own limit is not the shorter.
        if child.kind == NodeKind::Actor && own < until {
            self.timers.at(own, GroupEvent::KillDue { key });
        }
    }

    /// Handles one event; false where a child ended and had not handed on what it had.
    fn react_in_drain(&mut self, event: GroupEvent, until: Instant) -> bool {
        match event {
            GroupEvent::Exited { key, epoch, exit } => self.exited_in_drain(key, epoch, exit, until),
            GroupEvent::Ended { key, exit } => return self.bury(key, exit).is_none_or(|child| child.has_drained()),
            GroupEvent::Begun { key, epoch } => self.child_begun(key, epoch),
            GroupEvent::RestartDue { key, epoch } => self.restart_due(key, epoch),
            GroupEvent::KillDue { key } => self.cut_short(key),
            GroupEvent::GoneDue { key } => return self.give_up_on(key).is_none(),
            GroupEvent::DrainOver if Instant::now() >= until => self.cut_all_short(),
            GroupEvent::DrainOver => {}
            // What drains already need not be removed, and what is added would drain at once.
            GroupEvent::Add(_) | GroupEvent::Remove(_) => {}
        }
        true
    }

    fn exited_in_drain(&mut self, key: u64, epoch: u64, exit: Exit, until: Instant) {
        let Some(child) = self.children.get_mut(&key) else { return };
        match child.phase {
            Phase::Killed => {}
            Phase::Leaving => {
                let may_retry = child.kind == NodeKind::Actor && child.drain_failures < DRAIN_RESTARTS;
                if may_retry && exit.is_abnormal() && child.policy.restarts(&exit) && child.is_life(epoch) {
                    tracing::warn!(actor = &**child.node.path(), exit = %exit, "failed while it drained; tries again");
                    child.drain_failures += 1;
                    child.restart();
                    child.phase = Phase::Leaving;
                    child.tell(Command::Drain { until });
                } else if child.is_life(epoch) {
                    child.last_exit = Some(exit);
                    child.tell(Command::Kill);
                }
            }
            // It stands downstream, and is still needed; but this group gives up no more.
            Phase::Running | Phase::Waiting => {
                if self.child_exited(key, epoch, exit).is_some() {
                    self.kill(key);
                }
            }
        }
    }

    /// Ends all children in reverse start order, without asking.
    pub async fn kill_all(&mut self) {
        while let Some((&last, _)) = self.children.last_key_value() {
            self.kill(last);
            while self.children.contains_key(&last) {
                match self.next_event().await {
                    GroupEvent::Ended { key, exit } => {
                        self.bury(key, exit);
                    }
                    GroupEvent::GoneDue { key } => {
                        self.give_up_on(key);
                        // The others do not wait for blocked threads one after another.
                        let rest: Vec<u64> = self.children.keys().rev().copied().collect();
                        rest.into_iter().for_each(|key| self.kill(key));
                    }
                    event @ (GroupEvent::Add(_) | GroupEvent::Remove(_)) => self.deferred.push(event),
                    GroupEvent::Exited { .. }
                    | GroupEvent::Begun { .. }
                    | GroupEvent::RestartDue { .. }
                    | GroupEvent::KillDue { .. }
                    | GroupEvent::DrainOver => {}
                }
            }
        }
        self.timers.clear();
        self.rebuilding.clear();
        self.node.forget_children();
    }

    /// Tells a child to end now.
    pub(super) fn kill(&mut self, key: u64) {
        let Some(child) = self.children.get_mut(&key).filter(|child| child.phase != Phase::Killed) else { return };
        child.phase = Phase::Killed;
        child.tell(Command::Kill);
        // A group lives on this thread, and ends by itself.
        if child.kind == NodeKind::Actor {
            self.timers.after(AFTER_KILL, GroupEvent::GoneDue { key });
        }
    }

    /// Kills a child whose time to drain is over, and notes what of it still runs.
    fn cut_short(&mut self, key: u64) {
        if let Some(child) = self.children.get(&key) {
            child.node.cut_short();
            self.kill(key);
        }
    }

    fn cut_all_short(&mut self) {
        let keys: Vec<u64> = self.children.keys().rev().copied().collect();
        keys.into_iter().for_each(|key| self.cut_short(key));
    }

    /// Goes on without a child that was killed and does not end.
    pub(super) fn give_up_on(&mut self, key: u64) -> Option<Child> {
        let child = self.bury(key, None)?;
        tracing::error!(actor = &**child.node.path(), "does not end: its thread is blocked");
        Some(child)
    }
}

impl Child {
    /// Whether it ended as it should in a drain. One that is to be killed has nothing to hand on.
    fn has_drained(&self) -> bool {
        self.shutdown == Shutdown::Kill || self.last_exit.as_ref().is_some_and(|exit| !exit.is_abnormal())
    }
}
