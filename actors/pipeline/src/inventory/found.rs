//! What a look found: whom it concerns, and what is made up for where nobody told of it.

use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::{AsyncContext, Context, Handler};
use model::{ContainerId, ContainerRecord, Stream, Timestamp};

use super::picked::News;
use super::signals::Overdue;
use super::table::{CROSSING, Change, PUT_OFF, missed_event};
use super::{Inventory, Stage};
use crate::messages::{About, Observation, Seen, Subject};
use crate::ports::{EngineError, EngineFailure};
use crate::stream_set::Track;

impl Inventory {
    /// A look is over: puts the answer in, and tells whom it concerns.
    pub(super) fn found(
        &mut self,
        id: &ContainerId,
        version: u64,
        found: Result<ContainerRecord, EngineError>,
        ctx: &mut Context<Self>,
    ) {
        let found = match found {
            Ok(record) => Some(self.with_digest(record)),
            Err(error) if error.failure == EngineFailure::Gone => None,
            Err(error) => {
                // The host is down, or this container cannot be asked: the next full look tells.
                self.state.table.look_failed(id);
                self.call_failed("inspect", &error);
                return self.settled(id, false);
            }
        };
        let change = self.state.table.put(id, version, found.clone());
        if change == Change::LookAgain {
            return self.state.looks.urgent(id.clone());
        }
        self.settled(id, true);
        self.tell_use(id, found.as_ref());
        self.deps.knowledge.found(id, found.as_ref());
        let is_selected = self.pick(id, found.as_ref());
        self.track(id, found.as_ref(), is_selected);
        let (before, missed) = match change {
            Change::Changed { before, missed } => (before, missed),
            // It may have gone before this inventory knew of it.
            _ if found.is_none() => (None, None),
            _ => return,
        };
        let Some(News { record, is_wanted }) = self.worth_telling(id, found, is_selected, before) else { return };
        // Mostly it was the event that led to this look.
        if let Some(missed) = missed.filter(|missed| is_wanted && !self.state.table.was_heard(id, missed)) {
            let overdue = Overdue { record: Box::new(record.clone()), missed, put_off: 0 };
            ctx.notify_later(overdue, CROSSING);
        }
        self.tell(record);
    }

    fn settled(&mut self, id: &ContainerId, is_known: bool) {
        if let Stage::Looking(round) = &mut self.state.stage {
            round.settled(id, is_known);
        }
    }

    /// Tells the stream set of one container.
    fn track(&self, id: &ContainerId, found: Option<&ContainerRecord>, is_selected: bool) {
        let track = match found {
            Some(record) if is_selected => Track::Follow(Box::new(self.subject(record))),
            Some(record) => Track::PassOver(Box::new(self.subject(record))),
            None => Track::Leave(id.clone()),
        };
        self.deps.streams.signal(track);
    }

    pub(super) fn subject(&self, record: &ContainerRecord) -> Subject {
        let info = self.deps.link.known();
        Subject {
            meta: Arc::new(record.meta(&self.deps.labels)),
            network_scope: record.network_scope.clone(),
            os: info.as_ref().map(|info| info.os).unwrap_or_default(),
            cpu_clock: info.as_ref().map(|info| info.cpu_clock).unwrap_or_default(),
            pid: record.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            state: record.state,
            ended_at: record.finished_at.filter(|_| !record.state.is_live()),
            wants_logs: self.deps.logs.takes(&record.labels),
        }
    }

    /// Tells the state of a container; what had to be dropped is told again after the next look.
    pub(super) fn tell(&mut self, record: ContainerRecord) {
        let id = record.container_id.clone();
        let custody = self.deps.books.receive(Stream::Containers).at(self.deps.memory.place(&record));
        let what = Seen::Container(Box::new(record));
        if !self.outbox.send(Observation { what, custody }, &self.deps.router) {
            self.state.table.not_sent(&id);
        }
    }

    /// Sends on what was seen; false where it had to be dropped.
    fn hand_on(&self, what: Seen) -> bool {
        let custody = self.deps.books.receive(what.stream());
        self.outbox.send(Observation { what, custody }, &self.deps.router)
    }
}

impl Handler<Overdue> for Inventory {
    type Result = ();

    fn handle(&mut self, overdue: Overdue, ctx: &mut Context<Self>) {
        let Overdue { record, missed, put_off } = overdue;
        if self.state.table.was_heard(&record.container_id, &missed) {
            return;
        }
        if put_off < PUT_OFF && !self.deps.link.has_heard_for(CROSSING) {
            // The event may be waiting at the engine for somebody to listen.
            ctx.notify_later(Overdue { record, missed, put_off: put_off + 1 }, CROSSING);
            return;
        }
        let action = missed.action;
        if !self.deps.selection.takes_event("container", action) {
            return;
        }
        let now = Timestamp::from(SystemTime::now());
        let (host, event) = (record.host.clone(), Box::new(missed_event(&record, action, now)));
        let about = About { oom_killed: record.oom_killed, ..About::default() };
        self.hand_on(Seen::Event { host, received_at: now, synthetic: true, event, about });
    }
}
