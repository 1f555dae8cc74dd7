//! The writer thread: the only one that changes the file.
//!
//! A checkpoint can take the better part of a second, so nothing here runs on an async worker.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use model::{Batch, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::encode::Encoder;
use super::retention::Sweep;
use super::{SqliteConfig, SqliteError, schema};

/// Ranges in the thread's queue: one is delivered at a time, one may be left over from a cancelled delivery.
const QUEUE: usize = 2;

/// The thread's handle. Dropped without `stop`, the thread finishes what it has and ends by itself.
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

struct Job {
    batches: Vec<Batch>,
    done: oneshot::Sender<Result<(), SqliteError>>,
}

impl Writer {
    /// Opens the file, brings its schema up to date, and starts the thread.
    pub(super) async fn start(config: SqliteConfig) -> Result<Self, SqliteError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || match schema::open(&config.path) {
                Ok(connection) => {
                    // Nobody waits any more: then nobody will send either, and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    run(connection, &config, &queue);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(SqliteError::Thread)?;
        is_open.await.unwrap_or(Err(SqliteError::NoWriter))?;
        Ok(Self { jobs, thread })
    }

    /// Writes `batches` in one transaction: all or nothing.
    pub(super) async fn write(&self, batches: Vec<Batch>) -> Result<(), SqliteError> {
        let (done, is_done) = oneshot::channel();
        self.jobs.try_send(Job { batches, done }).map_err(|_| SqliteError::NoWriter)?;
        is_done.await.unwrap_or(Err(SqliteError::NoWriter))
    }

    /// Lets the thread finish, and waits until the file is closed.
    pub(super) async fn stop(self) {
        let Self { jobs, thread } = self;
        drop(jobs);
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::warn!("the sqlite writer ended by a panic");
        }
    }
}

fn run(mut connection: Connection, config: &SqliteConfig, queue: &Receiver<Job>) {
    let mut encoder = Encoder::default();
    let mut sweep: Option<Sweep> = None;
    let mut next_sweep = Instant::now();
    loop {
        let wait = match sweep {
            Some(_) => Duration::ZERO,
            None => next_sweep.saturating_duration_since(Instant::now()),
        };
        match queue.recv_timeout(wait) {
            Ok(job) => {
                let written = write(&mut connection, &mut encoder, &job.batches);
                // The delivery was cancelled: it will be sent again and change nothing.
                let _ = job.done.send(written);
            }
            Err(RecvTimeoutError::Timeout) => {
                let mut current =
                    sweep.take().unwrap_or_else(|| Sweep::new(config, Timestamp::from(SystemTime::now())));
                let stepped = current.step(&connection);
                // The step may have removed a series that the encoder remembers.
                encoder.forget_series();
                match stepped {
                    Ok(true) => sweep = Some(current),
                    Ok(false) => next_sweep = Instant::now() + config.housekeeping,
                    Err(error) => {
                        tracing::warn!(%error, "old rows could not be removed; tried again later");
                        next_sweep = Instant::now() + config.housekeeping;
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database was not closed in order; nothing is lost");
    }
}

pub(super) fn write(connection: &mut Connection, encoder: &mut Encoder, batches: &[Batch]) -> Result<(), SqliteError> {
    let mut all = || -> rusqlite::Result<()> {
        // Immediate: a transaction that begins by reading is refused at once, not made to wait, where another
        // process holds the lock when it comes to write.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for batch in batches {
            encoder.write(&transaction, batch)?;
        }
        transaction.commit()
    };
    let written = all();
    if written.is_err() {
        // Series made in the transaction went with it.
        encoder.forget_series();
    }
    Ok(written?)
}
