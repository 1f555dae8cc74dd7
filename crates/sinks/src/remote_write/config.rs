//! What can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::client::{Credentials, Trust, shown};

/// Settings of the remote-write sink.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteWriteConfig {
    /// Where samples are sent to, path and all: `http://host:9090/api/v1/write`.
    pub url: String,
    /// Who this is.
    pub credentials: Credentials,
    /// Headers that go with every request; their values are secrets.
    pub headers: BTreeMap<String, String>,
    /// Whom to trust, and who this is, with `https://`.
    pub trust: Trust,
    /// The labels of containers that ride on records: those of a container's state, which has all of them.
    pub labels: Vec<String>,
    /// Records in one request, at most.
    pub rows: usize,
    /// Estimated bytes in one request, at most.
    pub bytes: usize,
    /// How long to wait for a fuller request.
    pub linger: Duration,
    /// How long a request may take, answer included.
    pub timeout: Duration,
}

impl RemoteWriteConfig {
    /// The defaults, for the server that takes samples at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            headers: BTreeMap::new(),
            trust: Trust::default(),
            labels: Vec::new(),
            rows: 1_000,
            bytes: 1 << 20,
            linger: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }

    /// The address without what may be a secret in it.
    pub(super) fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

impl fmt::Debug for RemoteWriteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteWriteConfig")
            .field("url", &self.shown_url())
            .field("credentials", &self.credentials)
            .field("headers", &self.headers.keys())
            .field("trust", &self.trust)
            .field("labels", &self.labels)
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
        let config = RemoteWriteConfig {
            headers: BTreeMap::from([("x-team".into(), "hunter2".into())]),
            credentials: Credentials::User { name: "me".into(), password: "hunter3".into() },
            ..RemoteWriteConfig::new("http://me:hunter4@prometheus.example:9090/api/v1/write?key=hunter5")
        };
        let shown = format!("{config:?} {} {:?}", config.shown_url(), Credentials::Token("hunter6".into()));
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("x-team") && shown.contains("http://prometheus.example:9090/api/v1/write"), "{shown}");
    }
}
