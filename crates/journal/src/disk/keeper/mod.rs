//! The journal's thread: all I/O, one transaction for everything that waits.

mod grants;
mod recent;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant as Clock};

use model::LossReason;
use pipeline::ports::JournalError;
use tokio::sync::oneshot;

use super::queue::{Append, Command, Entry};
use super::store::{Change, Put, Store, StoreError, Wait};
use super::{Options, Shared, Sync};
use crate::WhenFull;
use grants::Grant;
use recent::Recent;

/// Bytes of appends in one transaction.
const GROUP: u64 = 4 << 20;
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
        let mut granted: Vec<Grant> = Vec::new();
        let mut settled = Vec::new();
        for command in commands {
            match command {
                Command::Append(append) => self.waiting.push_back(append),
                Command::Look { sink, now, reply } => self.grant(sink, now, reply, &mut granted),
                Command::Commit { sink, range, receipt, reply } => {
                    self.shared.log().commit(&sink, &range, &receipt);
                    settled.push(reply);
                }
                Command::Note { sink, range, plan, reply } => {
                    self.shared.log().note(&sink, &range, plan);
                    settled.push(reply);
                }
                Command::Mark { mark, reply } => {
                    self.shared.log().mark(mark);
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
        self.answer(granted, outcome.is_ok());
        for reply in settled {
            // Where the store failed the cursor has moved all the same, and is stored with the next transaction:
            // delivering again at once would double what the server has. So it is with notes and marks.
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

    /// The appends of the next transaction, as far as there is room.
    fn group(&mut self) -> Vec<Append> {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut is_full = false;
        self.more = false;
        let waits = self.options.when_full == WhenFull::Block && !self.shared.is_last_call.load(Ordering::Relaxed);
        let log = self.shared.log();
        while let Some(mut append) = self.waiting.pop_front() {
            if log.closed() {
                let _ = append.reply.send(Err(JournalError::Closed));
                continue;
            }
            if append.reply.is_closed() {
                // Its caller is gone, and sends again what it still answers for.
                continue;
            }
            append.entries.retain(|entry| log.is_wanted(entry.head.id.stream) && !log.has(&entry.head.id));
            let (size, stored) = (append.size(), log.stored_bytes() + bytes);
            is_full = waits && size > 0 && stored > 0 && stored + size > self.options.bytes;
            self.more = bytes > 0 && bytes + size > GROUP;
            if is_full || self.more {
                self.waiting.push_front(append);
                break;
            }
            bytes += size;
            group.push(append);
        }
        drop(log);
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
        let entries = group.iter().flat_map(|append| &append.entries);
        let put = |(position, entry)| {
            let Entry { head, body, .. }: &Entry = entry;
            Put { position, head, body }
        };
        let mut marks = self.shared.log().marks_of(&unsaved);
        marks.extend(group.iter().flat_map(|append| append.marks.iter().cloned()));
        let change = Change {
            puts: (first..).zip(entries).map(put).collect(),
            gone: &unsaved.gone,
            sinks: &states,
            forgotten: &unsaved.forgotten,
            marks,
        };
        let wait = if self.options.sync == Sync::Always { Wait::ForDisk } else { Wait::No };
        let mut outcome = if group.is_empty() || self.again.is_none() { Ok(()) } else { self.store.keep_reserve() };
        let since = Clock::now();
        if outcome.is_ok() {
            outcome = self.store.write(wait, &change);
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
            if self.store.is_adrift() {
                self.rescue();
            }
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
        for Append { entries, marks, arrived, reply } in group {
            for Entry { head, body, batch } in entries {
                let position = log.end();
                log.publish(position, head, body.len() as u64, arrived, clock);
                self.recent.put(position, batch);
            }
            marks.into_iter().for_each(|mark| log.marked(mark));
            // A caller that is gone is told when it sends its batches again.
            let _ = reply.send(Ok(()));
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
            let bytes: u64 = group.iter().map(Append::size).sum();
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
            // What was not listed is not lost for that: reading it will tell.
            return self.complain(&error);
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
