//! A server process behind its supervisor (`tests/servers/supervise.py`), which obeys lines and answers each with a line.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time a server may take to start or stop. A build beside the tests makes every start slow.
const DEADLINE: Duration = Duration::from_secs(150);

/// A running server. Dropping it ends it and removes its folder.
///
/// Every method panics with the end of the server's log when the server does not do as told.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    folder: PathBuf,
    ready: String,
    supervisor: Mutex<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    process: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// Whom a server must run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Anyone,
    Root,
}

impl Server {
    /// Starts `tests/servers/<name>.py` and waits until it is ready.
    pub(crate) fn start(name: &'static str, user: User, args: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(crate::unique(&format!("dockstream-{name}")));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../servers/{name}.py"));
        let mut command = if user == User::Root { as_root("python3") } else { Command::new("python3") };
        let mut process = command
            .arg(&script)
            .arg("--dir")
            .arg(&folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let stdout = process.stdout.take().expect("stdout is piped");
        let (lines, answers) = sync_channel(16);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let commands = process.stdin.take();
        let first = answers.recv_timeout(DEADLINE);
        let supervisor = Mutex::new(Supervisor { process, commands, answers });
        let mut server = Self { name, folder, ready: String::new(), supervisor };
        server.ready = server.judge("start", "ready", first);
        server
    }

    /// Kills the server at once (SIGKILL). What it had not written is lost; its folder stays for [`Self::restart`].
    pub fn kill9(&self) {
        self.command("kill", "down");
    }

    /// Asks the server to end (SIGTERM) and waits until it has.
    pub fn stop(&self) {
        self.command("stop", "down");
    }

    /// Starts the server again with the same data and address, after [`Self::stop`] or [`Self::kill9`]; waits until it
    /// is ready. One that runs stays as it is.
    pub fn restart(&self) {
        self.command("start", "ready");
    }

    /// Suspends the server (SIGSTOP): connections stay open, the kernel still accepts new ones, nothing is answered.
    pub fn pause(&self) {
        self.command("pause", "paused");
    }

    /// Lets a suspended server run on.
    pub fn resume(&self) {
        self.command("resume", "resumed");
    }

    /// Folder of the server's data and its `server.log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines the server logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.folder.join("server.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// An address the server named when it became ready.
    pub(crate) fn address(&self, key: &str) -> String {
        let value = self.ready.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{} named no {key}: {:?}", self.name, self.ready)).to_owned()
    }

    fn command(&self, word: &str, wanted: &str) -> String {
        let answer = {
            let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
            // A supervisor that is gone shows in its answer.
            if let Some(commands) = &mut supervisor.commands {
                let _ = writeln!(commands, "{word}");
            }
            supervisor.answers.recv_timeout(DEADLINE)
        };
        self.judge(word, wanted, answer)
    }

    fn judge(&self, word: &str, wanted: &str, answer: Result<String, RecvTimeoutError>) -> String {
        match answer {
            Ok(line) if line.split(' ').next() == Some(wanted) => line,
            Ok(line) => self.fail(word, line.strip_prefix("failed ").unwrap_or(&line)),
            Err(RecvTimeoutError::Timeout) => self.fail(word, "no answer from its supervisor"),
            Err(RecvTimeoutError::Disconnected) => self.fail(word, "its supervisor ended; its errors are above"),
        }
    }

    fn fail(&self, word: &str, reason: &str) -> ! {
        let mut text = format!("{} {word}: {reason}", self.name);
        let log = self.log_tail();
        if !log.is_empty() {
            let _ = write!(text, "\n--- the end of its log\n{log}\n---");
        }
        panic!("{text}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        supervisor.commands = None;
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(supervisor.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // Its servers have asked the kernel to die with it.
                let _ = supervisor.process.kill();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A command that is run as root: by sudo, without a password, where this process is not.
pub(crate) fn as_root(program: &str) -> Command {
    if effective_user() == 0 {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

fn effective_user() -> u32 {
    fs::metadata("/proc/self").map_or(0, |process| process.uid())
}
