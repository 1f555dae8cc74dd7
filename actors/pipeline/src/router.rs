//! Which parser gets what: the frames of one series, the observations of one object and the lines of one container
//! always go to the same one, so their order holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use actor_runtime::{Control, Mailbox, Outlet};
use model::ContainerId;

use crate::messages::{Observation, RawFrame, RawLog};
use crate::parser::{Forget, Parser};

/// The ways to all parsers. Cheap to clone: every stream has one.
#[derive(Clone)]
pub struct Router {
    parsers: Arc<[Lane]>,
}

struct Lane {
    frames: Outlet<RawFrame>,
    observations: Outlet<Observation>,
    logs: Outlet<RawLog>,
    forget: Control<Forget>,
}

impl Router {
    /// A router to these parsers; at least one.
    pub fn new(parsers: &[Mailbox<Parser>]) -> Self {
        assert!(!parsers.is_empty(), "a router needs a parser");
        let lane = |parser: &Mailbox<Parser>| Lane {
            frames: parser.outlet(),
            observations: parser.outlet(),
            logs: parser.outlet(),
            forget: parser.control(),
        };
        Self { parsers: parsers.iter().map(lane).collect() }
    }

    /// The way for frames of a series.
    pub fn frames(&self, series: u64) -> &Outlet<RawFrame> {
        &self.lane(series).frames
    }

    /// The way for observations of one object, such as a container's id.
    pub fn observations(&self, object: &str) -> &Outlet<Observation> {
        &self.lane(hash_of(object)).observations
    }

    /// The way for lines of one container.
    pub fn logs(&self, container: &ContainerId) -> &Outlet<RawLog> {
        &self.lane(hash_of(container.as_str())).logs
    }

    /// Tells the parser of a series that it has ended.
    pub fn forget(&self, series: u64) {
        self.lane(series).forget.signal(Forget(series));
    }

    fn lane(&self, key: u64) -> &Lane {
        let count = self.parsers.len() as u64;
        &self.parsers[usize::try_from(key % count).unwrap_or(0)]
    }
}

fn hash_of(object: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    hasher.finish()
}
