//! The hosts that are to be watched, and those that are.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_runtime::GroupSpec;
use model::{HostName, Timestamp};
use tokio::sync::Notify;

use super::memory::HostMemory;
use crate::messages::Seen;
use crate::ports::{Journal, Mark};
use crate::position::Place;

/// A host that is to be watched.
#[derive(Clone)]
pub struct Wanted {
    /// Another number than before: the host begins anew.
    pub version: u64,
    /// Makes its group; what is remembered of it outlives every group.
    pub group: Arc<dyn Fn(HostMemory) -> GroupSpec + Send + Sync>,
}

/// Which hosts are to be watched, and which are. Clones share it; it outlives restarts of the set and of the hosts.
#[derive(Clone, Default)]
pub struct Fleet {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    wanted: BTreeMap<HostName, Wanted>,
    /// Hosts whose group lives.
    live: BTreeMap<HostName, Live>,
    /// Every host that was watched and is not forgotten yet.
    known: BTreeMap<HostName, Known>,
}

struct Live {
    version: u64,
    is_leaving: bool,
}

struct Known {
    memory: HostMemory,
    marking: Marking,
    /// It was watched by an earlier process.
    is_old: bool,
}

/// How it is with a host's marks in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marking {
    /// Its records keep them.
    Kept,
    /// They are to go, and the host with them.
    ToGo,
    /// They may have gone, and are to be set again.
    ToCome,
}

/// What is to be done so that the hosts are the wanted ones.
#[derive(Default)]
pub(super) struct Steps {
    /// These groups end.
    pub end: Vec<HostName>,
    /// These begin.
    pub begin: Vec<GroupSpec>,
    /// These are watched no more, and have ended.
    pub retire: Vec<Retired>,
    /// A host that returns waits until what was told of its end has been handed on.
    pub waits: bool,
}

/// A host that is watched no more.
pub(super) struct Retired {
    pub host: HostName,
    /// An earlier process watched it, and told of it.
    pub is_old: bool,
}

/// What is left to be done for hosts that came or went.
pub(super) enum Chore {
    /// To tell the journal.
    Tell(Vec<(Seen, Place)>),
    /// To store these marks of a host, all of them.
    Mark(HostName, Vec<Mark>),
    /// There will be something.
    Later,
    /// All is as it should be.
    Nothing,
}

impl Fleet {
    /// Every host of which the journal knows something was watched by an earlier process: those among them that are not
    /// wanted now are told as removed, as if they were removed now.
    pub fn remember(&self, journal: &dyn Journal) {
        let (marks, mut state) = (journal.marks(), self.lock());
        for host in marks.keys().filter_map(|source| HostMemory::host_of(source)) {
            let known = || Known { memory: HostMemory::resuming(&host, &marks), marking: Marking::Kept, is_old: true };
            state.known.entry(host.clone()).or_insert_with(known);
        }
    }

    /// From now on these hosts are to be watched, and no others.
    pub fn want(&self, hosts: BTreeMap<HostName, Wanted>) {
        self.lock().wanted = hosts;
        self.changed.notify_one();
    }

    /// The hosts that are to be watched.
    pub fn wanted(&self) -> BTreeMap<HostName, Wanted> {
        self.lock().wanted.clone()
    }

    /// The group of all hosts begins anew: none of them lives.
    pub fn none_lives(&self) {
        self.lock().live.clear();
    }

    /// The group of this host has ended for good.
    pub fn ended(&self, host: &str) {
        self.lock().live.retain(|name, _| name.as_str() != host);
        self.changed.notify_one();
    }

    /// Waits until there may be something to do. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is to be done now; `is_handed_on` where nothing that was told waits for a parser. It is taken for done: who
    /// asks does it.
    pub(super) fn steps(&self, journal: &dyn Journal, is_handed_on: bool) -> Steps {
        let (mut state, mut steps) = (self.lock(), Steps::default());
        let marks = LazyCell::new(|| journal.marks());
        let State { wanted, live, known } = &mut *state;
        for (host, living) in live.iter_mut().filter(|(_, living)| !living.is_leaving) {
            if wanted.get(host).is_none_or(|wanted| wanted.version != living.version) {
                living.is_leaving = true;
                steps.end.push(host.clone());
            }
        }
        // A host that is to begin anew waits for its end: there are never two of it.
        for (host, wanted) in wanted.iter().filter(|(host, _)| !live.contains_key(*host)).collect::<Vec<_>>() {
            let remember = || HostMemory::resuming(host, &marks);
            let known = known.entry(host.clone()).or_insert_with(|| Known {
                memory: remember(),
                marking: Marking::Kept,
                is_old: false,
            });
            if known.marking == Marking::ToGo {
                // Its containers' last words are not to overtake their new ones.
                if !is_handed_on {
                    steps.waits = true;
                    continue;
                }
                known.marking = Marking::ToCome;
            }
            live.insert(host.clone(), Live { version: wanted.version, is_leaving: false });
            steps.begin.push((wanted.group)(known.memory.clone()));
        }
        for (host, known) in known.iter_mut() {
            if !wanted.contains_key(host) && !live.contains_key(host) && known.marking != Marking::ToGo {
                known.marking = Marking::ToGo;
                steps.retire.push(Retired { host: host.clone(), is_old: known.is_old });
            }
        }
        steps
    }

    /// What is to be done next.
    pub(super) fn next_chore(&self, now: Timestamp) -> Chore {
        let mut next = Chore::Nothing;
        for (host, Known { memory, marking, .. }) in &self.lock().known {
            match marking {
                Marking::Kept => {}
                Marking::ToCome => return Chore::Mark(host.clone(), memory.marks()),
                Marking::ToGo => {
                    let told = memory.leave(now);
                    if !told.is_empty() {
                        return Chore::Tell(told);
                    }
                    if memory.is_alone() {
                        return Chore::Mark(host.clone(), memory.no_marks());
                    }
                    // Its last records are still on their way, and its marks with them.
                    next = Chore::Later;
                }
            }
        }
        next
    }

    /// The marks that were to be stored are, or cannot be.
    pub(super) fn marked(&self, host: &HostName, marks: &[Mark]) {
        let mut state = self.lock();
        let Some(known) = state.known.get_mut(host) else { return };
        match (known.marking, marks.iter().all(|mark| mark.position.is_none())) {
            (Marking::ToGo, true) => drop(state.known.remove(host)),
            (Marking::ToCome, _) => known.marking = Marking::Kept,
            // It was wanted otherwise meanwhile.
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
