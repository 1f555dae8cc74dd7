//! A damaged file: how it is noticed, and where it goes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use model::Timestamp;
use rusqlite::{Connection, ErrorCode};

use super::SqliteError;

/// How long the look at the start may take: a file of some hundred megabytes is looked through whole.
const LOOK: Duration = Duration::from_millis(300);

/// Whether an error says that the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// What is wrong with a file that does not begin as a database does. An empty one is none yet.
pub(super) fn is_other(path: &Path) -> io::Result<Option<String>> {
    const BEGIN: &[u8] = b"SQLite format 3\0";
    let mut begin = Vec::new();
    fs::File::open(path)?.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    Ok((!begin.is_empty() && begin != BEGIN).then(|| "file is not a database".to_owned()))
}

/// Looks the file through, for as long as [`LOOK`]: what is wrong with it, as far as that was seen.
pub(super) fn look_through(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let handle = connection.get_interrupt_handle();
    let (done, is_done) = channel::<()>();
    let verdict = thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        drop(done);
        verdict
    });
    match verdict {
        Ok(verdict) => Ok((verdict != "ok").then(|| verdict.lines().collect::<Vec<_>>().join(" "))),
        // As far as it came all was well.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves the file and what belongs to it aside, and tells so.
///
/// # Errors
/// It cannot be moved: then it is where it was.
pub(super) fn move_aside(path: &Path, reason: &str) -> Result<(), SqliteError> {
    let stuck = |source| SqliteError::Stuck { path: path.to_owned(), reason: reason.to_owned(), source };
    let now = Timestamp::from(SystemTime::now()).to_string();
    let moment: String = now.chars().take("2026-01-01T00:00:00".len()).filter(|c| !matches!(c, '-' | ':')).collect();
    let named = |count: u32| match count {
        0 => with_suffix(path, &format!(".damaged-{moment}Z")),
        count => with_suffix(path, &format!(".damaged-{moment}Z-{count}")),
    };
    let aside = (0..).map(named).find(|place| !place.exists()).expect("a folder has an end");
    fs::rename(path, &aside).map_err(stuck)?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(stuck(error)),
            _ => {}
        }
    }
    tracing::error!(
        path = %path.display(),
        aside = %aside.display(),
        reason,
        "the database is damaged: it was moved aside, and a new one is begun; `sqlite3 FILE .recover` reads out what can be read"
    );
    Ok(())
}

/// Files that were moved aside from `path`, the latest last.
pub fn moved_aside(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let beginning = format!("{name}.damaged-");
    let is_such = |place: &PathBuf| {
        let name = place.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&beginning) && !name.ends_with("-wal") && !name.ends_with("-shm"))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_such).collect();
    found.sort();
    found
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Which file it is, whatever it is called: one that was moved aside or removed is not the one at its path any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file at `path`; `None` where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|file| Self { device: file.dev(), inode: file.ino() })
    }
}
