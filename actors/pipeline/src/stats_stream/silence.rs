//! Streams from which nothing comes: a container that is wedged costs its own samples only, and is told while that lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use model::{ContainerId, HostName, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use crate::messages::Subject;
use crate::metrics::Metrics;

/// A running container whose engine gives no stats of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Its host.
    pub host: HostName,
    /// Its full id.
    pub container_id: ContainerId,
    /// Its name.
    pub container_name: String,
    /// Since when, by the clock of this process.
    pub since: Timestamp,
}

/// The streams of all hosts that are silent now, for readers on any thread.
#[derive(Clone, Debug, Default)]
pub struct SilenceBoard {
    /// By the number of the stream.
    silent: Arc<Mutex<BTreeMap<u64, Silent>>>,
}

/// So many of a host are told in the log, each in a line; all of them are on the board.
const TOLD: usize = 5;

impl SilenceBoard {
    /// All of them, the longest silent first.
    pub fn all(&self) -> Vec<Silent> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by(|one, other| (one.since, &one.container_id).cmp(&(other.since, &other.container_id)));
        all
    }

    /// How many there are of a host.
    pub fn of(&self, host: &HostName) -> usize {
        self.lock().values().filter(|silent| silent.host == *host).count()
    }

    /// Nothing has come on the stream `series` of `subject` for `lasting`.
    pub(super) fn begin(&self, series: u64, subject: &Subject, lasting: Duration, metrics: &Arc<Metrics>) -> Silence {
        let meta = &subject.meta;
        let since = SystemTime::now().checked_sub(lasting).unwrap_or(SystemTime::UNIX_EPOCH);
        let silent = Silent {
            host: meta.host.clone(),
            container_id: meta.container_id.clone(),
            container_name: meta.container_name.clone(),
            since: Timestamp::from(since),
        };
        self.lock().insert(series, silent.clone());
        let Silent { host, container_id: container, container_name: name, .. } = silent;
        let is_told = self.of(&host) <= TOLD;
        if is_told {
            let (host, container, seconds) = (host.as_str(), container.short(), lasting.as_secs());
            tracing::warn!(host, container, name, "no stats of a running container for {seconds} s: it is asked again");
        }
        let (board, metrics) = (self.clone(), metrics.clone());
        let silence = Silence { board, metrics, series, host, container, told: (Instant::now(), lasting), is_told };
        silence.show();
        silence
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Silent>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's place on the board, as long as this lives.
pub(super) struct Silence {
    board: SilenceBoard,
    metrics: Arc<Metrics>,
    series: u64,
    host: HostName,
    container: ContainerId,
    /// When it was told, and how long it had lasted then.
    told: (Instant, Duration),
    is_told: bool,
}

impl Silence {
    /// Something came.
    pub fn ends(self) {
        if self.is_told {
            let (at, lasted) = self.told;
            let (host, container, seconds) =
                (self.host.as_str(), self.container.short(), (lasted + at.elapsed()).as_secs());
            tracing::info!(host, container, "stats of the container come again, after {seconds} s");
        }
    }

    fn show(&self) {
        self.metrics.silent(self.host.as_str(), self.board.of(&self.host));
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.board.lock().remove(&self.series);
        self.show();
    }
}
