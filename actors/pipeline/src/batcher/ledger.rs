//! What outlives a panic of the Batcher: open batches, closed ones not yet handed over, sequences.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{
    Batch, BatchId, ContainerRecord, EventRecord, HostRecord, NodeName, Rows, StatsRecord, Stream, Timestamp, Trigger,
};

use crate::batcher::policy::BatchPolicy;
use crate::books::{Books, Custody};
use crate::messages::{Append, Chunk, ChunkRows};

/// Lent to the Batcher by the topology.
#[derive(Clone, Debug)]
pub struct BatchLedger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    node: NodeName,
    epoch: u64,
    policy: BatchPolicy,
    books: Arc<Books>,
    stats: Open<StatsRecord>,
    events: Open<EventRecord>,
    containers: Open<ContainerRecord>,
    hosts: Open<HostRecord>,
    closed: VecDeque<Append>,
}

#[derive(Debug)]
struct Open<T> {
    stream: Stream,
    rows: Vec<T>,
    bytes: usize,
    opened_at: Timestamp,
    custody: Custody,
    next_sequence: u64,
    /// Counts closings: the timer of an earlier batch is recognised by it.
    turn: u64,
}

/// A batch was opened: close it by age unless it was closed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub stream: Stream,
    pub turn: u64,
}

impl BatchLedger {
    /// An empty ledger for one life of the process; `epoch` is raised at every start.
    pub fn new(node: NodeName, epoch: u64, policy: BatchPolicy, books: &Arc<Books>) -> Self {
        let inner = Inner {
            node,
            epoch,
            policy,
            books: books.clone(),
            stats: Open::new(Stream::Stats, books),
            events: Open::new(Stream::Events, books),
            containers: Open::new(Stream::Containers, books),
            hosts: Open::new(Stream::Hosts, books),
            closed: VecDeque::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn policy(&self) -> BatchPolicy {
        self.lock().policy
    }

    /// Takes a chunk in. From here on a panic of the Batcher loses none of it.
    pub(super) fn push(&self, chunk: Chunk, now: Timestamp) -> Option<Opened> {
        let mut inner = self.lock();
        let Chunk { rows, custody } = chunk;
        match rows {
            ChunkRows::Stats(rows) => inner.extend(|inner| &mut inner.stats, rows, custody, now, Rows::Stats),
            ChunkRows::Event(row) => inner.extend(|inner| &mut inner.events, vec![*row], custody, now, Rows::Events),
            ChunkRows::Container(row) => {
                inner.extend(|inner| &mut inner.containers, vec![*row], custody, now, Rows::Containers)
            }
            ChunkRows::Host(row) => inner.extend(|inner| &mut inner.hosts, vec![*row], custody, now, Rows::Hosts),
        }
    }

    /// Closes the batch of `stream` if it is still the one opened in `turn`.
    pub(super) fn close_if_open(&self, opened: Opened) {
        let mut inner = self.lock();
        if inner.open_turn(opened.stream) == Some(opened.turn) {
            inner.close(opened.stream, Trigger::Age);
        }
    }

    /// Closes every open batch.
    pub(super) fn close_all(&self, trigger: Trigger) {
        let mut inner = self.lock();
        for stream in Stream::ALL {
            inner.close(stream, trigger);
        }
    }

    /// The open batches: a restarted Batcher sets their timers anew.
    pub(super) fn open(&self) -> Vec<Opened> {
        let inner = self.lock();
        Stream::ALL.into_iter().filter_map(|stream| Some(Opened { stream, turn: inner.open_turn(stream)? })).collect()
    }

    /// The oldest closed batch, taken out.
    pub(super) fn take_closed(&self) -> Option<Append> {
        self.lock().closed.pop_front()
    }

    /// Puts a batch back that could not be handed over.
    pub(super) fn put_back(&self, append: Append) {
        self.lock().closed.push_front(append);
    }

    pub(super) fn has_closed(&self) -> bool {
        !self.lock().closed.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn extend<T: Size>(
        &mut self,
        open: fn(&mut Self) -> &mut Open<T>,
        rows: Vec<T>,
        mut custody: Custody,
        now: Timestamp,
        close: fn(Arc<[T]>) -> Rows,
    ) -> Option<Opened> {
        let policy = self.policy;
        let mut rows = rows.into_iter().peekable();
        let mut opened = None;
        while rows.peek().is_some() {
            let batch = open(self);
            if batch.rows.is_empty() {
                batch.opened_at = now;
                batch.rows.reserve(policy.count().min(512));
                opened = Some(Opened { stream: batch.stream, turn: batch.turn });
            }
            let mut full = None;
            while full.is_none() {
                let Some(row) = rows.next() else { break };
                batch.bytes += row.size();
                batch.rows.push(row);
                batch.custody.absorb(custody.split_off(1));
                full = policy.full(batch.rows.len(), batch.bytes);
            }
            if let Some(trigger) = full {
                self.close_one(open, trigger, close);
                opened = None;
            }
        }
        opened
    }

    fn open_turn(&self, stream: Stream) -> Option<u64> {
        let (is_empty, turn) = match stream {
            Stream::Stats => (self.stats.rows.is_empty(), self.stats.turn),
            Stream::Events => (self.events.rows.is_empty(), self.events.turn),
            Stream::Containers => (self.containers.rows.is_empty(), self.containers.turn),
            Stream::Hosts => (self.hosts.rows.is_empty(), self.hosts.turn),
            Stream::Losses => return None,
        };
        (!is_empty).then_some(turn)
    }

    fn close(&mut self, stream: Stream, trigger: Trigger) {
        match stream {
            Stream::Stats => self.close_one(|inner| &mut inner.stats, trigger, Rows::Stats),
            Stream::Events => self.close_one(|inner| &mut inner.events, trigger, Rows::Events),
            Stream::Containers => self.close_one(|inner| &mut inner.containers, trigger, Rows::Containers),
            Stream::Hosts => self.close_one(|inner| &mut inner.hosts, trigger, Rows::Hosts),
            Stream::Losses => {}
        }
    }

    fn close_one<T>(&mut self, open: fn(&mut Self) -> &mut Open<T>, trigger: Trigger, close: fn(Arc<[T]>) -> Rows) {
        let (node, epoch, books) = (self.node.clone(), self.epoch, self.books.clone());
        let batch = open(self);
        if batch.rows.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut batch.rows);
        let custody = std::mem::replace(&mut batch.custody, Custody::empty(&books, batch.stream));
        let first = batch.next_sequence;
        batch.next_sequence += rows.len() as u64;
        batch.turn += 1;
        let id = BatchId { node, epoch, stream: batch.stream, first, last: batch.next_sequence - 1 };
        let bytes = std::mem::take(&mut batch.bytes);
        let batch = Batch { id, trigger, bytes, opened_at: batch.opened_at, rows: close(rows.into()) };
        self.closed.push_back(Append { batch, custody });
    }
}

impl<T> Open<T> {
    fn new(stream: Stream, books: &Arc<Books>) -> Self {
        let custody = Custody::empty(books, stream);
        Self { stream, rows: Vec::new(), bytes: 0, opened_at: Timestamp::default(), custody, next_sequence: 0, turn: 0 }
    }
}

/// Estimated memory of a row, in bytes.
trait Size {
    fn size(&self) -> usize;
}

impl Size for StatsRecord {
    fn size(&self) -> usize {
        // The identity is shared by all records of a run.
        size_of::<Self>()
    }
}

impl Size for EventRecord {
    fn size(&self) -> usize {
        let texts: usize = self.attributes.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
        size_of::<Self>() + texts + self.actor_id.len() + 128
    }
}

impl Size for ContainerRecord {
    fn size(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
        size_of::<Self>() + labels + 96 * (self.ports.len() + self.networks.len() + self.mounts.len()) + 256
    }
}

impl Size for HostRecord {
    fn size(&self) -> usize {
        size_of::<Self>() + 256
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
