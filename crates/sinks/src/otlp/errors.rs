//! What can go wrong, and what that means for a delivery.

use std::time::Duration;

use http::StatusCode;
use pipeline::ports::{DeliverError, FailureClass};

use super::client::Signal;
use super::grpc::Status;
use super::verdicts::{HTTP, VERDICTS};
use crate::client::Unanswered;
use crate::verdicts::verdict;

/// A failure of the OTLP sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum OtlpFailure {
    /// The receiver said no.
    #[error("otlp {url}: {signal}: {said}")]
    Refused { url: String, signal: Signal, class: FailureClass, said: String, retry_after: Option<Duration> },
    /// The receiver said nothing.
    #[error("otlp {url}: {why}{hint}")]
    Unanswered { url: String, why: Unanswered, hint: &'static str },
    /// It cannot work as it is set.
    #[error("otlp {url}: {what}")]
    Settings { url: String, what: String },
    /// The encoder panicked.
    #[error("a range could not be encoded: {0}")]
    Encode(String),
}

impl OtlpFailure {
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Unanswered { why: Unanswered::Tls(_), .. } | Self::Settings { .. } => FailureClass::Config,
            Self::Unanswered { .. } => FailureClass::Retry,
            Self::Encode(_) => FailureClass::Poison,
        }
    }
}

impl From<OtlpFailure> for DeliverError {
    fn from(failure: OtlpFailure) -> Self {
        let (class, message) = (failure.class(), failure.to_string());
        let retry_after = match failure {
            OtlpFailure::Refused { retry_after, .. } => retry_after,
            _ => None,
        };
        Self { class, message, retry_after }
    }
}

/// What a status of gRPC means that is not success, and its name. What is not listed may pass.
pub(super) fn of_call(status: &Status) -> (FailureClass, String) {
    let known = VERDICTS.iter().flat_map(|of| of.codes.iter().map(move |code| (of, code)));
    let Some((of, (_, name))) = known.into_iter().find(|(_, (code, _))| *code == status.code) else {
        return (FailureClass::Retry, format!("code {}", status.code));
    };
    let class = if is_too_large(status) { FailureClass::Split } else { of.course.at(1) };
    (class, (*name).to_owned())
}

/// Whether it was the size of the message: each library of gRPC has its own words, and one of them its own code.
fn is_too_large(status: &Status) -> bool {
    matches!(status.code, 8 | 11) && tells_of_size(&status.message)
}

fn tells_of_size(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["larger than max", "too large", "exceeds maximum"].iter().any(|of| words.contains(of))
}

/// What a status of HTTP means that is not success. What is not listed may pass.
pub(super) fn of_status(status: StatusCode, words: &str) -> FailureClass {
    match verdict(HTTP, &status.as_u16()) {
        // The Collector says 400 of a body that is too large.
        Some(_) if status == StatusCode::BAD_REQUEST && tells_of_size(words) => FailureClass::Split,
        Some(verdict) => verdict.course.at(1),
        // No receiver sends elsewhere.
        None if !status.is_client_error() && !status.is_server_error() => FailureClass::Config,
        None => FailureClass::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: u16, message: &str) -> FailureClass {
        of_call(&Status { code, message: message.into(), retry_after: None }).0
    }

    #[test]
    fn a_message_that_is_too_large_is_told_by_its_words() {
        for (code, words) in [
            (8, "grpc: received message larger than max (5000 vs. 4096)"),
            (8, "grpc: received message after decompression larger than max 4096"),
            (8, "gRPC message exceeds maximum size 4096: 5000"),
            (11, "Error, decoded message length too large: found 5000 bytes, the limit is: 4096 bytes"),
        ] {
            assert_eq!(class(code, words), FailureClass::Split, "{words}");
        }
        assert_eq!(class(8, "quota"), FailureClass::RetrySlow);
        assert_eq!(class(14, "larger than max"), FailureClass::Retry);
    }

    #[test]
    fn nothing_is_refused_on_a_guess() {
        for code in [1, 4, 10, 11, 14, 15, 17, 99] {
            assert_eq!(class(code, ""), FailureClass::Retry, "{code}");
        }
        for code in [2, 5, 6, 9, 13] {
            assert_eq!(class(code, ""), FailureClass::RetrySlow, "{code}");
        }
        for status in [408, 409, 418, 502, 504, 599] {
            assert_eq!(of_status(StatusCode::from_u16(status).unwrap(), ""), FailureClass::Retry, "{status}");
        }
        for status in [301, 302, 308] {
            assert_eq!(of_status(StatusCode::from_u16(status).unwrap(), ""), FailureClass::Config, "{status}");
        }
    }
}
