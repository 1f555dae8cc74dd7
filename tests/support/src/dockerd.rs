//! A Docker engine of our own, beside any the machine may run.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::server::{Server, User, as_root};
use crate::wait_until;

/// A Docker engine in its own namespaces, with one image, [`Dockerd::IMAGE`], and a bridge network without a way out.
///
/// [`Server::stop`] ends the daemon as a service manager would: containers are stopped, unless it restores live.
/// Dropping it kills everything at once.
#[derive(Debug)]
pub struct Dockerd {
    server: Server,
    socket: PathBuf,
}

/// Which Docker engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The machine's own: 20.10 on Debian 12, which has API 1.41 and answers a one-shot poll at its collector's next tick.
    Stable,
    /// That of Debian unstable, kept by `make deps` in `.cache/engine`: 28, which answers a one-shot poll at once.
    Current,
}

/// What becomes of the containers when the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// They are stopped; after a kill the next daemon ends them.
    Plain,
    /// They run on and the next daemon finds them (`--live-restore`).
    Live,
}

impl Dockerd {
    /// Busybox and nothing else.
    pub const IMAGE: &str = "dockstream/busybox:test";

    /// Starts an engine of its own. Panics when it is not installed, does not start, or this user is not root and may not
    /// become root without a password.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Restart::Plain, &[])
    }

    /// Starts an engine of this release, of its own.
    #[must_use]
    pub fn of(release: Release) -> Self {
        Self::launch(release, Restart::Plain, &[])
    }

    /// Starts an engine of this release, whose containers outlive it.
    #[must_use]
    pub fn live(release: Release) -> Self {
        Self::launch(release, Restart::Live, &[])
    }

    /// Starts an engine with further flags of dockerd.
    #[must_use]
    pub fn start_with(restart: Restart, flags: &[&str]) -> Self {
        Self::launch(Release::Stable, restart, flags)
    }

    fn launch(release: Release, restart: Restart, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|flag| format!("--flag={flag}")).collect();
        let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
        if release == Release::Current {
            args.push("--current");
        }
        if restart == Restart::Live {
            args.push("--live-restore");
        }
        Self::start_as(&args)
    }

    /// Starts an engine that listens on a port of 127.0.0.1 as well ([`Self::tcp_url`]): in plain, or with TLS on both sides
    /// where `tls` is a folder of an [`Authority`](crate::Authority).
    #[must_use]
    pub fn start_on_tcp(tls: Option<&Path>) -> Self {
        let tls = tls.map(|folder| format!("--tls={}", folder.display()));
        let args: Vec<&str> = ["--tcp"].into_iter().chain(tls.as_deref()).collect();
        Self::start_as(&args)
    }

    fn start_as(args: &[&str]) -> Self {
        let server = Server::start("dockerd", User::Root, args);
        let socket = PathBuf::from(server.address("socket"));
        make_image(&socket);
        Self { server, socket }
    }

    /// The engine all tests of this process share.
    pub fn shared() -> &'static Self {
        Self::shared_of(Release::Stable)
    }

    /// The engine of this release that all tests of this process share.
    pub fn shared_of(release: Release) -> &'static Self {
        static STABLE: OnceLock<Dockerd> = OnceLock::new();
        static CURRENT: OnceLock<Dockerd> = OnceLock::new();
        let shared = match release {
            Release::Stable => &STABLE,
            Release::Current => &CURRENT,
        };
        shared.get_or_init(|| Self::of(release))
    }

    /// Path of the engine's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The engine's address, `unix://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The engine's address on TCP, `tcp://127.0.0.1:…`, where it was started with one.
    #[must_use]
    pub fn tcp_url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.server.address("port"))
    }

    /// Runs the docker command line against this engine: [`docker`].
    pub fn docker(&self, args: &[&str]) -> String {
        docker(&self.socket, args)
    }

    /// Starts a container of [`Self::IMAGE`] under `name`, with further `options` of `docker run`, that runs `script` in a
    /// shell. Gives its full id.
    pub fn run(&self, name: &str, options: &[&str], script: &str) -> String {
        let mut args = vec!["run", "--detach", "--name", name];
        args.extend(options);
        args.extend([Self::IMAGE, "sh", "-c", script]);
        self.docker(&args)
    }

    /// Removes a container, running or not.
    pub fn remove(&self, name: &str) {
        self.docker(&["rm", "--force", name]);
    }

    /// Lets the daemon read its configuration again (SIGHUP), which it tells as an event.
    pub fn reload(&self) {
        let socket = self.url();
        let daemon = processes(|process| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"dockerd"))
                && words.any(|word| word == socket.as_bytes())
        });
        send("HUP", &daemon, "the engine");
    }

    /// Pauses a container. On a busy machine the runtime gives up freezing a busy one, and is asked again.
    pub fn pause_container(&self, name: &str) {
        wait_until(Duration::from_secs(120), &format!("{name} is paused"), || {
            try_docker(&self.socket, &["pause", name]).is_ok()
                || self.docker(&["inspect", "--format", "{{.State.Paused}}", name]) == "true"
        });
    }

    /// CPU time that the engine's own processes have used since they began, in steps of 10 ms each: the daemon, containerd,
    /// and a shim for each container, which itself is not counted.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let folder = self.folder().as_os_str().as_encoded_bytes();
        let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
        let of_engine = processes(|process| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.starts_with(b"dockerd") && line.windows(folder.len()).any(|window| window == folder)
        });
        let own = of_engine.first().and_then(|daemon| namespace(&Path::new("/proc").join(daemon)));
        let ticks: u32 = processes(|process| own.is_some() && namespace(process) == own)
            .iter()
            .filter_map(|process| fs::read_to_string(format!("/proc/{process}/stat")).ok())
            .filter_map(|stat| {
                let fields = stat.rsplit_once(')')?.1.split_whitespace();
                Some(fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum::<u32>())
            })
            .sum();
        Duration::from_millis(10) * ticks
    }

    /// Suspends the process through which the engine reaches a container (its shim, of the full id `container`): calls that
    /// need it are not answered until [`Self::thaw`]. The container itself runs on.
    pub fn freeze(&self, container: &str) {
        send("STOP", &shims(container), container);
    }

    /// Lets a suspended shim run on.
    pub fn thaw(&self, container: &str) {
        send("CONT", &shims(container), container);
    }

    /// Kills the processes of a container (its full id) behind the engine's back, and waits until there are none: also
    /// where the engine itself is dead.
    pub fn kill_container(&self, container: &str) {
        send("KILL", &of_container(container), container);
        wait_until(Duration::from_secs(60), "the container's processes end", || of_container(container).is_empty());
    }
}

/// The engine has process ids of its own; here its processes are known by their command lines.
fn shims(container: &str) -> Vec<String> {
    processes(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"))
            && words.any(|word| word == container.as_bytes())
    })
}

/// The processes a container consists of: the children of its shim.
fn of_container(container: &str) -> Vec<String> {
    let shims = shims(container);
    processes(|process| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        parent.is_some_and(|parent| shims.iter().any(|shim| shim == parent))
    })
}

/// Ids of the machine's processes whose folder in `/proc` `is_it`.
fn processes(is_it: impl Fn(&Path) -> bool) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    let those = all.filter(|process| is_it(&process.path()));
    those.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

fn send(signal: &str, processes: &[String], whose: &str) {
    assert!(!processes.is_empty(), "no process of {whose}");
    let sent = as_root("kill").args(["-s", signal]).args(processes).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {processes:?} of {whose}");
}

impl Deref for Dockerd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Makes the one image in the engine at `socket`.
pub(crate) fn make_image(socket: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../servers/image.sh");
    let made = Command::new("sh").arg(script).arg(socket).output();
    let made = made.unwrap_or_else(|error| panic!("cannot make the image: {error}"));
    assert!(made.status.success(), "cannot make the image: {}", String::from_utf8_lossy(&made.stderr));
}

/// Runs the docker command line against the engine at `socket` and gives what it wrote, without the last line end. Panics
/// with its error when it fails.
pub fn docker(socket: &Path, args: &[&str]) -> String {
    try_docker(socket, args).unwrap_or_else(|error| panic!("docker {}: {error}", args.join(" ")))
}

/// [`docker`] for a command that may fail.
///
/// # Errors
/// What the command wrote on stderr.
pub fn try_docker(socket: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .arg("--host")
        .arg(format!("unix://{}", socket.display()))
        .args(args)
        .output()
        .map_err(|error| format!("cannot run docker: {error}; `make deps` installs it"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
