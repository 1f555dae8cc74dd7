//! A query, checked against what its route declares: nothing unknown is ignored.

use std::fmt::Display;
use std::str::FromStr;

use model::Timestamp;

use crate::moment;
use crate::operation::{Kind, Operation, Parameter, Repeats};
use crate::problem::{Problem, ProblemKind};

/// Bytes a value may have.
pub(crate) const MAX_TEXT: usize = 512;

/// Edits within which a known name is suggested for an unknown one.
const NEAR: usize = 3;

/// The parameters of one request, each known and of its kind.
#[derive(Debug, Default)]
pub(crate) struct Query {
    values: Vec<(&'static str, String)>,
}

impl Query {
    /// Checks `raw` against the parameters of `operation`; times are read against `now`.
    pub fn parse(operation: &Operation, raw: &str, now: Timestamp) -> Result<Self, Problem> {
        let mut values: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            let parameter = operation.parameter(&name).ok_or_else(|| unknown(operation, &name))?;
            if parameter.repeats == Repeats::Never && values.iter().any(|(given, _)| *given == parameter.name) {
                return Err(Problem::invalid(parameter.name, format!("`{}` is given twice", parameter.name)));
            }
            check(parameter, &value, now)?;
            values.push((parameter.name, value.into_owned()));
        }
        Ok(Self { values })
    }

    /// The value of a parameter that is given once.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter, in the order of the query.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// The value as a type of the model.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| Problem::invalid(name, error.to_string()));
        self.text(name).map(parse).transpose()
    }

    /// The value of a parameter of kind `Time`.
    pub fn time(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.text(name).and_then(|text| moment::parse(text, now))
    }

    /// The value of a parameter of kind `Integer`.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// What the answer depends on besides the page: sorted, so that the order in the query does not matter.
    pub fn filters(&self) -> Vec<(&str, &str)> {
        let paging = |name: &str| matches!(name, "limit" | "tail" | "cursor");
        let mut filters: Vec<_> =
            self.values.iter().filter(|(name, _)| !paging(name)).map(|(name, value)| (*name, value.as_str())).collect();
        filters.sort_unstable();
        filters
    }
}

fn check(parameter: &Parameter, value: &str, now: Timestamp) -> Result<(), Problem> {
    let Parameter { name, kind, .. } = parameter;
    let refuse = |rule: String| Err(Problem::invalid(name, format!("`{name}` must be {rule}")));
    if value.is_empty() || value.len() > MAX_TEXT || value.contains(char::is_control) {
        return refuse(format!("1 to {MAX_TEXT} bytes without control characters"));
    }
    match kind {
        Kind::Text | Kind::Cursor => Ok(()),
        Kind::Label if value.starts_with('=') => refuse("a label key, or key=value".into()),
        Kind::Label => Ok(()),
        Kind::Word(words) if words.contains(&value) => Ok(()),
        Kind::Word(words) => refuse(format!("one of {}", words.join(", "))),
        Kind::Time if moment::parse(value, now).is_some() => Ok(()),
        Kind::Time => refuse(moment::SHAPE.into()),
        Kind::Integer { min, max, .. } => match value.parse::<u64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(()),
            _ => refuse(format!("a whole number from {min} to {max}")),
        },
    }
}

fn unknown(operation: &Operation, name: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    let known: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name).collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, &shown.to_lowercase()), *candidate))
        .filter(|(edits, candidate)| *edits <= NEAR.min(candidate.len() / 2))
        .min();
    let detail = match nearest {
        Some((_, nearest)) => format!("unknown parameter `{shown}`: did you mean `{nearest}`?"),
        None if known.is_empty() => format!("unknown parameter `{shown}`: this route takes none"),
        None => format!("unknown parameter `{shown}`: this route knows {}", known.join(", ")),
    };
    Problem::new(ProblemKind::UnknownParameter, detail)
        .with("parameter", shown)
        .with("nearest", nearest.map(|(_, nearest)| nearest))
        .with("known", known)
}
