//! One connection to a server, over HTTP or TLS.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;

use super::config::InfluxConfig;
use super::errors::{InfluxFailure, line_of};
use crate::client::{self, AGENT, Trust, Unanswered, Version};

/// A client for one server.
pub(super) struct Client {
    http: client::Client,
    write: Uri,
    query: Uri,
    authorization: Option<HeaderValue>,
    gzip: bool,
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
        let (write, query) = (uri(config.write_url())?, uri(config.query_url())?);
        let trust = Trust { ca_file: config.ca_file.clone(), identity: None };
        let http = client::Client::new(write.scheme_str(), &trust, Version::Http1, config.timeout).map_err(wrong)?;
        let authorization = config.credentials.authorization("Token").map_err(wrong)?;
        Ok(Self { http, write, query, authorization, gzip: config.gzip })
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
        let request = Request::post(uri.clone()).header(CONTENT_TYPE, content).header(USER_AGENT, AGENT);
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        }
    }

    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Answer, Unanswered> {
        let request = request.body(Full::new(body)).expect("headers of ours are valid");
        let answer = self.http.send(request).await?;
        Ok(Answer { status: answer.status, words: line_of(&answer.body), retry_after: answer.retry_after() })
    }
}
