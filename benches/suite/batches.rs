//! Batches as a fleet at work makes them: from frames recorded on a real engine, for a thousand containers.

use std::sync::Arc;

use engine::frame::FrameDecoder;
use model::{
    Batch, BatchId, ContainerId, ContainerMeta, CpuClock, Frame, HostName, NetworkScope, NodeName, OsFamily, Rows,
    StatsRecord, Stream, Timestamp, Trigger, compute,
};
use pipeline::ports::Decode;

/// Forty frames in a row of a busy container.
pub const RECORDED: &str = include_str!("../../crates/engine/tests/frames/d20v1_seq_busy.jsonl");

/// Rows of a batch.
pub const ROWS: u64 = 500;

const CONTAINERS: u64 = 1_000;

/// All records of the recording, as if a thousand containers had done the same, in batches of [`ROWS`].
pub struct Recording {
    rows: Vec<Arc<[StatsRecord]>>,
}

impl Recording {
    /// Decodes and computes everything.
    pub fn new() -> Self {
        let frames: Vec<Frame> = RECORDED
            .lines()
            .map(|line| FrameDecoder.decode(line.as_bytes()).expect("a recorded frame is a frame"))
            .collect();
        let fleet: Vec<Arc<ContainerMeta>> = (0..CONTAINERS).map(container).collect();
        let ticks = frames.windows(2).map(|pair| (&pair[0], &pair[1]));
        let records: Vec<StatsRecord> =
            ticks.flat_map(|(earlier, frame)| fleet.iter().map(move |meta| record(meta, earlier, frame))).collect();
        Self { rows: records.chunks_exact(ROWS as usize).map(Arc::from).collect() }
    }

    /// The batch of that number in an endless row of them: the recording over and over, under identities of its own.
    pub fn batch(&self, number: u64) -> Batch {
        let first = number * ROWS + 1;
        let rows = self.rows[number as usize % self.rows.len()].clone();
        let node = NodeName::try_new("bench").expect("a node name");
        Batch {
            id: BatchId { node, epoch: 1, stream: Stream::Stats, first, last: first + ROWS - 1 },
            trigger: Trigger::Count,
            // As the batcher estimates them.
            bytes: rows.len() * size_of::<StatsRecord>(),
            opened_at: rows[0].received_at,
            rows: Rows::Stats(rows),
        }
    }
}

fn container(number: u64) -> Arc<ContainerMeta> {
    let id = format!("{:064x}", u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0cc5_f39d));
    Arc::new(ContainerMeta {
        host: HostName::try_new("edge-7").expect("a host name"),
        container_id: ContainerId::try_new(&id).expect("a container id"),
        container_name: format!("shop-web-{number}"),
        image: format!("registry.example/shop/web-{}:1.4.2", number % 20),
        compose_project: Some("shop".into()),
        compose_service: Some(format!("web-{}", number % 20)),
        run: Some(Timestamp::from_millis(1_795_000_000_000)),
        labels: Default::default(),
    })
}

fn record(meta: &Arc<ContainerMeta>, earlier: &Frame, frame: &Frame) -> StatsRecord {
    let timestamp = frame.read.expect("a recorded frame has a time");
    StatsRecord {
        meta: meta.clone(),
        timestamp,
        received_at: timestamp,
        network_scope: Some(NetworkScope::Own),
        sample: compute::sample(Some(earlier), frame, OsFamily::Linux, CpuClock::System),
    }
}
