//! One connection to a receiver, over gRPC or HTTP.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline::ports::FailureClass;
use prost::Message;

use super::config::{OtlpConfig, Protocol};
use super::errors::{OtlpFailure, of_call, of_status};
use super::grpc::{self, RpcStatus};
use crate::client::{self, AGENT, Answer, Unanswered, Version, line_of, secret};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Logs,
}

/// What became of a request that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Points, or log records, that the receiver will never take; it does not say which.
    pub rejected: u64,
    /// Why, or a warning; in one line.
    pub words: String,
}

/// A client for one receiver.
pub(super) struct Client {
    http: client::Client,
    protocol: Protocol,
    shown: String,
    metrics: Uri,
    logs: Uri,
    headers: HeaderMap,
    hint: &'static str,
}

impl Signal {
    const fn path(self, protocol: Protocol) -> &'static str {
        match (protocol, self) {
            (Protocol::Grpc, Self::Metrics) => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            (Protocol::Grpc, Self::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (Protocol::Http, Self::Metrics) => "/v1/metrics",
            (Protocol::Http, Self::Logs) => "/v1/logs",
        }
    }

    /// What it consists of, as receivers count it.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Metrics => "data_points",
            Self::Logs => "log_records",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        })
    }
}

impl Client {
    /// A client that connects when it is used. Reads the certificates.
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, OtlpFailure> {
        let shown = config.shown_url();
        let wrong = |what: String| OtlpFailure::Settings { url: shown.clone(), what };
        let uri = |signal: Signal| {
            let text = format!("{shown}{}", signal.path(config.protocol));
            text.parse::<Uri>().map_err(|error| wrong(format!("not an address: {error}")))
        };
        let (metrics, logs) = (uri(Signal::Metrics)?, uri(Signal::Logs)?);
        let version = match config.protocol {
            Protocol::Grpc => Version::Http2,
            Protocol::Http => Version::Http1,
        };
        let http = client::Client::new(metrics.scheme_str(), &config.trust, version, config.timeout).map_err(wrong)?;
        let hint = match (config.protocol, metrics.port_u16()) {
            (Protocol::Grpc, Some(4318)) => " (is it HTTP that is spoken at port 4318? then set protocol = \"http\")",
            (Protocol::Http, Some(4317)) => " (is it gRPC that is spoken at port 4317? then set protocol = \"grpc\")",
            _ => "",
        };
        let headers = headers(config).map_err(wrong)?;
        Ok(Self { http, protocol: config.protocol, headers, hint, metrics, logs, shown })
    }

    /// Sends a request whose body [`body`] made.
    pub(super) async fn export(&self, signal: Signal, body: Bytes) -> Result<Taken, OtlpFailure> {
        let uri = match signal {
            Signal::Metrics => self.metrics.clone(),
            Signal::Logs => self.logs.clone(),
        };
        let mut request = Request::post(uri).body(Full::new(body)).expect("an address is an address");
        request.headers_mut().clone_from(&self.headers);
        let answer = self.http.send(request).await.map_err(|why| self.unanswered(why))?;
        match self.protocol {
            Protocol::Grpc => self.of_grpc(signal, &answer),
            Protocol::Http => self.of_http(signal, &answer),
        }
    }

    fn of_grpc(&self, signal: Signal, answer: &Answer) -> Result<Taken, OtlpFailure> {
        let status = answer.trailers.as_ref().and_then(grpc::status).or_else(|| grpc::status(&answer.headers));
        match status {
            Some(status) if status.code == 0 => {
                Ok(grpc::unframed(&answer.body).map(|message| taken(signal, &message)).unwrap_or_default())
            }
            Some(status) => {
                let (class, name) = of_call(&status);
                Err(self.refused(signal, class, &name, &status.message, status.retry_after))
            }
            None if !answer.status.is_success() => Err(self.of_proxy(signal, answer)),
            None if is_of_kind(answer, "application/grpc") => {
                Err(self.unanswered(Unanswered::Broken("the answer breaks off".into())))
            }
            None => Err(self.stranger(signal, answer)),
        }
    }

    fn of_http(&self, signal: Signal, answer: &Answer) -> Result<Taken, OtlpFailure> {
        if !answer.status.is_success() {
            return Err(self.of_proxy(signal, answer));
        }
        if answer.body.is_empty() {
            Ok(Taken::default())
        } else if is_of_kind(answer, "application/x-protobuf") {
            Ok(taken(signal, &answer.body))
        } else if is_of_kind(answer, "application/json") {
            Ok(taken_as_json(signal, &answer.body))
        } else {
            Err(self.stranger(signal, answer))
        }
    }

    /// A refusal by its status alone.
    fn of_proxy(&self, signal: Signal, answer: &Answer) -> OtlpFailure {
        let status =
            is_of_kind(answer, "application/x-protobuf").then(|| RpcStatus::decode(&*answer.body).ok()).flatten();
        let words = match &status {
            Some(status) => status.message.clone(),
            None => String::from_utf8_lossy(&answer.body).into_owned(),
        };
        let after = answer.retry_after().or_else(|| status.and_then(|status| status.retry_after()));
        self.refused(signal, of_status(answer.status, &words), &answer.status.to_string(), &words, after)
    }

    /// A success in another tongue.
    fn stranger(&self, signal: Signal, answer: &Answer) -> OtlpFailure {
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        let said = format!("{} with {kind}, which is no answer to OTLP over {}", answer.status, self.protocol);
        self.refused(signal, FailureClass::Config, &said, "", None)
    }

    fn refused(
        &self,
        signal: Signal,
        class: FailureClass,
        name: &str,
        words: &str,
        retry_after: Option<Duration>,
    ) -> OtlpFailure {
        let words = line_of(words);
        let said = if words.is_empty() { name.to_owned() } else { format!("{name}: {words}") };
        OtlpFailure::Refused { url: self.shown.clone(), signal, class, said, retry_after }
    }

    fn unanswered(&self, why: Unanswered) -> OtlpFailure {
        let hint = if matches!(why, Unanswered::Broken(_)) { self.hint } else { "" };
        OtlpFailure::Unanswered { url: self.shown.clone(), why, hint }
    }
}

/// A message as the body of a request.
pub(super) fn body(message: &impl Message, config: &OtlpConfig) -> Bytes {
    let mut bytes = message.encode_to_vec();
    if config.gzip {
        let mut packed = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
        bytes = packed.write_all(&bytes).and_then(|()| packed.finish()).expect("memory takes what is written");
    }
    match config.protocol {
        Protocol::Grpc => grpc::framed(&bytes, config.gzip),
        Protocol::Http => bytes.into(),
    }
}

/// The headers of every request, or what is wrong with one, without its value.
fn headers(config: &OtlpConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let encoding = match config.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            let within = format!("{}m", config.timeout.as_millis().min(99_999_999));
            headers.insert("grpc-timeout", within.parse().expect("digits are a value"));
            HeaderName::from_static("grpc-encoding")
        }
        Protocol::Http => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            CONTENT_ENCODING
        }
    };
    if config.gzip {
        headers.insert(encoding, HeaderValue::from_static("gzip"));
    }
    let token = config.token.as_ref().map(|token| (AUTHORIZATION, format!("Bearer {token}")));
    if let Some((name, value)) = token {
        let unsayable = |_| "the token has characters in it that no request can carry".to_owned();
        headers.insert(name, secret(&value).map_err(unsayable)?);
    }
    for (name, value) in &config.headers {
        let unsayable = |error: &dyn fmt::Display| format!("the header {name} cannot be sent: {error}");
        let named = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unsayable(&error))?;
        headers.insert(named, secret(value).map_err(|error| unsayable(&error))?);
    }
    Ok(headers)
}

fn is_of_kind(answer: &Answer, kind: &str) -> bool {
    answer.headers.get(CONTENT_TYPE).and_then(|found| found.to_str().ok()).is_some_and(|found| found.starts_with(kind))
}

/// What an answer says of what was refused. One that cannot be read says nothing: the request was taken.
fn taken(signal: Signal, message: &[u8]) -> Taken {
    let (rejected, words) = match signal {
        Signal::Metrics => {
            let partial = ExportMetricsServiceResponse::decode(message).unwrap_or_default().partial_success;
            partial.map(|of| (of.rejected_data_points, of.error_message)).unwrap_or_default()
        }
        Signal::Logs => {
            let partial = ExportLogsServiceResponse::decode(message).unwrap_or_default().partial_success;
            partial.map(|of| (of.rejected_log_records, of.error_message)).unwrap_or_default()
        }
    };
    Taken { rejected: u64::try_from(rejected).unwrap_or(0), words: line_of(&words) }
}

/// The same in JSON, in which some answer whatever they were asked in. Numbers of 64 bits are texts there.
fn taken_as_json(signal: Signal, body: &[u8]) -> Taken {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &said["partialSuccess"];
    let count = match signal {
        Signal::Metrics => &partial["rejectedDataPoints"],
        Signal::Logs => &partial["rejectedLogRecords"],
    };
    let rejected = count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0);
    Taken { rejected, words: line_of(partial["errorMessage"].as_str().unwrap_or_default()) }
}
