//! What can be done to a container, each with the events the engine tells of it, in its order.

use std::time::Duration;

use super::collect::slot_of;
use super::schedule::Action;
use super::{Health, Key, Refused, State, World};
use crate::events::Event;
use crate::http::LAST_CHUNK;
use crate::spec::{OnSigterm, RestartPolicy};

/// Whether a removal may kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    OnlyStopped,
    Forced,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself: the restart policy decides what follows.
    Own,
    /// A person ended it: the restart policy is silent.
    Asked,
}

const SIGKILL: u8 = 9;
const SIGTERM: u8 = 15;

/// First delay of the restart policy; doubled each time, up to a minute.
const RESTART_DELAY: Duration = Duration::from_millis(100);

impl World {
    pub(crate) fn start(&mut self, key: Key) -> Result<(), Refused> {
        match self.container(key).state {
            State::Running => Err(self.nothing_to_do(key, "already started")),
            State::Paused => Err(self.conflict("cannot start a paused container, try unpause instead")),
            State::Created | State::Exited | State::Restarting => {
                self.container_mut(key).restarts = 0;
                self.begin(key);
                Ok(())
            }
        }
    }

    pub(crate) fn stop(&mut self, key: Key) -> Result<(), Refused> {
        if self.container(key).state == State::Restarting {
            let container = self.container_mut(key);
            container.life += 1;
            container.state = State::Exited;
            self.tell(key, "stop", &[]);
            return Ok(());
        }
        if !self.container(key).state.is_live() {
            return Err(self.nothing_to_do(key, "not running"));
        }
        self.terminate(key);
        Ok(())
    }

    pub(crate) fn restart(&mut self, key: Key) -> Result<(), Refused> {
        if self.container(key).state.is_live() {
            self.terminate(key);
        }
        self.container_mut(key).restarts = 0;
        self.begin(key);
        self.tell(key, "restart", &[]);
        Ok(())
    }

    pub(crate) fn kill(&mut self, key: Key, signal: u8) -> Result<(), Refused> {
        let container = self.container(key);
        if !container.state.is_live() {
            let id = &container.id;
            return Err(self.conflict(format!("Cannot kill container: {id}: Container {id} is not running")));
        }
        let ends = signal == SIGKILL || (signal == SIGTERM && container.spec.on_sigterm == OnSigterm::Ends);
        self.tell(key, "kill", &[("signal", &signal.to_string())]);
        if ends {
            self.die(key, 128 + i64::from(signal), End::Asked);
        }
        Ok(())
    }

    pub(crate) fn pause(&mut self, key: Key) -> Result<(), Refused> {
        match self.container(key).state {
            State::Running => {
                self.meter(key);
                self.container_mut(key).state = State::Paused;
                self.tell(key, "pause", &[]);
                Ok(())
            }
            State::Paused => Err(self.conflict(format!("Container {} is already paused", self.container(key).id))),
            _ => Err(self.conflict(format!("Container {} is not running", self.container(key).id))),
        }
    }

    pub(crate) fn unpause(&mut self, key: Key) -> Result<(), Refused> {
        if self.container(key).state != State::Paused {
            return Err(self.conflict(format!("Container {} is not paused", self.container(key).id)));
        }
        self.meter(key);
        self.container_mut(key).state = State::Running;
        self.tell(key, "unpause", &[]);
        Ok(())
    }

    pub(crate) fn rename(&mut self, key: Key, name: &str) -> Result<(), Refused> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.len() < 2 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(legal) {
            return Err(Refused::new(
                400,
                format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
            ));
        }
        if let Some(holder) = self.by_name.get(name) {
            let holder = &self.container(*holder).id;
            return Err(self.conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\"."
            )));
        }
        let old = std::mem::replace(&mut self.container_mut(key).spec.name, name.to_owned());
        self.by_name.remove(&old);
        self.by_name.insert(name.to_owned(), key);
        self.tell(key, "rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: Key, removal: Removal) -> Result<(), Refused> {
        if self.container(key).state.is_live() {
            if removal == Removal::OnlyStopped {
                let id = &self.container(key).id;
                return Err(self.conflict(format!(
                    "You cannot remove a running container {id}. Stop the container before attempting removal or force remove"
                )));
            }
            self.kill(key, SIGKILL)?;
        }
        self.tell(key, "destroy", &[]);
        let mut gone = self.containers.remove(&key).expect("keys come from find or create, and the lock is held since");
        self.by_id.remove(&gone.id);
        self.agenda[slot_of(key)].remove(&key);
        self.by_name.remove(&gone.spec.name);
        self.served.frames += gone.frames;
        gone.log.close(gone.spec.is_terminal);
        for watcher in &gone.watchers {
            watcher.connection.finish(LAST_CHUNK);
        }
        Ok(())
    }

    /// The kernel kills it for memory.
    pub(crate) fn oom(&mut self, key: Key) -> Result<(), Refused> {
        self.must_run(key)?;
        self.container_mut(key).oom_killed = true;
        self.tell(key, "oom", &[]);
        self.die(key, 137, End::Own);
        Ok(())
    }

    /// It ends by itself.
    pub(crate) fn exit(&mut self, key: Key, code: i64) -> Result<(), Refused> {
        self.must_run(key)?;
        self.die(key, code, End::Own);
        Ok(())
    }

    pub(crate) fn set_health(&mut self, key: Key, health: Health) -> Result<(), Refused> {
        self.must_run(key)?;
        self.container_mut(key).health = Some(health);
        self.tell(key, &format!("health_status: {}", health.name()), &[]);
        Ok(())
    }

    /// A command is run inside it: three events.
    pub(crate) fn exec(&mut self, key: Key, command: &str) -> Result<(), Refused> {
        self.must_run(key)?;
        let id: String = (0..4).map(|_| format!("{:016x}", self.rng.u64(..))).collect();
        self.tell(key, &format!("exec_create: {command}"), &[("execID", &id)]);
        self.tell(key, &format!("exec_start: {command}"), &[("execID", &id)]);
        self.tell(key, "exec_die", &[("execID", &id), ("exitCode", "0")]);
        Ok(())
    }

    /// SIGTERM, and SIGKILL where that is ignored.
    fn terminate(&mut self, key: Key) {
        self.tell(key, "kill", &[("signal", "15")]);
        let code = match self.container(key).spec.on_sigterm {
            OnSigterm::Ends => 0,
            OnSigterm::Ignores => {
                self.tell(key, "kill", &[("signal", "9")]);
                137
            }
        };
        self.die(key, code, End::Asked);
        self.tell(key, "stop", &[]);
    }

    /// Starts a run: `connect`, `start`.
    pub(super) fn begin(&mut self, key: Key) {
        self.tell_network(key, "connect");
        let (at, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.container_mut(key).begin_run(at, elapsed);
        self.tell(key, "start", &[]);
        self.plan_run(key);
        self.begin_log(key);
    }

    fn die(&mut self, key: Key, code: i64, end: End) {
        let profile = self.settings.profile;
        let now = self.clock.now();
        let container = self.container_mut(key);
        let ran = container.started_at.map_or(Duration::ZERO, |started| now.since(started));
        container.end_run(code, now);
        self.end_log(key);
        let (code_text, seconds) = (code.to_string(), ran.as_secs().to_string());
        if profile.tells_exec_duration() {
            self.tell_network(key, "disconnect");
            self.tell(key, "die", &[("execDuration", &seconds), ("exitCode", &code_text)]);
        } else {
            self.tell(key, "die", &[("exitCode", &code_text)]);
            self.tell_network(key, "disconnect");
        }
        let policy = self.container(key).spec.restart;
        let starts_again = end == End::Own
            && match policy {
                RestartPolicy::No => false,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
                RestartPolicy::OnFailure => code != 0,
            };
        if starts_again {
            let container = self.container_mut(key);
            container.state = State::Restarting;
            // A run of ten seconds counts as a success: the delay starts again from the bottom.
            let failures = if ran >= Duration::from_secs(10) { 0 } else { container.restarts.min(9) };
            container.restarts += 1;
            self.schedule(RESTART_DELAY * 2u32.pow(u32::try_from(failures).unwrap_or(9)), key, Action::StartAgain);
        }
    }

    fn tell_network(&mut self, key: Key, action: &str) {
        let (name, kind) = network_of(&self.container(key).spec.network);
        let container = self.container(key).id.clone();
        let event = Event::new("network", action, network_id(name)).attribute("container", container);
        self.publish(event.attribute("name", name).attribute("type", kind));
    }

    pub(super) fn must_run(&self, key: Key) -> Result<(), Refused> {
        if self.container(key).state.is_live() {
            return Ok(());
        }
        Err(self.conflict(format!("Container {} is not running", self.container(key).id)))
    }

    fn nothing_to_do(&self, key: Key, why: &str) -> Refused {
        Refused::new(304, format!("container {} is {why}", self.container(key).spec.name))
    }

    fn conflict(&self, message: impl Into<String>) -> Refused {
        Refused::new(409, message)
    }
}

/// Name and driver of the engine's network for it; one shared with another container shows as none.
pub(crate) fn network_of(network: &crate::spec::Network) -> (&'static str, &'static str) {
    use crate::spec::Network;
    match network {
        Network::Own(_) => ("bridge", "bridge"),
        Network::Host => ("host", "host"),
        Network::None | Network::SharedWith(_) => ("none", "null"),
    }
}

/// Id of a network of this name: the same on every host.
pub(crate) fn network_id(name: &str) -> String {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..4).map(|_| format!("{:016x}", rng.u64(..))).collect()
}
