//! What can go wrong, in classes an API can answer with.

use std::time::Duration;

use model::{ContainerId, ContainerState, HostName, ImageState};
use serde::Serialize;

/// Why a store is `Unavailable` whose file or tables are not made yet.
pub const NOTHING_STORED: &str = "nothing has been stored yet";

/// One of several containers that a selector names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its host.
    pub host: HostName,
    /// Its full id.
    pub container_id: ContainerId,
    /// Its name.
    pub container_name: String,
    /// Its state.
    pub state: ContainerState,
}

/// One of several images that a selector names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageCandidate {
    /// Its host.
    pub host: HostName,
    /// Its id.
    pub image_id: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its state.
    pub state: ImageState,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// There is no such thing.
    NotFound,
    /// There are several such things.
    Ambiguous,
    /// The question is wrong.
    Request,
    /// The database cannot answer now; later it may.
    Unavailable,
    /// The answer took too long and was given up.
    Timeout,
    /// Stored data or a query is not what this version expects.
    Internal,
}

/// A query without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such container.
    #[error("there is no container `{0}`")]
    NotFound(String),
    /// Several containers are meant.
    #[error("{} containers are called so: name the host, or the full id", .0.len())]
    Ambiguous(Vec<Candidate>),
    /// There is no such image.
    #[error("there is no image `{0}`")]
    ImageNotFound(String),
    /// Several images are meant.
    #[error("{} images are called so: name the host, or the full id", .0.len())]
    AmbiguousImage(Vec<ImageCandidate>),
    /// The cursor is not one that this query gave out.
    #[error("the cursor is not one that this list gave out")]
    BadCursor,
    /// A bound or a filter contradicts itself.
    #[error("{0}")]
    BadQuery(String),
    /// Too many queries at once.
    #[error("the store is busy")]
    Busy,
    /// The database is not there, or refuses.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The query was stopped after this time.
    #[error("the query was stopped after {} ms", .0.as_millis())]
    Timeout(Duration),
    /// What is stored cannot be read.
    #[error("stored data cannot be read: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// What kind of failure it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::ImageNotFound(_) => ErrorClass::NotFound,
            Self::Ambiguous(_) | Self::AmbiguousImage(_) => ErrorClass::Ambiguous,
            Self::BadCursor | Self::BadQuery(_) => ErrorClass::Request,
            Self::Busy | Self::Unavailable(_) => ErrorClass::Unavailable,
            Self::Timeout(_) => ErrorClass::Timeout,
            Self::Unreadable(_) => ErrorClass::Internal,
        }
    }
}
