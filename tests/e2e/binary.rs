//! The binary, run as people run it: in a folder of its own, on a free port, with its words kept.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use test_support::{wait_for, wait_until};

use crate::http;

/// A busy machine starts everything slowly.
pub const SOON: Duration = Duration::from_secs(90);

/// What to run, and where.
pub struct Launch {
    folder: Arc<TempDir>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    disk: Option<Disk>,
}

/// A small disk of its own under the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Empty,
    Full,
}

/// Its size, in KiB: enough for a fresh database and a journal.
const DISK_KIB: u64 = 32 << 10;

/// Who tests what is stored wants no answer of some seconds ago, unless the cache is what is tested.
fn uncached(folder: &TempDir) -> Vec<(String, String)> {
    let config = fs::read_to_string(folder.path().join("pipeline.toml")).unwrap_or_default();
    let wants = config.contains("[cache]");
    (!wants).then(|| ("DOCKSTREAM_CACHE_KIND".to_owned(), "off".to_owned())).into_iter().collect()
}

impl Launch {
    /// With this text as its `pipeline.toml`.
    pub fn new(config: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        fs::write(folder.path().join("pipeline.toml"), config).expect("the configuration is written");
        Self::in_folder(folder)
    }

    /// Another one in the folder of one that ended, with the same configuration.
    pub fn again(finished: &Finished) -> Self {
        Self::in_folder(finished.folder.clone())
    }

    /// In a folder that has its `pipeline.toml` already.
    pub fn in_folder(folder: Arc<TempDir>) -> Self {
        let variables = uncached(&folder);
        Self { folder, arguments: Vec::new(), variables, disk: None }
    }

    /// A command in the folder of one that runs, with the same configuration.
    pub fn beside(running: &Dockstream) -> Self {
        Self::in_folder(running.folder.clone())
    }

    /// One that watches the engine at `socket` under the name `real`, with more configuration below.
    pub fn watching(socket: &Path, more: &str) -> Self {
        // A drain that is not what is tested has all the time a busy machine takes.
        let grace = if more.contains("[shutdown]") { "" } else { "\n[shutdown]\ngrace = \"60s\"\n" };
        Self::new(&format!("[[hosts]]\nname = \"real\"\nurl = \"unix://{}\"\n{more}{grace}", socket.display()))
    }

    /// Adds command line arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps its data on a small disk, which nobody else sees.
    pub fn on_disk(mut self, disk: Disk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// The folder it is run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it serves, on a port of its own.
    pub fn start(self) -> Dockstream {
        let mut dockstream = self.with(&["--listen", "127.0.0.1:0"]).spawn();
        let line = dockstream.wait_for_line("  serving ");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        dockstream.address = address.and_then(|address| address.parse().ok());
        dockstream
    }

    /// Runs it to its end.
    pub fn finish(self) -> Finished {
        self.spawn().finished(4 * SOON)
    }

    /// Starts it.
    pub fn spawn(self) -> Dockstream {
        // The kernel kills it with the thread of the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(disk) = self.disk {
            // A mount namespace of its own needs root; a user namespace gives that to anybody.
            let namespaces: &[&str] = if is_root() { &["--mount"] } else { &["--mount", "--user", "--map-root-user"] };
            let fill = if disk == Disk::Full { "cat /dev/zero > data/ballast 2> /dev/null; " } else { "" };
            let mount = format!("mkdir data; mount -t tmpfs -o size={DISK_KIB}k disk data; {fill}exec \"$@\"");
            command.arg("unshare").args(namespaces).args(["sh", "-c", &mount, "sh"]);
        }
        command.arg(env!("CARGO_BIN_EXE_dockstream")).args(&self.arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOCKSTREAM_") || name == "DOCKER_HOST") {
            command.env_remove(name);
        }
        command.envs(self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let out = Lines::read(process.stdout.take().expect("stdout is piped"));
        let err = Lines::read(process.stderr.take().expect("stderr is piped"));
        Dockstream { process, out, err, address: None, folder: self.folder }
    }
}

/// A running dockstream. Dropping it kills it; where the test fails, what it said is shown.
pub struct Dockstream {
    process: Child,
    out: Lines,
    err: Lines,
    address: Option<SocketAddr>,
    folder: Arc<TempDir>,
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub out: Vec<String>,
    pub err: Vec<String>,
    folder: Arc<TempDir>,
}

impl Finished {
    /// Its database.
    pub fn database(&self) -> PathBuf {
        database(self.folder.path())
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("data/dockstream.db")
}

impl Dockstream {
    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        database(self.folder.path())
    }

    /// Its data folder as it sees it itself, whatever is mounted there.
    pub fn data(&self) -> PathBuf {
        let inside = self.folder.path().join("data");
        Path::new(&format!("/proc/{}/root", self.process.id())).join(inside.strip_prefix("/").expect("it is absolute"))
    }

    /// Memory it holds, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it runs").count()
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it serves")
    }

    /// Status and body of an answer.
    pub fn ask(&self, path: &str) -> (u16, Value) {
        let (status, body) = http::get(self.address(), path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// The body of an answer that must be 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Waits until it is ready.
    pub fn ready(&self) {
        wait_until(SOON, "dockstream is ready", || self.ask("/readyz").0 == 200);
    }

    /// Waits until it is not ready, for more than that it has only just begun; why.
    pub fn not_ready(&self) -> String {
        wait_for(SOON, "dockstream is not ready", || match self.ask("/readyz") {
            (503, body) => {
                body["reason"].as_str().filter(|why| *why != "no engine has answered yet").map(str::to_owned)
            }
            _ => None,
        })
    }

    /// The containers whose stats are followed on the host `real`, by short id.
    pub fn streams(&self) -> BTreeSet<String> {
        let pipeline = self.get("/api/pipeline");
        let groups = ["hosts", "real", "streams"];
        let group = groups.iter().try_fold(&pipeline["tree"], |node, name| child(node, name));
        let children = group.and_then(|group| group["children"].as_array()).into_iter().flatten();
        let running = children.filter(|child| child["state"] == "running");
        running.filter_map(|child| Some(child["name"].as_str()?.split('.').next()?.to_owned())).collect()
    }

    /// The books of one sink.
    pub fn sink(&self, name: &str) -> Value {
        let pipeline = self.get("/api/pipeline");
        let sinks = pipeline["sinks"].as_array().into_iter().flatten();
        sinks.clone().find(|sink| sink["sink"] == name).unwrap_or_else(|| panic!("no sink {name}: {pipeline}")).clone()
    }

    /// Waits until a sink has settled what was journaled for it by now. More may have come meanwhile: what flows is never all there.
    pub fn catches_up(&self, sink: &str) {
        let count = |name: &str| self.sink(sink)[name].as_u64().unwrap_or_else(|| panic!("no {name} of {sink}"));
        let owed = count("journaled");
        wait_until(2 * SOON, &format!("{sink} has settled {owed} records"), || {
            let books = self.sink(sink);
            let count = |name: &str| books[name].as_u64().expect("a number");
            count("delivered") + count("rejected") + count("dropped") >= owed
        });
    }

    /// Waits for a line with `text` in it on either output.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let found = wait_for(SOON, &format!("a line with {text:?}"), || {
            if let Some(line) = self.out.find(text).or_else(|| self.err.find(text)) {
                return Some(Some(line));
            }
            self.process.try_wait().expect("the process can be asked").is_some().then_some(None)
        });
        found.unwrap_or_else(|| panic!("it ended before it said {text:?}"))
    }

    /// The lines so far with `text` in them, on either output.
    pub fn lines(&self, text: &str) -> Vec<String> {
        let (out, err) = (self.out.all(), self.err.all());
        out.iter().chain(err.iter()).filter(|line| line.contains(text)).cloned().collect()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(self) -> Finished {
        self.signal("TERM");
        self.finished(3 * SOON)
    }

    /// Kills it.
    pub fn kill9(self) -> Finished {
        self.signal("KILL");
        self.finished(SOON)
    }

    /// Waits until it has ended.
    pub fn finished(mut self, within: Duration) -> Finished {
        let status = wait_for(within, "dockstream ends", || self.process.try_wait().expect("the process can be asked"));
        // The pipes end with the process, so the readers do.
        self.out.join();
        self.err.join();
        let (out, err) = (self.out.all().clone(), self.err.all().clone());
        Finished { code: status.code(), out, err, folder: self.folder.clone() }
    }
}

impl Drop for Dockstream {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            self.out.join();
            self.err.join();
            eprintln!("dockstream said:\n{}\n{}", self.out.all().join("\n"), self.err.all().join("\n"));
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The child of a tree node with this name.
pub fn child<'a>(node: &'a Value, name: &str) -> Option<&'a Value> {
    node["children"].as_array()?.iter().find(|child| child["name"] == name)
}

/// What a process wrote so far.
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, text: &str) -> Option<String> {
        self.all().iter().find(|line| line.contains(text)).cloned()
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}
