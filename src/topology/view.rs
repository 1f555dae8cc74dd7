//! What there is to see of the running pipeline: cheap snapshots, for any thread.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use actor_runtime::{NodeKind, NodeState, NodeView, Tree};
use api::{Readiness, Sight, SinkView};
use model::{HostRecord, HostStatus, LossRecord, Stream, Timestamp};
use pipeline::books::{Books, StreamBooks};
use pipeline::host_connection::HostBoard;
use pipeline::metrics::Metrics;
use pipeline::ports::{Journal, SinkBooks, StorageState};
use pipeline::sink::SinkHealth;
use pipeline::stats_stream::Silent;

/// A sample may be so old and count as the present one, where samples are not taken less often than that.
const FRESH: Duration = Duration::from_secs(60);

/// The view of one process.
#[derive(Clone)]
pub struct View {
    tree: Arc<OnceLock<Tree>>,
    metrics: Arc<Metrics>,
    journal: Arc<dyn Journal>,
    books: Arc<Books>,
    board: HostBoard,
    sinks: Vec<(Arc<str>, Arc<SinkHealth>)>,
    stats_interval: Arc<Mutex<Duration>>,
}

impl View {
    pub(super) fn new(
        tree: Arc<OnceLock<Tree>>,
        metrics: Arc<Metrics>,
        journal: Arc<dyn Journal>,
        books: Arc<Books>,
        board: HostBoard,
        sinks: Vec<(Arc<str>, Arc<SinkHealth>)>,
    ) -> Self {
        Self { tree, metrics, journal, books, board, sinks, stats_interval: Arc::default() }
    }

    /// From now on there is a sample of each container so often.
    pub(super) fn expect_samples_every(&self, interval: Duration) {
        *self.stats_interval.lock().unwrap_or_else(PoisonError::into_inner) = interval;
    }

    /// The metrics of the process, to count in.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The metrics of the process, up to date.
    pub fn fresh_metrics(&self) -> &Metrics {
        if let Some(tree) = self.tree.get() {
            self.metrics.refresh(&*self.journal, tree, Timestamp::from(SystemTime::now()));
        }
        &self.metrics
    }
}

impl Sight for View {
    fn tree(&self) -> NodeView {
        self.tree.get().map(Tree::view).unwrap_or_else(|| NodeView {
            name: "dockstream".into(),
            kind: NodeKind::Group,
            state: NodeState::Restarting,
            restarts: 0,
            last_exit: None,
            last_exit_at_ns: None,
            depth: None,
            capacity: None,
            backpressure_ns: None,
            children: Vec::new(),
        })
    }

    fn sinks(&self) -> Vec<SinkView> {
        let books = self.journal.books();
        let sink = |(name, health): &(Arc<str>, Arc<SinkHealth>)| {
            let books = books.iter().find(|books| *books.sink == **name).cloned();
            // A sink that has not registered yet has empty books.
            SinkView {
                books: books.unwrap_or_else(|| SinkBooks { sink: name.to_string(), ..SinkBooks::default() }),
                state: health.state(),
            }
        };
        self.sinks.iter().map(sink).collect()
    }

    fn journal(&self) -> StorageState {
        self.journal.storage()
    }

    fn books(&self) -> Vec<StreamBooks> {
        Stream::ALL.into_iter().map(|stream| self.books.of(stream)).collect()
    }

    fn hosts(&self) -> Vec<HostRecord> {
        self.board.all()
    }

    fn silent(&self) -> Vec<Silent> {
        self.board.silence().all()
    }

    fn fresh(&self) -> Duration {
        let interval = *self.stats_interval.lock().unwrap_or_else(PoisonError::into_inner);
        // A few samples may fail.
        FRESH.max(3 * interval)
    }

    fn losses(&self) -> Vec<LossRecord> {
        self.books.losses().into_iter().chain(self.journal.losses()).collect()
    }

    fn readiness(&self) -> Readiness {
        let hosts = self.board.all();
        if !hosts.iter().any(|host| host.status == HostStatus::Up) {
            let why = hosts.into_iter().find_map(|host| host.last_error);
            return Readiness::NotReady(why.unwrap_or_else(|| "no engine has answered yet".to_owned()));
        }
        let journal = self.journal.storage();
        if let Some(why) = journal.failing {
            return Readiness::NotReady(format!("journal: {why}"));
        }
        if journal.is_full {
            return Readiness::NotReady(format!(
                "journal: {} of {} bytes are taken by records that a sink has not; collecting waits for room",
                journal.bytes, journal.limit_bytes
            ));
        }
        let failing =
            |(name, health): &(Arc<str>, Arc<SinkHealth>)| Some(format!("sink {name}: {}", health.state().failing?));
        match self.sinks.iter().map(failing).collect::<Option<Vec<_>>>() {
            // One sink that delivers is enough: the others have their lag shown.
            Some(all) if !all.is_empty() => Readiness::NotReady(all.join("; ")),
            _ => Readiness::Ready,
        }
    }

    fn metrics(&self) -> String {
        self.fresh_metrics().text()
    }

    fn answered(&self, route: &'static str, status: u16, took: Duration) {
        self.metrics.answered(route, status, took);
    }
}
