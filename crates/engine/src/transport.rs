//! Connections to an engine: what is different between kinds of hosts ends here.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use pipeline::ports::EngineError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::HostUrl;
use crate::error::not_connected;

/// How connections to one engine are made.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// By a unix socket.
    Unix(PathBuf),
}

/// A connection in either direction, of any kind.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Transport {
    pub(crate) fn new(url: &HostUrl) -> Self {
        match url {
            HostUrl::Unix(path) => Self::Unix(path.clone()),
        }
    }

    /// Opens a connection. Has no deadline of its own: callers put theirs around connect and answer together.
    pub(crate) async fn connect(&self) -> Result<Connection, EngineError> {
        match self {
            Self::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return Ok(Connection::Unix(stream)),
                    // The listener's queue is full: it empties within milliseconds.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(Duration::from_micros(fastrand::u64(1_000..10_000))).await;
                    }
                    Err(error) => return Err(not_connected(HostUrl::Unix(path.clone()), path, &error)),
                }
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Pooled for Connection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
