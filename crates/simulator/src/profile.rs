//! Which engine is imitated: its version, its shapes, its manners.

use std::sync::LazyLock;

use serde_json::Value;

use crate::frame::{FrameHole, MemoryHole};
use crate::template::Template;

/// The engine a simulated host imitates. Shapes come from frames recorded on the real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Docker 20.10.24, API 1.41, cgroup v1: a one-shot poll waits for the next tick.
    Docker20,
    /// Docker 28.5.2, API 1.51, cgroup v2: a one-shot poll is answered at once, without id and name.
    #[default]
    Docker28,
}

/// The kernel interface behind the counters: it decides their shape and their resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    V1,
    V2,
}

/// Everything of a profile that is text.
pub(crate) struct Shapes {
    pub(crate) frame: Template<FrameHole>,
    pub(crate) frame_one_shot: Template<FrameHole>,
    pub(crate) memory: Template<MemoryHole>,
    pub(crate) inspect: Value,
    pub(crate) info: Value,
    pub(crate) version: Value,
}

impl Profile {
    /// Highest API version, as `(major, minor)`.
    pub const fn api_version(self) -> (u32, u32) {
        match self {
            Self::Docker20 => (1, 41),
            Self::Docker28 => (1, 51),
        }
    }

    /// Lowest API version, as `(major, minor)`.
    pub const fn min_api_version(self) -> (u32, u32) {
        match self {
            Self::Docker20 => (1, 12),
            Self::Docker28 => (1, 24),
        }
    }

    /// The engine's version.
    pub const fn engine_version(self) -> &'static str {
        match self {
            Self::Docker20 => "20.10.24",
            Self::Docker28 => "28.5.2",
        }
    }

    pub(crate) const fn cgroup(self) -> Cgroup {
        match self {
            Self::Docker20 => Cgroup::V1,
            Self::Docker28 => Cgroup::V2,
        }
    }

    /// True where `one-shot=1` is collected in the handler, outside the shared collector (from 25.0 on).
    pub(crate) const fn answers_one_shot_at_once(self) -> bool {
        matches!(self, Self::Docker28)
    }

    /// True where a log's media type says which form it has (from 23.0 on).
    pub(crate) const fn names_log_form(self) -> bool {
        matches!(self, Self::Docker28)
    }

    /// True where `die` carries `execDuration`, and comes after the network's `disconnect`.
    pub(crate) const fn tells_exec_duration(self) -> bool {
        matches!(self, Self::Docker28)
    }

    pub(crate) fn shapes(self) -> &'static Shapes {
        static DOCKER20: LazyLock<Shapes> = LazyLock::new(|| {
            Shapes::new(
                include_str!("../profiles/docker20/frame.json"),
                include_str!("../profiles/docker20/frame.json"),
                include_str!("../profiles/docker20/memory.json"),
                include_str!("../profiles/docker20/inspect.json"),
                include_str!("../profiles/docker20/info.json"),
                include_str!("../profiles/docker20/version.json"),
            )
        });
        static DOCKER28: LazyLock<Shapes> = LazyLock::new(|| {
            Shapes::new(
                include_str!("../profiles/docker28/frame.json"),
                include_str!("../profiles/docker28/frame_one_shot.json"),
                include_str!("../profiles/docker28/memory.json"),
                include_str!("../profiles/docker28/inspect.json"),
                include_str!("../profiles/docker28/info.json"),
                include_str!("../profiles/docker28/version.json"),
            )
        });
        match self {
            Self::Docker20 => &DOCKER20,
            Self::Docker28 => &DOCKER28,
        }
    }
}

impl Shapes {
    fn new(
        frame: &'static str,
        one_shot: &'static str,
        memory: &'static str,
        inspect: &str,
        info: &str,
        version: &str,
    ) -> Self {
        let json = |text: &str| serde_json::from_str(text).expect("embedded documents are JSON");
        Self {
            frame: Template::parse(frame, FrameHole::named).expect("embedded templates name known holes"),
            frame_one_shot: Template::parse(one_shot, FrameHole::named).expect("embedded templates name known holes"),
            memory: Template::parse(memory, MemoryHole::named).expect("embedded templates name known holes"),
            inspect: json(inspect),
            info: json(info),
            version: json(version),
        }
    }
}
