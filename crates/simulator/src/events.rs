//! Events: what they look like, the engine's ring of 256, and who listens with which filter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::Timestamp;
use serde::Serialize;

/// One event. `new` and its setters make any, also such as no engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `container`, `network` … or a word of one's own.
    pub kind: String,
    /// The action with its payload, such as `health_status: healthy`.
    pub action: String,
    /// Id of what it happened to.
    pub actor_id: String,
    /// Attributes: for containers its labels, `image` and `name` among them.
    pub attributes: BTreeMap<String, String>,
    /// When; `None` lets the engine's clock decide.
    pub at: Option<Timestamp>,
}

impl Event {
    /// An event without attributes, stamped when it is emitted.
    pub fn new(kind: impl Into<String>, action: impl Into<String>, actor_id: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            action: action.into(),
            actor_id: actor_id.into(),
            attributes: BTreeMap::new(),
            at: None,
        }
    }

    /// Adds an attribute.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    /// Sets the time.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.at = Some(time);
        self
    }

    /// The line the engine sends, with the legacy fields that container events carry below API 1.52.
    fn line(&self, at: Timestamp) -> Vec<u8> {
        let legacy = self.kind == "container";
        let wire = WireEvent {
            status: legacy.then_some(self.action.as_str()),
            id: legacy.then_some(self.actor_id.as_str()),
            from: if legacy { self.attributes.get("image").map(String::as_str) } else { None },
            kind: &self.kind,
            action: &self.action,
            actor: WireActor { id: &self.actor_id, attributes: &self.attributes },
            scope: "local",
            time: at.as_secs(),
            time_nano: at.as_nanos(),
        };
        let mut line = serde_json::to_vec(&wire).expect("an event has string keys only");
        line.push(b'\n');
        line
    }
}

#[derive(Serialize)]
struct WireEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: WireActor<'a>,
    scope: &'a str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Serialize)]
struct WireActor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Attributes")]
    attributes: &'a BTreeMap<String, String>,
}

/// An event that happened, with its line ready to send.
#[derive(Clone)]
pub(crate) struct Stamped {
    pub(crate) event: Arc<Event>,
    pub(crate) at: Timestamp,
    pub(crate) line: Arc<[u8]>,
}

impl Stamped {
    pub(crate) fn new(event: Event, at: Timestamp) -> Self {
        let line = event.line(at).into();
        Self { event: Arc::new(event), at, line }
    }
}

/// How many events an engine remembers, all types together.
pub const RING: usize = 256;

/// The engine's memory of events.
#[derive(Default)]
pub(crate) struct Ring(VecDeque<Stamped>);

impl Ring {
    pub(crate) fn push(&mut self, event: Stamped) {
        if self.0.len() == RING {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The last `count` events, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Stamped> {
        self.0.iter().skip(self.0.len().saturating_sub(count)).cloned().collect()
    }

    /// Events from `since` (inclusive) to `until`, oldest first. As in the engine the walk goes back from the newest and
    /// stops at the first older event: what lies behind an event out of order is not seen.
    pub(crate) fn replay(&self, since: Timestamp, until: Option<Timestamp>) -> Vec<Stamped> {
        let mut found: Vec<_> = self.0.iter().rev().take_while(|event| event.at >= since).cloned().collect();
        found.reverse();
        found.retain(|event| until.is_none_or(|until| event.at <= until));
        found
    }
}

/// The `filters` of a request: every key must match, by any of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// From the JSON of the query: `{"type":["container"]}`, or the old `{"type":{"container":true}}`.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        use serde_json::Value;
        let Value::Object(keys) = serde_json::from_str(json).ok()? else { return None };
        let values = |value: Value| match value {
            Value::Array(items) => items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::Object(items) => {
                Some(items.into_iter().filter(|(_, on)| *on == Value::Bool(true)).map(|(key, _)| key).collect())
            }
            _ => None,
        };
        keys.into_iter().map(|(key, value)| Some((key, values(value)?))).collect::<Option<_>>().map(Self)
    }

    /// True where there is a filter on `key`.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// True where `key` is not filtered, or `matches` one of its values.
    pub(crate) fn allow(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|value| matches(value)))
    }

    /// True where every label filter (`key` or `key=value`) is met.
    pub(crate) fn allow_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.get("label").is_none_or(|wanted| {
            wanted.iter().all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|label| label == value),
                None => labels.contains_key(wanted),
            })
        })
    }

    pub(crate) fn allow_event(&self, event: &Event) -> bool {
        let name = |key: &str| event.attributes.get(key).map(String::as_str);
        self.allow("type", |kind| kind == event.kind)
            && self.allow("event", |action| {
                event.action.strip_prefix(action).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
            && self.allow("container", |wanted| {
                event.kind == "container" && (event.actor_id.starts_with(wanted) || name("name") == Some(wanted))
            })
            && self.allow("image", |wanted| name("image") == Some(wanted))
            && self.allow_labels(&event.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Stamped {
        Stamped::new(Event::new("container", "start", "abc"), Timestamp::from_nanos(nanos))
    }

    fn times(events: &[Stamped]) -> Vec<i64> {
        events.iter().map(|event| event.at.as_nanos()).collect()
    }

    #[test]
    fn a_replay_includes_the_event_at_since_itself() {
        let mut ring = Ring::default();
        (1..=4).for_each(|nanos| ring.push(at(nanos)));
        assert_eq!(times(&ring.replay(Timestamp::from_nanos(3), None)), [3, 4]);
        assert_eq!(times(&ring.replay(Timestamp::from_nanos(2), Some(Timestamp::from_nanos(3)))), [2, 3]);
    }

    #[test]
    fn a_replay_stops_at_the_first_older_event_as_the_engine_does() {
        let mut ring = Ring::default();
        [5, 2, 6].into_iter().for_each(|nanos| ring.push(at(nanos)));
        assert_eq!(times(&ring.replay(Timestamp::from_nanos(4), None)), [6], "5 hides behind 2");
    }

    #[test]
    fn the_ring_holds_256_events_of_all_types() {
        let mut ring = Ring::default();
        (0..300).for_each(|nanos| ring.push(at(nanos)));
        let all = ring.replay(Timestamp::from_nanos(0), None);
        assert_eq!((all.len(), all[0].at.as_nanos()), (256, 44));
    }

    #[test]
    fn filters_take_both_notations() {
        let list = Filters::parse(r#"{"type":["container"],"event":["start","health_status"]}"#).unwrap();
        let map = Filters::parse(r#"{"type":{"container":true},"event":{"start":true,"health_status":true}}"#).unwrap();
        assert_eq!(list, map);
        assert!(list.allow_event(&Event::new("container", "health_status: healthy", "a")));
        assert!(!list.allow_event(&Event::new("container", "start_all", "a")));
        assert!(!list.allow_event(&Event::new("network", "start", "a")));
        assert!(Filters::parse("[]").is_none());
    }

    #[test]
    fn an_event_of_a_container_carries_the_legacy_fields() {
        let event = Event::new("container", "die", "abc").attribute("image", "busybox").attribute("exitCode", "3");
        assert_eq!(
            String::from_utf8(event.line(Timestamp::from_nanos(1_795_175_445_342_815_868))).unwrap(),
            concat!(
                r#"{"status":"die","id":"abc","from":"busybox","Type":"container","Action":"die","Actor":{"ID":"abc","#,
                r#""Attributes":{"exitCode":"3","image":"busybox"}},"scope":"local","time":1795175445,"timeNano":1795175445342815868}"#,
                "\n"
            )
        );
    }
}
