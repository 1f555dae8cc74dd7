//! What can go wrong, and what that means for a delivery.

use std::error::Error as _;

use clickhouse::error::Error;
use pipeline::ports::{DeliverError, FailureClass};

use super::verdicts::{PROXY, VERDICTS};
use crate::verdicts::{Course, verdict};

/// A failure of the ClickHouse sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClickHouseFailure {
    /// The server said no, or nothing.
    #[error("clickhouse {url}: {text}")]
    Server { url: String, class: FailureClass, text: String },
    /// Tables are not as expected.
    #[error("clickhouse {url}, database {database}: {what}")]
    Tables { url: String, database: String, what: String },
    /// The encoder panicked.
    #[error("a range could not be encoded: {0}")]
    Encode(String),
}

impl ClickHouseFailure {
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Server { class, .. } => *class,
            Self::Tables { .. } => FailureClass::Config,
            Self::Encode(_) => FailureClass::Poison,
        }
    }
}

impl From<ClickHouseFailure> for DeliverError {
    fn from(failure: ClickHouseFailure) -> Self {
        Self::new(failure.class(), failure.to_string())
    }
}

/// Dropped by the server, since it has the rows: that is success.
pub(super) const INSERT_WAS_DEDUPLICATED: u32 = 389;

/// The code in the server's words: `Code: 60. DB::Exception: …`, or nothing but the code.
pub(super) fn code_of(error: &Error) -> Option<u32> {
    let Error::BadResponse(text) = error else { return None };
    let digits = text.split_once("Code: ").map_or(text.as_str(), |(_, rest)| rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let alone = digits.len() == text.len() && end < digits.len();
    if alone { None } else { digits[..end].parse().ok() }
}

/// Which attempt failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// How often the range, whole or in halves, has failed with this error, this time included.
    pub number: u32,
    /// Rows in the insert.
    pub rows: usize,
}

/// A server short of memory takes an insert of so many rows, or takes nothing at all.
const SMALL: usize = 1_000;

/// What `error` means.
pub(super) fn classify(error: &Error, attempt: Attempt) -> FailureClass {
    use FailureClass as F;
    match error {
        Error::Network(_) | Error::TimedOut => F::Retry,
        Error::SchemaMismatch(_) => F::Schema,
        Error::InvalidParams(_) | Error::Unsupported(_) => F::Config,
        Error::BadResponse(text) => match code_of(error) {
            Some(code) => by_code(code, attempt),
            None => by_status(text),
        },
        _ => F::Retry,
    }
}

fn by_code(code: u32, attempt: Attempt) -> FailureClass {
    let verdict = VERDICTS.iter().find(|verdict| verdict.codes.iter().any(|(number, _)| *number == code));
    match verdict.map(|verdict| (verdict.course, verdict.course.at(attempt.number))) {
        // What is not known may pass.
        None => FailureClass::Retry,
        Some((Course::First(_, before, _), FailureClass::Split)) if attempt.rows <= SMALL => before,
        Some((_, class)) => class,
    }
}

/// An answer without a code is a proxy's.
fn by_status(text: &str) -> FailureClass {
    let known = status_of(text).and_then(|status| verdict(PROXY, &status));
    known.map_or(FailureClass::Retry, |verdict| verdict.course.at(1))
}

/// The status in a page of a proxy, which begins with it or has it in its title: `<title>413 Request Entity …`.
fn status_of(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let places = [Some(lower.as_str()), after(&lower, "<title>"), after(&lower, "<h1>")];
    places.into_iter().flatten().find_map(|words| {
        let digits = words.trim_start().get(..3)?;
        let ends = words.trim_start()[3..].chars().next().is_none_or(|next| !next.is_ascii_alphanumeric());
        digits.parse().ok().filter(|status| ends && (400..600).contains(status))
    })
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

/// The error in one line, with its causes.
pub(super) fn told(error: &Error) -> String {
    let mut text = match error {
        Error::BadResponse(words) => words.clone(),
        other => other.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // The version helps nobody who reads this.
    if let Some(at) = line.rfind(" (version ") {
        line.truncate(at);
    }
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> Error {
        Error::BadResponse(text.to_owned())
    }

    #[test]
    fn the_code_is_found_in_what_servers_and_proxies_say() {
        assert_eq!(code_of(&bad("Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)")), Some(60));
        assert_eq!(code_of(&bad("516")), Some(516));
        for text in ["", "<html>502 Bad Gateway</html>", "503 Service Unavailable", "Code: x"] {
            assert_eq!(code_of(&bad(text)), None, "{text}");
        }
    }

    #[test]
    fn nothing_that_may_pass_is_refused_and_nothing_unknown_either() {
        let class = |code: u32, number| {
            let attempt = Attempt { number, rows: 50_000 };
            classify(&bad(&format!("Code: {code}. DB::Exception: x")), attempt)
        };
        for code in [3, 40, 107, 203, 209, 210, 236, 271, 279, 285, 319, 394, 410, 425, 473, 735, 999, 1002] {
            assert_eq!((class(code, 1), class(code, 99)), (FailureClass::Retry, FailureClass::Retry), "{code}");
        }
        assert_eq!((class(225, 1), class(225, 99)), (FailureClass::Config, FailureClass::Config));
        assert_eq!(class(54_321, 99), FailureClass::Retry);
        assert_eq!((class(33, 1), class(33, 2)), (FailureClass::Retry, FailureClass::Poison));
        assert_eq!((class(117, 1), class(117, 2)), (FailureClass::Schema, FailureClass::Poison));
        assert_eq!((class(241, 3), class(241, 4)), (FailureClass::RetrySlow, FailureClass::Split));
    }

    #[test]
    fn a_server_short_of_memory_never_costs_a_row() {
        let error = bad("Code: 241. DB::Exception: Memory limit exceeded");
        assert_eq!(classify(&error, Attempt { number: 99, rows: SMALL }), FailureClass::RetrySlow);
    }

    #[test]
    fn answers_of_proxies_are_classed_by_the_status_they_tell() {
        assert_eq!(by_status("413 Payload Too Large"), FailureClass::Split);
        let nginx = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>";
        assert_eq!(by_status(nginx), FailureClass::Split);
        assert_eq!(by_status("429 Too Many Requests"), FailureClass::RetrySlow);
        assert_eq!(by_status("<html><body><h1>503 Service Unavailable</h1>"), FailureClass::RetrySlow);
        assert_eq!(by_status("403 Forbidden"), FailureClass::Config);
        for unknown in ["<html>bad gateway</html>", "<title>502 Bad Gateway</title>", "", "4", "4131 things", "ü413"] {
            assert_eq!(by_status(unknown), FailureClass::Retry, "{unknown}");
        }
    }

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let text = told(&bad(&format!("Code: 1.\nDB::Exception: {}\n(version 26.9.2.1)", "x".repeat(900))));
        assert!(text.starts_with("Code: 1. DB::Exception: x") && text.ends_with('…'));
        assert!(text.chars().count() <= 401);
        assert_eq!(
            told(&bad("Code: 60. DB::Exception: no. (UNKNOWN_TABLE) (version 26.9.2.1 (official build))")),
            "Code: 60. DB::Exception: no. (UNKNOWN_TABLE)"
        );
    }
}
