//! The folder of the dead letter: which files there are, and whose turn it is.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::Stream;

use super::line::{Entry, Identity};

/// The sink and the stream of letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Of {
    /// The sink.
    pub sink: String,
    /// The stream.
    pub stream: Stream,
}

/// The folder. Any number of processes may use it: each change is made under its lock.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A file of letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub number: u64,
    pub of: Of,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Content {
    /// Its letters, each once, in order.
    pub entries: Vec<Entry>,
    /// Lines that are not letters: damaged.
    pub damaged: usize,
}

/// How far a replay has come in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Lines settled, from the beginning.
    pub settled: usize,
    /// Lines that are sent together next; 0 where nothing was decided.
    pub part: usize,
}

impl Folder {
    /// The folder at `path`, which may not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every sink and stream that has letters.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn all(&self) -> io::Result<Vec<Of>> {
        let mut all: Vec<Of> = self.segments()?.into_iter().map(|segment| segment.of).collect();
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// The letters of a sink and stream that are still to be seen to, oldest first.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read(&self, of: &Of) -> io::Result<Content> {
        let (mut all, mut seen) = (Content::default(), HashSet::new());
        for segment in self.segments()?.into_iter().filter(|segment| segment.of == *of) {
            // A replay may have finished with it meanwhile.
            let Some(text) = self.text(&segment)? else { continue };
            let settled = self.progress(&segment)?.settled;
            for line in whole_lines(&text).skip(settled) {
                match serde_json::from_str::<Entry>(line) {
                    Ok(entry) => {
                        if Identity::read(line).is_none_or(|identity| seen.insert(identity)) {
                            all.entries.push(entry);
                        }
                    }
                    Err(_) => all.damaged += 1,
                }
            }
        }
        Ok(all)
    }

    /// Makes the folder, and keeps others out of it for as long as the file lives.
    pub(super) fn lock(&self) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let lock = private().create(true).append(true).open(self.path.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Keeps other replays out; `None` where there is one already.
    pub(super) fn lock_replay(&self) -> io::Result<Option<File>> {
        drop(self.lock()?);
        let lock = private().create(true).append(true).open(self.path.join("replay.lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// All files, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let Some(found) = ok_or_missing(fs::read_dir(&self.path))? else { return Ok(Vec::new()) };
        let mut segments = Vec::new();
        for file in found {
            segments.extend(file?.file_name().to_str().and_then(Segment::parse));
        }
        segments.sort();
        Ok(segments)
    }

    pub(super) fn file(&self, segment: &Segment) -> PathBuf {
        self.path.join(segment.name())
    }

    /// The text of a file, what is damaged replaced; `None` where it is gone.
    pub(super) fn text(&self, segment: &Segment) -> io::Result<Option<String>> {
        let bytes = ok_or_missing(fs::read(self.file(segment)))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Makes the next file of a sink and stream. Under the lock.
    pub(super) fn begin(&self, of: &Of) -> io::Result<Segment> {
        let number = self.segments()?.last().map_or(1, |last| last.number + 1);
        let segment = Segment { number, of: of.clone() };
        private().create_new(true).append(true).open(self.file(&segment))?;
        self.sync()?;
        Ok(segment)
    }

    /// Removes a file and what a replay noted of it. Under the lock.
    pub(super) fn remove(&self, segment: &Segment) -> io::Result<()> {
        ok_or_missing(fs::remove_file(self.file(segment)))?;
        self.sync()?;
        ok_or_missing(fs::remove_file(self.progress_file(segment)))?;
        Ok(())
    }

    pub(super) fn progress(&self, segment: &Segment) -> io::Result<Progress> {
        let Some(text) = ok_or_missing(fs::read_to_string(self.progress_file(segment)))? else {
            return Ok(Progress::default());
        };
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(settled)), Some(Ok(part))) => Ok(Progress { settled, part }),
            _ => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "{} holds no progress: remove it to begin with the first line",
                    self.progress_file(segment).display()
                ),
            )),
        }
    }

    /// Notes how far a replay has come; it is on disk when this returns.
    pub(super) fn note(&self, segment: &Segment, progress: Progress) -> io::Result<()> {
        let path = self.progress_file(segment);
        let fresh = path.with_extension("new");
        let mut file = private().create(true).write(true).truncate(true).open(&fresh)?;
        writeln!(file, "{} {}", progress.settled, progress.part)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        self.sync()
    }

    /// Puts lines that are no letters where they can be looked at.
    pub(super) fn set_aside(&self, lines: &[&String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut file = private().create(true).append(true).open(self.path.join("damaged"))?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.sync_all()
    }

    fn progress_file(&self, segment: &Segment) -> PathBuf {
        self.path.join(format!("{}.progress", segment.name()))
    }

    /// A name is on disk once its folder is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Segment {
    fn name(&self) -> String {
        format!("{}.{}.{:010}.jsonl", self.of.sink, self.of.stream, self.number)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".jsonl")?.rsplitn(3, '.');
        let number = parts.next()?.parse().ok()?;
        let stream = parts.next()?;
        let stream = Stream::ALL.into_iter().find(|known| known.name() == stream)?;
        Some(Self { number, of: Of { sink: parts.next()?.to_owned(), stream } })
    }
}

/// Files that only their owner may read: records may hold what is nobody else's business.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The lines of a file; a last one without an end was cut off while it was written, and was never kept.
pub(super) fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

fn ok_or_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
