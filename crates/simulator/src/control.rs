//! The handle that changes a simulated host while it runs.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::{LogStream, Timestamp};

use crate::counters::Truth;
use crate::engine::{Engine, Pace};
use crate::events::Event;
use crate::faults::{ApiFault, ApiFaultKind, FrameFault};
use crate::spec::ContainerSpec;
use crate::world::{Call, FrameCounts, Health, Key, Refused, Removal, Served, State, World};

/// Changes a simulated host from any thread.
///
/// Calls do not wait for the host's thread: when one returns, the change is complete, and its events and frames are
/// written to the sockets. Containers are named by name, full id, or a unique prefix of the id.
///
/// A call is [`Refused`] as the engine would refuse it: 404 for a container that is not there, 409 or 304 where its
/// state does not allow it or it is so already.
#[derive(Clone)]
pub struct Control(Arc<Engine>);

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(&self.0.socket()).finish()
    }
}

impl Control {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self(engine)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }

    fn on<T>(&self, container: &str, act: impl FnOnce(&mut World, Key) -> Result<T, Refused>) -> Result<T, Refused> {
        let mut world = self.0.world();
        let key = world.find(container)?;
        act(&mut world, key)
    }
}

/// Time.
impl Control {
    /// Moves a manual clock by one interval, does what falls due, and sends one frame to every stream. Polls that wait
    /// for the collector come a visit closer to their answer. In other paces: one frame to every stream, beside the pace.
    pub fn tick(&self) {
        let mut world = self.0.world();
        let interval = world.settings.interval;
        world.advance(interval);
        world.visit_all();
    }

    /// Moves a manual clock and does what falls due, without frames.
    ///
    /// # Panics
    /// In any other pace: time passes by itself there.
    pub fn advance(&self, by: Duration) {
        assert_eq!(self.0.pace, Pace::Manual, "only a host built with manual() has a clock to move");
        self.0.world().advance(by);
    }

    /// The engine's clock.
    pub fn now(&self) -> Timestamp {
        self.0.world().clock.now()
    }

    /// Sets the engine's clock ahead of the true time.
    pub fn clock_ahead(&self, by: Duration) {
        self.0.world().clock.set_skew(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX));
    }

    /// Sets the engine's clock behind the true time.
    pub fn clock_behind(&self, by: Duration) {
        self.0.world().clock.set_skew(i64::try_from(by.as_nanos()).map_or(i64::MIN, |nanos| -nanos));
    }
}

/// Logs.
impl Control {
    /// A container that runs writes bytes; a line is taken down at its end, or when it is as long as the engine's buffer.
    pub fn write(&self, container: &str, stream: LogStream, bytes: impl AsRef<[u8]>) -> Result<(), Refused> {
        self.on(container, |world, key| world.write(key, stream, bytes.as_ref()))
    }

    /// As [`Control::write`], taken down with this time: the hands of the two streams are not in step.
    pub fn write_at(
        &self,
        container: &str,
        at: model::Timestamp,
        stream: LogStream,
        bytes: impl AsRef<[u8]>,
    ) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.write_at(key, at, stream, bytes.as_ref());
            Ok(())
        })
    }

    /// A container that runs writes so many numbered lines: `line 1`, `line 2` …, on over its runs. The last number.
    pub fn write_lines(&self, container: &str, count: u64) -> Result<u64, Refused> {
        self.on(container, |world, key| world.write_lines(key, count))
    }

    /// How many numbered lines a container has written.
    pub fn lines_written(&self, container: &str) -> Result<u64, Refused> {
        self.on(container, |world, key| Ok(world.lines_written(key)))
    }

    /// Followers of a log hear nothing any more, and are not told so.
    pub fn deafen_log(&self, container: &str) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.deafen_log(key);
            Ok(())
        })
    }

    /// Only the last messages of a log are left.
    pub fn rotate_log(&self, container: &str, messages: usize) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.rotate_log(key, messages);
            Ok(())
        })
    }
}

/// Containers. Each call publishes the events the real engine would, in its order.
impl Control {
    /// Makes and starts a container; gives its id.
    pub fn add(&self, spec: ContainerSpec) -> Result<String, Refused> {
        let mut world = self.0.world();
        let key = world.create(spec)?;
        world.start(key)?;
        Ok(world.container(key).id.clone())
    }

    /// Makes a container without starting it; gives its id.
    pub fn create(&self, spec: ContainerSpec) -> Result<String, Refused> {
        let mut world = self.0.world();
        let key = world.create(spec)?;
        Ok(world.container(key).id.clone())
    }

    /// Starts one that does not run: its counters begin again.
    pub fn start(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::start)
    }

    /// Stops one: `kill`, `die`, `stop`. Streams stay open and carry zero frames.
    pub fn stop(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::stop)
    }

    /// Restarts one within a tick: the same stream goes on, without a zero frame, and its counters have fallen.
    pub fn restart(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::restart)
    }

    /// Kills one with SIGKILL.
    pub fn kill(&self, container: &str) -> Result<(), Refused> {
        self.on(container, |world, key| world.kill(key, 9))
    }

    /// The kernel kills one for memory: `oom`, `die`, and what the restart policy says.
    pub fn oom(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::oom)
    }

    /// One ends by itself: `die`, and what the restart policy says.
    pub fn exit(&self, container: &str, code: i64) -> Result<(), Refused> {
        self.on(container, |world, key| world.exit(key, code))
    }

    /// Freezes one: its counters stand still.
    pub fn pause(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::pause)
    }

    /// Lets one go on.
    pub fn unpause(&self, container: &str) -> Result<(), Refused> {
        self.on(container, World::unpause)
    }

    /// Renames one.
    pub fn rename(&self, container: &str, name: &str) -> Result<(), Refused> {
        self.on(container, |world, key| world.rename(key, name))
    }

    /// Removes one, killing it first where it runs. Its streams end properly.
    pub fn remove(&self, container: &str) -> Result<(), Refused> {
        self.on(container, |world, key| world.remove(key, Removal::Forced))
    }

    /// Sets the result of a health check, whether or not the container has one.
    pub fn set_health(&self, container: &str, health: Health) -> Result<(), Refused> {
        self.on(container, |world, key| world.set_health(key, health))
    }

    /// Runs a command in one: `exec_create`, `exec_start`, `exec_die`.
    pub fn exec(&self, container: &str, command: &str) -> Result<(), Refused> {
        self.on(container, |world, key| world.exec(key, command))
    }

    /// Lets jobs come and go by themselves, at so many steps per second; 0 ends it.
    pub fn churn(&self, steps_per_second: f64) {
        self.0.world().set_churn(steps_per_second);
    }

    /// The full id of one.
    pub fn id(&self, container: &str) -> Result<String, Refused> {
        self.on(container, |world, key| Ok(world.container(key).id.clone()))
    }

    /// What one is doing.
    pub fn state(&self, container: &str) -> Result<State, Refused> {
        self.on(container, |world, key| Ok(world.container(key).state))
    }

    /// Ids of all containers, oldest first.
    pub fn ids(&self) -> Vec<String> {
        self.0.world().containers().map(|container| container.id.clone()).collect()
    }
}

/// Images. Each call publishes the events the real engine would. The image of a container is there with it.
impl Control {
    /// A newer image takes a name, as by `docker pull`, also one that nothing had; gives its id. Containers keep what
    /// they were made of.
    pub fn pull(&self, name: &str) -> String {
        self.0.world().pull(name)
    }

    /// Gives an image, by id or name, another name.
    pub fn tag(&self, image: &str, name: &str) -> Result<(), Refused> {
        self.0.world().tag(image, name)
    }

    /// Pushes a name: its image has a digest from now on.
    pub fn push(&self, name: &str) -> Result<(), Refused> {
        self.0.world().push(name)
    }

    /// Removes a name, and the image with its last one; by id, the image.
    pub fn remove_image(&self, image: &str) -> Result<(), Refused> {
        self.0.world().remove_image(image)
    }

    /// Ids of all images.
    pub fn image_ids(&self) -> Vec<String> {
        self.0.world().images().iter().map(|image| image.id.clone()).collect()
    }
}

/// Truth and counts.
impl Control {
    /// What the last whole frame of a container held; `None` before the first, and once it is removed.
    pub fn truth(&self, container: &str) -> Option<Truth> {
        self.truths(container).pop()
    }

    /// The truths that are kept (see `keep_truth`), oldest first.
    pub fn truths(&self, container: &str) -> Vec<Truth> {
        self.on(container, |world, key| Ok(world.container(key).truth.iter().cloned().collect())).unwrap_or_default()
    }

    /// Frames of one container so far.
    pub fn frames(&self, container: &str) -> Result<FrameCounts, Refused> {
        self.on(container, |world, key| Ok(world.container(key).frames))
    }

    /// What was served so far, and what is open now.
    pub fn served(&self) -> Served {
        self.0.world().served()
    }

    /// Every call so far, in their order; empty without `keep_log`.
    pub fn calls(&self) -> Vec<Call> {
        self.0.world().log.calls()
    }

    /// Every event so far that could be heard, with its time; empty without `keep_log`. What happens while the daemon is
    /// away can not.
    pub fn events(&self) -> Vec<(Timestamp, Event)> {
        self.0.world().log.events()
    }

    /// Waits until `condition` holds for what was served: true as soon as it does, false where `within` passed first.
    pub async fn until(&self, within: Duration, condition: impl Fn(&Served) -> bool) -> bool {
        let deadline = std::time::Instant::now() + within;
        loop {
            if condition(&self.served()) {
                return true;
            }
            if std::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Faults of the daemon and its API.
impl Control {
    /// The daemon dies: every connection breaks off, the socket is gone (ENOENT), events are forgotten. Containers live
    /// on, as with live-restore, and can be changed meanwhile.
    pub fn stop_daemon(&self) {
        self.0.close(None);
    }

    /// The daemon is back: when this returns, the socket takes connections.
    ///
    /// # Errors
    /// The socket cannot be made again.
    pub fn start_daemon(&self) -> io::Result<()> {
        self.0.open()
    }

    /// The daemon dies now, and is back after `down` of real time.
    pub fn restart_daemon(&self, down: Duration) {
        self.0.close(Some(down));
    }

    /// The next `calls` to paths that begin with `prefix` (without `/v1.xx`) get this status, with a message.
    pub fn fail_next(&self, calls: usize, prefix: &str, status: u16) {
        self.add_api_fault(calls, prefix, ApiFaultKind::Status(status));
    }

    /// The next `calls` under `prefix` are never answered.
    pub fn hang_next(&self, calls: usize, prefix: &str) {
        self.add_api_fault(calls, prefix, ApiFaultKind::Hang);
    }

    /// The next `calls` under `prefix` are answered after `delay` of real time.
    pub fn delay_next(&self, calls: usize, prefix: &str, delay: Duration) {
        self.add_api_fault(calls, prefix, ApiFaultKind::Delay(delay));
    }

    /// The next `calls` under `prefix` lose their connection instead of an answer.
    pub fn reset_next(&self, calls: usize, prefix: &str) {
        self.add_api_fault(calls, prefix, ApiFaultKind::Reset);
    }

    /// Takes back every fault of calls, events and stalled streams that is still waiting.
    pub fn heal(&self) {
        let mut world = self.0.world();
        world.api_faults.clear();
        world.release_events();
        world.release_frames();
    }

    fn add_api_fault(&self, calls: usize, prefix: &str, kind: ApiFaultKind) {
        if calls > 0 {
            self.0.world().api_faults.push(ApiFault { prefix: prefix.to_owned(), left: calls, kind });
        }
    }
}

/// Faults of stats streams.
impl Control {
    /// The next `count` frames of a container are spoiled, on all its streams.
    pub fn spoil_next(&self, count: usize, container: &str, fault: FrameFault) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.container_mut(key).next_frames.extend(std::iter::repeat_n(fault, count));
            Ok(())
        })
    }

    /// The streams of a container stay open, but carry nothing any more.
    pub fn stall(&self, container: &str) -> Result<(), Refused> {
        self.set_stalled(container, true)
    }

    /// The streams of a container carry frames again.
    pub fn resume(&self, container: &str) -> Result<(), Refused> {
        self.set_stalled(container, false)
    }

    /// Breaks the streams of a container off at once, between two frames.
    pub fn cut(&self, container: &str) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.container_mut(key).watchers.iter().for_each(|watcher| watcher.connection.break_off());
            Ok(())
        })
    }

    fn set_stalled(&self, container: &str, stalled: bool) -> Result<(), Refused> {
        self.on(container, |world, key| {
            world.container_mut(key).stalled = stalled;
            Ok(())
        })
    }
}

/// Events and their faults.
impl Control {
    /// Publishes any event, also of types and actions no engine knows.
    pub fn emit(&self, event: Event) {
        self.0.world().publish(event);
    }

    /// Sends the last `count` events again to every event stream; gives how many there were to send.
    pub fn replay_events(&self, count: usize) -> usize {
        self.0.world().replay(count)
    }

    /// The next `count` events are held, and come in reverse order once they are complete.
    pub fn reverse_events(&self, count: usize) {
        self.0.world().event_faults.reverse = count;
    }

    /// The next `count` events are lost: nobody hears of them, and the ring does not hold them.
    pub fn lose_events(&self, count: usize) {
        self.0.world().event_faults.lose = count;
    }

    /// Event streams stay open, but carry nothing any more; the ring goes on. Ends with [`Control::heal`].
    pub fn stall_events(&self) {
        self.0.world().event_faults.stalled = true;
    }

    /// Breaks every event stream off in the middle of a line.
    pub fn cut_events(&self) {
        self.0.world().cut_events();
    }

    /// Writes bytes that are no event into every event stream; a newline belongs to them.
    pub fn garble_events(&self, bytes: &[u8]) {
        self.0.world().send_raw_event(bytes);
    }
}
