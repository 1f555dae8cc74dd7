//! A made-up fleet at a sample a second, for measuring what samples cost: a third idle, some light, some busy, a few heavy.
//!
//! CPU time in microseconds as cgroup v2 counts it, the host's in ticks of 10 ms, memory in pages, clocks with milliseconds of
//! jitter in nanoseconds. What follows from counters is computed as dockstream computes it.

use std::sync::Arc;
use std::time::Duration;

use model::{
    BlockCounters, ContainerId, ContainerMeta, CpuClock, CpuCounters, Frame, HostName, MemoryCounters, NetworkCounters,
    NetworkScope, OsFamily, StatsRecord, Timestamp, compute,
};

/// 35 % idle, 40 % light, 20 % busy, 5 % heavy.
const LEVELS: [usize; 20] = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3];
const CPUS: u32 = 4;
const PAGE: u64 = 4_096;
const LIMIT: u64 = 8 << 30;

/// One container of the fleet: its samples, one after the other, for ever.
pub struct FleetContainer {
    meta: Arc<ContainerMeta>,
    level: usize,
    due: Timestamp,
    frame: Frame,
    pages: u64,
    cached: u64,
    rng: fastrand::Rng,
}

impl FleetContainer {
    /// The container of that number, from `start` on. The same numbers give the same samples.
    pub fn new(number: u64, start: Timestamp) -> Self {
        let meta = ContainerMeta {
            host: HostName::try_new(&format!("edge-{}", number % 20)).expect("a host name"),
            container_id: ContainerId::try_new(&format!("{:064x}", number + 1)).expect("a container id"),
            container_name: format!("web-{number}"),
            image: format!("registry.example/app-{}:1.4", number % 50),
            compose_project: Some(format!("project-{}", number % 30)),
            compose_service: Some(format!("service-{}", number % 60)),
            run: Some(start),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
        };
        Self {
            meta: Arc::new(meta),
            level: LEVELS[usize::try_from(number % 20).expect("below 20")],
            due: start,
            frame: Frame::default(),
            pages: 50_000 + number,
            cached: 20_000,
            rng: fastrand::Rng::with_seed(number),
        }
    }

    /// Whose samples they are.
    pub fn meta(&self) -> &Arc<ContainerMeta> {
        &self.meta
    }

    fn gamma(&mut self, mean: f64) -> u64 {
        let (one, other) = (1.0 - self.rng.f64(), 1.0 - self.rng.f64());
        (-(one * other).ln() * mean / 2.0) as u64
    }

    fn one_in(&mut self, percent: [u64; 4]) -> bool {
        self.rng.u64(0..100) < percent[self.level]
    }

    /// The next sample, about a second after the one before.
    pub fn sample(&mut self) -> StatsRecord {
        let level = self.level;
        let read = self.due + Duration::from_nanos(self.rng.u64(0..3_000_000));
        self.due = self.due + Duration::from_nanos(1_001_500_000);
        let earlier = self.frame;
        let used = match level {
            0 if self.rng.u64(0..20) > 0 => 0,
            0 => self.rng.u64(0..2_000),
            _ => self.gamma([0.0, 10_000.0, 300_000.0, 1_500_000.0][level]),
        } * 1_000;
        let user = used / 1_000 * self.rng.u64(550..850) / 1_000 * 1_000;
        let throttled = if used > 1_800_000_000 { self.rng.u64(0..90_000) * 1_000 } else { 0 };
        let packets = [self.gamma([0.0, 5.0, 200.0, 2_000.0][level]), self.gamma([0.0, 5.0, 180.0, 1_900.0][level])];
        let sizes = [self.rng.u64(66..906), self.rng.u64(66..1_206)];
        let (cpu, network) = (earlier.cpu, earlier.network.unwrap_or_default());
        let grown = |counter: Option<u64>, by: u64| Some(counter.unwrap_or(0) + by);
        if self.one_in([2, 30, 80, 100]) {
            self.pages = (self.pages + self.rng.u64(0..41)).saturating_sub(20);
        }
        if self.one_in([1, 10, 40, 80]) {
            self.cached += self.rng.u64(0..3);
        }
        let written = if self.one_in([1, 10, 40, 80]) { PAGE * self.rng.u64(0..50) } else { 0 };
        let ticks = u64::from(CPUS) * 100 + self.rng.u64(0..2);
        self.frame = Frame {
            read: Some(read),
            cpu: CpuCounters {
                total: grown(cpu.total, used),
                user: grown(cpu.user, user),
                kernel: grown(cpu.kernel, used - user),
                system: Some(cpu.system.unwrap_or(1_000_000_000_000_000) + ticks * 10_000_000),
                online_cpus: Some(CPUS),
                throttled_periods: grown(cpu.throttled_periods, u64::from(throttled > 0)),
                throttled: grown(cpu.throttled, throttled),
            },
            memory: MemoryCounters {
                usage: Some((self.pages + self.cached) * PAGE),
                inactive_file: Some(self.cached * PAGE),
                cache: Some(self.cached * PAGE),
                limit: Some(LIMIT),
                ..MemoryCounters::default()
            },
            network: Some(NetworkCounters {
                interfaces: 1,
                rx_bytes: network.rx_bytes + packets[0] * sizes[0],
                tx_bytes: network.tx_bytes + packets[1] * sizes[1],
                rx_packets: network.rx_packets + packets[0],
                tx_packets: network.tx_packets + packets[1],
                ..NetworkCounters::default()
            }),
            block: Some(BlockCounters { read: 0, write: earlier.block.map_or(0, |block| block.write) + written }),
            pids: Some(3 + level as u64 * 8 + u64::from(self.rng.u64(0..100) == 0)),
            ..Frame::default()
        };
        let before = earlier.read.is_some().then_some(&earlier);
        StatsRecord {
            meta: self.meta.clone(),
            timestamp: read,
            received_at: read + Duration::from_nanos(300_000 + self.rng.u64(0..2_700_000)),
            network_scope: Some(NetworkScope::Own),
            sample: compute::sample(before, &self.frame, OsFamily::Linux, CpuClock::System),
        }
    }
}
