//! What every actor of a host knows of its engine: up or down, and who answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{HostName, HostRecord};
use tokio::sync::watch;

use crate::ports::EngineInfo;

/// Written by `HostConnection`, read by all actors of the host: streams wait here, so a host that is down
/// is asked by one prober and not by a storm of streams.
#[derive(Clone, Debug)]
pub struct Link {
    info: watch::Sender<Option<Arc<EngineInfo>>>,
}

impl Default for Link {
    fn default() -> Self {
        Self { info: watch::Sender::new(None) }
    }
}

impl Link {
    /// Who answers now, if anybody does.
    pub fn current(&self) -> Option<Arc<EngineInfo>> {
        self.info.borrow().clone()
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

    pub(super) fn set(&self, info: Option<Arc<EngineInfo>>) {
        self.info.send_replace(info);
    }
}

/// The latest state of every host, for readers on any thread.
#[derive(Clone, Debug, Default)]
pub struct HostBoard {
    hosts: Arc<Mutex<BTreeMap<HostName, HostRecord>>>,
}

impl HostBoard {
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

    /// The state of a host.
    pub fn get(&self, host: &HostName) -> Option<HostRecord> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }
}
