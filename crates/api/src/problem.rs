//! Errors as RFC 9457 problems: a closed set of types, each explained at `/api/docs`.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::{ErrorClass, StoreError};

use crate::request_id::RequestId;

/// What an answer that is an error can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    UnknownParameter,
    InvalidParameter,
    InvalidCursor,
    InvalidRequest,
    ContainerNotFound,
    ImageNotFound,
    HostNotFound,
    NoStatsYet,
    RouteNotFound,
    MethodNotAllowed,
    AmbiguousContainer,
    AmbiguousImage,
    BodyTooLarge,
    UriTooLong,
    HostNotAllowed,
    HeadersTooLarge,
    Internal,
    Unavailable,
    Timeout,
}

impl ProblemKind {
    pub const ALL: [Self; 19] = [
        Self::UnknownParameter,
        Self::InvalidParameter,
        Self::InvalidCursor,
        Self::InvalidRequest,
        Self::ContainerNotFound,
        Self::ImageNotFound,
        Self::HostNotFound,
        Self::NoStatsYet,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::AmbiguousContainer,
        Self::AmbiguousImage,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::HostNotAllowed,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unavailable,
        Self::Timeout,
    ];

    /// The last part of its `type`, its title, its status, and what it means.
    const fn facts(self) -> (&'static str, &'static str, StatusCode, &'static str) {
        match self {
            Self::UnknownParameter => (
                "unknown-parameter",
                "Unknown parameter",
                StatusCode::BAD_REQUEST,
                "The query has a parameter this route does not know. `parameter` names it, `nearest` the known one it \
                 resembles, `known` all of them.",
            ),
            Self::InvalidParameter => (
                "invalid-parameter",
                "Invalid parameter",
                StatusCode::BAD_REQUEST,
                "A parameter's value cannot be used: `parameter` names it, `detail` says what it must be.",
            ),
            Self::InvalidCursor => (
                "invalid-cursor",
                "Invalid cursor",
                StatusCode::BAD_REQUEST,
                "The cursor was not made by this route, or was made with other filters. Begin again without it.",
            ),
            Self::InvalidRequest => (
                "invalid-request",
                "Invalid request",
                StatusCode::BAD_REQUEST,
                "The request itself is malformed: no `Host` header, or a control character in the path.",
            ),
            Self::ContainerNotFound => (
                "container-not-found",
                "Container not found",
                StatusCode::NOT_FOUND,
                "No stored container has this id, id prefix or name (on this host, where `host` is given).",
            ),
            Self::ImageNotFound => (
                "image-not-found",
                "Image not found",
                StatusCode::NOT_FOUND,
                "No stored image has this id, id prefix or tag (on this host, where `host` is given).",
            ),
            Self::HostNotFound => (
                "host-not-found",
                "Host not found",
                StatusCode::NOT_FOUND,
                "No host of this name is watched. `nearest` is one that is and is called nearly so.",
            ),
            Self::NoStatsYet => (
                "no-stats-yet",
                "No stats yet",
                StatusCode::NOT_FOUND,
                "The container is known, but no sample of it is stored: it never ran, or its first sample is under way.",
            ),
            Self::RouteNotFound => (
                "route-not-found",
                "Route not found",
                StatusCode::NOT_FOUND,
                "Nothing is served at this path. `/api/docs` lists what is.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path is served, but not with this method: the `Allow` header lists the methods that are.",
            ),
            Self::AmbiguousContainer => (
                "ambiguous-container",
                "Ambiguous container",
                StatusCode::CONFLICT,
                "The id prefix or name fits several containers: `candidates` lists them. Use a full id, or add `host`.",
            ),
            Self::AmbiguousImage => (
                "ambiguous-image",
                "Ambiguous image",
                StatusCode::CONFLICT,
                "The id or tag fits several images, or one image on several hosts: `candidates` lists them. Add `host`.",
            ),
            Self::BodyTooLarge => (
                "body-too-large",
                "Body too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request's body is longer than `limit_bytes`.",
            ),
            Self::UriTooLong => (
                "uri-too-long",
                "URI too long",
                StatusCode::URI_TOO_LONG,
                "Path and query are together longer than `limit_bytes`.",
            ),
            Self::HostNotAllowed => (
                "host-not-allowed",
                "Host not allowed",
                StatusCode::MISDIRECTED_REQUEST,
                "The `Host` header names neither this machine's loopback nor the address dockstream listens on. This is \
                 the guard against DNS rebinding: a web page must not reach the API under a name of its own.",
            ),
            Self::HeadersTooLarge => (
                "headers-too-large",
                "Headers too large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's headers are together longer than `limit_bytes`.",
            ),
            Self::Internal => (
                "internal",
                "Internal error",
                StatusCode::INTERNAL_SERVER_ERROR,
                "A defect in dockstream. The log has the details under the same `request_id`.",
            ),
            Self::Unavailable => (
                "unavailable",
                "Store unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot answer now. The request may be repeated after `Retry-After` seconds.",
            ),
            Self::Timeout => (
                "timeout",
                "Timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "The answer took longer than the time a request has. Ask for less: a shorter range, a smaller limit.",
            ),
        }
    }

    pub const fn slug(self) -> &'static str {
        self.facts().0
    }

    pub const fn title(self) -> &'static str {
        self.facts().1
    }

    pub const fn status(self) -> StatusCode {
        self.facts().2
    }

    pub const fn meaning(self) -> &'static str {
        self.facts().3
    }

    /// The stable `type`: it leads to its explanation on the server that sent it.
    pub fn uri(self) -> String {
        format!("/api/docs#{}", self.slug())
    }
}

/// A problem as it is written.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// One error, on its way to becoming an answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
    members: Map<String, Value>,
    allow: Option<String>,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), allow: None }
    }

    /// A parameter whose value cannot be used.
    pub fn invalid(parameter: &str, detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidParameter, detail).with("parameter", parameter)
    }

    /// Adds an extension member.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds the methods the path is served with.
    pub fn allowing(mut self, methods: impl Into<String>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// The answer to `request`.
    pub fn answer(self, request: &HttpRequest, id: &RequestId) -> HttpResponse {
        let body = Body {
            kind: self.kind.uri(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: request.path(),
            request_id: id.as_str(),
            members: &self.members,
        };
        let mut answer = HttpResponse::build(self.kind.status());
        answer.insert_header((CONTENT_TYPE, "application/problem+json")).insert_header((CACHE_CONTROL, "no-store"));
        if let Some(methods) = self.allow {
            answer.insert_header((ALLOW, methods));
        }
        if self.kind == ProblemKind::Unavailable {
            answer.insert_header((RETRY_AFTER, "1"));
        }
        answer.body(serde_json::to_vec(&body).expect("texts and numbers are JSON"))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match error.class() {
            _ if matches!(error, StoreError::ImageNotFound(_)) => ProblemKind::ImageNotFound,
            _ if matches!(error, StoreError::AmbiguousImage(_)) => ProblemKind::AmbiguousImage,
            ErrorClass::NotFound => ProblemKind::ContainerNotFound,
            ErrorClass::Ambiguous => ProblemKind::AmbiguousContainer,
            ErrorClass::Request if error == StoreError::BadCursor => ProblemKind::InvalidCursor,
            ErrorClass::Request => ProblemKind::InvalidParameter,
            ErrorClass::Unavailable => ProblemKind::Unavailable,
            ErrorClass::Timeout => ProblemKind::Timeout,
            ErrorClass::Internal => {
                tracing::error!(%error, "a query failed");
                ProblemKind::Internal
            }
        };
        let problem = Self::new(kind, error.to_string());
        match error {
            StoreError::Ambiguous(candidates) => problem.with("candidates", json!(candidates)),
            StoreError::AmbiguousImage(candidates) => problem.with("candidates", json!(candidates)),
            _ => problem,
        }
    }
}
