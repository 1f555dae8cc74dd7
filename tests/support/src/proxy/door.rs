//! Where connections come from and lead to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// Something to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Place {
    /// The TCP address written in `text`.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn at(text: &str) -> Self {
        Self::Tcp(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    pub(super) async fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(address) => Stream::tcp(TcpStream::connect(address).await?)?,
            Self::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        })
    }
}

/// What can be opened and closed at one place.
pub(super) enum Door {
    /// A port. The holder is bound and never listens: while nobody else does, connections are refused, and the port is
    /// nobody else's.
    Tcp { address: SocketAddr, _holder: TcpSocket },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Door {
    pub(super) fn tcp() -> io::Result<Self> {
        let holder = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = holder.local_addr()?;
        Ok(Self::Tcp { address, _holder: holder })
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Tcp { address, .. } => Place::Tcp(*address),
            Self::Unix(path) => Place::Unix(path.clone()),
        }
    }

    pub(super) fn open(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp { address, .. } => Ok(Listener::Tcp(bound(*address)?.listen(1024)?)),
            Self::Unix(path) => {
                // One that was closed is still there, and refuses.
                let _ = std::fs::remove_file(path);
                Ok(Listener::Unix(UnixListener::bind(path)?))
            }
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Stream::tcp(listener.accept().await?.0),
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Ends it with a reset, where there is such a thing.
    pub(super) fn reset(self) {
        if let Self::Tcp(stream) = &self {
            // One that is reset already is as good.
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
