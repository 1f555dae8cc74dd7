//! What can go wrong, and what that means for a delivery.

use std::time::Duration;

use pipeline::ports::{DeliverError, FailureClass};
use tokio_postgres::Error;
use wire::postgres::is_of_tls;
pub(super) use wire::postgres::told;

use super::verdicts::VERDICTS;

/// A failure of the PostgreSQL sink.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresFailure {
    /// The server said no, or nothing.
    #[error("postgres {place}: {}", told(error))]
    Server { place: String, class: FailureClass, error: Error },
    /// It took too long.
    #[error("postgres {place}: no answer within {within:?}")]
    TimedOut { place: String, within: Duration },
    /// Tables are not as expected.
    #[error("postgres {place}: {what}")]
    Tables { place: String, what: String },
    /// It cannot work as it is set.
    #[error("postgres {place}: {what}")]
    Settings { place: String, what: String },
}

impl PostgresFailure {
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Server { class, .. } => *class,
            Self::TimedOut { .. } => FailureClass::Retry,
            Self::Tables { .. } | Self::Settings { .. } => FailureClass::Config,
        }
    }
}

impl From<PostgresFailure> for DeliverError {
    fn from(failure: PostgresFailure) -> Self {
        Self::new(failure.class(), failure.to_string())
    }
}

/// The SQLSTATE, where the server said one.
pub(super) fn code_of(error: &Error) -> Option<&str> {
    error.code().map(tokio_postgres::error::SqlState::code)
}

/// What `error` means, the n-th time that the range, whole or in halves, fails with it.
pub(super) fn classify(error: &Error, number: u32) -> FailureClass {
    match code_of(error) {
        Some(code) => by_code(code, number),
        None => by_kind(error),
    }
}

fn by_code(code: &str, number: u32) -> FailureClass {
    let of = |code: &str| VERDICTS.iter().find(|verdict| verdict.codes.iter().any(|(known, _)| *known == code));
    let verdict = of(code).or_else(|| of(code.get(..2)?));
    // What is not known may pass.
    verdict.map_or(FailureClass::Retry, |verdict| verdict.course.at(number))
}

/// An error of the client tells its kind in its words alone.
fn by_kind(error: &Error) -> FailureClass {
    let words = error.to_string();
    if is_of_tls(error) || words.starts_with("authentication") || words.starts_with("invalid con") {
        FailureClass::Config
    } else if words.starts_with("error serializing") {
        FailureClass::Poison
    } else if words.starts_with("error deserializing") || words.starts_with("invalid column") {
        FailureClass::Schema
    } else {
        FailureClass::Retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_pass_is_refused_and_nothing_unknown_either() {
        for code in ["08006", "40001", "40P01", "55P03", "57P01", "57P03", "25006", "57014", "XX000", "F0000", "99999"]
        {
            assert_eq!((by_code(code, 1), by_code(code, 99)), (FailureClass::Retry, FailureClass::Retry), "{code}");
        }
        for code in ["53100", "53200", "53300", "58030"] {
            assert_eq!(
                (by_code(code, 1), by_code(code, 99)),
                (FailureClass::RetrySlow, FailureClass::RetrySlow),
                "{code}"
            );
        }
        for code in ["42P01", "42703", "0A000"] {
            assert_eq!((by_code(code, 1), by_code(code, 99)), (FailureClass::Schema, FailureClass::Schema), "{code}");
        }
        for code in ["28P01", "28000", "3D000", "42501", "42601"] {
            assert_eq!((by_code(code, 1), by_code(code, 99)), (FailureClass::Config, FailureClass::Config), "{code}");
        }
    }

    #[test]
    fn a_value_is_refused_once_the_tables_were_looked_at() {
        for code in ["22P02", "22003", "22021", "22P05", "23502", "23514", "P0001"] {
            assert_eq!((by_code(code, 1), by_code(code, 2)), (FailureClass::Schema, FailureClass::Poison), "{code}");
        }
    }
}
