//! TLS: both sides show certificates, and both are verified.
//!
//! Files are read when the first connection is made, and again after a handshake that failed: a certificate that was
//! renewed is taken without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use pipeline::ports::{EngineError, EngineFailure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::tcp::Place;
use crate::error::failed;

/// The certificates of a host, as files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The CA that signed the engine's certificate; without it, those the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, where the engine wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How an engine is spoken to over TLS.
pub(crate) struct Tls {
    place: Place,
    name: ServerName<'static>,
    options: TlsOptions,
    config: Mutex<Option<Arc<ClientConfig>>>,
}

/// A connection over TLS.
pub(crate) struct TlsConnection {
    stream: TlsStream<TcpStream>,
    tls: Arc<Tls>,
}

impl Tls {
    pub(super) fn new(place: Place, options: TlsOptions) -> Result<Self, EngineError> {
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| failed(EngineFailure::Request, format_args!("{}: this is not a host's name", place.url)))?;
        Ok(Self { place, name, options, config: Mutex::default() })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, EngineError> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*config {
            return Ok(config.clone());
        }
        let built = Arc::new(self.build()?);
        *config = Some(built.clone());
        Ok(built)
    }

    /// The next connection reads the files again.
    fn forget(&self) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn build(&self) -> Result<ClientConfig, EngineError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks every version of TLS that is safe")
            .with_root_certificates(self.roots()?);
        let Some((certificate, key)) = &self.options.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = self.certificates(certificate)?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| self.unread("key", key, error))?;
        builder.with_client_auth_cert(chain, secret).map_err(|error| {
            let pair =
                format_args!("the key {} and the certificate {}", key.display(), certificate.display()).to_string();
            self.place.refused(format_args!("{pair} cannot be used together: {error}"))
        })
    }

    fn roots(&self) -> Result<RootCertStore, EngineError> {
        let mut roots = RootCertStore::empty();
        match &self.options.ca {
            Some(ca) => {
                for certificate in self.certificates(ca)? {
                    roots.add(certificate).map_err(|error| self.unread("CA certificate", ca, error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(self.place.refused("this system trusts no CA at all: name the engine's in `tls_ca`"));
                }
            }
        }
        Ok(roots)
    }

    fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
        let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
        match read() {
            Ok(none) if none.is_empty() => Err(self.unread("certificate", path, "there is no certificate in it")),
            Ok(chain) => Ok(chain),
            Err(error) => Err(self.unread("certificate", path, error)),
        }
    }

    fn unread(&self, what: &str, path: &Path, error: impl Into<Unread>) -> EngineError {
        self.place.refused(format_args!("the {what} {} cannot be used: {}", path.display(), error.into().0))
    }

    /// Why the handshake came to nothing.
    fn not_agreed(&self, error: &io::Error) -> EngineError {
        let ca = self.options.ca.as_ref().map_or("a CA this system trusts".to_owned(), |ca| ca.display().to_string());
        let Some(error) = tls_error(error) else {
            return self.place.unreachable(format_args!("the connection broke while TLS was agreed on: {error}"));
        };
        match error {
            Error::InvalidCertificate(reason) => self.place.refused(match reason {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the engine's certificate has expired: it must be renewed there".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "the engine's certificate is not valid yet: one of the two clocks is wrong".to_owned()
                }
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    format!("the engine's certificate comes from an unknown CA: {ca} has not signed it (is `tls_ca` the right one?)")
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("the engine's certificate is not for {}: its subject alternative names must have it", self.place.host)
                }
                other => format!("the engine's certificate cannot be trusted: {other}"),
            }),
            Error::InvalidMessage(_) => self.place.refused(
                "what answers there does not speak TLS (is it the plain port?)"
            ),
            Error::AlertReceived(_) => self.turned_away(error),
            other => self.place.refused(format_args!("TLS cannot be agreed on: {other}")),
        }
    }

    /// The engine does not want us.
    fn turned_away(&self, alert: &Error) -> EngineError {
        self.place.refused(match &self.options.identity {
            None => format!("the engine wants a certificate of ours: set `tls_cert` and `tls_key` ({alert})"),
            Some((certificate, _)) => format!(
                "the engine does not take our certificate {}: is it signed by the engine's CA, and not expired? ({alert})",
                certificate.display()
            ),
        })
    }
}

impl TlsConnection {
    pub(super) async fn open(tls: &Arc<Tls>) -> Result<Self, EngineError> {
        let config = tls.config()?;
        let stream = tls.place.connect().await?;
        let handshake = TlsConnector::from(config).connect(tls.name.clone(), stream);
        match tokio::time::timeout(tls.place.patience, handshake).await {
            Ok(Ok(stream)) => Ok(Self { stream, tls: tls.clone() }),
            Ok(Err(error)) => {
                tls.forget();
                Err(tls.not_agreed(&error))
            }
            Err(_) => Err(tls.place.too_slow("TLS was not agreed on")),
        }
    }

    /// With TLS 1.3 the engine judges our certificate after we think that all is well: its word comes as we read.
    fn explained(&self, error: io::Error) -> io::Error {
        match tls_error(&error) {
            Some(alert @ Error::AlertReceived(_)) => {
                self.tls.forget();
                io::Error::new(error.kind(), self.tls.turned_away(alert))
            }
            _ => error,
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a file cannot be used, without the file's name.
struct Unread(String);

impl From<pem::Error> for Unread {
    fn from(error: pem::Error) -> Self {
        Self(match error {
            pem::Error::Io(error) => reason(&error),
            pem::Error::NoItemsFound => "there is none in it".to_owned(),
            _ => "it is not in PEM".to_owned(),
        })
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<&str> for Unread {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// An I/O error of a file, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer).map_err(|error| self.explained(error))
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map_err(|error| self.explained(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(|error| self.explained(error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
