//! What the API needs to see of the running process, as snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use actor_runtime::NodeView;
use model::{HostRecord, LossReason, LossRecord, Timestamp};
use pipeline::ports::SinkBooks;
use serde::Serialize;

/// The running process as the API sees it. Every method copies out what is known at that moment:
/// none waits for an actor, a host or a sink.
pub trait Sight: Send + Sync + 'static {
    /// The supervision tree.
    fn tree(&self) -> NodeView;

    /// Every sink with its books.
    fn sinks(&self) -> Vec<SinkView>;

    /// The books of the stages before the journal.
    fn books(&self) -> SampleBooks;

    /// Every configured host, whether it answers or not.
    fn hosts(&self) -> Vec<HostRecord>;

    /// What was dropped since the start, one record a stream, sink and reason.
    fn losses(&self) -> Vec<LossRecord>;

    /// Whether the process does its job.
    fn readiness(&self) -> Readiness;

    /// dockstream's own metrics in Prometheus' text format, version 0.0.4.
    fn metrics(&self) -> String;

    /// Told after every answer: the path template (`unmatched` where there is none), the status and the
    /// time it took.
    fn answered(&self, _route: &'static str, _status: u16, _took: Duration) {}
}

/// One sink: its books, and how it is with its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkView {
    /// Rows: `journaled = delivered + rejected + dropped + pending`.
    #[serde(flatten)]
    pub books: SinkBooks,
    /// `sqlite`, `kafka`, `clickhouse`.
    pub kind: String,
    /// Where it delivers to, without secrets.
    pub target: String,
    /// Failed attempts since the start.
    pub retries: u64,
    /// When its server last took rows; `None` where it never did.
    pub delivered_at: Option<Timestamp>,
    /// Why the present attempt fails, in one line; `None` while all is well.
    pub failing: Option<String>,
}

/// The books of the stages before the journal, in stats frames:
/// `received = parsed + dropped + in_flight`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SampleBooks {
    /// Frames taken from engines.
    pub received: u64,
    /// Frames that became samples.
    pub parsed: u64,
    /// Frames dropped, by reason.
    pub dropped: BTreeMap<LossReason, u64>,
    /// Frames between the two.
    pub in_flight: u64,
}

/// Whether the process does its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not; why, in one line.
    NotReady(String),
}
