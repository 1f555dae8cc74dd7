//! Whether an event is wanted, what is known beside it, and what is missing before it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use model::{ContainerId, EngineEvent, Stream, Timestamp};

use super::{Listener, fingerprint};
use crate::inventory::Look;
use crate::knowledge::{Brief, Knowledge, Lookup};
use crate::messages::{About, Observation, Seen};
use crate::position::Place;

/// What is made of an event.
pub(super) struct Judgement {
    /// It becomes a record.
    pub is_wanted: bool,
    /// What is known beside it.
    pub about: About,
    /// The container whose own event it is, and what that is after it.
    pub own: Option<(ContainerId, Brief)>,
}

impl Listener {
    pub(super) fn judge(&self, event: &EngineEvent) -> Judgement {
        let selection = &self.deps.selection;
        let is_of_interest = selection.takes_event(&event.kind, &event.action);
        if event.kind == "container" {
            let Ok(id) = ContainerId::try_new(&event.actor_id) else {
                return Judgement { is_wanted: is_of_interest, about: About::default(), own: None };
            };
            let before = self.deps.knowledge.known(&id);
            let after = Knowledge::after(before.as_deref(), event);
            // By which it came in or went out is wanted, too.
            let is_selected = selection.takes(&after) || before.is_some_and(|before| selection.takes(&*before));
            let is_end = event.action == "die";
            let oom_killed = is_end.then(|| self.deps.knowledge.is_out_of_memory(&id)).flatten();
            let about = About { oom_killed, ..About::default() };
            return Judgement { is_wanted: is_of_interest && is_selected, about, own: Some((id, after)) };
        }
        let named = event.attributes.get("container").and_then(|id| ContainerId::try_new(id).ok());
        let Some(id) = named else {
            return Judgement { is_wanted: is_of_interest, about: About::default(), own: None };
        };
        let container = match self.deps.knowledge.lookup(&id) {
            Lookup::Known(brief) => Some(brief),
            Lookup::Absent => None,
            Lookup::Missing => {
                self.deps.look.signal(Look(id));
                None
            }
        };
        let is_selected =
            container.as_deref().map_or_else(|| selection.takes_strangers(), |brief| selection.takes(brief));
        let about = About { container, ..About::default() };
        Judgement { is_wanted: is_of_interest && is_selected, about, own: None }
    }

    /// Keeps what an event told of its own container.
    pub(super) fn learn(&self, action: &str, own: Option<(ContainerId, Brief)>) {
        if let Some((id, after)) = own {
            self.deps.knowledge.heard(&id, action, after);
        }
    }

    /// Tells of events that the engine does not have any more, as an event of the host. False where there is no room
    /// for it now.
    pub(super) fn tell_gap(&self, since: Timestamp, first: &EngineEvent) -> bool {
        let deps = &self.deps;
        let Some((from, to)) = deps.memory.gap(since, fingerprint(first)) else { return true };
        let host = deps.engine.host();
        let attributes = [("from", from), ("to", to)].map(|(key, time)| (key.to_owned(), time.to_string()));
        let event = EngineEvent {
            timestamp: to,
            kind: "host".to_owned(),
            action: "events_missed".to_owned(),
            argument: None,
            actor_id: host.to_string(),
            attributes: BTreeMap::from(attributes),
        };
        // It is remembered like an event of the engine: told once, over any number of restarts.
        let told = fingerprint(&event);
        if !deps.memory.is_new(told) {
            return true;
        }
        let what = Seen::Event {
            host: host.clone(),
            received_at: Timestamp::from(SystemTime::now()),
            synthetic: true,
            event: Box::new(event),
            about: About::default(),
        };
        if !self.outbox.has_room_for(&what) {
            return false;
        }
        tracing::warn!(%host, %from, %to, "the engine has forgotten events between these times; the inventory tells what came of them");
        deps.metrics.event_history_lost(host.as_str());
        let custody = deps.books.receive(Stream::Events);
        deps.memory.take(told);
        let custody = custody.at(Place { source: deps.memory.clone(), number: told.number() });
        self.outbox.send(Observation { what, custody }, &deps.router)
    }
}
