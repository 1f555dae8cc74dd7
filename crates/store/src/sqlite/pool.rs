//! Read-only connections, each used by one query at a time, away from the async workers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::SqliteStoreConfig;
use crate::{NOTHING_STORED, StoreError};

/// A failure inside a query.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) struct Pool {
    config: SqliteStoreConfig,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Open>>>,
}

/// A connection, and the device and number of the file that it is to: one that was moved aside answers no more.
struct Open {
    connection: Connection,
    file: (u64, u64),
}

/// Interrupts the query when its caller goes away. Emptied before the connection serves another query, which
/// an interrupt that comes late must not hit.
struct InterruptOnDrop(Arc<Mutex<Option<InterruptHandle>>>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }
}

impl Pool {
    pub(super) fn new(config: SqliteStoreConfig) -> Self {
        let turns = Arc::new(Semaphore::new(config.connections.max(1)));
        Self { config, turns, idle: Arc::default() }
    }

    /// Runs `query` on a connection, within the time limit.
    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, QueryError> + Send + 'static,
    {
        let limit = self.config.time_limit;
        let turn = timeout_at(Instant::now() + limit, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::Busy)?.expect("the semaphore is never closed");
        let open = self.open().await?;

        let handle = Arc::new(Mutex::new(Some(open.connection.get_interrupt_handle())));
        let interrupt = InterruptOnDrop(handle.clone());
        let idle = self.idle.clone();
        let mut task = spawn_blocking(move || {
            let answer = query(&open.connection);
            handle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if reusable(&answer) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
            }
            // Held until here, so that a query whose caller is gone still counts as one.
            drop(turn);
            answer
        });
        let answer = match timeout_at(Instant::now() + limit, &mut task).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(interrupt);
                // It may have ended just before: then its answer is as good as any.
                task.await
            }
        };
        match answer {
            Ok(answer) => answer.map_err(|error| told(error, limit)),
            Err(panicked) => Err(StoreError::Unreadable(panicked.to_string())),
        }
    }

    #[cfg(test)]
    pub(super) fn hold_every_turn(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.config.connections).unwrap();
        self.turns.clone().try_acquire_many_owned(all).unwrap()
    }

    async fn open(&self) -> Result<Open, StoreError> {
        let (path, idle) = (self.config.path.clone(), self.idle.clone());
        let opened = spawn_blocking(move || {
            let Ok(file) = fs::metadata(&path) else {
                return Err(StoreError::Unavailable(NOTHING_STORED.into()));
            };
            let file = (file.dev(), file.ino());
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|open| open.file == file);
            if let Some(open) = idle.pop() {
                return Ok(open);
            }
            drop(idle);
            let connection = open(&path).map_err(|error| told(error.into(), Duration::ZERO))?;
            Ok(Open { connection, file })
        });
        opened.await.unwrap_or_else(|panicked| Err(StoreError::Unreadable(panicked.to_string())))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute_batch("PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// After an error of the database a new connection is the better one: the file may have been replaced.
fn reusable<T>(answer: &Result<T, QueryError>) -> bool {
    match answer {
        Ok(_) | Err(QueryError::Store(_)) => true,
        Err(QueryError::Sql(error)) => error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted),
    }
}

fn told(error: QueryError, limit: Duration) -> StoreError {
    let error = match error {
        QueryError::Store(error) => return error,
        QueryError::Sql(error) => error,
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => StoreError::Timeout(limit),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        // The file is there before its tables are.
        Some(ErrorCode::Unknown) if error.to_string().contains("no such table") => {
            StoreError::Unavailable(NOTHING_STORED.into())
        }
        Some(_) => StoreError::Unavailable(error.to_string()),
        None => StoreError::Unreadable(error.to_string()),
    }
}
