//! Events: decoded tolerantly, because one unknown word must not end the stream.
//!
//! Shape by the Docker Engine API, `GET /events`; Podman adds types (`system`) and actions of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt, stream};
use model::{EngineEvent, Timestamp};
use pipeline::ports::{EngineError, EngineFailure};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{failed, words};
use crate::http::Documents;

/// What a line of the event stream is.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Event(EngineEvent),
    /// An error object: the engine gave up on the stream.
    Error(String),
    /// Nothing that can be an event.
    Other,
}

/// The events among `documents`, up to the first error. A line that is no event is skipped: the first of a feed is
/// logged, all are added to `skipped`.
pub(crate) fn feed(
    documents: Documents,
    url: Arc<str>,
    skipped: Arc<AtomicU64>,
) -> impl Stream<Item = Result<EngineEvent, EngineError>> {
    let reading = Some((documents, false));
    stream::unfold(reading, move |reading| {
        let (url, skipped) = (url.clone(), skipped.clone());
        async move {
            let (mut documents, mut warned) = reading?;
            loop {
                let document = match documents.next().await? {
                    Ok(document) => document,
                    Err(error) => return Some((Err(error), None)),
                };
                match decode(&document) {
                    Line::Event(event) => return Some((Ok(event), Some((documents, warned)))),
                    Line::Error(error) => {
                        let error =
                            failed(EngineFailure::Server, format_args!("{url}: the engine ends its events: {error}"));
                        return Some((Err(error), None));
                    }
                    Line::Other => {
                        skipped.fetch_add(1, Ordering::Relaxed);
                        if !std::mem::replace(&mut warned, true) {
                            tracing::warn!(%url, bytes = document.len(), "a line among the events is no event: it is skipped, as are others like it");
                        }
                    }
                }
            }
        }
    })
}

/// `since` as the engine takes it: seconds and nanoseconds.
pub(crate) fn since(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_secs(), time.as_nanos().rem_euclid(1_000_000_000))
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Action")]
    action: Option<String>,
    #[serde(rename = "Actor")]
    actor: Option<RawActor>,
    status: Option<String>,
    id: Option<String>,
    time: Option<i64>,
    #[serde(rename = "timeNano")]
    time_nano: Option<i64>,
}

#[derive(Deserialize, Default)]
struct RawActor {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Attributes")]
    attributes: Option<BTreeMap<String, Value>>,
}

fn decode(document: &[u8]) -> Line {
    let Ok(raw) = serde_json::from_slice::<RawEvent>(document) else { return Line::Other };
    let time =
        raw.time_nano.filter(|nanos| *nanos > 0).or(raw.time.and_then(|seconds| seconds.checked_mul(1_000_000_000)));
    let action = raw.action.or(raw.status).filter(|action| !action.is_empty());
    let (Some(time), Some(action)) = (time, action) else {
        let error = raw.kind.is_none() && document.starts_with(b"{") && is_error(document);
        return if error { Line::Error(words(document)) } else { Line::Other };
    };
    let kind = raw.kind.unwrap_or_else(|| "container".to_owned());
    let actor = raw.actor.unwrap_or_default();
    let (action, argument) = match action.split_once(": ") {
        Some((action, argument)) => (action.to_owned(), Some(argument.to_owned())),
        None => (action, None),
    };
    Line::Event(EngineEvent {
        timestamp: Timestamp::from_nanos(time),
        action: usual(&kind, action),
        kind,
        argument,
        actor_id: actor.id.filter(|id| !id.is_empty()).or(raw.id).unwrap_or_default(),
        attributes: actor
            .attributes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(key, value)| Some((key, text(value)?)))
            .collect(),
    })
}

/// Docker's word for what Podman calls otherwise: those downstream need to know one of them.
fn usual(kind: &str, action: String) -> String {
    match (kind, action.as_str()) {
        ("container", "remove") => "destroy".to_owned(),
        ("container", "died") => "die".to_owned(),
        _ => action,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn is_error(document: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ErrorObject {
        message: Option<String>,
        cause: Option<String>,
    }
    serde_json::from_slice::<ErrorObject>(document)
        .is_ok_and(|object| object.message.is_some() || object.cause.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> EngineEvent {
        match decode(text.as_bytes()) {
            Line::Event(event) => event,
            other => panic!("{text} is {other:?}"),
        }
    }

    fn recorded(name: &str) -> Vec<EngineEvent> {
        let path = format!("{}/tests/frames/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().lines().map(event).collect()
    }

    #[test]
    fn every_recorded_event_is_decoded_with_time_actor_and_name() {
        for name in [
            "d20v1_events_mix.jsonl",
            "d20v1_events_rm_force.jsonl",
            "d26v2_events_mix.jsonl",
            "d28v2_events_mix.jsonl",
        ] {
            let events = recorded(name);
            assert!(events.len() > 10, "{name}");
            for event in events {
                assert!(event.timestamp.as_secs() > 1_795_000_000 && event.actor_id.len() == 64, "{name}: {event:?}");
                assert!(event.attributes.contains_key("name"), "{name}: {event:?}");
                assert!(!event.action.contains(':'), "{name}: {event:?}");
            }
        }
    }

    #[test]
    fn a_payload_of_the_action_becomes_its_argument() {
        let events = recorded("d28v2_events_mix.jsonl");
        let argument =
            |action: &str| events.iter().find(|event| event.action == action).and_then(|event| event.argument.clone());
        assert_eq!(argument("health_status").as_deref(), Some("unhealthy"));
        assert_eq!(argument("exec_create").as_deref(), Some("true "));
        assert_eq!(argument("start"), None);
    }

    #[test]
    fn podmans_own_types_and_words_come_through() {
        let events = recorded("p43v1_events_mix.jsonl");
        assert!(
            events.iter().any(|event| (event.kind.as_str(), event.action.as_str()) == ("system", "refresh")
                && event.actor_id.is_empty())
        );
        assert!(
            events.iter().any(|event| (event.kind.as_str(), event.action.as_str()) == ("container", "destroy")),
            "podman's `remove`"
        );
        assert!(!events.iter().any(|event| event.action == "remove"));
    }

    #[test]
    fn strange_events_are_kept_as_words() {
        let event = event(
            r#"{"Type":"quantum","Action":"entangle: a: b","Actor":{"ID":"x","Attributes":{"n":7,"gone":null}},"timeNano":5,"new":[1]}"#,
        );
        assert_eq!(
            (event.kind.as_str(), event.action.as_str(), event.argument.as_deref()),
            ("quantum", "entangle", Some("a: b"))
        );
        assert_eq!(event.attributes, BTreeMap::from([("n".to_owned(), "7".to_owned())]));
    }

    #[test]
    fn an_event_of_an_old_engine_has_its_words_elsewhere() {
        let event = event(r#"{"status":"start","id":"abc","from":"busybox","time":1795175444}"#);
        assert_eq!(
            (event.kind.as_str(), event.action.as_str(), event.actor_id.as_str()),
            ("container", "start", "abc")
        );
        assert_eq!(event.timestamp, Timestamp::from_nanos(1_795_175_444_000_000_000));
    }

    #[test]
    fn a_line_that_is_no_event_is_told_from_an_error_object() {
        for other in [
            "",
            "x",
            "{}",
            "[]",
            r#"{"Type":"container"}"#,
            r#"{"Type":"container","Action":"start"}"#,
            r#"{"Type":7,"timeNano":1}"#,
        ] {
            assert_eq!(decode(other.as_bytes()), Line::Other, "{other}");
        }
        assert_eq!(decode(br#"{"message":"no space left"}"#), Line::Error("no space left".to_owned()));
    }

    #[test]
    fn a_cursor_is_sent_with_every_nanosecond() {
        assert_eq!(since(Timestamp::from_nanos(1_795_175_444_002_260_246)), "1795175444.002260246");
        assert_eq!(since(Timestamp::from_nanos(1_000_000_000)), "1.000000000");
    }
}
