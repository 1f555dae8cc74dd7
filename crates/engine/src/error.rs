//! How a failed call reads: one line that says what, where, and what to do where that is known.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use pipeline::ports::{EngineError, EngineFailure};
use serde::Deserialize;

/// What a call is about: it decides what "not found" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The engine itself.
    Engine,
    /// One container.
    Container,
}

/// Most characters of an engine's own words that are passed on.
const WORDS: usize = 300;

pub(crate) fn failed(failure: EngineFailure, message: impl Display) -> EngineError {
    EngineError { failure, message: one_line(&message.to_string()) }
}

/// The socket at `path` could not be connected to.
pub(crate) fn not_connected(url: impl Display, path: &Path, error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::NotFound => failed(
            EngineFailure::Unreachable,
            format_args!("no Docker engine at {url}: the socket does not exist (is the engine running?)"),
        ),
        io::ErrorKind::PermissionDenied => failed(
            EngineFailure::Refused,
            format_args!("{url} may not be opened by this user: add it to the group docker, or run as root"),
        ),
        io::ErrorKind::ConnectionRefused if !is_socket(path) => {
            failed(EngineFailure::Unreachable, format_args!("no Docker engine at {url}: this is not a socket"))
        }
        io::ErrorKind::ConnectionRefused => failed(
            EngineFailure::Unreachable,
            format_args!("no Docker engine at {url}: the socket is there, but nobody listens (did the engine stop?)"),
        ),
        _ => failed(EngineFailure::Unreachable, format_args!("{url} cannot be opened: {error}")),
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    // A path that cannot be looked at is not called anything but what the connect error says.
    path.metadata().map_or(true, |metadata| metadata.file_type().is_socket())
}

/// The connection broke while `what` was asked or answered.
pub(crate) fn broken(url: impl Display, what: impl Display, cause: impl Display) -> EngineError {
    failed(EngineFailure::Unreachable, format_args!("{url}: the connection broke during {what}: {cause}"))
}

pub(crate) fn timed_out(url: impl Display, what: impl Display, after: Duration) -> EngineError {
    failed(EngineFailure::Timeout, format_args!("{url}: no answer to {what} within {after:?}"))
}

pub(crate) fn malformed(url: impl Display, what: impl Display, cause: impl Display) -> EngineError {
    failed(EngineFailure::Malformed, format_args!("{url}: the answer to {what} is not understood: {cause}"))
}

/// The engine answered with a status that is no success.
pub(crate) fn answered(
    url: impl Display,
    what: impl Display,
    status: u16,
    concern: Concern,
    body: &[u8],
) -> EngineError {
    let failure = match (status, concern) {
        (404 | 409, Concern::Container) => EngineFailure::Gone,
        (408 | 504, _) => EngineFailure::Timeout,
        // The container's log driver cannot be read: that stays so.
        (501, Concern::Container) => EngineFailure::Request,
        (500.., _) => EngineFailure::Server,
        _ => EngineFailure::Request,
    };
    failed(failure, format_args!("{url}: {what}: the engine answers {status}: {}", words(body)))
}

/// An error from somewhere below a client call: our own connect error where there is one inside it.
pub(crate) fn from_chain(url: impl Display, what: impl Display, error: &(dyn Error + 'static)) -> EngineError {
    let mut deepest = error;
    loop {
        // What an I/O error holds is not its source: its source is the source of that.
        let held = deepest.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let held = held.and_then(|held| held.downcast_ref::<EngineError>());
        if let Some(ours) = held.or_else(|| deepest.downcast_ref::<EngineError>()) {
            return ours.clone();
        }
        match deepest.source() {
            Some(source) => deepest = source,
            None => return broken(url, what, deepest),
        }
    }
}

/// The engine's own words for a failure: Docker's `message`, Podman's `cause`, or the text as it is.
pub(crate) fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorObject {
        message: Option<String>,
        cause: Option<String>,
    }
    let object = serde_json::from_slice::<ErrorObject>(body).ok();
    let text = object
        .and_then(|object| object.message.or(object.cause))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    match one_line(&text) {
        text if text.is_empty() => "no reason given".to_owned(),
        text => text,
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_classed_by_what_it_means_for_the_caller() {
        let class = |status, concern| answered("unix:///x", "list", status, concern, b"").failure;
        assert_eq!(class(404, Concern::Container), EngineFailure::Gone);
        assert_eq!(class(409, Concern::Container), EngineFailure::Gone);
        assert_eq!(class(404, Concern::Engine), EngineFailure::Request);
        assert_eq!(class(400, Concern::Container), EngineFailure::Request);
        assert_eq!(class(500, Concern::Container), EngineFailure::Server);
        assert_eq!(class(503, Concern::Engine), EngineFailure::Server);
        assert_eq!(class(504, Concern::Engine), EngineFailure::Timeout);
    }

    #[test]
    fn a_socket_this_user_may_not_open_says_what_to_do() {
        let error = not_connected("unix:///x", Path::new("/x"), &io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.failure, EngineFailure::Refused);
        assert!(error.message.contains("add it to the group docker, or run as root"), "{error}");
    }

    #[test]
    fn an_engines_words_come_in_one_line_from_either_kind_of_error_object() {
        assert_eq!(words(b"{\"message\":\"No such\\ncontainer: x\"}\n"), "No such container: x");
        assert_eq!(words(b"{\"cause\":\"stopped\",\"response\":500}"), "stopped");
        assert_eq!(words(b"  bad\r\ngateway "), "bad gateway");
        assert_eq!(words(b""), "no reason given");
        assert_eq!(words("é".repeat(1_000).as_bytes()).chars().count(), WORDS + 1);
    }
}
