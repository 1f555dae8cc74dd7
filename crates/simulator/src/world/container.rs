//! One container: what it is, what it does, who watches it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use super::logs::Log;
use crate::connection::Connection;
use crate::counters::{Counters, Machine, Meter, Truth};
use crate::faults::FrameFault;
use crate::frame::{Layout, Previous};
use crate::profile::Cgroup;
use crate::spec::ContainerSpec;

/// Number of a container within its host, in order of creation.
pub(crate) type Key = u64;

pub(crate) struct Container {
    pub(crate) key: Key,
    pub(crate) id: String,
    /// What its image's name meant when it was made.
    pub(crate) image_id: String,
    pub(crate) spec: ContainerSpec,
    pub(crate) created_at: Timestamp,
    pub(crate) state: State,
    pub(crate) pid: u64,
    pub(crate) exit_code: i64,
    pub(crate) oom_killed: bool,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// Raised by every start and every end: what was scheduled for an earlier life is ignored.
    pub(crate) life: u64,
    /// Starts by the restart policy since a person started it.
    pub(crate) restarts: u64,
    pub(crate) health: Option<Health>,
    meter: Meter,
    /// Time by which the meter was last moved.
    metered_at: Duration,
    rng: fastrand::Rng,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) stalled: bool,
    pub(crate) next_frames: VecDeque<FrameFault>,
    pub(crate) sequence: u64,
    pub(crate) truth: VecDeque<Truth>,
    pub(crate) frames: FrameCounts,
    pub(crate) log: Log,
}

/// What the engine says a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs, by its restart policy.
    Restarting,
    /// Ended.
    Exited,
}

impl State {
    /// The engine's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    pub(crate) const fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// The result of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No probe ended yet.
    Starting,
    /// The last probe was good.
    Healthy,
    /// Three probes in a row failed.
    Unhealthy,
}

impl Health {
    /// The engine's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Frames of one container, summed over its streams and polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Whole frames with counters.
    pub sent: u64,
    /// Zero frames: the container did not run.
    pub zero: u64,
    /// Frames spoiled by a fault.
    pub spoiled: u64,
    /// Frames held back by a stall.
    pub withheld: u64,
    /// Frames dropped because the reader lagged too far behind.
    pub dropped: u64,
}

impl std::ops::AddAssign for FrameCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.zero += other.zero;
        self.spoiled += other.spoiled;
        self.withheld += other.withheld;
        self.dropped += other.dropped;
    }
}

/// Someone who asked for stats.
pub(crate) struct Watcher {
    pub(crate) connection: Arc<Connection>,
    pub(crate) wish: Wish,
    pub(crate) previous: Option<Previous>,
}

impl Watcher {
    pub(crate) fn is_open_stream(&self) -> bool {
        matches!(self.wish, Wish::Stream) && !self.connection.is_broken()
    }
}

/// What a watcher waits for.
#[derive(Clone, Copy)]
pub(crate) enum Wish {
    /// A frame at every visit.
    Stream,
    /// One frame, after this many visits.
    Poll { visits: u8, layout: Layout },
}

impl Container {
    pub(crate) fn new(
        key: Key,
        id: String,
        image_id: String,
        spec: ContainerSpec,
        created_at: Timestamp,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            key,
            id,
            image_id,
            spec,
            created_at,
            state: State::Created,
            pid: 0,
            exit_code: 0,
            oom_killed: false,
            started_at: None,
            finished_at: None,
            life: 0,
            restarts: 0,
            health: None,
            meter: Meter::default(),
            metered_at: Duration::ZERO,
            rng,
            watchers: Vec::new(),
            stalled: false,
            next_frames: VecDeque::new(),
            sequence: 0,
            truth: VecDeque::new(),
            frames: FrameCounts::default(),
            log: Log::default(),
        }
    }

    /// Begins a run: all counters start again.
    pub(crate) fn begin_run(&mut self, at: Timestamp, elapsed: Duration) {
        self.life += 1;
        self.state = State::Running;
        self.pid = 1000 + self.key * 16 + self.life % 16;
        self.exit_code = 0;
        self.oom_killed = false;
        self.started_at = Some(at);
        self.health = self.spec.health_interval.map(|_| Health::Starting);
        self.meter = Meter::default();
        self.metered_at = elapsed;
    }

    /// Ends the run. Counters are gone with it.
    pub(crate) fn end_run(&mut self, exit_code: i64, at: Timestamp) {
        self.life += 1;
        self.state = State::Exited;
        self.pid = 0;
        self.exit_code = exit_code;
        self.finished_at = Some(at);
    }

    /// Brings the counters up to `elapsed`; a paused container stands still.
    pub(crate) fn meter_to(&mut self, elapsed: Duration, machine: Machine) {
        let time = elapsed.saturating_sub(self.metered_at);
        self.metered_at = elapsed;
        if self.state == State::Running && !time.is_zero() {
            self.meter.advance(&self.spec, machine, time, &mut self.rng);
        }
    }

    /// The counters as a frame shows them.
    pub(crate) fn counters(&mut self, machine: Machine, cgroup: Cgroup, system_ns: u64) -> Counters {
        self.meter.counters(&self.spec, machine, cgroup, system_ns)
    }

    /// Attributes of its events: labels first, then `image` and `name` over them, as the engine does.
    pub(crate) fn attributes(&self) -> std::collections::BTreeMap<String, String> {
        let mut attributes = self.spec.labels.clone();
        attributes.insert("image".into(), self.spec.image.clone());
        attributes.insert("name".into(), self.spec.name.clone());
        attributes
    }
}
