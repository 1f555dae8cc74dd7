//! What a route is, written once: the same description registers it, checks its queries and documents it.

use actix_web::HttpResponse;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use crate::call::Call;
use crate::moment;
use crate::problem::{Problem, ProblemKind};

/// What a handler gives back.
pub(crate) type Answer = Result<HttpResponse, Problem>;

/// One method of one path.
pub(crate) struct Operation {
    /// Its name in the OpenAPI document.
    pub id: &'static str,
    /// Path template; `{id}` is the only variable there is.
    pub path: &'static str,
    pub tag: Tag,
    /// One line.
    pub summary: &'static str,
    /// What one line cannot say; may be empty.
    pub description: &'static str,
    pub parameters: &'static [Parameter],
    pub body: Body,
    /// The problems it may answer with, besides those of every route.
    pub problems: &'static [ProblemKind],
    pub handle: fn(Call) -> LocalBoxFuture<'static, Answer>,
}

impl Operation {
    pub fn has_id(&self) -> bool {
        self.path.contains("{id}")
    }

    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// How operations are grouped in the document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Containers,
    Images,
    Fleet,
    Dockstream,
    Documents,
}

impl Tag {
    pub const ALL: [Self; 5] = [Self::Containers, Self::Images, Self::Fleet, Self::Dockstream, Self::Documents];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Containers => "Containers",
            Self::Images => "Images",
            Self::Fleet => "Fleet",
            Self::Dockstream => "Dockstream",
            Self::Documents => "Documents",
        }
    }
}

/// What a successful answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// One object of a schema of the document.
    Object(&'static str),
    /// A list of such objects, in the envelope.
    List(&'static str),
    /// Another media type.
    Media(&'static str),
    /// An object for programs, a page for browsers.
    ObjectOrPage(&'static str),
}

/// One parameter of a query.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub repeats: Repeats,
    pub description: &'static str,
}

impl Parameter {
    pub const fn once(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, repeats: Repeats::Never, description }
    }

    pub const fn many(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, repeats: Repeats::Allowed, description }
    }
}

/// Whether a parameter may be given more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    Never,
    Allowed,
}

/// What a parameter's value must be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Any text without control characters.
    Text,
    /// A container label: `key`, or `key=value`.
    Label,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A time, absolute or relative.
    Time,
    Integer {
        min: u64,
        max: u64,
        default: u64,
    },
    /// What an answer before gave as `next_cursor`.
    Cursor,
}

impl Kind {
    /// Its JSON Schema.
    pub fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string", "minLength": 1, "maxLength": crate::query::MAX_TEXT}),
            Self::Label => {
                json!({"type": "string", "minLength": 1, "maxLength": crate::query::MAX_TEXT, "examples": ["tier=front"]})
            }
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Time => {
                json!({"type": "string", "description": moment::SHAPE, "examples": ["now-6h", "2026-11-20T12:00:00Z"]})
            }
            Self::Integer { min, max, default } => {
                json!({"type": "integer", "minimum": min, "maximum": max, "default": default})
            }
            Self::Cursor => json!({"type": "string"}),
        }
    }
}

/// Items in a page where `limit` is not given.
pub(crate) const DEFAULT_LIMIT: u64 = 100;

/// The page size of every list.
pub(crate) const LIMIT: Parameter =
    Parameter::once("limit", Kind::Integer { min: 1, max: 1_000, default: DEFAULT_LIMIT }, "How many items at most.");

/// Where a list goes on.
pub(crate) const CURSOR: Parameter =
    Parameter::once("cursor", Kind::Cursor, "`page.next_cursor` of the answer before, with the same filters; opaque.");

/// The states a container can be in, in the words of filters and answers.
pub(crate) const STATES: &[&str] =
    &["created", "running", "paused", "restarting", "removing", "exited", "dead", "removed", "unknown"];
