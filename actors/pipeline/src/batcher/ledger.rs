//! What outlives a panic of the Batcher: open batches, closed ones not yet handed over, sequences.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{
    Batch, BatchId, ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossRecord,
    NodeName, Rows, StatsRecord, Stream, Timestamp, Trigger,
};
use tokio::time::Instant;

use crate::batcher::policy::BatchPolicy;
use crate::books::{Books, Custody};
use crate::messages::{Append, Chunk, ChunkRows};
use crate::size::Size;

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
    images: Open<ImageRecord>,
    image_versions: Open<ImageVersionRecord>,
    hosts: Open<HostRecord>,
    losses: Open<LossRecord>,
    logs: Open<LogRecord>,
    closed: VecDeque<Append>,
}

#[derive(Debug)]
struct Open<T> {
    stream: Stream,
    rows: Vec<T>,
    bytes: usize,
    opened_at: Timestamp,
    /// When the first row came, on the clock that does not jump.
    opened: Instant,
    custody: Custody,
    next_sequence: u64,
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
            images: Open::new(Stream::Images, books),
            image_versions: Open::new(Stream::ImageVersions, books),
            hosts: Open::new(Stream::Hosts, books),
            losses: Open::new(Stream::Losses, books),
            logs: Open::new(Stream::Logs, books),
            closed: VecDeque::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Takes a chunk in, and closes what is full by it. From here on a panic of the Batcher loses none of it.
    pub(super) fn push(&self, chunk: Chunk, now: Timestamp) {
        let mut inner = self.lock();
        let Chunk { rows, custody } = chunk;
        match rows {
            ChunkRows::Stats(rows) => inner.extend(|inner| &mut inner.stats, rows, custody, now, Rows::Stats),
            ChunkRows::Event(row) => inner.extend(|inner| &mut inner.events, vec![*row], custody, now, Rows::Events),
            ChunkRows::Container(row) => {
                inner.extend(|inner| &mut inner.containers, vec![*row], custody, now, Rows::Containers)
            }
            ChunkRows::Image(row) => inner.extend(|inner| &mut inner.images, vec![*row], custody, now, Rows::Images),
            ChunkRows::ImageVersion(row) => {
                inner.extend(|inner| &mut inner.image_versions, vec![*row], custody, now, Rows::ImageVersions)
            }
            ChunkRows::Host(row) => inner.extend(|inner| &mut inner.hosts, vec![*row], custody, now, Rows::Hosts),
            ChunkRows::Losses(rows) => inner.extend(|inner| &mut inner.losses, rows, custody, now, Rows::Losses),
            ChunkRows::Logs(rows) => inner.extend(|inner| &mut inner.logs, rows, custody, now, Rows::Logs),
        }
    }

    /// Closes the batches that have reached their age; how long the next one has still to wait.
    pub(super) fn close_aged(&self) -> Option<Duration> {
        let mut inner = self.lock();
        let age = inner.policy.age();
        let mut next: Option<Duration> = None;
        for stream in Stream::ALL {
            match inner.opened(stream).map(|opened| age.saturating_sub(opened.elapsed())) {
                None => {}
                Some(Duration::ZERO) => inner.close(stream, Trigger::Age),
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
            }
        }
        next
    }

    /// Closes every open batch.
    pub(super) fn close_all(&self, trigger: Trigger) {
        let mut inner = self.lock();
        for stream in Stream::ALL {
            inner.close(stream, trigger);
        }
    }

    /// True where a batch is open.
    pub(super) fn has_open(&self) -> bool {
        let inner = self.lock();
        Stream::ALL.into_iter().any(|stream| inner.opened(stream).is_some())
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
    ) {
        let policy = self.policy;
        let mut rows = rows.into_iter();
        while !rows.as_slice().is_empty() {
            let batch = open(self);
            if batch.rows.is_empty() {
                (batch.opened_at, batch.opened) = (now, Instant::now());
                batch.rows.reserve(policy.count().min(512));
            }
            let (mut taken, mut full) = (0, None);
            for row in rows.as_slice() {
                taken += 1;
                batch.bytes += row.size();
                full = policy.full(batch.rows.len() + taken, batch.bytes);
                if full.is_some() {
                    break;
                }
            }
            batch.rows.extend(rows.by_ref().take(taken));
            batch.custody.absorb(custody.split_off(taken as u64));
            if let Some(trigger) = full {
                self.close_one(open, trigger, close);
            }
        }
    }

    /// When the open batch of `stream` got its first row.
    fn opened(&self, stream: Stream) -> Option<Instant> {
        match stream {
            Stream::Stats => self.stats.opened(),
            Stream::Events => self.events.opened(),
            Stream::Containers => self.containers.opened(),
            Stream::Images => self.images.opened(),
            Stream::ImageVersions => self.image_versions.opened(),
            Stream::Hosts => self.hosts.opened(),
            Stream::Losses => self.losses.opened(),
            Stream::Logs => self.logs.opened(),
        }
    }

    fn close(&mut self, stream: Stream, trigger: Trigger) {
        match stream {
            Stream::Stats => self.close_one(|inner| &mut inner.stats, trigger, Rows::Stats),
            Stream::Events => self.close_one(|inner| &mut inner.events, trigger, Rows::Events),
            Stream::Containers => self.close_one(|inner| &mut inner.containers, trigger, Rows::Containers),
            Stream::Images => self.close_one(|inner| &mut inner.images, trigger, Rows::Images),
            Stream::ImageVersions => self.close_one(|inner| &mut inner.image_versions, trigger, Rows::ImageVersions),
            Stream::Hosts => self.close_one(|inner| &mut inner.hosts, trigger, Rows::Hosts),
            Stream::Losses => self.close_one(|inner| &mut inner.losses, trigger, Rows::Losses),
            Stream::Logs => self.close_one(|inner| &mut inner.logs, trigger, Rows::Logs),
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
        let id = BatchId { node, epoch, stream: batch.stream, first, last: batch.next_sequence - 1 };
        let bytes = std::mem::take(&mut batch.bytes);
        let batch = Batch { id, trigger, bytes, opened_at: batch.opened_at, rows: close(rows.into()) };
        self.closed.push_back(Append { batch, custody });
    }
}

impl<T> Open<T> {
    fn new(stream: Stream, books: &Arc<Books>) -> Self {
        Self {
            stream,
            rows: Vec::new(),
            bytes: 0,
            opened_at: Timestamp::default(),
            opened: Instant::now(),
            custody: Custody::empty(books, stream),
            next_sequence: 0,
        }
    }

    fn opened(&self) -> Option<Instant> {
        (!self.rows.is_empty()).then_some(self.opened)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
