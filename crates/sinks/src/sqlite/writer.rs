//! The writer thread: the only one that changes the file.
//!
//! A transaction waits for the disk now and then, so nothing here runs on an async worker.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use model::Batch;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::damage::{Identity, is_damage, move_aside};
use super::encode::Encoder;
use super::housekeeping::{Counts, Housekeeping};
use super::{SqliteConfig, SqliteError, checkpoint, schema};

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
    /// Opens the file, brings its schema up to date, and starts the thread. A file of which `damage` is known is moved
    /// aside before.
    pub(super) async fn start(
        config: SqliteConfig,
        damage: Option<String>,
        counts: Arc<Counts>,
    ) -> Result<Self, SqliteError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || match open(&config, damage) {
                Ok((connection, beside)) => {
                    // Nobody waits any more: then nobody will send either, and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    let (end, is_end) = channel();
                    thread::scope(|scope| {
                        scope.spawn(move || checkpoint::run(&beside, &is_end));
                        run(connection, &config, counts, &queue);
                        drop(end);
                    });
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

/// The connection to write by, and one for checkpoints.
fn open(config: &SqliteConfig, damage: Option<String>) -> Result<(Connection, Connection), SqliteError> {
    if let Some(reason) = damage.filter(|_| config.path.exists()) {
        move_aside(&config.path, &reason)?;
    }
    let connection = schema::open(&config.path)?;
    let beside = schema::beside(&config.path)?;
    Ok((connection, beside))
}

fn run(mut connection: Connection, config: &SqliteConfig, counts: Arc<Counts>, queue: &Receiver<Job>) {
    let mut encoder = Encoder::new(config.retention_raw);
    let mut housekeeping = Housekeeping::new(config, counts.clone());
    let file = Identity::of(&config.path);
    let mut damage: Option<String> = None;
    loop {
        let job = match queue.recv_timeout(housekeeping.wait()) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let was_write = job.is_some();
        if let Some(job) = job {
            let path = || config.path.clone();
            let written = match &damage {
                Some(reason) => Err(SqliteError::Damaged { path: path(), reason: reason.clone() }),
                None if Identity::of(&config.path) != file => Err(SqliteError::Replaced { path: path() }),
                None => write(&mut connection, &mut encoder, &job.batches),
            };
            counts.passed(std::mem::take(&mut encoder.passed));
            // The delivery was cancelled: it will be sent again and change nothing.
            let _ = job.done.send(written);
        }
        // A step follows each write while a pass is under way: neither keeps the other from its work.
        let stepped = match was_write && !housekeeping.is_busy() {
            true => housekeeping.written(&connection),
            false => housekeeping.step(&mut connection, &mut encoder),
        };
        if let Err(error) = stepped {
            encoder.forget();
            if is_damage(&error) {
                damage = Some(error.to_string());
            }
            tracing::warn!(%error, "old samples could not be packed or removed; tried again later");
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
        encoder.begin(&transaction)?;
        for batch in batches {
            encoder.write(&transaction, batch)?;
        }
        transaction.commit()
    };
    let written = all();
    if written.is_err() {
        // Series made in the transaction went with it.
        encoder.forget();
        encoder.passed = Default::default();
    }
    Ok(written?)
}
