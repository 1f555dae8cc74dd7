//! What every actor of a host knows of its engine: up or down, and who answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{HostName, HostRecord, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::EngineInfo;
use crate::stats_stream::SilenceBoard;

/// Written by `HostConnection`, read by all actors of the host: streams wait here, so a host that is down
/// is asked by one prober and not by a storm of streams.
#[derive(Clone, Debug)]
pub struct Link {
    info: watch::Sender<Option<Arc<EngineInfo>>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Who answered last, and when.
    known: Option<(Arc<EngineInfo>, Instant)>,
    /// Since when the engine's events are heard.
    hearing: Option<Instant>,
}

impl Default for Link {
    fn default() -> Self {
        Self { info: watch::Sender::new(None), shared: Arc::default() }
    }
}

impl Link {
    /// Who answers now, or answered last.
    pub fn known(&self) -> Option<Arc<EngineInfo>> {
        self.lock().known.as_ref().map(|(info, _)| info.clone())
    }

    /// What the engine's clock shows now, by what it showed when it was asked last.
    pub fn engine_now(&self) -> Option<Timestamp> {
        let shared = self.lock();
        let (info, at) = shared.known.as_ref()?;
        Some(info.clock? + at.elapsed())
    }

    /// Whether the engine's events have been heard without a break for so long.
    pub fn has_heard_for(&self, time: Duration) -> bool {
        self.lock().hearing.is_some_and(|since| since.elapsed() >= time)
    }

    /// Waits until the engine answers.
    pub async fn up(&self) -> Arc<EngineInfo> {
        let mut receiver = self.info.subscribe();
        loop {
            if let Some(info) = receiver.borrow_and_update().clone() {
                return info;
            }
            if receiver.changed().await.is_err() {
                // The sender is `self`: this cannot be.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn set(&self, info: Option<Arc<EngineInfo>>) {
        if let Some(info) = &info {
            self.lock().known = Some((info.clone(), Instant::now()));
        }
        self.info.send_replace(info);
    }

    /// From now on the engine's events are heard, or not.
    pub(crate) fn set_hearing(&self, is_hearing: bool) {
        self.lock().hearing = is_hearing.then(Instant::now);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest state of every host, for readers on any thread.
#[derive(Clone, Debug, Default)]
pub struct HostBoard {
    hosts: Arc<Mutex<BTreeMap<HostName, HostRecord>>>,
    silence: SilenceBoard,
}

impl HostBoard {
    /// Their containers of which no stats come.
    pub fn silence(&self) -> &SilenceBoard {
        &self.silence
    }

    /// All hosts, by name.
    pub fn all(&self) -> Vec<HostRecord> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Sets the state of a host.
    pub fn set(&self, record: HostRecord) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(record.host.clone(), record);
    }

    /// Sets the containers of a host, as its inventory counted them.
    pub fn count(&self, host: &HostName, containers: u64, running: u64) {
        if let Some(record) = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get_mut(host) {
            record.containers = Some(containers);
            record.containers_running = Some(running);
        }
    }

    /// Takes a host away that is no longer watched; what was shown of it.
    pub fn remove(&self, host: &HostName) -> Option<HostRecord> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(host)
    }

    /// The state of a host.
    pub fn get(&self, host: &HostName) -> Option<HostRecord> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }
}
