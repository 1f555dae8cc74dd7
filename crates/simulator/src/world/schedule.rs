//! What falls due by the engine's clock: restarts by policy, containers that end by themselves, health probes, churn.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Health, Key, State, World};
use crate::counters::time_to_limit;

/// Something to do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(Reverse<(Duration, u64)>, Key, u64, Action);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// The restart policy starts it.
    StartAgain,
    /// It ends by itself, with this code.
    Exit(i64),
    /// It outgrew its memory limit.
    Oom,
    /// A health probe.
    Probe,
    /// Lines are due.
    Write,
    /// Something comes or goes.
    Churn,
}

impl World {
    /// Plans `action` for the present life of a container: a start or an end in between voids it.
    pub(super) fn schedule(&mut self, after: Duration, key: Key, action: Action) {
        let life = self.container(key).life;
        self.push_due(after, key, life, action);
    }

    /// Plans the next step of the churn; `epoch` voids the steps of an earlier rate.
    pub(crate) fn schedule_churn(&mut self, after: Duration, epoch: u64) {
        self.push_due(after, Key::MAX, epoch, Action::Churn);
    }

    fn push_due(&mut self, after: Duration, key: Key, life: u64, action: Action) {
        self.scheduled += 1;
        // Nothing repeats at once: a period of zero would never let go.
        let after = after.max(Duration::from_millis(1));
        self.due.push(Due(Reverse((self.clock.elapsed() + after, self.scheduled)), key, life, action));
    }

    /// Plans what a run that begins has before it.
    pub(super) fn plan_run(&mut self, key: Key) {
        let spec = &self.container(key).spec;
        let (lives_for, limit, probe) = (spec.lives_for, time_to_limit(spec), spec.health_interval);
        if let Some(after) = lives_for {
            self.schedule(after, key, Action::Exit(1));
        }
        if let Some(after) = limit {
            self.schedule(after, key, Action::Oom);
        }
        if let Some(after) = probe {
            self.schedule(after, key, Action::Probe);
        }
    }

    /// Does what is due. Each action happens at most once, whatever the time that passed.
    pub(crate) fn run_due(&mut self) {
        let now = self.clock.elapsed();
        while self.due.peek().is_some_and(|Due(Reverse((at, _)), ..)| *at <= now) {
            let Some(Due(_, key, life, action)) = self.due.pop() else { break };
            if action == Action::Churn {
                self.churn_step(life);
            } else if self.containers.get(&key).is_some_and(|container| container.life == life) {
                self.act(key, action);
            }
        }
        self.end_expired_events();
        self.pump_waiting_logs();
    }

    fn act(&mut self, key: Key, action: Action) {
        // A refusal means it is paused or ended: then the action has no object.
        let _ = match action {
            Action::StartAgain => {
                self.begin(key);
                Ok(())
            }
            Action::Exit(code) => self.exit(key, code),
            Action::Oom => self.oom(key),
            Action::Probe => {
                self.probe(key);
                Ok(())
            }
            Action::Write => {
                self.write_due(key);
                Ok(())
            }
            Action::Churn => Ok(()),
        };
    }

    fn probe(&mut self, key: Key) {
        let container = self.container(key);
        let (state, health, interval) = (container.state, container.health, container.spec.health_interval);
        let Some(interval) = interval else { return };
        if state == State::Running {
            // The state was checked: neither call can refuse.
            let _ = self.exec(key, "/bin/sh -c health-probe");
            if health == Some(Health::Starting) {
                let _ = self.set_health(key, Health::Healthy);
            }
        }
        self.schedule(interval, key, Action::Probe);
    }
}
