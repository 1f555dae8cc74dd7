//! A proxy between two programs, over TCP or a unix socket, whose line can be spoiled while it carries.

mod carry;
mod door;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::wait_until;
use carry::accept;
use door::Door;
pub use door::Place;

/// How the line is: for connections that are open as well as for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Clear,
    /// Everything passes, each piece of up to 16 KiB so much later, and no faster than so many bytes a second.
    Slow {
        /// How much later.
        delay: Duration,
        /// Bytes a second, in each direction of each connection.
        rate: u32,
    },
    /// Nothing passes in either direction. Connections stay open and new ones are accepted; what was sent meanwhile
    /// passes once the line is clear.
    Silent,
    /// What the client says passes; what it is answered does not.
    Deaf,
    /// A connection is reset in the middle of what the client says, after so many bytes of it.
    Brittle {
        /// Bytes that pass.
        after: u64,
    },
    /// Connections are reset, and new ones refused.
    Cut,
}

/// The proxy. Dropping it resets all connections.
#[derive(Debug)]
pub struct Proxy {
    place: Place,
    state: Option<watch::Sender<State>>,
    followed: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// What every connection looks at.
#[derive(Clone, Debug)]
struct State {
    line: Line,
    /// Where connections lead; the proxy refuses them while it does not know.
    target: Option<Place>,
    /// Connections made before the last of these are reset.
    resets: u64,
    /// Connections made before the last of these carry nothing any more.
    abandoned: u64,
    /// Raised by every change.
    version: u64,
}

impl Proxy {
    /// A proxy on a free port of 127.0.0.1 that refuses connections until it [leads](Self::lead_to) somewhere: its address
    /// is known before its server is started.
    ///
    /// # Panics
    /// The system gives no port or no thread.
    #[must_use]
    pub fn tcp() -> Self {
        Self::start(Door::tcp().expect("a free port"))
    }

    /// A proxy at a unix socket that is made at `path` and leads to the one at `server`.
    ///
    /// # Panics
    /// The socket cannot be made.
    #[must_use]
    pub fn unix(path: &Path, server: &Path) -> Self {
        let proxy = Self::start(Door::Unix(path.to_owned()));
        proxy.lead_to(Place::Unix(server.to_owned()));
        proxy
    }

    fn start(door: Door) -> Self {
        let state = State { line: Line::Clear, target: None, resets: 0, abandoned: 0, version: 1 };
        let (sender, receiver) = watch::channel(state);
        let (place, followed) = (door.place(), Arc::new(AtomicU64::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let told = followed.clone();
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(accept(door, receiver, &told)))
            .expect("a thread");
        let proxy = Self { place, state: Some(sender), followed, thread: Some(thread) };
        proxy.change(|_| {});
        proxy
    }

    /// Where clients connect to.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The address clients connect to, `127.0.0.1:port`.
    ///
    /// # Panics
    /// It is a unix socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("{} is no address", path.display()),
        }
    }

    /// The socket clients connect to.
    ///
    /// # Panics
    /// It is a TCP port.
    #[must_use]
    pub fn socket(&self) -> &PathBuf {
        match &self.place {
            Place::Unix(path) => path,
            Place::Tcp(address) => panic!("{address} is no socket in the file system"),
        }
    }

    /// Says where connections lead, from the next one on.
    pub fn lead_to(&self, target: Place) {
        self.change(|state| state.target = Some(target));
    }

    /// Makes the line so. New connections meet it when this returns.
    pub fn set(&self, line: Line) {
        self.change(|state| state.line = line);
    }

    /// Resets every connection; new ones pass.
    pub fn reset(&self) {
        self.change(|state| state.resets += 1);
    }

    /// Leaves every connection half open: it stays, and never carries anything again. New ones pass.
    pub fn abandon(&self) {
        self.change(|state| state.abandoned += 1);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let sender = self.state.as_ref().expect("it is there until the proxy is dropped");
        sender.send_modify(|state| {
            change(state);
            state.version += 1;
        });
        let version = sender.borrow().version;
        wait_until(Duration::from_secs(90), "the proxy follows", || self.followed.load(Ordering::Acquire) >= version);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already; a second one here would abort.
            let _ = thread.join();
        }
    }
}
