//! A receiver that says what it is told, over gRPC or HTTP, and remembers what it heard.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use tokio::net::TcpListener;

use super::grpc::{Any, RetryInfo, RpcStatus, Span, framed, unframed};
use super::{OtlpConfig, Protocol};

/// What it says to a request.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// It takes it.
    Taken,
    /// It takes it, but for so many points or log records, and says why.
    Partly(i64, &'static str),
    /// A status of gRPC, and when to come back.
    Code(u16, &'static str, Option<Duration>),
    /// A status of HTTP with a header and a body.
    Status(u16, (&'static str, &'static str), Vec<u8>),
}

/// A request it heard.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    /// The message, decompressed.
    pub message: Vec<u8>,
}

/// A running receiver.
pub(super) struct Receiver {
    pub url: String,
    protocol: Protocol,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What is said to the next requests with something in them; then it takes everything.
    script: VecDeque<Say>,
    heard: Vec<Heard>,
}

impl Receiver {
    /// Starts one that will say this, in turn, and then takes everything.
    pub async fn saying(protocol: Protocol, script: impl IntoIterator<Item = Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { script: script.into_iter().collect(), heard: Vec::new() }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(protocol, Arc::clone(&state), request));
                tokio::spawn(async move {
                    let stream = TokioIo::new(stream);
                    let _ = match protocol {
                        Protocol::Grpc => {
                            http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
                        }
                        Protocol::Http => http1::Builder::new().serve_connection(stream, service).await,
                    };
                });
            }
        });
        Self { url, protocol, state }
    }

    pub fn config(&self) -> OtlpConfig {
        OtlpConfig::new(&self.url, self.protocol)
    }

    /// The requests with something in them.
    pub fn heard(&self) -> Vec<Heard> {
        let state = self.state.lock().unwrap();
        state.heard.iter().filter(|heard| !heard.message.is_empty()).cloned().collect()
    }
}

async fn answer(
    protocol: Protocol,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let message = match protocol {
        // `unframed` reads what is not compressed.
        Protocol::Grpc if body[0] == 1 => decompressed(&unframed(&framed(&body[5..], false)).unwrap()),
        Protocol::Grpc => unframed(&body).unwrap().to_vec(),
        Protocol::Http if head.headers.contains_key("content-encoding") => decompressed(&body),
        Protocol::Http => body.to_vec(),
    };
    let path = head.uri.path().to_owned();
    let say = {
        let mut state = state.lock().unwrap();
        let next = if message.is_empty() { None } else { state.script.pop_front() };
        state.heard.push(Heard { path: path.clone(), headers: head.headers, message });
        next.unwrap_or(Say::Taken)
    };
    let (rejected, words) = match &say {
        Say::Partly(rejected, words) => (*rejected, (*words).to_owned()),
        _ => (0, String::new()),
    };
    let metrics = path.ends_with("/v1/metrics") || path.contains("MetricsService");
    let told = matches!(say, Say::Partly(..));
    let message = if metrics {
        let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: words };
        ExportMetricsServiceResponse { partial_success: told.then_some(partial) }.encode_to_vec()
    } else {
        let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: words };
        ExportLogsServiceResponse { partial_success: told.then_some(partial) }.encode_to_vec()
    };
    Ok(match say {
        Say::Status(status, (name, value), body) => {
            let answer = Response::builder().status(status).header(name, value);
            answer.body(Full::new(body.into()).boxed()).unwrap()
        }
        Say::Code(code, words, retry_after) => grpc(code, words, retry_after, Bytes::new()),
        Say::Taken | Say::Partly(..) if protocol == Protocol::Grpc => grpc(0, "", None, framed(&message, false)),
        Say::Taken | Say::Partly(..) => {
            let answer = Response::builder().header(CONTENT_TYPE, "application/x-protobuf");
            answer.body(Full::new(message.into()).boxed()).unwrap()
        }
    })
}

fn grpc(code: u16, words: &str, retry_after: Option<Duration>, body: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers.insert("grpc-message", words.parse().unwrap());
    if let Some(after) = retry_after {
        let span = Span { seconds: after.as_secs().try_into().unwrap(), nanos: 0 };
        let info = RetryInfo { retry_delay: Some(span) }.encode_to_vec();
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info };
        let status = RpcStatus { code: code.into(), message: words.into(), details: vec![any] };
        trailers.insert("grpc-status-details-bin", STANDARD_NO_PAD.encode(status.encode_to_vec()).parse().unwrap());
    }
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    Response::builder().header(CONTENT_TYPE, "application/grpc").body(body).unwrap()
}

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut message).unwrap();
    message
}
