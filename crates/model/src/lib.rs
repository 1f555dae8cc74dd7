//! Records, identifiers and pure computations: what dockstream knows, without how it came to know it.
//!
//! Nothing here does I/O, reads a clock or spawns. Everything the sinks write, the topics carry and the
//! API answers is one of these types, under the same names everywhere. Units stand in names; what is not
//! known is `None` and serialises as `null`, never as zero.

mod batch;
pub mod compute;
mod container;
mod event;
mod exit;
mod families;
mod frame;
mod host;
mod id;
mod image;
mod log;
mod loss;
mod revp;
mod stats;
mod status;
mod stream;
mod time;

pub use batch::{Batch, BatchId, Rows, Trigger};
pub use container::{ContainerMeta, ContainerRecord, ContainerState, Health, Mount, Network, Port};
pub use event::{EngineEvent, EventRecord};
pub use exit::{exit_cause, signal_name};
pub use families::{FAMILIES, Family, FamilyKind, Figure, Known, Reading, family_labels};
pub use frame::{BlockCounters, CpuClock, CpuCounters, Frame, MemoryCounters, NetworkCounters, OsFamily};
pub use host::{HostRecord, HostStatus};
pub use id::{ContainerId, HostName, InvalidId, NodeName};
pub use image::{ImageChange, ImageRecord, ImageState, ImageVersionRecord, UnknownWord, digest_in, repository_of};
pub use log::{LogRecord, LogStream, MAX_LINE_BYTES};
pub use loss::{LossReason, LossRecord};
pub use revp::{Revp, RevpError, RevpHealthCheck};
pub use stats::{NetworkScope, Sample, SampleKind, SampleValue, StatsRecord};
pub use stream::Stream;
pub use time::{InvalidTimestamp, Timestamp};
