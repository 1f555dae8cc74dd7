//! Files that are read over and over.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use pipeline::ports::KernelError;

use crate::{is_gone, unreadable};

/// Where the kernel tells a file in pieces, each is nearly a page long: what is shorter is the whole.
const SURELY_WHOLE: usize = 2048;

/// What a file is read into.
const BUFFER: usize = 16 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// How many files may be kept open.
#[derive(Clone, Debug)]
pub(crate) struct Descriptors {
    left: Arc<AtomicU64>,
}

impl Descriptors {
    /// Half of what the process may open: the rest is for connections.
    pub fn half_of_the_limit() -> Self {
        let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
        Self::new(limit / 2)
    }

    pub fn new(most: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(most)) }
    }

    fn take(&self) -> Option<Descriptor> {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Descriptor { left: self.left.clone() })
    }
}

/// The right to keep one file open.
#[derive(Debug)]
struct Descriptor {
    left: Arc<AtomicU64>,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.left.fetch_add(1, Relaxed);
    }
}

/// A file of the kernel's: kept open, or opened each time where too many are.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    kept: Option<(File, Descriptor)>,
}

impl Source {
    /// A file that has to be there.
    pub fn open(path: &Path, descriptors: &Descriptors) -> Result<Self, KernelError> {
        let file = File::open(path).map_err(|error| failed(path, &error))?;
        let kept = descriptors.take().map(|descriptor| (file, descriptor));
        Ok(Self { path: path.to_owned(), kept })
    }

    /// A file of a controller that may be off; `None` where it is.
    pub fn find(path: &Path, descriptors: &Descriptors) -> Result<Option<Self>, KernelError> {
        match Self::open(path, descriptors) {
            Ok(source) => Ok(Some(source)),
            Err(KernelError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What `parse` makes of the file's present text.
    pub fn read<T>(&mut self, parse: impl FnOnce(&[u8]) -> T) -> Result<T, KernelError> {
        READ.with_borrow_mut(|buffer| {
            let read = match &self.kept {
                Some((file, _)) => whole(file, buffer),
                None => File::open(&self.path).and_then(|file| whole(&file, buffer)),
            };
            let length = read.map_err(|error| failed(&self.path, &error))?;
            Ok(parse(&buffer[..length]))
        })
    }
}

/// Reads all of `file`; the number of bytes.
fn whole(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize(length * 2, 0);
        }
        let read = match file.read_at(&mut buffer[length..], length as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        length += read;
        if read < SURELY_WHOLE {
            return Ok(length);
        }
    }
}

pub(crate) fn failed(path: &Path, error: &io::Error) -> KernelError {
    if is_gone(error) { KernelError::Gone } else { unreadable(path, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_the_buffer_is_read_whole_kept_open_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let text: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        std::fs::write(&path, &text).unwrap();
        for most in [0, 1] {
            let descriptors = Descriptors::new(most);
            let mut source = Source::open(&path, &descriptors).unwrap();
            assert_eq!(source.kept.is_some(), most == 1);
            for _ in 0..2 {
                assert!(source.read(|read| read == text).unwrap());
            }
            drop(source);
            assert_eq!(descriptors.left.load(Relaxed), most);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_gone_and_one_that_may_not_be_read_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let descriptors = Descriptors::new(1);
        assert_eq!(Source::open(&folder.path().join("none"), &descriptors).unwrap_err(), KernelError::Gone);
        assert!(Source::find(&folder.path().join("none"), &descriptors).unwrap().is_none());
        let mut folder_as_file = Source::open(folder.path(), &descriptors).unwrap();
        let KernelError::Unreadable(why) = folder_as_file.read(<[u8]>::len).unwrap_err() else { panic!("not gone") };
        assert!(why.starts_with(&folder.path().display().to_string()), "{why}");
    }
}
