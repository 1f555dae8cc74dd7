//! The journal on disk.
//!
//! Three parts: [`log`] knows heads, cursors and books, without I/O; [`store`] keeps the bytes; [`keeper`] is the one
//! thread that joins them. Everything the thread finds waiting goes into one transaction, and one wait for the disk.
//!
//! Promises beyond the port's:
//! - an entry is seen by sinks only once it is stored, so what a sink sent is never unknown after a restart;
//! - a range is stored before it is given out: after a restart the same batches come in the same bounds;
//! - marks of sources are stored in one step with the entries they stand for;
//! - what is damaged is skipped, counted as [`LossReason::Corrupt`](model::LossReason::Corrupt), and never stops the rest;
//! - storage that fails is tried again, at the latest each second; meanwhile appends fail and sinks go on.

mod keeper;
mod log;
mod queue;
mod reader;
mod salvage;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock, SystemTime};

use async_trait::async_trait;
use model::{Batch, LossRecord, Timestamp};
use pipeline::ports::{Appetite, Journal, JournalError, Mark, Plan, Range, Receipt, SinkBooks, StorageState};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::WhenFull;
use crate::codec::{Head, encode};
use keeper::Keeper;
use log::{Log, Look};
use queue::{Append, Command, Entry, Queue, Seen};
use store::{Store, StoreError};

/// How much the journal keeps, and how surely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Stored bytes of entries some sink still needs.
    pub bytes: u64,
    /// How long an entry is kept for a sink that does not take it; `None`: for ever.
    pub age: Option<Duration>,
    /// When the disk has to have an entry.
    pub sync: Sync,
    /// What happens when `bytes` are reached.
    pub when_full: WhenFull,
    /// Room set aside on the disk, in bytes, so that a full one keeps no entry from being delivered and removed.
    /// Less than a MiB is too little.
    pub reserve: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            age: None,
            sync: Sync::Interval(Duration::from_millis(500)),
            when_full: WhenFull::Block,
            reserve: 16 << 20,
        }
    }
}

/// When the disk has to have what was appended. The end of the process loses nothing in any mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before an append returns: the end of the power loses nothing.
    Always,
    /// At the latest so long after: the end of the power loses that much.
    Interval(Duration),
    /// When the file is put in order, every few MiB.
    Off,
}

/// The journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the journal in {folder} is in use by another process; end that one, or choose another folder with --data-dir"
    )]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The storage says no; nothing was changed.
    #[error(
        "cannot open the journal in {folder}: {error}; mend the folder, choose another one with --data-dir, or do without: journal = \"memory\""
    )]
    Storage {
        /// The folder.
        folder: String,
        /// The storage's words.
        error: String,
    },
}

/// A journal that outlives the process. Cheap to share behind an `Arc`; usable from any runtime. Dropping it stores
/// what is not stored yet in the background; [`Journal::stop`] waits for that.
pub struct DiskJournal {
    shared: Arc<Shared>,
}

/// What callers and the thread share. The lock is held for moments, never across I/O.
struct Shared {
    log: Mutex<Log>,
    queue: Queue,
    failing: Mutex<Option<String>>,
    limit_bytes: u64,
    /// Appends wait for room.
    is_full: AtomicBool,
    /// Appends wait for room no longer.
    is_last_call: AtomicBool,
    /// How often the disk was waited for, and how long in all.
    syncs: Mutex<(u64, Duration)>,
    /// A sink's place was damaged: whoever comes anew gets everything there is.
    from_oldest: bool,
}

impl Shared {
    // A panic elsewhere while the lock was held must not wedge every sink.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn syncs(&self) -> MutexGuard<'_, (u64, Duration)> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn synced(&self, since: Clock) {
        let mut syncs = self.syncs();
        *syncs = (syncs.0 + 1, syncs.1 + since.elapsed());
    }
}

impl DiskJournal {
    /// Opens the journal in `folder`, made where it is missing. Blocks while it reads the heads of what is stored.
    ///
    /// # Errors
    /// Where another process has it, or the storage refuses. Damage is no error: it is skipped and counted.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let error = |error: StoreError| match error {
            StoreError::Locked(_) => OpenError::InUse { folder: folder.display().to_string() },
            other => OpenError::Storage { folder: folder.display().to_string(), error: other.to_string() },
        };
        let mut store = Store::open(folder, options.reserve).map_err(error)?;
        let (log, from_oldest) = match restore(&store) {
            Err(StoreError::Damaged(text)) => {
                tracing::error!(error = text, "journal file is damaged; reading out what is left");
                store.rescue().map_err(error)?;
                restore(&store).map_err(error)?
            }
            restored => restored.map_err(error)?,
        };
        let shared = Arc::new(Shared {
            log: Mutex::new(log),
            queue: Queue::default(),
            failing: Mutex::new(None),
            limit_bytes: options.bytes,
            is_full: AtomicBool::new(false),
            is_last_call: AtomicBool::new(false),
            syncs: Mutex::default(),
            from_oldest,
        });
        let keeper = Keeper::new(store, shared.clone(), options);
        let spawned = std::thread::Builder::new().name("journal".to_owned()).spawn(move || keeper.run());
        spawned.map_err(|io| error(io.into()))?;
        Ok(Self { shared })
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        self.shared.queue.push(Command::Stop(None));
    }
}

/// The log as the store has it, and whether some sink's place was damaged.
fn restore(store: &Store) -> Result<(Log, bool), StoreError> {
    let (now, clock) = (Timestamp::from(SystemTime::now()), Clock::now());
    let (sinks, damaged) = store.sinks()?;
    let mut log = Log::restore(sinks, store.marks()?);
    // Entries are kept for sinks whose place is not known: none is removed before they had a chance to come.
    let keep = damaged > 0 || store.rescued();
    store.heads(|found| log.found(found, now, clock, keep))?;
    Ok((log, keep))
}

#[async_trait]
impl Journal for DiskJournal {
    async fn append(&self, batches: Vec<Batch>, marks: Vec<Mark>) -> Result<(), JournalError> {
        if self.shared.log().closed() {
            return Err(JournalError::Closed);
        }
        let entry = |batch: Batch| {
            let head = Head::of(&batch);
            let body = encode(&head, &batch).map_err(JournalError::Storage)?;
            Ok(Entry { head, body, batch })
        };
        let entries = batches.into_iter().map(entry).collect::<Result<_, JournalError>>()?;
        let (reply, stored) = oneshot::channel();
        self.shared.queue.push(Command::Append(Append { entries, marks, arrived: Instant::now(), reply }));
        stored.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn mark(&self, mark: Mark) -> Result<(), JournalError> {
        let (reply, stored) = oneshot::channel();
        self.shared.queue.push(Command::Mark { mark, reply });
        stored.await.map_err(|_| ended())
    }

    fn marks(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.log().marks().clone()
    }

    fn register(&self, sink: &str, appetite: Appetite) {
        self.shared.log().register(sink, appetite, self.shared.from_oldest);
        self.shared.queue.push(Command::Save);
    }

    async fn next(&self, sink: &str) -> Option<Range> {
        loop {
            let now = Instant::now();
            let look = self.shared.log().look(sink, now);
            let (ready, until) = match look {
                Look::Ended => return None,
                Look::Wait(ready, until) => (ready, until),
                Look::Due(_) => {
                    let (reply, seen) = oneshot::channel();
                    self.shared.queue.push(Command::Look { sink: sink.to_owned(), now, reply });
                    match seen.await {
                        Ok(Seen::Range(range)) => return Some(range),
                        Ok(Seen::Ended) => return None,
                        Ok(Seen::Wait(ready, until)) => (ready, until),
                        // Nothing more comes, and that is not the end of the log: its rows are still pending.
                        Err(_) => std::future::pending().await,
                    }
                }
            };
            match until {
                None => ready.notified().await,
                // Either way the next look decides.
                Some(until) => drop(tokio::time::timeout_at(until, ready.notified()).await),
            }
        }
    }

    async fn commit(&self, sink: &str, range: &Range, receipt: &Receipt) -> Result<(), JournalError> {
        let (reply, settled) = oneshot::channel();
        let (sink, range, receipt) = (sink.to_owned(), range.clone(), receipt.clone());
        self.shared.queue.push(Command::Commit { sink, range, receipt, reply });
        settled.await.map_err(|_| ended())
    }

    async fn note(&self, sink: &str, range: &Range, plan: Plan) -> Result<(), JournalError> {
        let (reply, noted) = oneshot::channel();
        let bounds = Range { first: range.first, end: range.end, batches: Vec::new() };
        self.shared.queue.push(Command::Note { sink: sink.to_owned(), range: bounds, plan, reply });
        noted.await.map_err(|_| ended())
    }

    fn plan(&self, sink: &str, range: &Range) -> Option<Plan> {
        self.shared.log().plan(sink, range)
    }

    fn last_call(&self) {
        self.shared.is_last_call.store(true, Ordering::Relaxed);
        self.shared.queue.push(Command::Save);
    }

    fn close(&self) {
        self.shared.log().close();
        self.shared.queue.push(Command::Save);
    }

    async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        self.shared.queue.push(Command::Stop(Some(reply)));
        // An error says that the thread had ended before.
        let _ = stopped.await;
    }

    fn forget_sinks_except(&self, sinks: &[&str]) {
        for (sink, pending) in self.shared.log().forget_except(sinks) {
            tracing::warn!(sink, pending, "a sink is no longer configured; the journal forgets it");
        }
        self.shared.queue.push(Command::Save);
    }

    fn storage(&self) -> StorageState {
        let shared = &self.shared;
        StorageState {
            kind: "disk",
            bytes: shared.log().stored_bytes(),
            limit_bytes: shared.limit_bytes,
            is_full: shared.is_full.load(Ordering::Relaxed),
            failing: shared.failing().clone(),
            syncs: *shared.syncs(),
        }
    }

    fn books(&self) -> Vec<SinkBooks> {
        self.shared.log().books()
    }

    fn losses(&self) -> Vec<LossRecord> {
        self.shared.log().losses()
    }

    fn fresh_losses(&self) -> Vec<LossRecord> {
        self.shared.log().fresh_losses()
    }
}

fn ended() -> JournalError {
    JournalError::Storage("the journal has stopped".to_owned())
}

#[cfg(test)]
mod tests;
