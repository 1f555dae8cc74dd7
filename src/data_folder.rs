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

    /// A random name, the same for as long as epochs rise here. Where they begin anew, batches are named as others
    /// were before, and this is what tells them apart.
    pub fn identity(&self) -> Result<String, DataFolderError> {
        self.known_identity().map_err(|error| DataFolderError::Unusable { folder: self.folder.clone(), error })
    }

    fn known_identity(&self) -> io::Result<String> {
        let path = self.folder.join("identity");
        if self.folder.join("epoch").try_exists()? && path.try_exists()? {
            return Ok(read_to_string(path)?.trim().to_owned());
        }
        let identity = format!("{:016x}", RandomState::new().hash_one(&self.folder));
        let fresh = self.folder.join("identity.new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{identity}")?;
        file.sync_all()?;
        rename(&fresh, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(identity)
    }
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
        let named = || DataFolder::open(place.path()).unwrap().identity().unwrap();
        let first = named();
        std::fs::write(place.path().join("epoch"), "1").unwrap();
        let kept = named();
        assert_eq!(named(), kept);
        std::fs::remove_file(place.path().join("epoch")).unwrap();
        assert_ne!(named(), kept);
        assert_eq!((first.len(), kept.len()), (16, 16));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataFolder::open(other.path()).unwrap().identity().unwrap(), kept);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(&file.path().join("data")).unwrap_err().to_string();
        assert!(error.contains(&*file.path().to_string_lossy()) && error.contains("Not a directory"), "{error}");
    }
}
