//! SSH: one session a host; every connection to the engine's socket is a channel of it.
//!
//! The server connects each channel to the socket itself (`direct-streamlocal@openssh.com`), so nothing is run on the
//! host, and no Docker command line is needed there. The session is made when it is needed, and anew after it ended.

mod known_hosts;
mod login;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pipeline::ports::{EngineError, EngineFailure};
use russh::client::{self, Handle, Msg};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{ChannelOpenFailure, ChannelStream, Error, Preferred};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::tcp::Place;
use crate::error::failed;
use known_hosts::{KnownHost, Verdict};
use login::Login;

/// A session is silent where its streams are: a server that is gone is noticed after three of these.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Keys of hosts that are understood, the best first.
const HOST_KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// How we log in to hosts that are reached by SSH, and which of them we trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// The user, where the address names none.
    pub user: Option<String>,
    /// A private key file: with one, no other key is shown.
    pub identity: Option<PathBuf>,
    /// The socket of an agent.
    pub agent: Option<PathBuf>,
    /// Private key files that are tried where they exist.
    pub usual_identities: Vec<PathBuf>,
    /// Files of known hosts; those that do not exist are left out.
    pub known_hosts: Vec<PathBuf>,
}

/// The way to an engine's socket on another host.
pub(crate) struct Ssh {
    place: Place,
    user: String,
    socket: String,
    options: SshOptions,
    session: Mutex<Option<Arc<Handle<Doorkeeper>>>>,
    /// Whoever makes the session has it: the others wait for what comes of it.
    turn: Semaphore,
}

/// A connection to the engine's socket.
pub(crate) struct Channel(Option<ChannelStream<Msg>>);

impl Ssh {
    pub(super) fn new(
        place: Place,
        user: Option<&str>,
        socket: &Path,
        options: &SshOptions,
    ) -> Result<Self, EngineError> {
        let Some(user) = user.or(options.user.as_deref()) else {
            let text =
                format_args!("{}: it is not known who to log in as: write ssh://user@host", place.url).to_string();
            return Err(failed(EngineFailure::Request, text));
        };
        let socket = socket.to_str().expect("it comes from a text").to_owned();
        let (user, options) = (user.to_owned(), options.clone());
        Ok(Self { place, user, socket, options, session: Mutex::default(), turn: Semaphore::new(1) })
    }

    pub(super) async fn open(&self) -> Result<Channel, EngineError> {
        let session = self.session().await?;
        let opening = session.channel_open_direct_streamlocal(self.socket.as_str());
        match tokio::time::timeout(self.place.patience, opening).await {
            Ok(Ok(channel)) => Ok(Channel(Some(channel.into_stream()))),
            Ok(Err(Error::ChannelOpenFailure(failure))) => Err(self.not_opened(&failure)),
            Ok(Err(error)) => {
                self.forget(&session);
                Err(self.place.unreachable(format_args!("the SSH connection broke: {error}")))
            }
            Err(_) => {
                self.forget(&session);
                Err(self.place.too_slow("the SSH server has not opened the engine's socket"))
            }
        }
    }

    /// The session there is, or a new one.
    async fn session(&self) -> Result<Arc<Handle<Doorkeeper>>, EngineError> {
        let _turn = self.turn.acquire().await.expect("nobody closes this semaphore");
        let present = self.slot().clone().filter(|session| !session.is_closed());
        if let Some(session) = present {
            return Ok(session);
        }
        let stream = self.place.connect().await?;
        let session = match tokio::time::timeout(self.place.patience, self.log_in(stream)).await {
            Ok(session) => Arc::new(session?),
            Err(_) => return Err(self.place.too_slow("the SSH server has not let us in")),
        };
        *self.slot() = Some(session.clone());
        Ok(session)
    }

    async fn log_in(&self, stream: TcpStream) -> Result<Handle<Doorkeeper>, EngineError> {
        let known = self.known_host().await;
        let config = client::Config {
            keepalive_interval: Some(KEEPALIVE),
            preferred: Preferred { key: Cow::Owned(known.ordered(&HOST_KEYS)), ..Preferred::default() },
            ..client::Config::default()
        };
        let door = Doorkeeper { known, refusal: Refusal::of(&self.place, &self.options) };
        let mut session = client::connect_stream(Arc::new(config), stream, door)
            .await
            .map_err(|error| error.explained(&self.place))?;
        Login::new(&self.place, &self.user, &self.options).authenticate(&mut session).await?;
        Ok(session)
    }

    async fn known_host(&self) -> KnownHost {
        let mut known = KnownHost::default();
        for file in &self.options.known_hosts {
            // Without the file the host is unknown, and that says which files were looked at.
            if let Ok(text) = tokio::fs::read_to_string(file).await {
                known.read(&self.place.host, self.place.port, &file.display().to_string(), &text);
            }
        }
        known
    }

    /// The next connection makes a session of its own.
    fn forget(&self, session: &Arc<Handle<Doorkeeper>>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
            *slot = None;
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Handle<Doorkeeper>>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_opened(&self, failure: &ChannelOpenFailure) -> EngineError {
        let socket = &self.socket;
        match failure {
            ChannelOpenFailure::ConnectFailed => self.place.unreachable(format_args!(
                "no Docker engine at {socket} there: the SSH server cannot connect to it (is the engine running, may {} open its socket, and does the server allow it (AllowStreamLocalForwarding)?)",
                self.user
            )),
            ChannelOpenFailure::AdministrativelyProhibited => self.place.refused(format_args!(
                "the SSH server forbids to open {socket}: {} needs AllowStreamLocalForwarding there, and must be able to open it",
                self.user
            )),
            other => self.place.unreachable(format_args!("the SSH server does not open {socket}: {other:?}")),
        }
    }
}

/// Looks at the key a server shows.
struct Doorkeeper {
    known: KnownHost,
    refusal: Refusal,
}

/// What a refusal of a host key needs for its words.
struct Refusal {
    host: String,
    port: u16,
    files: String,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Ssh(#[from] Error),
    /// The host key is not the one that is known.
    #[error("{0}")]
    HostKey(String),
}

impl Refusal {
    fn of(place: &Place, options: &SshOptions) -> Self {
        let files: Vec<_> = options.known_hosts.iter().map(|file| file.display().to_string()).collect();
        Self { host: place.host.clone(), port: place.port, files: files.join(", ") }
    }

    fn words(&self, verdict: &Verdict, kind: &Algorithm, fingerprint: &str) -> Option<String> {
        let Self { host, port, files } = self;
        match verdict {
            Verdict::Known => None,
            Verdict::Unknown => Some(format!(
                "the host key of {host} is unknown ({kind} {fingerprint}): where it is the right one, add it to {files} (`ssh-keyscan -p {port} {host}` prints it)"
            )),
            Verdict::Changed(place) => Some(format!(
                "the host key of {host} has changed: it shows {kind} {fingerprint}, another one is known ({place}); somebody may be in between, or the host was set up anew: then remove that line"
            )),
            Verdict::Revoked(place) => {
                Some(format!("the host key of {host} is revoked ({place}): it shows {kind} {fingerprint}"))
            }
        }
    }
}

impl Trouble {
    fn explained(self, place: &Place) -> EngineError {
        match self {
            Self::HostKey(words) => place.refused(words),
            Self::Ssh(Error::NoCommonAlgo { kind, theirs, .. }) => place.refused(format_args!(
                "the SSH server offers nothing we know for {kind:?}: {} (host keys must be ed25519 or ecdsa)",
                theirs.join(", ")
            )),
            Self::Ssh(Error::Version) => place.refused("what answers there is no SSH server"),
            Self::Ssh(error) => place.unreachable(format_args!("the SSH connection broke before the login: {error}")),
        }
    }
}

impl client::Handler for Doorkeeper {
    type Error = Trouble;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Trouble> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Err(Trouble::HostKey("the SSH server shows a certificate, which was not asked for".to_owned()));
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        match self.refusal.words(&self.known.judge(key), &key.algorithm(), &fingerprint) {
            None => Ok(true),
            Some(words) => Err(Trouble::HostKey(words)),
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Channel {
    fn stream(&mut self) -> Pin<&mut ChannelStream<Msg>> {
        Pin::new(self.0.as_mut().expect("it is taken when it is dropped"))
    }
}

impl Drop for Channel {
    /// A channel says goodbye from a task of its own; where no runtime is left there is nobody to say it to.
    fn drop(&mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            std::mem::forget(self.0.take());
        }
    }
}
