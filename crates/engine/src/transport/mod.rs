//! Connections to an engine: what is different between kinds of hosts ends here.

mod ssh;
mod tcp;
mod tls;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use pipeline::ports::EngineError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use ssh::SshOptions;
pub use tls::TlsOptions;

use crate::HostUrl;
use crate::error::not_connected;
use ssh::{Channel, Ssh};
use tcp::Place;
use tls::{Tls, TlsConnection};

/// How connections to one engine are made, and how many of them there are. Clones share what connections share.
#[derive(Clone)]
pub(crate) struct Transport {
    way: Way,
    open: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Way {
    /// By a unix socket.
    Unix(PathBuf),
    /// By TCP, in plain.
    Tcp(Arc<Place>),
    /// By TCP, with TLS.
    Tls(Arc<Tls>),
    /// By a socket on a host that is reached by SSH.
    Ssh(Arc<Ssh>),
}

/// A connection in either direction, of any kind; counted while it lives.
pub(crate) struct Connection {
    wire: Wire,
    open: Arc<AtomicU64>,
}

enum Wire {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TLS.
    Tls(Box<TlsConnection>),
    /// Over a channel of an SSH session.
    Ssh(Box<Channel>),
}

impl Transport {
    /// The way to `url`. Each step of a connection (reaching the host, agreeing on who is who) may take `patience`.
    pub(crate) fn new(
        url: &HostUrl,
        tls: Option<&TlsOptions>,
        ssh: &SshOptions,
        patience: Duration,
    ) -> Result<Self, EngineError> {
        let place = |host: &str, port| Place { url: url.to_string().into(), host: host.to_owned(), port, patience };
        let way = match url {
            HostUrl::Unix(path) => Way::Unix(path.clone()),
            HostUrl::Tcp { host, port, https } => {
                let place = place(host, port.expect("the address has its port"));
                match tls {
                    None if !https => Way::Tcp(Arc::new(place)),
                    options => Way::Tls(Arc::new(Tls::new(place, options.cloned().unwrap_or_default())?)),
                }
            }
            HostUrl::Ssh { user, host, port, socket } => {
                Way::Ssh(Arc::new(Ssh::new(place(host, *port), user.as_deref(), socket, ssh)?))
            }
        };
        Ok(Self { way, open: Arc::default() })
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Opens a connection. To a unix socket it has no deadline of its own: callers put theirs around connect and answer
    /// together.
    pub(crate) async fn connect(&self) -> Result<Connection, EngineError> {
        let wire = match &self.way {
            Way::Unix(path) => Wire::Unix(socket(path).await?),
            Way::Tcp(place) => Wire::Tcp(place.connect().await?),
            Way::Tls(tls) => Wire::Tls(Box::new(TlsConnection::open(tls).await?)),
            Way::Ssh(ssh) => Wire::Ssh(Box::new(ssh.open().await?)),
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { wire, open: self.open.clone() })
    }
}

async fn socket(path: &Path) -> Result<UnixStream, EngineError> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // The listener's queue is full: it empties within milliseconds.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(1_000..10_000))).await;
            }
            Err(error) => return Err(not_connected(HostUrl::Unix(path.to_owned()), path, &error)),
        }
    }
}

#[cfg(test)]
impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Self {
        Self { wire: Wire::Unix(stream), open: Arc::new(AtomicU64::new(1)) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
            Wire::Ssh(channel) => Pin::new(&mut **channel).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Wire::Ssh(channel) => Pin::new(&mut **channel).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Wire::Ssh(channel) => Pin::new(&mut **channel).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Wire::Ssh(channel) => Pin::new(&mut **channel).poll_shutdown(cx),
        }
    }
}

impl Pooled for Connection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
