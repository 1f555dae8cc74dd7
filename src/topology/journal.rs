//! From the configuration to the journal.

use std::path::Path;
use std::sync::Arc;

use ::journal::{DiskJournal, Limits, MemoryJournal, OpenError, Options, Sync, WhenFull};
use pipeline::ports::Journal;

use super::SinkPlan;
use crate::config::{self, Config, JournalKind, JournalSync};

/// Room set aside so that a full disk keeps nothing from being delivered; a small disk's share of it.
const RESERVE: u64 = 16 << 20;
const RESERVE_SHARE: u64 = 16;

/// Opens the configured journal. Blocks while it reads what an earlier life left.
///
/// # Errors
/// Where another process has it, or the folder cannot be used.
pub fn open(config: &Config) -> Result<Arc<dyn Journal>, OpenError> {
    let settings = &config.journal;
    let folder = config.journal_folder();
    let when_full = match settings.when_full {
        config::WhenFull::Block => WhenFull::Block,
        config::WhenFull::DropOldest => WhenFull::DropOldest,
    };
    Ok(match settings.kind {
        JournalKind::Memory => {
            if folder.join("journal.db").exists() {
                tracing::warn!(
                    folder = %folder.display(),
                    "the journal is in memory; what an earlier one on disk still holds waits there"
                );
            }
            Arc::new(MemoryJournal::new(Limits { bytes: settings.memory_bytes.as_usize(), when_full }))
        }
        JournalKind::Disk => {
            let room = room(&folder);
            let options = Options {
                bytes: settings.bytes.bytes().min(room.unwrap_or(u64::MAX) / 10 * 9),
                age: settings.age,
                sync: match settings.sync {
                    JournalSync::Always => Sync::Always,
                    JournalSync::Interval => Sync::Interval(settings.sync_interval),
                    JournalSync::Off => Sync::Off,
                },
                when_full,
                reserve: RESERVE.min(room.unwrap_or(u64::MAX) / RESERVE_SHARE),
            };
            if options.bytes < settings.bytes.bytes() {
                tracing::info!(
                    configured = %settings.bytes,
                    bytes = options.bytes,
                    "the disk has less room than the journal may take; it takes nine tenths of that"
                );
            }
            Arc::new(DiskJournal::open(&folder, options)?)
        }
    })
}

/// Gives every sink its cursor, before there is anything to miss, and ends those of sinks that are gone.
pub(super) fn expect_sinks(journal: &dyn Journal, sinks: &[SinkPlan]) {
    journal.forget_sinks_except(&sinks.iter().map(|sink| &*sink.name).collect::<Vec<_>>());
    for sink in sinks {
        journal.register(&sink.name, (sink.connect)().appetite());
    }
}

/// Bytes of disk for the journal: what is free, and what it has already. `None` where the system does not tell.
fn room(folder: &Path) -> Option<u64> {
    let disk = folder.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(disk).ok()?;
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let taken: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    Some(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(taken))
}
