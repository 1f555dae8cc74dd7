//! The way to an OpenTelemetry collector: OTLP over HTTP/1.1, as protobuf.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Runtime;

/// How long one export may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Answers are a few bytes; what is longer is no collector's.
const ANSWER: usize = 64 << 10;

/// One collector, shared by traces and metrics.
///
/// The exporters' threads know no runtime: this one carries their requests, while one of them waits.
pub(super) struct Collector {
    endpoint: String,
    /// `Some` until it is dropped.
    runtime: Option<Runtime>,
    client: Client<HttpConnector, Full<Bytes>>,
    failing: AtomicBool,
}

impl Collector {
    /// The collector at `endpoint`, such as `http://127.0.0.1:4318`. Nothing is sent yet.
    pub fn new(endpoint: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // An export every few seconds needs no connection kept, and a kept one goes stale.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            runtime: Some(runtime),
            client,
            failing: AtomicBool::new(false),
        })
    }

    /// Where a signal goes.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// Sends one export and waits for its answer. Only for threads outside of any runtime.
    pub fn export(&self, path: &str, body: Vec<u8>) -> Result<(), HttpError> {
        let request =
            Request::post(self.address(path)).header(CONTENT_TYPE, "application/x-protobuf").body(Bytes::from(body))?;
        let response = self.send(request)?;
        if response.status().is_success() { Ok(()) } else { Err(format!("it answered {}", response.status()).into()) }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.runtime.as_ref().expect("the runtime is there until the collector is dropped");
        let answer = runtime.block_on(async {
            let exchange = async {
                let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(head, body))
            };
            tokio::time::timeout(TIMEOUT, exchange)
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(TIMEOUT)).into()))
        });
        match &answer {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(&format!("it answered {}", response.status()))),
            Err(error) => self.note(Some(&chain(error.as_ref()))),
        }
        answer
    }

    /// Logs the first failure and the first success after it, and nothing between them.
    fn note(&self, failure: Option<&str>) {
        let failed_before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !failed_before => tracing::warn!(
                endpoint = self.endpoint,
                error,
                "telemetry cannot be exported; it is tried again, and some is lost meanwhile"
            ),
            None if failed_before => tracing::info!(endpoint = self.endpoint, "telemetry is exported again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Called on the span processor's own thread, which has nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(request)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The last owner may stand inside of another runtime, where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// An error and what lies under it, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    causes.join(": ")
}
