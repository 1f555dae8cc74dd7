//! The folder in which dockstream keeps everything: one process at a time.

use std::fs::{File, TryLockError, create_dir_all, read_to_string, rename};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder cannot be used, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// It cannot be made or written.
    #[error("cannot use the data folder {}: {error}; choose another one with --data-dir", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it.
    #[error("the data folder {} is in use by another dockstream; end that one, or choose another folder with --data-dir", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
}

/// The folder, locked for as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    folder: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it is missing, checks that it can be written, and locks it.
    pub fn open(folder: &Path) -> Result<Self, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { folder: folder.to_owned(), error };
        create_dir_all(folder).map_err(unusable)?;
        let lock = File::options().create(true).append(true).open(folder.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Who this start is, for those who keep something about it elsewhere. Asked before the epoch is raised.
    pub fn identity(&self) -> Result<Identity, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { folder: self.folder.clone(), error };
        let before = match read_to_string(self.folder.join("epoch")) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        Ok(Identity {
            folder: self.name(before.is_some()).map_err(unusable)?,
            // A text that is no number ends the start where it is raised.
            epoch: before.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0) + 1,
            start: random_name(),
        })
    }

    /// The folder's own name, kept in it; a new one where there is none, or where epochs begin anew.
    fn name(&self, epochs_go_on: bool) -> io::Result<String> {
        let path = self.folder.join("identity");
        if epochs_go_on && path.try_exists()? {
            return Ok(read_to_string(path)?.trim().to_owned());
        }
        let name = random_name();
        let fresh = self.folder.join("identity.new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        rename(&fresh, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(name)
    }
}

/// Sixteen digits that nobody else has.
fn random_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Tells one start of a data folder from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A random name of the folder, the same for as long as epochs rise in it. Where they begin anew, batches are named
    /// as others were before, and this is what tells them apart.
    pub folder: String,
    /// The epoch of this start.
    pub epoch: u64,
    /// A random name of this start: a folder that was restored from a backup lives an epoch twice.
    pub start: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/data");
        let held = DataFolder::open(&folder).unwrap();
        assert!(DataFolder::open(&folder).unwrap_err().to_string().contains("in use by another dockstream"));
        drop(held);
        DataFolder::open(&folder).unwrap();
    }

    #[test]
    fn a_folder_has_a_name_of_its_own_until_its_epochs_begin_anew() {
        let place = tempfile::tempdir().unwrap();
        let identity = || DataFolder::open(place.path()).unwrap().identity().unwrap();
        assert_eq!(identity().epoch, 1);
        std::fs::write(place.path().join("epoch"), "1\n").unwrap();
        let (one, two) = (identity(), identity());
        assert_eq!((&one.folder, one.epoch), (&two.folder, 2));
        assert_ne!(one.start, two.start);
        std::fs::remove_file(place.path().join("epoch")).unwrap();
        assert_ne!(identity().folder, one.folder);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(&file.path().join("data")).unwrap_err().to_string();
        assert!(error.contains(&*file.path().to_string_lossy()) && error.contains("Not a directory"), "{error}");
    }
}
