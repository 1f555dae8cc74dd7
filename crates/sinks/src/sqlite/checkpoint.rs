//! Checkpoints: what was written is brought from the log into the file, beside the writer.
//!
//! A checkpoint waits for the disk. On a connection and a thread of its own it holds nobody up: it takes no lock that a
//! transaction needs, unless the log has grown so long that it must begin anew.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

/// How often the length of the log is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Pages in the log from which on it is brought into the file: 8 MB.
const PAGES: i64 = 2_000;
/// Pages from which on what little is left is tried for more often: a log that is in the file whole begins anew. 32 MB.
const LONG: i64 = 8_000;
/// Pages from which on the writer waits for the log to begin anew: 128 MB.
const TOO_MANY: i64 = 32_000;

/// Keeps the log short, until `end` says so or is gone.
pub(super) fn run(connection: &Connection, end: &Receiver<()>) {
    while end.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = look(connection) {
            tracing::debug!(%error, "a checkpoint did not work; it is tried again");
        }
    }
}

fn look(connection: &Connection) -> rusqlite::Result<()> {
    let (pages, done) = checkpoint(connection, "NOOP")?;
    if pages == done || (pages - done < PAGES && pages < LONG) {
        return Ok(());
    }
    let (pages, _) = checkpoint(connection, "PASSIVE")?;
    if pages >= TOO_MANY {
        // Little is left to do by now: the writer waits for that, and begins the log anew.
        checkpoint(connection, "RESTART")?;
    }
    Ok(())
}

/// Pages in the log, and how many of them are in the file.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_is_brought_into_the_file_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dockstream.db");
        let writer = super::super::schema::open(&path).unwrap();
        writer.execute_batch("CREATE TABLE ballast (x)").unwrap();
        let fill = || {
            writer.execute_batch("INSERT INTO ballast SELECT zeroblob(1000000) FROM (VALUES (1), (2), (3))").unwrap()
        };
        let beside = super::super::schema::beside(&path).unwrap();
        fill();
        look(&beside).unwrap();
        let (pages, done) = checkpoint(&beside, "NOOP").unwrap();
        assert!(pages > 500 && done == 0, "a short log is left alone: {done} of {pages}");
        fill();
        fill();
        let state = || checkpoint(&beside, "NOOP").unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO ballast VALUES (1)").unwrap();
        look(&beside).unwrap();
        assert!(state().0 > PAGES && state().0 == state().1, "it waits for no transaction");
        writer.execute_batch("COMMIT").unwrap();
        checkpoint(&beside, "PASSIVE").unwrap();
        writer.execute_batch("INSERT INTO ballast VALUES (2)").unwrap();
        assert!(state().0 < 100, "a log that is in the file whole begins anew");
    }
}
