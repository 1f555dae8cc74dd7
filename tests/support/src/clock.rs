//! A clock of a process's own, which can be stepped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The time of day of one process, set apart from the machine's by libfaketime. Time that only measures what has passed
/// (`CLOCK_MONOTONIC`) goes on as it does.
#[derive(Debug)]
pub struct SteppedClock {
    file: PathBuf,
    libraries: [PathBuf; 2],
}

impl SteppedClock {
    /// A clock that goes right; `folder` keeps its offset.
    ///
    /// # Panics
    /// libfaketime, or a C compiler, is not installed.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let library = library().expect("libfaketime is not installed: run `make deps`");
        let clock = Self { file: folder.join("clock"), libraries: [waits(folder), library] };
        clock.step(0);
        clock
    }

    /// What a process has to have in its environment to live by this clock.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.libraries.each_ref().map(|library| library.display().to_string()).join(":")),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Sets the clock so many seconds ahead of the machine's, or behind.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn step(&self, seconds: i64) {
        // Replaced as a whole: it is read at any moment.
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n")).expect("a file");
        fs::rename(&fresh, &self.file).expect("a file");
    }
}

/// What libfaketime lacks, compiled into `folder`.
fn waits(folder: &Path) -> PathBuf {
    let (source, library) = (concat!(env!("CARGO_MANIFEST_DIR"), "/src/waits.c"), folder.join("waits.so"));
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", source, "-o"]).arg(&library).status();
    assert!(made.as_ref().is_ok_and(std::process::ExitStatus::success), "cc cannot compile {source}: {made:?}");
    library
}

/// Debian keeps it in a folder that is named after the machine's kind.
fn library() -> Option<PathBuf> {
    let kinds = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = kinds.map(|kind| kind.path().join("faketime/libfaketime.so.1"));
    found.find(|path| path.exists())
}
