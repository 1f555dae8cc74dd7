//! What can go wrong, and what that means for a delivery.

use std::time::Duration;

use http::StatusCode;
use pipeline::ports::{DeliverError, FailureClass};

use super::verdicts::VERDICTS;
use crate::client::Unanswered;
use crate::verdicts::verdict;

/// A failure of the remote-write sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteWriteFailure {
    /// The server said no.
    #[error("remote write {url}: {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Refused { url: String, class: FailureClass, status: StatusCode, words: String, retry_after: Option<Duration> },
    /// The server said nothing.
    #[error("remote write {url}: {why}")]
    Unanswered { url: String, why: Unanswered },
    /// It cannot work as it is set.
    #[error("remote write {url}: {what}")]
    Settings { url: String, what: String },
    /// The encoder panicked.
    #[error("a range could not be encoded: {0}")]
    Encode(String),
}

impl RemoteWriteFailure {
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Unanswered { why: Unanswered::Tls(_), .. } | Self::Settings { .. } => FailureClass::Config,
            Self::Unanswered { .. } => FailureClass::Retry,
            Self::Encode(_) => FailureClass::Poison,
        }
    }

    /// Whether it says that series have something newer, or this very sample, already. In Prometheus' words, and Mimir's.
    pub(super) fn is_out_of_order(&self) -> bool {
        let Self::Refused { class: FailureClass::Poison, words, .. } = self else { return false };
        let words = words.to_ascii_lowercase();
        ["out of order", "out-of-order", "duplicate sample"].iter().any(|of| words.contains(of))
    }
}

impl From<RemoteWriteFailure> for DeliverError {
    fn from(failure: RemoteWriteFailure) -> Self {
        let (class, message) = (failure.class(), failure.to_string());
        let retry_after = match failure {
            RemoteWriteFailure::Refused { retry_after, .. } => retry_after,
            _ => None,
        };
        Self { class, message, retry_after }
    }
}

/// What a status means that is not success. What is not listed may pass.
pub(super) fn classify(status: StatusCode) -> FailureClass {
    match verdict(VERDICTS, &status.as_u16()) {
        Some(verdict) => verdict.course.at(1),
        // No server of this kind sends elsewhere.
        None if !status.is_client_error() && !status.is_server_error() => FailureClass::Config,
        None => FailureClass::Retry,
    }
}
