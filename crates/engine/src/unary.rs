//! Calls with one answer: pooled connections, a deadline on the whole call, a bound on calls at once.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{BollardRequest, Docker};
use bytes::Bytes;
use http::{Request, Response, Uri, response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pipeline::ports::{EngineError, EngineFailure};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::error::{Concern, answered, failed, from_chain, malformed, timed_out};
use crate::transport::{Connection, Transport};

/// Most bytes of one answer: a list of 1 000 containers has 0.8 MB.
const ANSWER: usize = 64 * 1024 * 1024;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Most bytes of a connection's read buffer; unbounded, it grows with every large list.
const BUFFER: usize = 256 * 1024;

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The API version spoken: part of every path once it is agreed on, so that an engine upgraded later keeps its shapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiVersion(Arc<AtomicU32>);

impl ApiVersion {
    pub(crate) fn agree(&self, (major, minor): (u32, u32)) {
        self.0.store(major << 16 | minor & 0xffff, Ordering::Relaxed);
    }

    /// `path` with the agreed version before it; as it is while none is agreed on, which every engine takes as its newest.
    pub(crate) fn path(&self, path: &str) -> String {
        match self.0.load(Ordering::Relaxed) {
            0 => path.to_owned(),
            version => format!("/v{}.{}{path}", version >> 16, version & 0xffff),
        }
    }
}

/// Connections to one engine, kept between calls.
#[derive(Clone)]
pub(crate) struct Pool {
    client: Client<Connector, Body>,
    version: ApiVersion,
    url: Arc<str>,
}

/// Calls with one answer, within bounds.
pub(crate) struct Unary {
    pool: Pool,
    permits: Semaphore,
    patience: Duration,
}

impl Pool {
    /// Up to `kept` connections stay open between calls.
    pub(crate) fn new(transport: Transport, version: ApiVersion, url: Arc<str>, kept: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(kept)
            .http1_max_buf_size(BUFFER)
            .build(Connector(transport));
        Self { client, version, url }
    }

    /// Calls of which `at_once` (at least one) run and the others wait; each ends within `patience`, waiting included.
    pub(crate) fn calls(&self, at_once: usize, patience: Duration) -> Unary {
        Unary { pool: self.clone(), permits: Semaphore::new(at_once.max(1)), patience }
    }

    /// bollard over these connections. It sends unversioned paths; the agreed version is put before them here.
    pub(crate) fn bollard(&self, patience: Duration) -> Result<Docker, EngineError> {
        let pool = self.clone();
        let transport = move |request: BollardRequest| {
            let pool = pool.clone();
            async move {
                let (mut parts, body) = request.into_parts();
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                parts.uri = address(&pool.version.path(path))?;
                let request = Request::from_parts(parts, body.map_err(Into::into).boxed_unsync());
                pool.client.request(request).await.map_err(bollard::errors::Error::from)
            }
        };
        let seconds = patience.as_secs().max(1);
        Docker::connect_with_custom_transport(transport, Some("http://docker"), seconds, bollard::API_DEFAULT_VERSION)
            .map_err(|error| {
                failed(EngineFailure::Request, format_args!("{}: the client cannot be set up: {error}", self.url))
            })
    }
}

impl Unary {
    /// Asks for `path` under the agreed version; the answer's bytes.
    pub(crate) async fn get(&self, path: &str, what: &str, concern: Concern) -> Result<Bytes, EngineError> {
        let path = self.pool.version.path(path);
        self.bounded(what, self.answer(&path, what, concern)).await.map(|(_, body)| body)
    }

    /// Asks for `path` under the agreed version, and understands the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &str,
        concern: Concern,
    ) -> Result<T, EngineError> {
        let body = self.get(path, what, concern).await?;
        serde_json::from_slice(&body).map_err(|error| malformed(&self.pool.url, what, error))
    }

    /// Asks for `path` without a version; the answer's head.
    pub(crate) async fn head_of(&self, path: &str, what: &str) -> Result<response::Parts, EngineError> {
        self.bounded(what, self.answer(path, what, Concern::Engine)).await.map(|(head, _)| head)
    }

    /// A typed call through bollard, within the same bounds.
    pub(crate) async fn typed<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        self.bounded(what, async { call.await.map_err(|error| self.typed_error(what, &error)) }).await
    }

    async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let bounded = async {
            let _permit = self.permits.acquire().await.expect("nobody closes this semaphore");
            call.await
        };
        match tokio::time::timeout(self.patience, bounded).await {
            Ok(outcome) => outcome,
            Err(_) => Err(timed_out(&self.pool.url, what, self.patience)),
        }
    }

    async fn answer(&self, path: &str, what: &str, concern: Concern) -> Result<(response::Parts, Bytes), EngineError> {
        let request = Request::get(address(path).map_err(|error| malformed(&self.pool.url, what, error))?)
            .header(http::header::HOST, "docker")
            .header(http::header::USER_AGENT, crate::USER_AGENT)
            .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
            .map_err(|error| malformed(&self.pool.url, what, error))?;
        let response =
            self.pool.client.request(request).await.map_err(|error| from_chain(&self.pool.url, what, &error))?;
        let (head, body) = self.collect(response, what).await?;
        if head.status.is_success() {
            return Ok((head, body));
        }
        Err(answered(&self.pool.url, what, head.status.as_u16(), concern, &body))
    }

    async fn collect(&self, response: Response<Incoming>, what: &str) -> Result<(response::Parts, Bytes), EngineError> {
        let (head, body) = response.into_parts();
        match Limited::new(body, ANSWER).collect().await {
            Ok(body) => Ok((head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(malformed(&self.pool.url, what, format_args!("longer than {ANSWER} bytes")))
            }
            Err(error) => Err(from_chain(&self.pool.url, what, &*error)),
        }
    }

    fn typed_error(&self, what: impl Display, error: &bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                answered(&self.pool.url, what, *status_code, Concern::Engine, message.as_bytes())
            }
            Error::RequestTimeoutError => timed_out(&self.pool.url, what, self.patience),
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::StrParseError { .. } => {
                malformed(&self.pool.url, what, error)
            }
            Error::HyperLegacyError { err } => from_chain(&self.pool.url, what, err),
            Error::HyperResponseError { err } => from_chain(&self.pool.url, what, err),
            Error::IOError { err } => from_chain(&self.pool.url, what, err),
            other => failed(EngineFailure::Request, format_args!("{}: {what}: {other}", self.pool.url)),
        }
    }
}

/// The host part is a placeholder: the connector knows where to go.
fn address(path: &str) -> Result<Uri, http::uri::InvalidUri> {
    format!("http://docker{path}").parse()
}

/// Makes the pool's connections.
#[derive(Clone)]
struct Connector(Transport);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = EngineError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, EngineError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EngineError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let transport = self.0.clone();
        Box::pin(async move { transport.connect().await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_carry_the_version_once_it_is_agreed_on() {
        let version = ApiVersion::default();
        assert_eq!(version.path("/events?since=1"), "/events?since=1");
        version.agree((1, 41));
        assert_eq!(version.path("/events?since=1"), "/v1.41/events?since=1");
        version.agree((1, 51));
        assert_eq!(version.clone().path("/info"), "/v1.51/info");
    }
}
