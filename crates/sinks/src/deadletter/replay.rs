//! Delivering letters again.
//!
//! Files that are replayed do not change any more. Before lines are sent together, their bounds are on disk; once
//! the server has them, that is on disk, too. So a replay that was killed goes on with exactly the lines it was
//! at, under exactly their names, and its server recognises what it has already.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range as Lines;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::Timestamp;
use pipeline::ports::{Deliver, DeliverError, FailureClass, Letter, Range, Rejection};
use tokio::time::{Instant, sleep, timeout};

use super::file::FileDeadLetter;
use super::folder::{Folder, Of, Progress, Segment, whole_lines};
use super::line::{Entry, Identity};

/// Letters sent together.
const TOGETHER: usize = 256;
/// Pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Delivers what a folder holds of one sink and stream.
pub struct Replay {
    folder: Folder,
    letters: FileDeadLetter,
    of: Of,
    /// How long a server may fail without end.
    patience: Duration,
    _alone: Arc<File>,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records their server has now.
    pub delivered: u64,
    /// Records it refused again: they are kept, with the new error.
    pub refused: u64,
    /// Lines that are no letters: set aside in `damaged`.
    pub damaged: u64,
}

/// A replay ended before its end. What it had not come to is still kept.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Another replay is at it.
    #[error("another replay is running")]
    Busy,
    /// The folder fails.
    #[error("dead letter in {folder}: {error}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        error: io::Error,
    },
    /// The server does not take them for now.
    #[error("{sink} does not take them for now: {error}")]
    Server {
        /// The sink.
        sink: String,
        /// Its words.
        error: DeliverError,
    },
}

/// Keeps other replays out while it lives.
#[derive(Clone, Debug)]
pub struct Alone(Arc<File>);

impl Alone {
    /// Takes the turn.
    ///
    /// # Errors
    /// Where another has it, or the folder cannot be used.
    pub fn take(folder: &Folder) -> Result<Self, Stopped> {
        let lock = folder.lock_replay().map_err(|error| failed(folder, error))?;
        lock.map(|lock| Self(Arc::new(lock))).ok_or(Stopped::Busy)
    }
}

/// A line of a file.
#[derive(Debug)]
enum Line {
    /// To be delivered again.
    Letter(Box<Letter>),
    /// Refused again by a replay that ended before it noted that: a later file has it.
    KeptBehind,
    /// Not a letter.
    Damaged(String),
}

impl Line {
    fn read(line: &str) -> Self {
        let letter = serde_json::from_str::<Entry>(line).ok().and_then(|entry| entry.letter().ok());
        letter.map_or_else(|| Self::Damaged(line.to_owned()), |letter| Self::Letter(Box::new(letter)))
    }

    fn letter(&self) -> Option<&Letter> {
        match self {
            Self::Letter(letter) => Some(letter),
            _ => None,
        }
    }
}

impl Replay {
    /// A replay of `of`; what is refused again goes back to `letters`.
    pub fn new(alone: &Alone, folder: &Folder, letters: FileDeadLetter, of: Of, patience: Duration) -> Self {
        Self { folder: folder.clone(), letters, of, patience, _alone: alone.0.clone() }
    }

    /// Delivers everything that was kept before now.
    ///
    /// # Errors
    /// Where the folder or, for longer than its patience, the server fails. What was done until then is done.
    pub async fn run(&self, deliver: &mut dyn Deliver) -> Result<Replayed, Stopped> {
        let mut done = Replayed::default();
        let closed = self.close().map_err(|error| self.failed(error))?;
        let Some(last) = closed.last().map(|segment| segment.number) else { return Ok(done) };
        self.insist(deliver, Asked::Prepare).await?;
        for segment in &closed {
            self.run_one(segment, last, deliver, &mut done).await?;
        }
        Ok(done)
    }

    /// The files there are, none of which is written to from here on.
    fn close(&self) -> io::Result<Vec<Segment>> {
        let _lock = self.folder.lock()?;
        let mut own = self.folder.segments()?;
        own.retain(|segment| segment.of == self.of);
        let Some(last) = own.last() else { return Ok(own) };
        if std::fs::metadata(self.folder.file(last))?.len() == 0 {
            own.pop();
        } else {
            self.folder.begin(&self.of)?;
        }
        Ok(own)
    }

    async fn run_one(
        &self,
        segment: &Segment,
        last: u64,
        deliver: &mut dyn Deliver,
        done: &mut Replayed,
    ) -> Result<(), Stopped> {
        let failed = |error| self.failed(error);
        // One that is gone was removed to make room.
        let Some(text) = self.folder.text(segment).map_err(failed)? else { return Ok(()) };
        let mut lines: Vec<Line> = whole_lines(&text).map(Line::read).collect();
        let Progress { mut settled, mut part } = self.folder.progress(segment).map_err(failed)?;
        // What was first sent together, of which parts are sent while some of it is refused.
        let mut whole = settled..(settled + part).min(lines.len());
        part = whole.len();
        if part > 0 {
            let kept = self.kept_behind(segment).map_err(failed)?;
            let is_kept = |line: &Line| line.letter().is_some_and(|letter| kept.contains(&Identity::of(letter)));
            lines[whole.clone()].iter_mut().filter(|line| is_kept(line)).for_each(|line| *line = Line::KeptBehind);
        }
        while settled < lines.len() {
            if whole.end <= settled {
                whole = settled..settled + of_one_life(&lines[settled..]).min(TOGETHER);
                part = whole.len();
            }
            self.folder.note(segment, Progress { settled, part }).map_err(failed)?;
            let sent = &lines[settled..settled + part];
            let rejected = match self.deliver(segment, &whole, sent, deliver).await? {
                Outcome::Taken(rejected) => rejected,
                Outcome::Halve => {
                    part = part.div_ceil(2);
                    continue;
                }
            };
            self.settle(sent, &rejected, last, done).map_err(failed)?;
            settled += part;
            part = whole.end - settled;
            self.folder.note(segment, Progress { settled, part }).map_err(failed)?;
        }
        let _lock = self.folder.lock().map_err(failed)?;
        self.folder.remove(segment).map_err(failed)
    }

    /// Delivers some of the lines that were first sent together, as often as it takes.
    async fn deliver(
        &self,
        segment: &Segment,
        whole: &Lines<usize>,
        lines: &[Line],
        deliver: &mut dyn Deliver,
    ) -> Result<Outcome, Stopped> {
        let batches: Vec<_> = lines.iter().filter_map(Line::letter).map(|letter| letter.record.clone()).collect();
        if batches.is_empty() {
            return Ok(Outcome::Taken(Vec::new()));
        }
        // Positions rise from file to file, and are those of the whole for each of its parts: so clients know what
        // they have sent of it.
        let position = |line: usize| (segment.number << 32) + line as u64;
        let range = Range { first: position(whole.start), end: position(whole.end), batches };
        self.insist(deliver, Asked::Deliver(&range)).await
    }

    /// Keeps what was refused again, with its new error, and sets aside what is no letter.
    fn settle(&self, lines: &[Line], rejected: &[Rejection], last: u64, done: &mut Replayed) -> io::Result<()> {
        let now = Timestamp::from(SystemTime::now());
        let again = |letter: &Letter| {
            let refused = rejected.iter().find(|rejection| rejection.sequence == letter.sequence())?;
            Some(Letter { error: refused.error.clone(), refused_at: now, ..letter.clone() })
        };
        let letters: Vec<&Letter> = lines.iter().filter_map(Line::letter).collect();
        let again: Vec<Letter> = letters.iter().copied().filter_map(again).collect();
        if !again.is_empty() {
            self.letters.append(&self.of, &again.iter().collect::<Vec<_>>(), last)?;
        }
        let damaged = lines.iter().filter_map(|line| if let Line::Damaged(line) = line { Some(line) } else { None });
        let damaged: Vec<&String> = damaged.collect();
        self.folder.set_aside(&damaged)?;
        done.refused += again.len() as u64;
        done.damaged += damaged.len() as u64;
        done.delivered += (letters.len() - again.len()) as u64;
        Ok(())
    }

    /// What files behind this one hold.
    fn kept_behind(&self, segment: &Segment) -> io::Result<HashSet<Identity<'static>>> {
        let mut kept = HashSet::new();
        for later in self.folder.segments()? {
            if later.of == self.of && later.number > segment.number {
                let text = self.folder.text(&later)?.unwrap_or_default();
                kept.extend(whole_lines(&text).filter_map(Identity::read));
            }
        }
        Ok(kept)
    }

    /// Asks until there is an answer that is more than "not now".
    async fn insist(&self, deliver: &mut dyn Deliver, asked: Asked<'_>) -> Result<Outcome, Stopped> {
        let (began, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            let silent = || DeliverError::new(FailureClass::Retry, "no answer".to_owned());
            let left = self.patience.saturating_sub(began.elapsed()).max(Duration::from_secs(1));
            let answer = timeout(left, async {
                match asked {
                    Asked::Prepare => deliver.prepare().await.map(|()| Outcome::Taken(Vec::new())),
                    Asked::Deliver(range) => {
                        deliver.deliver(range).await.map(|receipt| Outcome::Taken(receipt.rejected))
                    }
                }
            });
            let error = match answer.await.unwrap_or_else(|_| Err(silent())) {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            if let (Asked::Deliver(range), FailureClass::Poison | FailureClass::Split) = (asked, error.class) {
                return Ok(match range.batches.as_slice() {
                    [only] => {
                        let (stream, sequence) = (only.id.stream, only.id.first);
                        Outcome::Taken(vec![Rejection { stream, sequence, error: error.message }])
                    }
                    _ => Outcome::Halve,
                });
            }
            if began.elapsed() + pause > self.patience {
                return Err(Stopped::Server { sink: self.of.sink.clone(), error });
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            if matches!(error.class, FailureClass::Schema | FailureClass::Config) {
                // Where it fails, so will the delivery, and that says why.
                deliver.prepare().await.ok();
            }
        }
    }

    fn failed(&self, error: io::Error) -> Stopped {
        failed(&self.folder, error)
    }
}

#[derive(Clone, Copy)]
enum Asked<'a> {
    Prepare,
    Deliver(&'a Range),
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The server has all but these.
    Taken(Vec<Rejection>),
    /// There are some among them that it will never take.
    Halve,
}

fn failed(folder: &Folder, error: io::Error) -> Stopped {
    Stopped::Folder { folder: folder.path().display().to_string(), error }
}

/// How many of the first lines are of one start of one process: within it, a sequence number names one record.
fn of_one_life(lines: &[Line]) -> usize {
    let life = |letter: &Letter| (letter.record.id.node.clone(), letter.record.id.epoch);
    let first = lines.iter().find_map(Line::letter).map(life);
    lines.iter().take_while(|line| line.letter().is_none_or(|letter| Some(life(letter)) == first)).count()
}
