//! Letters into files.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write};

use async_trait::async_trait;
use model::Stream;
use pipeline::ports::{DeadLetter, DeadLetterError, Kept, Letter};
use tokio::task::spawn_blocking;

use super::folder::{Folder, Of, Segment, private, whole_lines};
use super::line::{Identity, encode};

/// Keeps letters in a folder, up to a bound.
#[derive(Clone, Debug)]
pub struct FileDeadLetter {
    folder: Folder,
    /// Bytes of all files, about.
    bytes: u64,
}

/// A file is closed at such a part of the bound: what is removed to make room is one file.
const PARTS: u64 = 16;
/// A file is never closed at less, nor let grow to more: its last lines are read whenever letters come.
const FILE_BYTES: (u64, u64) = (64 << 10, 4 << 20);

/// Repeated letters are looked for, from the newest file on, until so many files in a row have none: they come at once.
const LOOK_BACK: usize = 2;

impl FileDeadLetter {
    /// A dead letter in `folder` that keeps about `bytes`: the oldest go when there are more. Touches nothing yet.
    pub fn new(folder: Folder, bytes: u64) -> Self {
        Self { folder, bytes }
    }

    /// Keeps letters of one sink and stream. They are on disk when this returns. Letters in files up to number
    /// `after` are no reason not to keep them again.
    pub(super) fn append(&self, of: &Of, letters: &[&Letter], after: u64) -> io::Result<u64> {
        let _lock = self.folder.lock()?;
        let mut own = self.folder.segments()?;
        own.retain(|segment| segment.of == *of);
        let newer: Vec<_> = own.iter().rev().filter(|segment| segment.number > after).collect();
        let mut known = self.repeated(&newer, letters)?;
        let mut lines = String::new();
        let mut new = 0;
        for letter in letters.iter().filter(|letter| known.insert(Identity::of(letter))) {
            lines.push_str(&encode(letter)?);
            lines.push('\n');
            new += 1;
        }
        if new > 0 {
            let last = own.pop().filter(|segment| segment.number > after);
            self.write(of, last, &lines)?;
        }
        Ok(new)
    }

    /// Those of `letters` that are in one of the files, newest first.
    fn repeated(&self, segments: &[&Segment], letters: &[&Letter]) -> io::Result<HashSet<Identity<'static>>> {
        let wanted: HashSet<_> = letters.iter().map(|letter| Identity::of(letter)).collect();
        let (mut found, mut without) = (HashSet::new(), 0);
        for segment in segments {
            let text = self.folder.text(segment)?.unwrap_or_default();
            let before = found.len();
            found.extend(whole_lines(&text).filter_map(Identity::read).filter(|identity| wanted.contains(identity)));
            without = if found.len() > before { 0 } else { without + 1 };
            if without == LOOK_BACK {
                break;
            }
        }
        Ok(found)
    }

    fn write(&self, of: &Of, last: Option<Segment>, lines: &str) -> io::Result<()> {
        let limit = (self.bytes / PARTS).clamp(FILE_BYTES.0, FILE_BYTES.1);
        let is_open = |segment: &Segment| fs::metadata(self.folder.file(segment)).is_ok_and(|file| file.len() < limit);
        let segment = match last.filter(is_open) {
            Some(segment) => segment,
            None => self.folder.begin(of)?,
        };
        let path = self.folder.file(&segment);
        let mut file = private().append(true).open(&path)?;
        // The end of the process or a full disk may have left half a line, which nobody was told was kept.
        let text = fs::read(&path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        file.write_all(lines.as_bytes())?;
        file.sync_all()
    }

    /// Removes the oldest files until the bound is kept, but never the newest, and notes the letters that went.
    fn make_room(&self, removed: &mut BTreeMap<(String, Stream), u64>) -> io::Result<()> {
        let _lock = self.folder.lock()?;
        let mut files = Vec::new();
        for segment in self.folder.segments()? {
            let size = fs::metadata(self.folder.file(&segment))?.len();
            files.push((segment, size));
        }
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        files.pop();
        for (segment, size) in files {
            if total <= self.bytes {
                break;
            }
            let text = self.folder.text(&segment)?.unwrap_or_default();
            let left = whole_lines(&text).count().saturating_sub(self.folder.progress(&segment)?.settled);
            self.folder.remove(&segment)?;
            total -= size;
            *removed.entry((segment.of.sink, segment.of.stream)).or_default() += left as u64;
        }
        Ok(())
    }

    fn keep_all(&self, letters: &[Letter]) -> io::Result<Kept> {
        let mut kept = Kept::default();
        let mut sorted: BTreeMap<Of, Vec<&Letter>> = BTreeMap::new();
        for letter in letters {
            sorted.entry(Of { sink: letter.sink.clone(), stream: letter.stream() }).or_default().push(letter);
        }
        for (of, letters) in sorted {
            let new = self.append(&of, &letters, 0)?;
            if new > 0 {
                kept.new.insert(of.stream, new);
            }
        }
        if !kept.new.is_empty()
            && let Err(error) = self.make_room(&mut kept.removed)
        {
            tracing::warn!(%error, "cannot make room in the dead letter; it outgrows its bound");
        }
        Ok(kept)
    }
}

#[async_trait]
impl DeadLetter for FileDeadLetter {
    async fn keep(&self, letters: &[Letter]) -> Result<Kept, DeadLetterError> {
        let (this, letters) = (self.clone(), letters.to_vec());
        let failed = |reason: String| DeadLetterError { target: self.folder.path().display().to_string(), reason };
        let kept =
            spawn_blocking(move || this.keep_all(&letters)).await.map_err(|panicked| failed(panicked.to_string()))?;
        kept.map_err(|error| failed(error.to_string()))
    }
}
