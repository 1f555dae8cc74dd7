//! What can be wrong with a configuration, in words for the person who wrote it.

use std::fmt;
use std::sync::Arc;

/// Everything that is wrong with a configuration; never empty. A line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `Ok` where there is nothing to complain of.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems, in the order of the configuration's sections.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the configuration file {file}: {error}")]
    Unreadable {
        /// Its path.
        file: String,
        /// The system's words.
        error: String,
    },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {error}")]
    Syntax {
        /// File and line.
        place: Origin,
        /// What the parser stumbled over.
        error: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{path}` ({place}){hint}")]
    UnknownKey {
        /// Its whole path.
        path: String,
        /// File and line.
        place: Origin,
        /// `: did you mean …?`, or nothing.
        hint: String,
    },
    /// An environment variable that does not exist.
    #[error("unknown variable {name}{hint}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// `: did you mean …?`, or nothing.
        hint: String,
    },
    /// A value that the key cannot hold, or not beside another.
    #[error("`{path}` ({place}): {error}")]
    Value {
        /// The key's whole path.
        path: String,
        /// Where the value comes from.
        place: Origin,
        /// What is wrong.
        error: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// A line of the file.
    File {
        /// Its path, as given.
        file: Arc<str>,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// `: did you mean `a` or `b`?` with those of `known` that are nearest to `name`; nothing where none is near.
pub(super) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let name = plain(name);
    let mut nearest = Vec::new();
    // One slip is forgiven anywhere, more only in longer names.
    let mut limit = (name.chars().count() / 3).clamp(1, 3);
    for candidate in known {
        let distance = strsim::osa_distance(&name, &plain(candidate));
        if distance < limit {
            nearest.clear();
            limit = distance;
        }
        if distance == limit {
            nearest.push(candidate);
        }
    }
    if nearest.is_empty() { None } else { Some(nearest) }
}
