//! What can go wrong, and what that means for a delivery.

use std::time::Duration;

use http::StatusCode;
use pipeline::ports::{DeliverError, FailureClass};

use super::client::Answer;
use super::verdicts::VERDICTS;
use crate::client::{self, Unanswered};
use crate::verdicts::verdict;

/// A failure of the InfluxDB sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum InfluxFailure {
    /// The server said no.
    #[error("influxdb {url}: {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Refused { url: String, class: FailureClass, status: StatusCode, words: String, retry_after: Option<Duration> },
    /// The server said nothing.
    #[error("influxdb {url}: {why}")]
    Unanswered { url: String, why: Unanswered },
    /// It cannot work as it is set.
    #[error("influxdb {url}: {what}")]
    Settings { url: String, what: String },
    /// The encoder panicked.
    #[error("a range could not be encoded: {0}")]
    Encode(String),
}

impl InfluxFailure {
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Unanswered { why: Unanswered::Tls(_), .. } | Self::Settings { .. } => FailureClass::Config,
            Self::Unanswered { .. } => FailureClass::Retry,
            Self::Encode(_) => FailureClass::Poison,
        }
    }
}

impl From<InfluxFailure> for DeliverError {
    fn from(failure: InfluxFailure) -> Self {
        let (class, message) = (failure.class(), failure.to_string());
        let retry_after = match failure {
            InfluxFailure::Refused { retry_after, .. } => retry_after,
            _ => None,
        };
        Self { class, message, retry_after }
    }
}

/// What an answer means that does not say that the points are stored. What is not listed may pass.
pub(super) fn classify(status: StatusCode) -> FailureClass {
    match verdict(VERDICTS, &status.as_u16()) {
        Some(verdict) => verdict.course.at(1),
        // InfluxDB says 204, and only that: who says otherwise is something else.
        None if !status.is_client_error() && !status.is_server_error() => FailureClass::Config,
        None => FailureClass::Retry,
    }
}

/// Whether none of the `points` was stored, and each for a reason of its own: `partial write: … dropped=5`.
pub(super) fn dropped_all(answer: &Answer, points: usize) -> bool {
    let count = answer.words.rsplit_once(" dropped=").map(|(_, count)| count.trim_end_matches(['"', '}']));
    answer.status == StatusCode::BAD_REQUEST && count.is_some_and(|count| count.parse() == Ok(points))
}

/// What is wrong with a statement of an answer that is well as a whole.
pub(super) fn statement_error(words: &str) -> Option<String> {
    let said: serde_json::Value = serde_json::from_str(words).ok()?;
    said.get("results")?.get(0)?.get("error")?.as_str().map(str::to_owned)
}

/// The words of an answer in one line: those of `message` or `error` where it is JSON, else as they are.
pub(super) fn line_of(body: &[u8]) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let of = |key: &str| said.as_ref()?.get(key)?.as_str().map(str::to_owned);
    let text = of("message").or_else(|| of("error")).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    client::line_of(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_server_are_one_line_of_bounded_length_with_their_end() {
        assert_eq!(line_of(br#"{"error":"partial write: x dropped=1"}"#), "partial write: x dropped=1");
        assert_eq!(line_of(br#"{"code":"invalid","message":"unable to\nparse"}"#), "unable to parse");
        let results = r#"{"results":[{"statement_id":0,"error":"no"}]}"#;
        assert_eq!(statement_error(&line_of(results.as_bytes())).as_deref(), Some("no"));
        assert_eq!(line_of(b"<html>\n502  Bad Gateway</html>"), "<html> 502 Bad Gateway</html>");
        assert_eq!(line_of(b""), "");
        let long = format!("unable to parse '{}': too long dropped=1", "ü".repeat(900));
        let line = line_of(long.as_bytes());
        assert!(line.ends_with("too long dropped=1") && line.chars().count() == 401, "{line}");
    }

    #[test]
    fn only_an_answer_that_counts_every_point_refuses_them_all() {
        let answer = |status, words: &str| Answer { status, words: words.into(), retry_after: None };
        let beyond = "partial write: points beyond retention policy dropped=12";
        assert!(dropped_all(&answer(StatusCode::BAD_REQUEST, beyond), 12));
        assert!(!dropped_all(&answer(StatusCode::BAD_REQUEST, beyond), 13));
        assert!(!dropped_all(&answer(StatusCode::SERVICE_UNAVAILABLE, beyond), 12));
        assert!(!dropped_all(&answer(StatusCode::BAD_REQUEST, "field type conflict"), 1));
    }

    #[test]
    fn nothing_is_refused_on_a_guess_and_only_204_is_success() {
        for status in [408, 409, 418, 500, 502, 504, 507, 599] {
            assert_eq!(classify(StatusCode::from_u16(status).unwrap()), FailureClass::Retry, "{status}");
        }
        for status in [200, 202, 302, 308] {
            assert_eq!(classify(StatusCode::from_u16(status).unwrap()), FailureClass::Config, "{status}");
        }
    }
}
