//! TCP: reaching a host, and noticing that it is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pipeline::ports::{EngineError, EngineFailure};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};

use crate::error::failed;

/// A stream may be silent for long: a peer that is gone without a word is noticed after about half a minute.
const IDLE: Duration = Duration::from_secs(15);
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Where to connect to.
#[derive(Debug)]
pub(crate) struct Place {
    /// The engine's address, for people.
    pub(super) url: Arc<str>,
    /// Name or address.
    pub(super) host: String,
    pub(super) port: u16,
    /// How long each step may take.
    pub(super) patience: Duration,
}

impl Place {
    /// A connection without delays of its own, kept alive.
    pub(super) async fn connect(&self) -> Result<TcpStream, EngineError> {
        let stream = match tokio::time::timeout(self.patience, self.reach()).await {
            Ok(reached) => reached?,
            Err(_) => return Err(self.too_slow("it cannot be connected to")),
        };
        let kept = TcpKeepalive::new().with_time(IDLE).with_interval(PROBE).with_retries(PROBES);
        // Without these it works as well, only slower to answer and to notice.
        stream.set_nodelay(true).ok();
        SockRef::from(&stream).set_tcp_keepalive(&kept).ok();
        Ok(stream)
    }

    async fn reach(&self) -> Result<TcpStream, EngineError> {
        let addresses = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.unreachable(format_args!("the name {} is not known here ({error})", self.host)))?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            None => self.unreachable(format_args!("the name {} has no address", self.host)),
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.unreachable(format_args!(
                "the host is there, but nobody listens on port {} (is it the right one, and does the server run?)",
                self.port
            )),
            Some(error) => self.unreachable(format_args!("it cannot be connected to: {error}")),
        })
    }

    /// A step was not done in time; `what` says which.
    pub(super) fn too_slow(&self, what: &str) -> EngineError {
        failed(
            EngineFailure::Timeout,
            format_args!(
                "{}: {what} within {:?}: the host hangs, or something on the way drops what is sent",
                self.url, self.patience
            ),
        )
    }

    pub(super) fn unreachable(&self, why: impl std::fmt::Display) -> EngineError {
        failed(EngineFailure::Unreachable, format_args!("{}: {why}", self.url))
    }

    pub(super) fn refused(&self, why: impl std::fmt::Display) -> EngineError {
        failed(EngineFailure::Refused, format_args!("{}: {why}", self.url))
    }
}
