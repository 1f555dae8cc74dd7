//! The journal's thread: all I/O, one transaction for everything that waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant as Clock};

use model::{Batch, LossReason};
use pipeline::ports::{JournalError, Range};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::log::{Look, Span};
use super::queue::{Append, Command, Seen};
use super::store::{Put, Store, StoreError, Wait};
use super::{Options, Shared, Sync, WhenFull};
use crate::codec::decode;

/// Bytes of appends in one transaction.
const GROUP: u64 = 4 << 20;
/// Bytes in memory of the newest batches, which sinks that keep up read from here.
const RECENT: usize = 8 << 20;
/// How often failing storage is tried again, and how often ages are looked at.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    store: Store,
    shared: Arc<Shared>,
    options: Options,
    /// Appends that wait for room or for the next transaction.
    waiting: VecDeque<Append>,
    recent: Recent,
    /// Since when something is written that the disk may not have.
    unsynced: Option<Clock>,
    /// When the store is tried again without being asked.
    again: Option<Clock>,
    /// The file has pages to give back.
    shrinking: bool,
    /// Appends wait for the next transaction, not for room.
    more: bool,
}

/// Ranges that wait for their bounds to be stored.
type Granted = Vec<(String, Instant, oneshot::Sender<Seen>, Range, bool)>;

impl Keeper {
    pub(super) fn new(store: Store, shared: Arc<Shared>, options: Options) -> Self {
        Self {
            store,
            shared,
            options,
            waiting: VecDeque::new(),
            recent: Recent::default(),
            unsynced: None,
            again: None,
            shrinking: false,
            more: false,
        }
    }

    pub(super) fn run(mut self) {
        // Whichever way it ends, nobody waits for it after.
        struct Ended(Arc<Shared>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.queue.end();
                self.0.failing().get_or_insert_with(|| "the journal has stopped".to_owned());
            }
        }
        let ended = Ended(self.shared.clone());
        let mut stopped = None;
        while stopped.is_none() {
            let commands = self.shared.queue.take(self.deadline());
            let idle = commands.is_empty();
            stopped = self.step(commands);
            if idle {
                self.shrink();
            }
        }
        self.sync();
        let reply = stopped.flatten();
        let store = self.store;
        drop((self.waiting, ended));
        // Closes the file: the folder is free before anybody hears of it.
        drop(store);
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    /// When to wake unasked.
    fn deadline(&self) -> Option<Clock> {
        let now = Clock::now();
        let synced = match self.options.sync {
            Sync::Interval(interval) => self.unsynced.map(|since| since + interval),
            Sync::Always | Sync::Off => None,
        };
        let unsaved = self.again.or_else(|| self.shared.log().has_unsaved().then_some(now));
        let aged = self.options.age.filter(|_| self.shared.log().idle_bytes() > 0).map(|age| now + age.min(AGAIN));
        let more = (self.shrinking || self.more).then_some(now);
        [synced, unsaved, aged, more].into_iter().flatten().min()
    }

    /// Does what is asked, in one transaction. `Some` where the end is asked.
    fn step(&mut self, commands: Vec<Command>) -> Option<Option<oneshot::Sender<()>>> {
        let mut stopped = None;
        let mut granted = Granted::new();
        let mut settled = Vec::new();
        for command in commands {
            match command {
                Command::Append(append) => self.waiting.push_back(append),
                Command::Look { sink, now, reply } => self.grant(sink, now, reply, &mut granted),
                Command::Commit { sink, range, receipt, reply } => {
                    self.shared.log().commit(&sink, &range, &receipt);
                    settled.push(reply);
                }
                Command::Save => {}
                Command::Stop(reply) => stopped = Some(reply),
                #[cfg(test)]
                Command::Inspect(look) => look(&self.store),
            }
        }
        if let Some(age) = self.options.age {
            self.shared.log().expire(age, Clock::now());
        }
        self.probe();
        let group = self.group();
        let outcome = self.write(&group);
        match &outcome {
            Ok(()) => self.publish(group),
            Err(error) => self.failed(error, group),
        }
        for (sink, now, reply, range, frozen) in granted {
            let seen = match &outcome {
                Ok(()) => Seen::Range(range),
                // Not stored, so not given out, unless it had been before.
                Err(_) if frozen && self.shared.log().holds(&sink, range.end) => Seen::Range(range),
                Err(_) => {
                    let mut log = self.shared.log();
                    log.melt(&sink);
                    match log.look(&sink, now) {
                        Look::Wait(ready, _) => Seen::Wait(ready, Some(now + AGAIN)),
                        Look::Due(_) => Seen::Wait(Arc::default(), Some(now + AGAIN)),
                        Look::Ended => Seen::Ended,
                    }
                }
            };
            // A caller that is gone asks again.
            let _ = reply.send(seen);
        }
        for reply in settled {
            // Where the store failed the cursor has moved all the same, and is stored with the next transaction:
            // delivering again at once would double what the server has.
            let _ = reply.send(());
        }
        let log = self.shared.log();
        self.recent.forget_before(log.oldest().unwrap_or(log.end()));
        drop(log);
        let due = match self.options.sync {
            Sync::Interval(interval) => self.unsynced.is_some_and(|since| since.elapsed() >= interval),
            Sync::Always | Sync::Off => false,
        };
        if due || (self.unsynced.is_some() && self.shared.log().closed()) {
            self.sync();
        }
        stopped
    }

    /// Reads the range that is due to `sink` and freezes it.
    fn grant(&mut self, sink: String, now: Instant, reply: oneshot::Sender<Seen>, granted: &mut Granted) {
        if reply.is_closed() {
            return;
        }
        loop {
            let look = self.shared.log().look(&sink, now);
            let span = match look {
                Look::Ended => return drop(reply.send(Seen::Ended)),
                Look::Wait(ready, until) => return drop(reply.send(Seen::Wait(ready, until))),
                Look::Due(span) => span,
            };
            match self.read(&span) {
                Ok(Some(batches)) => {
                    let frozen = !self.shared.log().freeze(&sink, &span);
                    let range = Range { first: span.first, end: span.end, batches };
                    granted.push((sink, now, reply, range, frozen));
                    return;
                }
                // Something was damaged and is counted: the range is another one now.
                Ok(None) => {}
                Err(error) => {
                    self.complain(&error);
                    return drop(reply.send(Seen::Wait(Arc::default(), Some(now + AGAIN))));
                }
            }
        }
    }

    /// The batches of `span`; `None` where one was damaged.
    fn read(&mut self, span: &Span) -> Result<Option<Vec<Batch>>, StoreError> {
        let mut batches = Vec::with_capacity(span.positions.len());
        for position in &span.positions {
            if let Some(batch) = self.recent.get(*position) {
                batches.push(batch);
                continue;
            }
            match self.store.body(*position)?.map(|body| decode(&body)) {
                Some(Ok(batch)) => batches.push(batch),
                damaged => {
                    let error =
                        damaged.and_then(Result::err).map_or_else(|| "it is gone".to_owned(), |e| e.to_string());
                    tracing::error!(position, error, "a journal entry cannot be read; skipped");
                    self.shared.log().lose(*position, LossReason::Corrupt);
                    return Ok(None);
                }
            }
        }
        Ok(Some(batches))
    }

    /// The appends of the next transaction, as far as there is room.
    fn group(&mut self) -> Vec<Append> {
        let mut group = Vec::new();
        let mut bytes = 0;
        self.more = false;
        let mut is_full = false;
        let log = self.shared.log();
        while let Some(append) = self.waiting.front() {
            let size = append.body.len() as u64;
            let stored = log.stored_bytes() + bytes;
            let room = stored == 0 || stored + size <= self.options.bytes;
            if log.closed() || !log.is_wanted(append.head.id.stream) {
                let answer = if log.closed() { Err(JournalError::Closed) } else { Ok(()) };
                let append = self.waiting.pop_front().expect("there is a front");
                let _ = append.reply.send(answer);
            } else if append.reply.is_closed() {
                // Its caller is gone and has counted it as lost.
                self.waiting.pop_front();
            } else if !room && self.options.when_full == WhenFull::Block {
                is_full = true;
                break;
            } else if bytes > 0 && bytes + size > GROUP {
                self.more = true;
                break;
            } else {
                bytes += size;
                group.extend(self.waiting.pop_front());
            }
        }
        self.shared.is_full.store(is_full, Ordering::Relaxed);
        group
    }

    /// Stores `group` and everything the log has unsaved.
    fn write(&mut self, group: &[Append]) -> Result<(), StoreError> {
        let (first, (unsaved, states)) = {
            let mut log = self.shared.log();
            (log.end(), log.take_unsaved())
        };
        if group.is_empty() && unsaved.is_empty() {
            return Ok(());
        }
        let puts =
            (first..).zip(group).map(|(position, append)| Put { position, head: &append.head, body: &append.body });
        let puts: Vec<_> = puts.collect();
        let wait = if self.options.sync == Sync::Always { Wait::ForDisk } else { Wait::No };
        let mut outcome = if group.is_empty() || self.again.is_none() { Ok(()) } else { self.store.keep_reserve() };
        let since = Clock::now();
        if outcome.is_ok() {
            outcome = self.store.write(wait, &puts, &unsaved.gone, &states, unsaved.forgotten.iter().cloned());
        }
        match outcome {
            Ok(()) => {
                match wait {
                    Wait::No => drop(self.unsynced.get_or_insert_with(Clock::now)),
                    Wait::ForDisk => self.shared.synced(since),
                }
                self.shrinking |= !unsaved.gone.is_empty();
                if !group.is_empty() {
                    self.well();
                }
                Ok(())
            }
            Err(error) => {
                self.shared.log().put_back(unsaved);
                Err(error)
            }
        }
    }

    /// Tries storage that failed, once it is time.
    fn probe(&mut self) {
        if self.again.is_some_and(|again| again <= Clock::now()) {
            match self.store.keep_reserve().and_then(|()| self.store.sync()) {
                Ok(()) => self.well(),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// The group is stored.
    fn publish(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let mut log = self.shared.log();
        let clock = Clock::now();
        for append in group {
            let position = log.end();
            log.publish(position, append.head, append.body.len() as u64, append.arrived, clock);
            self.recent.put(position, append.batch);
            // A caller that is gone finds its batch in the log.
            let _ = append.reply.send(Ok(()));
        }
        if self.options.when_full == WhenFull::DropOldest {
            log.drop_to(self.options.bytes);
        }
    }

    /// The store refused: makes room where that helps, stores at least what removes entries, and tells the callers.
    fn failed(&mut self, error: &StoreError, group: Vec<Append>) {
        self.complain(error);
        if let StoreError::Damaged(_) = error {
            self.rescue();
        } else {
            let bytes: u64 = group.iter().map(|append| append.body.len() as u64).sum();
            if self.options.when_full == WhenFull::DropOldest && matches!(error, StoreError::Full(_)) {
                let mut log = self.shared.log();
                let left = log.idle_bytes().saturating_sub(bytes.max(log.idle_bytes() / 8));
                log.drop_to(left);
            }
            let relieved = self.store.use_reserve().and_then(|()| self.write(&[]));
            let relieved = relieved.and_then(|()| {
                while self.store.shrink(true)? {}
                Ok(())
            });
            if let Err(error) = relieved {
                tracing::debug!(%error, "the journal's storage gives no relief");
            }
        }
        let text = error.to_string();
        for append in group {
            let _ = append.reply.send(Err(JournalError::Storage(text.clone())));
        }
    }

    /// Goes on in a new file with what the damaged one still has.
    fn rescue(&mut self) {
        if let Err(error) = self.store.rescue() {
            return self.complain(&error);
        }
        let mut found = Vec::new();
        if let Err(error) = self.store.heads(|entry| found.push(entry.position)) {
            self.complain(&error);
        }
        let mut log = self.shared.log();
        for position in log.positions() {
            if found.binary_search(&position).is_err() {
                log.lose(position, LossReason::Corrupt);
            }
        }
        log.all_unsaved();
    }

    fn sync(&mut self) {
        let since = Clock::now();
        match self.store.sync() {
            Ok(()) => {
                self.unsynced = None;
                self.shared.synced(since);
            }
            Err(error) => {
                self.unsynced = Some(Clock::now());
                self.complain(&error);
            }
        }
    }

    fn shrink(&mut self) {
        if self.shrinking {
            self.shrinking = self.store.shrink(self.again.is_some()).unwrap_or(false);
        }
    }

    fn complain(&mut self, error: &StoreError) {
        self.again = Some(Clock::now() + AGAIN);
        let mut failing = self.shared.failing();
        if failing.is_none() {
            tracing::error!(%error, "the journal's storage fails; trying again");
        }
        *failing = Some(error.to_string());
    }

    fn well(&mut self) {
        self.again = None;
        if self.shared.failing().take().is_some() {
            tracing::info!("the journal's storage works again");
        }
    }
}

/// The newest batches, by position.
#[derive(Default)]
struct Recent {
    batches: BTreeMap<u64, Batch>,
    bytes: usize,
}

impl Recent {
    fn get(&self, position: u64) -> Option<Batch> {
        self.batches.get(&position).cloned()
    }

    fn put(&mut self, position: u64, batch: Batch) {
        self.bytes += batch.bytes;
        self.batches.insert(position, batch);
        while self.bytes > RECENT {
            self.pop();
        }
    }

    fn forget_before(&mut self, position: u64) {
        while self.batches.first_key_value().is_some_and(|(oldest, _)| *oldest < position) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, batch)) = self.batches.pop_first() {
            self.bytes -= batch.bytes;
        }
    }
}
