//! The one HTTP client of the sinks that speak it: over TCP or TLS, in HTTP/1.1 or HTTP/2.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, InvalidHeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use wire::trust::{certificates, roots};

/// Bytes read of an answer, at most: the words of an error.
const ANSWER: usize = 64 << 10;

/// Who every request comes from.
pub(crate) const AGENT: &str = concat!("dockstream/", env!("CARGO_PKG_VERSION"));

/// Whom to trust, and who this is, where TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates in PEM that are trusted in the place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate and its key in PEM, for a server that asks who this is.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who this is. Secrets are never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    None,
    /// Whoever has this token.
    Token(String),
    /// A user.
    User {
        /// Its name.
        name: String,
        /// Its password.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::User { name, .. } => write!(f, "User({name:?}, ***)"),
        }
    }
}

impl Credentials {
    /// The header that says it, with `token` as the word before a token; where no request can carry it, that.
    pub(crate) fn authorization(&self, token: &str) -> Result<Option<HeaderValue>, String> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Token(secret) => format!("{token} {secret}"),
            Self::User { name, password } => format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
        };
        let unsayable = |_| "the token, or the password, has characters in it that no request can carry".to_owned();
        secret(&text).map(Some).map_err(unsayable)
    }
}

/// A value of a header that no listing shows.
pub(crate) fn secret(value: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// In which HTTP a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// From the first byte on, without asking first.
    Http2,
}

/// A client for one server.
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    within: Duration,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Empty where there was none, and where it broke off.
    pub body: Bytes,
    /// What came after the body; `None` where nothing did, or the answer broke off.
    pub trailers: Option<HeaderMap>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The connection.
    #[error("{0}")]
    Broken(String),
    /// TLS was not agreed on.
    #[error("no connection that can be trusted: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Client {
    /// A client that connects when it is used; an answer may take as long as `within`. Reads the certificates, where `scheme`
    /// is not `http`; the error says in a line which cannot be used.
    pub(crate) fn new(scheme: Option<&str>, trust: &Trust, version: Version, within: Duration) -> Result<Self, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks every version of TLS that is safe");
        let tls = match (scheme, &trust.identity) {
            // What is not spoken needs no certificates.
            (Some("http"), _) => tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
            (_, None) => tls.with_root_certificates(roots(trust.ca_file.as_deref())?).with_no_client_auth(),
            (_, Some((certificate, key))) => {
                let unread = |error: &dyn Error| format!("the key in {} cannot be used: {error}", key.display());
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(&error))?;
                let tls = tls.with_root_certificates(roots(trust.ca_file.as_deref())?);
                tls.with_client_auth_cert(chain, secret).map_err(|error| unread(&error))?
            }
        };
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = match version {
            Version::Http1 => builder.enable_http1().wrap_connector(connector),
            Version::Http2 => builder.enable_http2().wrap_connector(connector),
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .http2_only(version == Version::Http2)
            .build(connector);
        Ok(Self { http, within })
    }

    /// Sends a request and waits for its answer, whatever that says.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let answering = async {
            let answer = self.http.request(request).await.map_err(|error| unanswered(&error))?;
            let (head, body) = answer.into_parts();
            // The status counts; where what follows breaks off, it stands alone.
            let rest = Limited::new(body, ANSWER).collect().await.ok();
            let trailers = rest.as_ref().and_then(|rest| rest.trailers().cloned());
            let body = rest.map(|rest| rest.to_bytes()).unwrap_or_default();
            Ok(Answer { status: head.status, headers: head.headers, body, trailers })
        };
        timeout(self.within, answering).await.unwrap_or(Err(Unanswered::TimedOut(self.within)))
    }
}

impl Answer {
    /// When the server wants to be asked again, where it says so in seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Longest text of an error that is handed on.
const WORDS: usize = 400;

/// A server's words in one line of bounded length, with their beginning and their end.
pub(crate) fn line_of(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let count = line.chars().count();
    if count <= WORDS {
        return line;
    }
    // What was refused stands first, and what is wrong with it last.
    let (begin, end): (String, String) =
        (line.chars().take(WORDS / 2).collect(), line.chars().skip(count - WORDS / 2).collect());
    format!("{begin}…{end}")
}

/// An address without what may be a secret in it.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let place = rest.split(['?', '#']).next().unwrap_or(rest).trim_end_matches('/');
    let (authority, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Why a request has no answer.
fn unanswered(error: &legacy::Error) -> Unanswered {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        if let Some(tls) = tls_error(error) {
            return Unanswered::Tls(tls.to_string());
        }
        cause = error.source();
    }
    Unanswered::Broken(last)
}

/// The error of TLS in an I/O error, which hides it from `source`, and which can lie in another.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => tls_error(io.get_ref()?),
        None => error.downcast_ref::<rustls::Error>(),
    }
}
