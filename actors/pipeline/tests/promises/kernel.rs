//! Counters of the kernel's own: what can be read is read, and of the rest the engine is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerId, ContainerState, CpuCounters, Frame};
use pipeline::ports::{Counters, Kernel, KernelError, Process};
use pipeline::stats_stream::{LocalKernel, StatsMode};
use tokio::time::sleep;

use crate::engine::{FakeEngine, event, id, record};
use crate::world::{Options, World, seconds};

/// What a reading shows, by container.
type Readings = Arc<Mutex<BTreeMap<ContainerId, Result<u64, KernelError>>>>;

/// A kernel that counts one nanosecond a reading.
struct FakeKernel {
    engine: Arc<FakeEngine>,
    readings: Readings,
}

struct FakeCounters {
    engine: Arc<FakeEngine>,
    readings: Readings,
    container: ContainerId,
}

impl Kernel for FakeKernel {
    fn open(&self, process: &Process) -> Result<Box<dyn Counters>, KernelError> {
        let (engine, readings, container) = (self.engine.clone(), self.readings.clone(), process.container_id.clone());
        let mut counters = FakeCounters { engine, readings, container };
        counters.read().map(|_| Box::new(counters) as _)
    }
}

impl Counters for FakeCounters {
    fn read(&mut self) -> Result<Frame, KernelError> {
        let mut readings = self.readings.lock().unwrap();
        let reading = readings.entry(self.container.clone()).or_insert(Ok(0));
        let total = reading.as_mut().map_err(|error| error.clone())?;
        *total += 1;
        let cpu = CpuCounters { total: Some(*total), ..CpuCounters::default() };
        Ok(Frame { read: Some(self.engine.now()), cpu, ..Frame::default() })
    }
}

struct Local {
    engine: Arc<FakeEngine>,
    readings: Readings,
    world: World,
}

/// Containers that run, each with a first process, on a machine that is ours.
fn start(containers: u32, readings: Readings) -> Local {
    let engine = FakeEngine::new();
    for number in 0..containers {
        let mut record = record(number, ContainerState::Running, 100);
        record.pid = Some(4000 + u64::from(number));
        engine.put(record);
    }
    let kernel = FakeKernel { engine: engine.clone(), readings: readings.clone() };
    let kernel = Some(Arc::new(LocalKernel::new(Arc::new(kernel))));
    let options = Options { mode: StatsMode::Cgroup, kernel, ..Options::default() };
    Local { world: World::start(&engine, options), engine, readings }
}

fn samples(world: &World, number: u32, are_of_kernel: bool) -> usize {
    let id = id(number);
    let is_of_kernel = |total: Option<u64>| total.is_some();
    world.seen(|seen| {
        let of = seen.stats.iter().filter(|row| row.meta.container_id == id);
        of.filter(|row| is_of_kernel(row.sample.cpu_usage_ns) == are_of_kernel).count()
    })
}

#[test]
fn a_sample_is_read_each_interval_and_the_engine_is_asked_for_none() {
    run(async {
        let Local { engine, world, .. } = start(3, Readings::default());
        sleep(seconds(60)).await;
        for number in 0..3 {
            let count = samples(&world, number, true);
            assert!((58..=62).contains(&count), "{count} samples of container {number}");
            assert_eq!(engine.streams(number), (0, 0));
        }
        let growth = world.seen(|seen| seen.stats.iter().filter_map(|row| row.sample.cpu_usage_delta_ns).max());
        assert_eq!(growth, Some(1), "each over its own reading before");
        world.end().await;
    });
}

#[test]
fn of_a_container_that_cannot_be_read_the_engine_is_asked() {
    run(async {
        let closed = Err(KernelError::Unreadable("no rights".into()));
        let readings: Readings = Arc::new(Mutex::new(BTreeMap::from([(id(1), closed)])));
        let Local { engine, world, readings } = start(2, readings);
        sleep(seconds(60)).await;
        assert!(samples(&world, 0, true) > 50);
        assert!(samples(&world, 1, false) > 50, "{}", samples(&world, 1, false));
        assert_eq!((engine.streams(0), engine.streams(1)), ((0, 0), (1, 1)));
        readings.lock().unwrap().insert(id(0), Err(KernelError::Unreadable("no rights any more".into())));
        wait_for("the engine's frames", || samples(&world, 0, false) > 5).await;
        world.end().await;
    });
}

#[test]
fn a_run_that_is_over_is_looked_at_and_the_next_one_is_read_anew() {
    run(async {
        let Local { engine, world, readings } = start(1, Readings::default());
        wait_for("samples", || samples(&world, 0, true) > 3).await;
        let inspected = engine.calls("inspect");
        readings.lock().unwrap().insert(id(0), Err(KernelError::Gone));
        wait_for("a look", || engine.calls("inspect") > inspected).await;
        readings.lock().unwrap().insert(id(0), Ok(0));
        let mut next = record(0, ContainerState::Running, 200);
        next.pid = Some(5000);
        engine.put(next);
        let before = samples(&world, 0, true);
        engine.feed().send(event(0, "start", 1)).await.ok();
        wait_for("samples of the next run", || samples(&world, 0, true) > before + 3).await;
        assert_eq!(engine.streams(0), (0, 0));
        assert_eq!(world.restarts().0, 0);
        world.end().await;
    });
}
