//! The collector: visits a container that is watched, takes one sample, writes one frame to each watcher.

use std::sync::Arc;

use super::{Container, FrameCounts, Key, Watcher, Wish, World};
use crate::connection::{Connection, Pushed};
use crate::counters::Truth;
use crate::faults::FrameFault;
use crate::frame::{self, FrameSource, Layout, Previous, Sample};
use crate::http::{CHUNK_HEAD, frame_chunk};
use crate::profile::Profile;
use crate::spec::Network;

/// Slots into which one interval is cut, so that one timer serves all streams.
pub(crate) const SLOTS: usize = 100;

/// The slot of a container: neighbours are far apart.
pub(super) fn slot_of(key: Key) -> usize {
    (key.wrapping_mul(61) % SLOTS as u64) as usize
}

impl World {
    /// Opens a stats stream: head now, frames at the collector's visits.
    pub(crate) fn watch_stats(&mut self, key: Key, connection: &Arc<Connection>) {
        connection.push(&self.banner().stream_head());
        self.watch(key, connection, Wish::Stream);
    }

    /// Answers one poll: at once, or after so many visits as this engine needs.
    pub(crate) fn poll_stats(&mut self, key: Key, connection: &Arc<Connection>, one_shot: bool) {
        let live = self.container(key).state.is_live();
        if !live || (one_shot && self.settings.profile.answers_one_shot_at_once()) {
            let sample = self.sample(key);
            let body = self.poll_body(key, sample.as_ref(), Layout::OneShot);
            self.note_truth(key, sample);
            return connection.respond(&self.banner().json(200, &body));
        }
        let (visits, layout) = if one_shot { (1, Layout::OneShot) } else { (2, Layout::Stream) };
        self.watch(key, connection, Wish::Poll { visits, layout });
    }

    fn watch(&mut self, key: Key, connection: &Arc<Connection>, wish: Wish) {
        self.container_mut(key).watchers.push(Watcher { connection: Arc::clone(connection), wish, previous: None });
        self.agenda[slot_of(key)].insert(key);
    }

    /// Containers that someone watches and whose turn it is in `slot`.
    pub(crate) fn visit_slot(&mut self, slot: usize) {
        let turn: Vec<Key> = self.agenda[slot].iter().copied().collect();
        for key in turn {
            self.visit(key);
        }
    }

    /// Containers that someone watches, in the order of their slots.
    pub(crate) fn watched(&self) -> Vec<Key> {
        self.agenda.iter().flatten().copied().collect()
    }

    /// Brings a container's counters up to now.
    pub(super) fn meter(&mut self, key: Key) {
        let (elapsed, machine) = (self.clock.elapsed(), self.settings.machine);
        self.container_mut(key).meter_to(elapsed, machine);
    }

    /// One sample of a container; `None` where it does not run.
    fn sample(&mut self, key: Key) -> Option<Sample> {
        self.meter(key);
        let (read, system_ns, machine, cgroup) =
            (self.clock.now(), self.system_ns(), self.settings.machine, self.settings.profile.cgroup());
        let container = self.containers.get_mut(&key)?;
        if !container.state.is_live() {
            return None;
        }
        container.sequence += 1;
        let mut counters = container.counters(machine, cgroup, system_ns);
        if let Network::SharedWith(owner) = &container.spec.network {
            let owner = self.by_name.get(owner).copied();
            counters.networks = owner.and_then(|owner| self.networks_of(owner, system_ns));
        }
        Some(Sample { read, counters })
    }

    fn networks_of(&mut self, owner: Key, system_ns: u64) -> Option<Vec<crate::counters::InterfaceCounters>> {
        self.meter(owner);
        let (machine, cgroup) = (self.settings.machine, self.settings.profile.cgroup());
        let owner = self.containers.get_mut(&owner).filter(|owner| owner.state.is_live())?;
        owner.counters(machine, cgroup, system_ns).networks
    }

    /// Visits one container: one sample, one frame to each of its watchers.
    pub(crate) fn visit(&mut self, key: Key) {
        if !self.containers.contains_key(&key) {
            return;
        }
        let sample = self.sample(key);
        let banner = self.banner();
        let profile = self.settings.profile;
        let mut scratch = std::mem::take(&mut self.scratch);
        let container = self.container_mut(key);
        let mut watchers = std::mem::take(&mut container.watchers);
        if container.stalled {
            watchers.retain(|watcher| !watcher.connection.is_broken());
            container.frames.withheld += watchers.len() as u64;
            container.watchers = watchers;
            self.scratch = scratch;
            return;
        }
        let fault = container.next_frames.pop_front();
        let mut told_truth = false;
        watchers.retain_mut(|watcher| {
            let shown = if fault == Some(FrameFault::Zero) { None } else { sample.as_ref() };
            let (pushed, keep) = match &mut watcher.wish {
                Wish::Stream => {
                    write_frame(profile, container, shown, watcher.previous.as_ref(), Layout::Stream, &mut scratch);
                    let pushed = send(&watcher.connection, &mut scratch, fault);
                    (pushed, pushed != Pushed::Broken && fault != Some(FrameFault::Cut))
                }
                Wish::Poll { visits, .. } if *visits > 1 => {
                    *visits -= 1;
                    watcher.previous = sample.as_ref().map(previous);
                    return !watcher.connection.is_broken();
                }
                Wish::Poll { layout, .. } => {
                    write_frame(profile, container, shown, watcher.previous.as_ref(), *layout, &mut scratch);
                    watcher.connection.respond(&banner.json(200, &scratch[CHUNK_HEAD..]));
                    (Pushed::Taken, false)
                }
            };
            watcher.previous = shown.map(previous);
            told_truth |= count(&mut container.frames, pushed, fault, sample.is_some());
            keep
        });
        let abandoned = watchers.is_empty();
        container.watchers = watchers;
        self.scratch = scratch;
        if abandoned {
            self.agenda[slot_of(key)].remove(&key);
        }
        if told_truth {
            self.note_truth(key, sample);
        }
    }

    fn poll_body(&mut self, key: Key, sample: Option<&Sample>, layout: Layout) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let profile = self.settings.profile;
        let container = self.container_mut(key);
        write_frame(profile, container, sample, None, layout, &mut scratch);
        count(&mut container.frames, Pushed::Taken, None, sample.is_some());
        let body = scratch[CHUNK_HEAD..].to_vec();
        self.scratch = scratch;
        body
    }

    fn note_truth(&mut self, key: Key, sample: Option<Sample>) {
        let depth = self.settings.truth_depth;
        let container = self.container_mut(key);
        let (Some(Sample { read, counters }), Some(started_at)) = (sample, container.started_at) else { return };
        while container.truth.len() >= depth {
            container.truth.pop_front();
        }
        container.truth.push_back(Truth { sequence: container.sequence, read, started_at, counters });
    }

    /// Takes the faults of stats streams back.
    pub(crate) fn release_frames(&mut self) {
        for container in self.containers.values_mut() {
            container.stalled = false;
            container.next_frames.clear();
        }
    }

    /// One frame to everyone who watches, as a tick by hand does.
    pub(crate) fn visit_all(&mut self) {
        for key in self.watched() {
            self.visit(key);
        }
    }
}

fn previous(sample: &Sample) -> Previous {
    Previous { read: sample.read, cpu: sample.counters.cpu, online_cpus: sample.counters.online_cpus }
}

/// Writes a frame and its newline into `scratch`, behind the room for a chunk's head.
fn write_frame(
    profile: Profile,
    container: &Container,
    sample: Option<&Sample>,
    previous: Option<&Previous>,
    layout: Layout,
    scratch: &mut Vec<u8>,
) {
    scratch.clear();
    scratch.resize(CHUNK_HEAD, 0);
    frame::write(
        &FrameSource { profile, name: &container.spec.name, id: &container.id, sample, previous, layout },
        scratch,
    );
    scratch.push(b'\n');
}

/// Sends the frame in `scratch` as one chunk, or what the fault makes of it.
fn send(connection: &Connection, scratch: &mut Vec<u8>, fault: Option<FrameFault>) -> Pushed {
    match fault {
        None | Some(FrameFault::Zero) => {}
        Some(FrameFault::Split(pieces)) => return connection.push_in_pieces(frame_chunk(scratch), pieces),
        Some(FrameFault::Cut) => {
            let chunk = frame_chunk(scratch);
            return connection.push_and_break_off(&chunk[..chunk.len() / 2]);
        }
        Some(FrameFault::Twice) => scratch.extend_from_within(CHUNK_HEAD..),
        Some(FrameFault::Truncated) => {
            let data = scratch.len() - CHUNK_HEAD;
            scratch.truncate(CHUNK_HEAD + data * 2 / 3);
            scratch.push(b'\n');
        }
        Some(FrameFault::Garbage) => replace(scratch, b"\x01\xfe this is no JSON {[\n"),
        Some(FrameFault::OtherShape) => {
            replace(scratch, b"{\"read\":17,\"cpu_stats\":[1,2,3],\"memory_stats\":\"much\"}\n")
        }
        Some(FrameFault::EngineError) => {
            replace(scratch, b"{\"cause\":\"simulated\",\"message\":\"stats are not available\",\"response\":500}\n");
        }
    }
    connection.push(frame_chunk(scratch))
}

fn replace(scratch: &mut Vec<u8>, data: &[u8]) {
    scratch.truncate(CHUNK_HEAD);
    scratch.extend_from_slice(data);
}

/// Counts one frame; true where the watcher got the sample whole.
fn count(frames: &mut FrameCounts, pushed: Pushed, fault: Option<FrameFault>, live: bool) -> bool {
    match (pushed, fault) {
        (Pushed::Broken, _) => return false,
        (Pushed::Full, _) => frames.dropped += 1,
        (Pushed::Taken, None | Some(FrameFault::Split(_))) if live => {
            frames.sent += 1;
            return true;
        }
        (Pushed::Taken, Some(FrameFault::Twice)) if live => {
            frames.sent += 2;
            return true;
        }
        (Pushed::Taken, None | Some(FrameFault::Zero | FrameFault::Split(_))) => frames.zero += 1,
        (Pushed::Taken, Some(FrameFault::Twice)) => frames.zero += 2,
        (Pushed::Taken, Some(_)) => frames.spoiled += 1,
    }
    false
}
