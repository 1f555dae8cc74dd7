//! Publishing events: to the ring, to whoever listens, and through the faults.

use std::collections::VecDeque;
use std::sync::Arc;

use model::Timestamp;

use super::{Key, World};
use crate::connection::{Connection, Pushed};
use crate::events::{Event, Filters, Stamped};
use crate::http::{LAST_CHUNK, chunk};

/// Someone who asked for events.
pub(crate) struct EventWatcher {
    pub(crate) connection: Arc<Connection>,
    pub(crate) filters: Filters,
    pub(crate) until: Option<Timestamp>,
}

/// What shall happen to the next events.
#[derive(Default)]
pub(crate) struct EventFaults {
    /// Nothing is written to event streams.
    pub(crate) stalled: bool,
    /// So many events never happen for any listener.
    pub(crate) lose: usize,
    /// Events are held until this many are there, and then let go in reverse.
    pub(crate) reverse: usize,
    held: VecDeque<Stamped>,
}

impl World {
    /// Publishes an event of a container, with its attributes and these.
    pub(super) fn tell(&mut self, key: Key, action: &str, more: &[(&str, &str)]) {
        let container = self.container(key);
        let mut event = Event::new("container", action, container.id.clone());
        event.attributes = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        // As in the engine: a label called `exitCode` shadows the real one.
        event.attributes.extend(container.attributes());
        self.publish(event);
    }

    /// Publishes an event, stamped now where it has no time of its own.
    pub(crate) fn publish(&mut self, event: Event) {
        let at = event.at.unwrap_or_else(|| self.clock.stamp_event());
        let stamped = Stamped::new(event, at);
        if self.event_faults.lose > 0 {
            self.event_faults.lose -= 1;
            self.served.events_lost += 1;
            return;
        }
        if self.event_faults.reverse == 0 {
            return self.deliver(stamped);
        }
        self.event_faults.held.push_front(stamped);
        if self.event_faults.held.len() == self.event_faults.reverse {
            self.event_faults.reverse = 0;
            for held in std::mem::take(&mut self.event_faults.held) {
                self.deliver(held);
            }
        }
    }

    fn deliver(&mut self, event: Stamped) {
        self.send_events(std::slice::from_ref(&event));
        self.log.told(&event);
        self.ring.push(event);
    }

    /// Sends the last `count` events again to everyone who listens; gives how many there were.
    pub(crate) fn replay(&mut self, count: usize) -> usize {
        let events = self.ring.last(count);
        self.send_events(&events);
        events.len()
    }

    fn send_events(&mut self, events: &[Stamped]) {
        if self.event_faults.stalled {
            self.served.events_lost += events.len() as u64;
            return;
        }
        let sent = &mut self.served.events_sent;
        self.event_watchers.retain(|watcher| {
            events.iter().filter(|event| watcher.filters.allow_event(&event.event)).all(|event| {
                let pushed = watcher.connection.push(&chunk(&event.line));
                *sent += u64::from(pushed == Pushed::Taken);
                pushed != Pushed::Broken
            })
        });
    }

    /// Writes bytes that are no event into every event stream.
    pub(crate) fn send_raw_event(&mut self, line: &[u8]) {
        let chunk = chunk(line);
        self.event_watchers.retain(|watcher| watcher.connection.push(&chunk) != Pushed::Broken);
    }

    /// Breaks every event stream off in the middle of a line.
    pub(crate) fn cut_events(&mut self) {
        for watcher in self.event_watchers.drain(..) {
            watcher.connection.push_and_break_off(b"1ff\r\n{\"status\":\"sta");
        }
    }

    /// Answers a request for events: what the ring remembers, then what happens.
    pub(crate) fn watch_events(
        &mut self,
        connection: &Arc<Connection>,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        filters: Filters,
    ) {
        let mut answer = self.banner().stream_head();
        // With either bound the engine looks into its ring; with none it only goes on from here.
        let oldest = since.or_else(|| until.map(|_| Timestamp::from_nanos(i64::MIN)));
        let replayed = oldest.map(|oldest| self.ring.replay(oldest, until)).unwrap_or_default();
        for event in replayed.iter().filter(|event| filters.allow_event(&event.event)) {
            answer.extend_from_slice(&chunk(&event.line));
            self.served.events_sent += 1;
        }
        if until.is_some_and(|until| until <= self.clock.now()) {
            answer.extend_from_slice(LAST_CHUNK);
            return connection.respond(&answer);
        }
        connection.push(&answer);
        self.event_watchers.push(EventWatcher { connection: Arc::clone(connection), filters, until });
    }

    /// Ends the event streams whose `until` has come.
    pub(super) fn end_expired_events(&mut self) {
        let now = self.clock.now();
        self.event_watchers.retain(|watcher| {
            let expired = watcher.until.is_some_and(|until| until <= now);
            if expired {
                watcher.connection.finish(LAST_CHUNK);
            }
            !expired
        });
    }

    /// Takes the faults of events back; what was held is let go in its own order.
    pub(crate) fn release_events(&mut self) {
        let faults = std::mem::take(&mut self.event_faults);
        for held in faults.held.into_iter().rev() {
            self.deliver(held);
        }
    }

    /// Forgets who listened on this connection.
    pub(super) fn unwatch_events(&mut self, gone: &Arc<Connection>) {
        self.event_watchers.retain(|watcher| !Arc::ptr_eq(&watcher.connection, gone));
    }
}
