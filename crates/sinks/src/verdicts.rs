//! Tables of errors: what each means, what is done about it, and what a person can do. `docs/errors.md` is compared
//! with them.

use std::fmt;

use pipeline::ports::FailureClass;

use crate::{clickhouse, influxdb, kafka, otlp, postgres, remote_write, sqlite};

/// Errors that are treated alike.
pub(crate) struct Verdict<C: 'static> {
    pub course: Course,
    pub codes: &'static [C],
    /// What has happened.
    pub meaning: &'static str,
    /// What a person can do.
    pub remedy: &'static str,
}

/// How an error is treated, which can depend on how often it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The same each time.
    Always(FailureClass),
    /// One way so many times, then another.
    First(u32, FailureClass, FailureClass),
}

impl Course {
    /// The class at the n-th failure in a row, counted from 1.
    pub(crate) fn at(self, failures: u32) -> FailureClass {
        match self {
            Self::Always(class) => class,
            Self::First(times, class, _) if failures <= times => class,
            Self::First(_, _, class) => class,
        }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(class) => f.write_str(class.name()),
            Self::First(1, class, then) => write!(f, "{} once, then {}", class.name(), then.name()),
            Self::First(times, class, then) => write!(f, "{} {times} times, then {}", class.name(), then.name()),
        }
    }
}

/// The verdict on `code`.
pub(crate) fn verdict<C: PartialEq>(table: &'static [Verdict<C>], code: &C) -> Option<&'static Verdict<C>> {
    table.iter().find(|verdict| verdict.codes.contains(code))
}

/// The tables of `docs/errors.md`: each under its heading, as lines.
pub fn error_tables() -> [(&'static str, Vec<String>); 9] {
    [
        ("Kafka", rows(kafka::VERDICTS, |code| format!("`{code:?}`"))),
        ("ClickHouse", rows(clickhouse::VERDICTS, |(number, name)| format!("{number} `{name}`"))),
        ("A proxy before ClickHouse", rows(clickhouse::PROXY, ToString::to_string)),
        ("PostgreSQL", rows(postgres::VERDICTS, |(code, name)| format!("{code} `{name}`"))),
        ("InfluxDB", rows(influxdb::VERDICTS, ToString::to_string)),
        ("OTLP over gRPC", rows(otlp::VERDICTS, |(code, name)| format!("{code} `{name}`"))),
        ("OTLP over HTTP", rows(otlp::HTTP, ToString::to_string)),
        ("Remote write", rows(remote_write::VERDICTS, ToString::to_string)),
        ("SQLite", rows(sqlite::VERDICTS, |code| format!("`{code:?}`"))),
    ]
}

fn rows<C>(table: &[Verdict<C>], name: impl Fn(&C) -> String) -> Vec<String> {
    let row = |verdict: &Verdict<C>| {
        let codes: Vec<String> = verdict.codes.iter().map(&name).collect();
        format!("| {} | {} | {} | {} |", verdict.course, codes.join(", "), verdict.meaning, verdict.remedy)
    };
    table.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a code stood in two rows, the first would hide the other.
    fn assert_each_once<C: PartialEq + fmt::Debug>(table: &[Verdict<C>]) {
        let all: Vec<&C> = table.iter().flat_map(|verdict| verdict.codes).collect();
        for (position, code) in all.iter().enumerate() {
            assert!(!all[..position].contains(code), "{code:?} stands twice");
        }
    }

    #[test]
    fn every_code_has_one_verdict() {
        assert_each_once(kafka::VERDICTS);
        assert_each_once(clickhouse::VERDICTS);
        assert_each_once(clickhouse::PROXY);
        assert_each_once(postgres::VERDICTS);
        assert_each_once(influxdb::VERDICTS);
        assert_each_once(otlp::VERDICTS);
        assert_each_once(otlp::HTTP);
        assert_each_once(remote_write::VERDICTS);
        assert_each_once(sqlite::VERDICTS);
    }
}
