//! An engine that does as it is told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use model::{
    ContainerId, ContainerRecord, ContainerState, CpuClock, EngineEvent, HostName, LogStream, OsFamily, Timestamp,
};
use pipeline::ports::{
    EngineApi, EngineError, EngineFailure, EngineImage, EngineInfo, EventFeed, FrameFeed, LogFeed, LogLine, LogQuery,
    LogStart,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How a call about one container is answered.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    After(Duration),
    Fail(EngineFailure),
    Hang,
}

/// What a stats stream does.
#[derive(Clone, Copy, Debug)]
pub enum Frames {
    /// One frame, and then one every so often.
    Every(Duration),
    /// One a second on which the decoder panics.
    Deadly,
    /// Open, and never a frame.
    Never,
    /// So many at once, then the end.
    Then(u32),
    Fail(EngineFailure),
}

/// The decoder of these tests panics on it.
pub const DEADLY: &[u8] = b"deadly";

pub struct FakeEngine {
    host: HostName,
    born: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, ContainerRecord>,
    images: Vec<EngineImage>,
    failing_images: u32,
    inspect: HashMap<ContainerId, Manner>,
    slowness: Duration,
    failing_lists: u32,
    failing_pings: u32,
    failing: Option<EngineFailure>,
    hanging: bool,
    /// How often all stats streams were cut.
    cuts: u32,
    frames: HashMap<ContainerId, Frames>,
    feeds: VecDeque<mpsc::Receiver<EngineEvent>>,
    clock_offset: i64,
    calls: Vec<(&'static str, Instant)>,
    since: Vec<Option<Timestamp>>,
    open: HashMap<ContainerId, i32>,
    opened: HashMap<ContainerId, u32>,
    logs: HashMap<ContainerId, Vec<LogLine>>,
    log_failure: HashMap<ContainerId, EngineFailure>,
    /// Readings so far, and how many of them hear nothing more.
    readings: u32,
    deaf: u32,
    told_lines: usize,
}

/// The id that is one letter, 64 times; letters are hexadecimal digits.
pub fn id(number: u32) -> ContainerId {
    ContainerId::try_new(&format!("{number:08x}").repeat(8)).unwrap()
}

pub fn record(number: u32, state: ContainerState, started_s: i64) -> ContainerRecord {
    ContainerRecord {
        host: HostName::try_new("h").unwrap(),
        container_id: id(number),
        container_name: format!("c{number}"),
        image: "busybox".into(),
        image_id: None,
        image_digest: None,
        compose_project: None,
        compose_service: None,
        state,
        status: None,
        pid: None,
        exit_code: None,
        exit_cause: None,
        oom_killed: None,
        error: None,
        created_at: None,
        started_at: Some(Timestamp::from_millis(started_s * 1000)),
        finished_at: None,
        health: None,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        networks: Vec::new(),
        mounts: Vec::new(),
        network_scope: None,
        restart_policy: None,
        restart_count: None,
        cpu_limit_cores: None,
        memory_limit_bytes: None,
        pids_limit: None,
        cpu_shares: None,
        cpuset_cpus: None,
        memory_reservation_bytes: None,
        memory_swap_limit_bytes: None,
        revp: None,
        observed_at: Timestamp::default(),
    }
}

pub fn event(number: u32, action: &str, at_ms: i64) -> EngineEvent {
    EngineEvent {
        timestamp: Timestamp::from_millis(at_ms),
        kind: "container".into(),
        action: action.into(),
        argument: None,
        actor_id: id(number).as_str().into(),
        attributes: BTreeMap::new(),
    }
}

/// The engine's clock shows this when a test begins.
pub const DAWN_S: i64 = 1_000_000;

impl FakeEngine {
    pub fn new() -> Arc<Self> {
        Self::named("h")
    }

    pub fn named(host: &str) -> Arc<Self> {
        let host = HostName::try_new(host).unwrap();
        Arc::new(Self { host, born: Instant::now(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn put(&self, record: ContainerRecord) {
        self.state().containers.insert(record.container_id.clone(), record);
    }

    pub fn running(&self, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| self.put(record(number, ContainerState::Running, 1)));
    }

    pub fn take_away(&self, number: u32) {
        self.state().containers.remove(&id(number));
    }

    /// From now on the engine has these images.
    pub fn has_images(&self, images: &[EngineImage]) {
        self.state().images = images.to_vec();
    }

    pub fn fail_images(&self, count: u32) {
        self.state().failing_images = count;
    }

    pub fn inspects(&self, number: u32, manner: Manner) {
        self.state().inspect.insert(id(number), manner);
    }

    pub fn inspects_all_after(&self, slowness: Duration) {
        self.state().slowness = slowness;
    }

    pub fn fail_lists(&self, count: u32) {
        self.state().failing_lists = count;
    }

    pub fn fail_pings(&self, count: u32) {
        self.state().failing_pings = count;
    }

    pub fn go_down(&self, is_down: bool) {
        self.fails(is_down.then_some(EngineFailure::Unreachable));
    }

    /// Every call fails so from now on, or none does.
    pub fn fails(&self, failing: Option<EngineFailure>) {
        self.state().failing = failing;
    }

    /// Who asks for the engine's name gets no answer from now on.
    pub fn hang(&self) {
        self.state().hanging = true;
    }

    /// Breaks all stats streams that are open.
    pub fn cut_streams(&self) {
        self.state().cuts += 1;
    }

    pub fn sends(&self, number: u32, frames: Frames) {
        self.state().frames.insert(id(number), frames);
    }

    /// A container writes a line.
    pub fn writes(&self, number: u32, stream: LogStream, text: &str) {
        let timestamp = self.now();
        self.wrote(number, timestamp, stream, text);
    }

    pub fn wrote(&self, number: u32, timestamp: Timestamp, stream: LogStream, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let line = LogLine { timestamp, stream, bytes, is_partial: false, is_truncated: false };
        self.state().logs.entry(id(number)).or_default().push(line);
    }

    /// The oldest lines of a log are removed.
    pub fn rotate(&self, number: u32, lines: usize) {
        self.state().logs.entry(id(number)).or_default().drain(..lines);
    }

    pub fn fail_logs(&self, number: u32, failure: EngineFailure) {
        self.state().log_failure.insert(id(number), failure);
    }

    /// Who follows a log now hears nothing more.
    pub fn deafen(&self) {
        let mut state = self.state();
        state.deaf = state.readings;
    }

    /// Lines told over all readings.
    pub fn told_lines(&self) -> usize {
        self.state().told_lines
    }

    /// The next line of a reading at `next`, or how it ends; `None` where it is to wait.
    fn read_on(
        &self,
        id: &ContainerId,
        query: LogQuery,
        reading: u32,
        next: &mut usize,
    ) -> Option<Option<Result<LogLine, EngineError>>> {
        let mut state = self.state();
        if let Some(failure) = state.failing {
            return Some(Some(Err(error(failure))));
        }
        let oldest = match query.start {
            LogStart::Beginning => Timestamp::from_nanos(i64::MIN),
            LogStart::At(time) => time,
            LogStart::After { newest, .. } => newest - Duration::from_secs(2),
        };
        let lines = state.logs.get(id).map_or(&[][..], Vec::as_slice);
        let from = query.tail.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
        let found = (from.max(*next)..lines.len()).find(|at| lines[*at].timestamp >= oldest);
        if let Some(at) = found.filter(|_| !query.follow || reading > state.deaf) {
            let line = lines[at].clone();
            *next = at + 1;
            state.told_lines += 1;
            return Some(Some(Ok(line)));
        }
        let runs = state.containers.get(id).is_some_and(|record| record.state.has_stats());
        if query.follow && runs { None } else { Some(None) }
    }

    pub fn set_clock(&self, offset_s: i64) {
        self.state().clock_offset = offset_s;
    }

    /// The next event stream; it lives as long as the sender.
    pub fn feed(&self) -> mpsc::Sender<EngineEvent> {
        let (sender, receiver) = mpsc::channel(20_000);
        self.state().feeds.push_back(receiver);
        sender
    }

    pub fn now(&self) -> Timestamp {
        let offset = self.state().clock_offset;
        Timestamp::from_millis((DAWN_S + offset) * 1000) + self.born.elapsed()
    }

    /// How often a call was made.
    pub fn calls(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|(name, _)| *name == call).count()
    }

    /// From when on events were asked for, each time.
    pub fn since(&self) -> Vec<Option<Timestamp>> {
        self.state().since.clone()
    }

    /// How many stats streams of a container are open now, and how many were opened.
    pub fn streams(&self, number: u32) -> (i32, u32) {
        let state = self.state();
        let of = id(number);
        (state.open.get(&of).copied().unwrap_or(0), state.opened.get(&of).copied().unwrap_or(0))
    }

    fn called(&self, call: &'static str) -> Result<(), EngineError> {
        let mut state = self.state();
        state.calls.push((call, Instant::now()));
        state.failing.map_or(Ok(()), |failure| Err(error(failure)))
    }

    fn frame(&self) -> Bytes {
        Bytes::from(self.now().as_nanos().to_string())
    }
}

fn error(failure: EngineFailure) -> EngineError {
    EngineError { failure, message: format!("scripted: {}", failure.name()) }
}

/// Counts a stream as open for as long as it lives.
struct Open(Arc<FakeEngine>, ContainerId);

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.state().open.entry(self.1.clone()).or_default() -= 1;
    }
}

/// The engine as its port: it hands out parts of itself.
#[derive(Clone)]
pub struct Port(pub Arc<FakeEngine>);

#[async_trait]
impl EngineApi for Port {
    fn host(&self) -> &HostName {
        &self.0.host
    }

    fn url(&self) -> &str {
        "fake:"
    }

    async fn identify(&self) -> Result<EngineInfo, EngineError> {
        self.0.called("identify")?;
        if self.0.state().hanging {
            std::future::pending::<()>().await;
        }
        Ok(EngineInfo {
            engine: "docker".into(),
            version: "1".into(),
            api_version: (1, 41),
            os: OsFamily::Linux,
            cpu_clock: CpuClock::System,
            kernel: None,
            cgroup_version: None,
            cpus: None,
            memory_bytes: None,
            clock: Some(self.0.now()),
        })
    }

    async fn ping(&self) -> Result<Duration, EngineError> {
        self.0.called("ping")?;
        let mut state = self.0.state();
        if state.failing_pings > 0 {
            state.failing_pings -= 1;
            return Err(error(EngineFailure::Timeout));
        }
        Ok(Duration::from_millis(1))
    }

    async fn list(&self) -> Result<Vec<(ContainerId, ContainerState)>, EngineError> {
        self.0.called("list")?;
        let mut state = self.0.state();
        if state.failing_lists > 0 {
            state.failing_lists -= 1;
            return Err(error(EngineFailure::Server));
        }
        Ok(state.containers.iter().map(|(id, record)| (id.clone(), record.state)).collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<ContainerRecord, EngineError> {
        self.0.called("inspect")?;
        let (seen, manner) = {
            let state = self.0.state();
            let slow = Manner::After(state.slowness);
            (state.containers.get(id).cloned(), state.inspect.get(id).copied().unwrap_or(slow))
        };
        match manner {
            Manner::After(time) => sleep(time).await,
            Manner::Fail(failure) => return Err(error(failure)),
            Manner::Hang => std::future::pending().await,
        }
        seen.ok_or_else(|| error(EngineFailure::Gone))
    }

    async fn images(&self) -> Result<Vec<EngineImage>, EngineError> {
        self.0.called("images")?;
        let mut state = self.0.state();
        if state.failing_images > 0 {
            state.failing_images -= 1;
            return Err(error(EngineFailure::Server));
        }
        Ok(state.images.clone())
    }

    async fn events(&self, since: Option<Timestamp>) -> Result<EventFeed, EngineError> {
        self.0.called("events")?;
        let feed = {
            let mut state = self.0.state();
            state.since.push(since);
            state.feeds.pop_front()
        };
        match feed {
            Some(feed) => {
                Ok(stream::unfold(feed, |mut feed| async { feed.recv().await.map(|event| (Ok(event), feed)) }).boxed())
            }
            None => std::future::pending().await,
        }
    }

    async fn stats(&self, id: &ContainerId) -> Result<FrameFeed, EngineError> {
        self.0.called("stats")?;
        let (frames, cuts) = {
            let mut state = self.0.state();
            let frames = state.frames.get(id).copied().unwrap_or(Frames::Every(Duration::from_secs(1)));
            if let Frames::Fail(failure) = frames {
                return Err(error(failure));
            }
            if !state.containers.contains_key(id) {
                return Err(error(EngineFailure::Gone));
            }
            *state.open.entry(id.clone()).or_default() += 1;
            *state.opened.entry(id.clone()).or_default() += 1;
            (frames, state.cuts)
        };
        let open = Open(self.0.clone(), id.clone());
        Ok(stream::unfold((0, open), move |(sent, open)| async move {
            match frames {
                Frames::Every(pause) => sleep(if sent == 0 { Duration::from_millis(1) } else { pause }).await,
                Frames::Deadly => sleep(Duration::from_secs(1)).await,
                Frames::Then(count) if sent >= count => return None,
                // A clock that stands still gives equal frames.
                Frames::Then(_) => sleep(Duration::from_millis(1)).await,
                Frames::Never | Frames::Fail(_) => std::future::pending().await,
            }
            if open.0.state().cuts != cuts {
                return Some((Err(error(EngineFailure::Unreachable)), (sent, open)));
            }
            let frame = if let Frames::Deadly = frames { Bytes::from_static(DEADLY) } else { open.0.frame() };
            Some((Ok(frame), (sent + 1, open)))
        })
        .boxed())
    }

    async fn stats_once(&self, id: &ContainerId) -> Result<Bytes, EngineError> {
        self.0.called("poll")?;
        let frames = self.0.state().frames.get(id).copied();
        match frames {
            Some(Frames::Fail(failure)) => Err(error(failure)),
            Some(Frames::Never) => std::future::pending().await,
            _ => Ok(self.0.frame()),
        }
    }

    fn connections(&self) -> u64 {
        self.0.state().open.values().map(|open| u64::try_from(*open).unwrap()).sum()
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogFeed, EngineError> {
        self.0.called("logs")?;
        let reading = {
            let mut state = self.0.state();
            if let Some(failure) = state.log_failure.get(id) {
                return Err(error(*failure));
            }
            if !state.containers.contains_key(id) {
                return Err(error(EngineFailure::Gone));
            }
            state.readings += 1;
            state.readings
        };
        let (engine, id) = (self.0.clone(), id.clone());
        Ok(stream::unfold((0, engine), move |(mut next, engine)| {
            let id = id.clone();
            async move {
                loop {
                    match engine.read_on(&id, query, reading, &mut next) {
                        Some(end) => return end.map(|line| (line.map(|line| vec![line]), (next, engine))),
                        None => sleep(Duration::from_millis(10)).await,
                    }
                }
            }
        })
        .boxed())
    }
}
