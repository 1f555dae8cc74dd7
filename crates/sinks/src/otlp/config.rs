//! What can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::client::{Trust, shown};

/// Settings of the OTLP sink.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Address of the receiver, `http://host:4317` or `https://…`; with HTTP, a path is what every request begins with.
    pub endpoint: String,
    /// In what it is spoken to.
    pub protocol: Protocol,
    /// Whether samples, container states and host states are sent, as metrics.
    pub metrics: bool,
    /// Whether log lines, events, changes of images and losses are sent, as log records.
    pub logs: bool,
    /// Headers that go with every request; their values are secrets.
    pub headers: BTreeMap<String, String>,
    /// Whoever has this token; a secret.
    pub token: Option<String>,
    /// Whom to trust, and who this is, with `https://`.
    pub trust: Trust,
    /// The labels of containers that ride on records: those of a container's state, which has all of them.
    pub labels: Vec<String>,
    /// Compresses what is sent.
    pub gzip: bool,
    /// Records in one request, at most.
    pub rows: usize,
    /// Estimated bytes in one request, at most.
    pub bytes: usize,
    /// How long to wait for a fuller request.
    pub linger: Duration,
    /// How long a request may take, answer included.
    pub timeout: Duration,
}

/// In what a receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2, by custom on port 4317.
    Grpc,
    /// Protobuf over HTTP/1.1, by custom on port 4318.
    Http,
}

impl OtlpConfig {
    /// The defaults, for the receiver at `endpoint`.
    pub fn new(endpoint: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            endpoint: endpoint.into(),
            protocol,
            metrics: true,
            logs: true,
            headers: BTreeMap::new(),
            token: None,
            trust: Trust::default(),
            labels: Vec::new(),
            gzip: true,
            rows: 1_000,
            bytes: 1 << 20,
            linger: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }

    /// The address without what may be a secret in it.
    pub(super) fn shown_url(&self) -> String {
        shown(&self.endpoint)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "gRPC",
            Self::Http => "HTTP",
        })
    }
}

impl fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpConfig")
            .field("endpoint", &self.shown_url())
            .field("protocol", &self.protocol)
            .field("metrics", &self.metrics)
            .field("logs", &self.logs)
            .field("headers", &self.headers.keys())
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("trust", &self.trust)
            .field("labels", &self.labels)
            .field("gzip", &self.gzip)
            .field("rows", &self.rows)
            .field("bytes", &self.bytes)
            .field("linger", &self.linger)
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_the_settings_tells_a_secret() {
        let config = OtlpConfig {
            headers: BTreeMap::from([("x-team".into(), "hunter2".into())]),
            token: Some("hunter3".into()),
            ..OtlpConfig::new("http://me:hunter4@collector.example:4317/?key=hunter5", Protocol::Grpc)
        };
        let shown = format!("{config:?} {}", config.shown_url());
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("x-team") && shown.contains("http://collector.example:4317"), "{shown}");
    }
}
