//! What the API needs to see of the running process, as snapshots.

use std::time::Duration;

use actor_runtime::NodeView;
use model::{HostRecord, LossRecord};
use pipeline::books::StreamBooks;
use pipeline::ports::{SinkBooks, StorageState};
use pipeline::sink::SinkState;
use pipeline::stats_stream::Silent;

/// The running process as the API sees it. Every method copies out what is known at that moment:
/// none waits for an actor, a host or a sink.
pub trait Sight: Send + Sync + 'static {
    /// The supervision tree.
    fn tree(&self) -> NodeView;

    /// Every sink with its books.
    fn sinks(&self) -> Vec<SinkView>;

    /// How it is with the journal's storage.
    fn journal(&self) -> StorageState;

    /// The books of the stages before the journal, one of each stream.
    fn books(&self) -> Vec<StreamBooks>;

    /// Every configured host, whether it answers or not.
    fn hosts(&self) -> Vec<HostRecord>;

    /// Running containers of which their engine gives no stats.
    fn silent(&self) -> Vec<Silent>;

    /// How old a container's newest sample may be to count as its present one.
    fn fresh(&self) -> Duration;

    /// What was lost, one record a stream, sink and reason.
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
#[derive(Clone, Debug, Default)]
pub struct SinkView {
    /// Rows: `journaled = delivered + rejected + dropped + pending`.
    pub books: SinkBooks,
    /// Its server.
    pub state: SinkState,
}

/// Whether the process does its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not; why, in one line.
    NotReady(String),
}
