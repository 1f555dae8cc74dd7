//! A Podman engine of our own, behind Docker's API.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::dockerd::{Dockerd, docker, make_image};
use crate::server::{Server, User};

/// A Podman engine in its own namespaces, with one image, [`Dockerd::IMAGE`]. Its containers have no network.
#[derive(Debug)]
pub struct Podman {
    server: Server,
    socket: PathBuf,
}

impl Podman {
    /// Starts an engine of its own. Panics when it is not installed, does not start, or this user is not root and may not
    /// become root without a password.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::start("podman", User::Root, &[]);
        let socket = PathBuf::from(server.address("socket"));
        make_image(&socket);
        Self { server, socket }
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

    /// Starts a container under `name` that runs `script` in a shell. Gives its full id.
    pub fn run(&self, name: &str, script: &str) -> String {
        let cgroup = format!("--cgroup-parent={}", self.server.address("cgroup"));
        let args = ["run", "--detach", "--network=none", &cgroup, "--name", name, Dockerd::IMAGE, "sh", "-c", script];
        docker(&self.socket, &args)
    }

    /// Removes a container, running or not.
    pub fn remove(&self, name: &str) {
        docker(&self.socket, &["rm", "--force", name]);
    }
}

impl Deref for Podman {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
