//! One connection to a server, over HTTP or TLS.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;

use super::config::RemoteWriteConfig;
use super::errors::{RemoteWriteFailure, classify};
use crate::client::{self, AGENT, Version, line_of, secret};

/// A client for one server.
pub(super) struct Client {
    http: client::Client,
    shown: String,
    uri: Uri,
    headers: HeaderMap,
}

impl Client {
    /// A client that connects when it is used. Reads the certificates.
    pub(super) fn new(config: &RemoteWriteConfig) -> Result<Self, RemoteWriteFailure> {
        let shown = config.shown_url();
        let wrong = |what: String| RemoteWriteFailure::Settings { url: shown.clone(), what };
        let uri: Uri = config.url.parse().map_err(|error| wrong(format!("not an address: {error}")))?;
        let http =
            client::Client::new(uri.scheme_str(), &config.trust, Version::Http1, config.timeout).map_err(wrong)?;
        let headers = headers(config).map_err(wrong)?;
        Ok(Self { http, shown, uri, headers })
    }

    /// Sends a request; `Ok` where the server has it.
    pub(super) async fn write(&self, body: Bytes) -> Result<(), RemoteWriteFailure> {
        let mut request = Request::post(self.uri.clone()).body(Full::new(body)).expect("an address is an address");
        request.headers_mut().clone_from(&self.headers);
        let unanswered = |why| RemoteWriteFailure::Unanswered { url: self.shown.clone(), why };
        let answer = self.http.send(request).await.map_err(unanswered)?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(RemoteWriteFailure::Refused {
            url: self.shown.clone(),
            class: classify(answer.status),
            status: answer.status,
            words: line_of(&String::from_utf8_lossy(&answer.body)),
            retry_after: answer.retry_after(),
        })
    }
}

/// The headers of every request, or what is wrong with one, without its value.
fn headers(config: &RemoteWriteConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
    if let Some(value) = config.credentials.authorization("Bearer")? {
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in &config.headers {
        let named = HeaderName::from_bytes(name.as_bytes());
        let named = named.map_err(|error| format!("the header {name} cannot be sent: {error}"))?;
        headers.insert(named, secret(value).map_err(|error| format!("the header {name} cannot be sent: {error}"))?);
    }
    Ok(headers)
}
