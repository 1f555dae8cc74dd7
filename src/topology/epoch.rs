//! The epoch: raised at every start, so that no two lives of a node give the same name to different batches.

use std::fs::{File, read_to_string, rename};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Raises the epoch kept in `folder` and returns it; 1 at the first start.
///
/// The new value is on disk before it is returned. A file that holds no number is an error: guessing
/// could name new batches like old ones, and their rows would be taken for repetitions.
pub(super) fn raise(folder: &Path) -> io::Result<u64> {
    let path = folder.join("epoch");
    let last: u64 = match read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let hint =
                "the file `epoch` holds no number; write one higher than any used before, or remove the whole folder";
            io::Error::new(ErrorKind::InvalidData, hint)
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let epoch = last + 1;
    let fresh = folder.join("epoch.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{epoch}")?;
    file.sync_all()?;
    rename(&fresh, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_rises_with_every_start() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!([raise(folder.path()).unwrap(), raise(folder.path()).unwrap()], [1, 2]);
    }

    #[test]
    fn an_unreadable_epoch_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("epoch"), "soon").unwrap();
        assert!(raise(folder.path()).unwrap_err().to_string().contains("holds no number"));
    }
}
