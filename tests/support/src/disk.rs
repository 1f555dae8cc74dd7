//! A small disk of its own, which can be full.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system in memory, mounted at a folder while this is there. It goes with the process, however that ends.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    holder: Child,
}

/// Mounts, says so, and unmounts at the end of input.
const HOLD: &str = r#"mount -t tmpfs -o "$1" disk "$2" && echo mounted && cat > /dev/null; umount -l "$2""#;

impl SmallDisk {
    /// A disk of `bytes` at `folder`, which is made where it is missing.
    ///
    /// # Panics
    /// This user is not root, and may not become root without a password; or the system refuses.
    #[must_use]
    pub fn mount(folder: &Path, bytes: u64) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let me = fs::metadata("/proc/self").expect("/proc");
        let mut command = if me.uid() == 0 {
            Command::new("sh")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "sh"]);
            sudo
        };
        let options = format!("size={bytes},uid={},gid={},mode=700", me.uid(), me.gid());
        command.args(["-c", HOLD, "sh", &options]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("stdout is piped")).read_line(&mut line);
        assert!(said.is_ok() && line == "mounted\n", "cannot mount a small disk; what the system says is above");
        Self { folder: folder.to_owned(), holder }
    }

    /// Fills it to the last byte, again where room was made meanwhile.
    ///
    /// # Panics
    /// The file that fills it cannot be made.
    pub fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).expect("a file");
        // The error is what is wanted: no space is left. The last bytes are tried in small pieces.
        for piece in [1 << 20, 4096] {
            let zeros = vec![0; piece];
            while file.write_all(&zeros).is_ok() {}
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// It was not full.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
