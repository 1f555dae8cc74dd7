//! One sink's place in the log and its books.

use std::sync::Arc;

use model::{LossRecord, Stream, Timestamp};
use pipeline::ports::{Appetite, Plan, SinkBooks};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A sink as the log sees it.
pub(super) struct Reader {
    pub(super) name: String,
    /// `None` until it registers after an opening.
    pub(super) appetite: Option<Appetite>,
    pub(super) cursor: u64,
    /// The end of the range under delivery, which starts at `cursor`.
    pub(super) in_flight: Option<u64>,
    /// How far that range has come, where it is delivered in parts.
    pub(super) plan: Option<Plan>,
    takes: Vec<Take>,
    pub(super) journaled: u64,
    pub(super) delivered: u64,
    pub(super) rejected: u64,
    pub(super) dropped: u64,
    pub(super) pending: u64,
    pub(super) pending_bytes: u64,
    /// It is no longer configured: its place stays empty, as entries name sinks by index.
    pub(super) forgotten: bool,
    pub(super) ready: Arc<Notify>,
}

/// From where to where a sink takes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Take {
    stream: Stream,
    from: u64,
    /// `None`: it still does.
    until: Option<u64>,
}

/// What is stored of a sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredSink {
    cursor: u64,
    in_flight: Option<u64>,
    takes: Vec<Take>,
    delivered: u64,
    rejected: u64,
    dropped: u64,
    pub(super) losses: Vec<LossRecord>,
    plan: Option<Plan>,
}

impl StoredSink {
    /// The furthest position it speaks of.
    pub(super) fn last_known(&self) -> u64 {
        let takes = self.takes.iter().map(|take| take.until.unwrap_or(take.from));
        takes.chain([self.cursor]).chain(self.in_flight).max().unwrap_or(0)
    }
}

impl Reader {
    pub(super) fn new(name: &str, appetite: Appetite, from: u64) -> Self {
        let takes = appetite.streams.iter().map(|stream| Take { stream: *stream, from, until: None }).collect();
        Self {
            name: name.to_owned(),
            appetite: Some(appetite),
            cursor: from,
            in_flight: None,
            plan: None,
            takes,
            journaled: 0,
            delivered: 0,
            rejected: 0,
            dropped: 0,
            pending: 0,
            pending_bytes: 0,
            forgotten: false,
            ready: Arc::new(Notify::new()),
        }
    }

    /// A sink from its stored state; pending rows are added as entries are found.
    pub(super) fn restored(name: String, stored: StoredSink) -> Self {
        let StoredSink { cursor, in_flight, takes, delivered, rejected, dropped, losses: _, plan } = stored;
        Self {
            name,
            appetite: None,
            cursor,
            in_flight,
            plan,
            takes,
            journaled: delivered + rejected + dropped,
            delivered,
            rejected,
            dropped,
            pending: 0,
            pending_bytes: 0,
            forgotten: false,
            ready: Arc::new(Notify::new()),
        }
    }

    pub(super) fn stored(&self, losses: Vec<LossRecord>) -> StoredSink {
        StoredSink {
            cursor: self.cursor,
            in_flight: self.in_flight,
            takes: self.takes.clone(),
            delivered: self.delivered,
            rejected: self.rejected,
            dropped: self.dropped,
            losses,
            plan: self.plan.clone(),
        }
    }

    /// From `end` on it takes the streams of `appetite` and no others; what it already had to get, it gets.
    pub(super) fn wants(&mut self, appetite: Appetite, end: u64) {
        for take in self.takes.iter_mut().filter(|take| take.until.is_none()) {
            if !appetite.streams.contains(&take.stream) {
                take.until = Some(end);
            }
        }
        for stream in &appetite.streams {
            if !self.takes.iter().any(|take| take.stream == *stream && take.until.is_none()) {
                self.takes.push(Take { stream: *stream, from: end, until: None });
            }
        }
        self.appetite = Some(appetite);
        self.ready.notify_one();
    }

    /// True where it has to get the entry at `position`.
    pub(super) fn needs(&self, position: u64, stream: Stream) -> bool {
        let within = |take: &Take| take.from <= position && take.until.is_none_or(|until| position < until);
        !self.forgotten
            && position >= self.cursor
            && self.takes.iter().any(|take| take.stream == stream && within(take))
    }

    /// True where the entry at `position`, if it needs it, is in the range under delivery.
    pub(super) fn holds(&self, position: u64) -> bool {
        self.in_flight.is_some_and(|end| position < end)
    }

    /// Everything before `end` is settled.
    pub(super) fn advance(&mut self, end: u64) {
        self.cursor = end;
        self.in_flight = None;
        self.plan = None;
        self.takes.retain(|take| take.until.is_none_or(|until| until > end));
    }

    pub(super) fn books(&self, oldest_pending: Option<Timestamp>) -> SinkBooks {
        SinkBooks {
            sink: self.name.clone(),
            journaled: self.journaled,
            delivered: self.delivered,
            rejected: self.rejected,
            dropped: self.dropped,
            pending: self.pending,
            pending_bytes: self.pending_bytes,
            oldest_pending,
        }
    }
}
