//! One connection to a server, over HTTP or TLS.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wire::trust::roots;

use super::config::{Credentials, InfluxConfig};
use super::errors::{InfluxFailure, Unanswered, line_of};

/// Bytes read of an answer, at most: the words of an error.
const ANSWER: usize = 64 << 10;

/// A client for one server.
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    write: Uri,
    query: Uri,
    authorization: Option<HeaderValue>,
    gzip: bool,
    within: Duration,
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    /// In one line; empty where it said none.
    pub words: String,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Client {
    /// A client that connects when it is used. Reads the certificates to trust.
    pub(super) fn new(config: &InfluxConfig) -> Result<Self, InfluxFailure> {
        let wrong = |what: String| InfluxFailure::Settings { url: config.shown_url(), what };
        let uri = |text: String| text.parse::<Uri>().map_err(|error| wrong(format!("not an address: {error}")));
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let write = uri(config.write_url())?;
        let roots = match write.scheme_str() {
            // What is not spoken needs no certificates.
            Some("http") => RootCertStore::empty(),
            _ => roots(config.ca_file.as_deref()).map_err(wrong)?,
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks every version of TLS that is safe")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let http =
            legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        let authorization = authorization(&config.credentials)
            .map_err(|_| wrong("the token, or the password, has characters in it that no request can carry".into()))?;
        let query = uri(config.query_url())?;
        Ok(Self { http, write, query, authorization, gzip: config.gzip, within: config.timeout })
    }

    /// Sends points, compressed where [`Client::new`] was told so.
    pub(super) async fn write(&self, body: Bytes) -> Result<Answer, Unanswered> {
        let mut request = self.post(&self.write, "text/plain; charset=utf-8");
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        self.send(request, body).await
    }

    /// Runs a statement of version 1.
    pub(super) async fn query(&self, statement: &str) -> Result<Answer, Unanswered> {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("q", statement).finish();
        self.send(self.post(&self.query, "application/x-www-form-urlencoded"), body.into()).await
    }

    fn post(&self, uri: &Uri, content: &'static str) -> http::request::Builder {
        let request = Request::post(uri.clone())
            .header(CONTENT_TYPE, content)
            .header(USER_AGENT, concat!("dockstream/", env!("CARGO_PKG_VERSION")));
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        }
    }

    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Answer, Unanswered> {
        let request = request.body(Full::new(body)).expect("headers of ours are valid");
        let answering = async {
            let answer = self.http.request(request).await.map_err(|error| unanswered(&error))?;
            let (head, body) = answer.into_parts();
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            // The status counts; where the words break off, it stands alone.
            let body = Limited::new(body, ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let words = line_of(&body);
            Ok(Answer { status: head.status, words, retry_after: retry_after.map(Duration::from_secs) })
        };
        timeout(self.within, answering).await.unwrap_or(Err(Unanswered::TimedOut(self.within)))
    }
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, http::header::InvalidHeaderValue> {
    let text = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Token(token) => format!("Token {token}"),
        Credentials::User { name, password } => format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
    };
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

pub(crate) fn unanswered(error: &legacy::Error) -> Unanswered {
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
