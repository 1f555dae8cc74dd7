//! The configuration while dockstream runs: when it is read again, and what is taken up of it.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::{StartError, engine};
use crate::config::{Config, ConfigError, Reading};
use crate::topology::{HostChanges, Topology};

/// Between two looks at the file. It is looked at, not listened to: links that are swapped, mounts and file systems of the
/// net are all the same to a look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for reasons to read the configuration again, and takes it up.
pub struct Reloads {
    hangup: Signal,
    reading: Reading,
    /// Whether the file is looked at, beside SIGHUP.
    is_watched: bool,
    /// What the file said when it was read last, and what it said at the last look.
    read: Result<String, ConfigError>,
    seen: Result<String, ConfigError>,
}

/// What came of a configuration that was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What changed among the hosts.
    pub hosts: HostChanges,
    /// Keys that changed too, and that a start alone takes up.
    pub left: Vec<String>,
}

/// Why a configuration is not taken up; all stays as it is.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Host(#[from] StartError),
}

impl Reloads {
    /// Listens for SIGHUP from now on; where `is_watched`, to changes of the file too.
    pub fn listen(reading: Reading, is_watched: bool) -> io::Result<Self> {
        let read = reading.text();
        Ok(Self { hangup: signal(SignalKind::hangup())?, reading, is_watched, seen: read.clone(), read })
    }

    /// Waits for the next reason, in words. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return "SIGHUP",
                _ = looks.tick(), if self.is_watched => {}
            }
            let before = std::mem::replace(&mut self.seen, self.reading.text());
            // A file that is being written is left alone until it stays as it is.
            if self.seen != self.read && self.seen == before {
                return "the file changed";
            }
        }
    }

    /// Reads the configuration and takes it up, as far as it can be; `config` is the one in effect. What is wrong with it
    /// is logged, and then nothing changes.
    pub fn take_up(&mut self, reason: &str, config: &mut Config, topology: &mut Topology) {
        self.read = self.reading.text();
        self.seen.clone_from(&self.read);
        let outcome = self.try_take_up(config, topology);
        let metrics = topology.view().metrics();
        match outcome {
            Ok(Taken { hosts: HostChanges { added, changed, removed }, left }) => {
                metrics.reloaded("taken");
                let names =
                    |hosts: &[model::HostName]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let (added, changed, removed) = (names(&added), names(&changed), names(&removed));
                tracing::info!(reason, added, changed, removed, "the configuration is read again: hosts");
                if !left.is_empty() {
                    tracing::warn!(
                        keys = left.join(", "),
                        "these keys changed too, and are taken up at the next start"
                    );
                }
            }
            Err(error) => {
                metrics.reloaded("refused");
                tracing::error!(reason, %error, "the changed configuration is not taken up, and the one before stays");
            }
        }
    }

    fn try_take_up(&mut self, config: &mut Config, topology: &mut Topology) -> Result<Taken, Refused> {
        let loaded = self.reading.load()?;
        let hosts = topology.watch_hosts(&loaded.config, |host| engine(host, &loaded.config.collect))?;
        let left = config.take_hosts_of(&loaded.config);
        self.reading.keep_to(loaded.file.as_deref());
        Ok(Taken { hosts, left })
    }
}
