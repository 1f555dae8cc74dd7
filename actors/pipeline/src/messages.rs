//! The messages that carry data from stage to stage.

use std::sync::Arc;

use actor_runtime::Weight;
use bytes::Bytes;
use model::{
    Batch, ContainerMeta, ContainerRecord, ContainerState, CpuClock, EngineEvent, EventRecord, Frame, HostName,
    HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossRecord, NetworkScope, OsFamily, StatsRecord, Stream,
    Timestamp,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::books::Custody;
use crate::knowledge::Brief;
use crate::ports::LogLine;
use crate::size::Size;

/// What is known of a container that is followed. Shared by all frames of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its identity, and what rides on each record.
    pub meta: Arc<ContainerMeta>,
    /// Why it has, or has not, network counters.
    pub network_scope: Option<NetworkScope>,
    /// The system it runs on.
    pub os: OsFamily,
    /// What its CPU use is divided by.
    pub cpu_clock: CpuClock,
    /// The number of its first process on its host, while it runs.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: ContainerState,
    /// When its last run ended.
    pub ended_at: Option<Timestamp>,
    /// Whether its log is read.
    pub wants_logs: bool,
}

/// One frame as it was got. From `StatsStream` to `Parser`; weighs its bytes.
#[derive(Debug)]
pub struct RawFrame {
    /// Names the stream it came from: frames of one series are parsed in order by one parser.
    pub series: u64,
    /// Whose frame it is.
    pub subject: Arc<Subject>,
    /// When it was received.
    pub received_at: Timestamp,
    /// What is in it.
    pub payload: Payload,
    /// Who answers for it.
    pub custody: Custody,
}

/// What was got of a container's counters.
#[derive(Debug)]
pub enum Payload {
    /// One JSON document of the engine's.
    Document(Bytes),
    /// What the kernel told.
    Counters(Box<Frame>),
}

impl Weight for RawFrame {
    fn weight(&self) -> u32 {
        match &self.payload {
            Payload::Document(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(FRAME_FLOOR),
            Payload::Counters(_) => FRAME_FLOOR,
        }
    }
}

/// A frame in a mailbox costs at least this much memory, however short it is.
const FRAME_FLOOR: u32 = 1024;

/// Lines of one container as the engine told them. From `LogStream` to `Parser`; weighs their bytes.
#[derive(Debug)]
pub struct RawLog {
    /// Whose lines they are.
    pub subject: Arc<Subject>,
    /// When they were received.
    pub received_at: Timestamp,
    /// The lines, in order.
    pub lines: Vec<NumberedLine>,
    /// Who answers for them.
    pub custody: Custody,
    /// Given back once the batcher has them.
    pub turn: OwnedSemaphorePermit,
}

/// A line and its number among those of its stream with the same time.
#[derive(Debug)]
pub struct NumberedLine {
    /// The line.
    pub line: LogLine,
    /// Its number, from 0.
    pub ordinal: u32,
}

/// A line in a mailbox costs this much memory beside its bytes.
const LINE_FLOOR: usize = 128;

impl RawLog {
    /// The weight of a message with these lines.
    pub fn weight_of(lines: &[NumberedLine]) -> u32 {
        let bytes: usize = lines.iter().map(|line| line.line.bytes.len() + LINE_FLOOR).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Weight for RawLog {
    fn weight(&self) -> u32 {
        Self::weight_of(&self.lines)
    }
}

/// Something seen that is not a frame. From `EventMonitor`, `Inventory`, `Images` and `HostConnection` to `Parser`;
/// weighs its estimated bytes.
#[derive(Debug)]
pub struct Observation {
    /// What was seen.
    pub what: Seen,
    /// Who answers for it.
    pub custody: Custody,
}

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// An event.
    Event {
        /// The host it happened on.
        host: HostName,
        /// When it was received.
        received_at: Timestamp,
        /// True where the inventory found it out.
        synthetic: bool,
        /// The event.
        event: Box<EngineEvent>,
        /// What was known when it came.
        about: About,
    },
    /// The state of a container.
    Container(Box<ContainerRecord>),
    /// The state of an image.
    Image(Box<ImageRecord>),
    /// A change of an image.
    ImageVersion(Box<ImageVersionRecord>),
    /// The state of a host.
    Host(Box<HostRecord>),
}

/// What was known, beside an event itself, when it came.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The container that the event names, where the event is not its own.
    pub container: Option<Arc<Brief>>,
    /// For the end of a container: whether the kernel ended a process of it for memory.
    pub oom_killed: Option<bool>,
}

impl Seen {
    /// The object within whose observations order matters.
    pub fn object(&self) -> &str {
        match self {
            Self::Event { event, .. } => &event.actor_id,
            Self::Container(record) => record.container_id.as_str(),
            Self::Image(record) => &record.image_id,
            Self::ImageVersion(record) => &record.reference,
            Self::Host(record) => record.host.as_str(),
        }
    }

    /// The stream it becomes a record of.
    pub fn stream(&self) -> Stream {
        match self {
            Self::Event { .. } => Stream::Events,
            Self::Container(_) => Stream::Containers,
            Self::Image(_) => Stream::Images,
            Self::ImageVersion(_) => Stream::ImageVersions,
            Self::Host(_) => Stream::Hosts,
        }
    }
}

impl Size for Seen {
    fn size(&self) -> usize {
        let record = match self {
            Self::Event { event, .. } => event.size(),
            Self::Container(record) => record.size(),
            Self::Image(record) => record.size(),
            Self::ImageVersion(record) => record.size(),
            Self::Host(record) => record.size(),
        };
        size_of::<Observation>() + record
    }
}

impl Weight for Observation {
    fn weight(&self) -> u32 {
        u32::try_from(self.what.size()).unwrap_or(u32::MAX)
    }
}

/// Records of one stream. From `Parser` and `LossReporter` to `Batcher`; weighs its rows, at most 64, or what one large record takes.
#[derive(Debug)]
pub struct Chunk {
    /// The records.
    pub rows: ChunkRows,
    /// Who answers for them.
    pub custody: Custody,
}

/// The rows of a [`Chunk`].
#[derive(Debug)]
#[allow(missing_docs, reason = "named as the streams")]
pub enum ChunkRows {
    Stats(Vec<StatsRecord>),
    Event(Box<EventRecord>),
    Container(Box<ContainerRecord>),
    Image(Box<ImageRecord>),
    ImageVersion(Box<ImageVersionRecord>),
    Host(Box<HostRecord>),
    Losses(Vec<LossRecord>),
    Logs(Vec<LogRecord>),
}

impl Weight for Chunk {
    fn weight(&self) -> u32 {
        let rows = match &self.rows {
            ChunkRows::Stats(rows) => rows.len(),
            ChunkRows::Event(row) => row.size() / ROW,
            ChunkRows::Container(row) => row.size() / ROW,
            ChunkRows::Image(row) => row.size() / ROW,
            ChunkRows::ImageVersion(row) => row.size() / ROW,
            ChunkRows::Host(row) => row.size() / ROW,
            ChunkRows::Losses(rows) => rows.len(),
            ChunkRows::Logs(rows) => rows.len().max(rows.iter().map(Size::size).sum::<usize>() / ROW),
        };
        u32::try_from(rows).unwrap_or(u32::MAX)
    }
}

/// What a row of the batcher's room stands for, in bytes: a record with huge labels takes the room of many.
const ROW: usize = 1024;

/// A closed batch. From `Batcher` to `Journal`; weighs one.
#[derive(Debug)]
pub struct Append {
    /// The batch.
    pub batch: Batch,
    /// Who answers for its rows.
    pub custody: Custody,
}

impl Weight for Append {}
