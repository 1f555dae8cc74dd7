//! How an actor or a group ended, as a value.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// How an actor or a group ended.
#[derive(Clone, Debug)]
pub enum Exit {
    /// It was done.
    Normal,
    /// It was asked to drain, and handed on all it had.
    Drained,
    /// It could not go on, and said why.
    Failure(Arc<dyn Error + Send + Sync>),
    /// It panicked; the text is the panic's message.
    Panicked(String),
    /// It had work and made no progress for the time allowed.
    Stalled,
    /// It was ended from outside: by its group, or because its thread went away.
    Killed,
    /// A group gave up: its children failed more often than its intensity allows.
    Escalated {
        /// Failures inside the window; 0 where a child could not be restarted in place at all, because its
        /// thread had gone or it was never built.
        restarts: u32,
        /// The last of them.
        last: Box<Exit>,
    },
}

impl Exit {
    /// A failure with a plain text.
    pub fn failure(text: impl Into<String>) -> Self {
        Self::Failure(Arc::from(Box::<dyn Error + Send + Sync>::from(text.into())))
    }

    /// Its kind, for counting.
    pub const fn kind(&self) -> ExitKind {
        match self {
            Self::Normal => ExitKind::Normal,
            Self::Drained => ExitKind::Drained,
            Self::Failure(_) => ExitKind::Failure,
            Self::Panicked(_) => ExitKind::Panicked,
            Self::Stalled => ExitKind::Stalled,
            Self::Killed => ExitKind::Killed,
            Self::Escalated { .. } => ExitKind::Escalated,
        }
    }

    /// False for `Normal` and `Drained`.
    pub const fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Drained)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal | Self::Drained | Self::Stalled | Self::Killed => f.write_str(self.kind().name()),
            Self::Failure(error) => write!(f, "failure: {error}"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Escalated { restarts, last } => write!(f, "escalated after {restarts} failures, the last: {last}"),
        }
    }
}

impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The kind of an [`Exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "documented at `Exit`")]
pub enum ExitKind {
    Normal,
    Drained,
    Failure,
    Panicked,
    Stalled,
    Killed,
    Escalated,
}

impl ExitKind {
    /// All kinds, in the order of declaration.
    pub const ALL: [Self; 7] =
        [Self::Normal, Self::Drained, Self::Failure, Self::Panicked, Self::Stalled, Self::Killed, Self::Escalated];

    /// The word in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Drained => "drained",
            Self::Failure => "failure",
            Self::Panicked => "panicked",
            Self::Stalled => "stalled",
            Self::Killed => "killed",
            Self::Escalated => "escalated",
        }
    }
}
