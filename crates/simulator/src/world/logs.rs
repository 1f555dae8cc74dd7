//! What containers write, as the engine takes it down and tells it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::{LogStream, Timestamp};

use super::schedule::Action;
use super::{Key, Refused, State, World};
use crate::connection::{Connection, Pushed};
use crate::http::{LAST_CHUNK, chunk};

/// The engine's buffer: a longer line is taken down in pieces of it.
const PIECE: usize = 16 * 1024;

/// Bytes of messages that are kept; the oldest go first, as with a log file that is rotated.
const KEPT: usize = 64 << 20;

/// Lines at a rate are written no more often than this; then several at once.
const BREATH: Duration = Duration::from_millis(5);

/// The log of one container.
#[derive(Default)]
pub(crate) struct Log {
    messages: VecDeque<Message>,
    /// The number of the first message that is kept.
    first: u64,
    bytes: usize,
    /// What was written since the last message.
    open: [Open; 2],
    /// Numbered lines so far.
    lines: u64,
    /// Numbered lines when the present run began.
    lines_before: u64,
    /// When the present run began.
    begun_at: Duration,
    watchers: Vec<LogWatcher>,
}

/// A line, or a piece of one.
struct Message {
    at: Timestamp,
    stream: LogStream,
    text: Vec<u8>,
}

#[derive(Default)]
struct Open {
    bytes: Vec<u8>,
    /// The time of the line's first piece.
    at: Option<Timestamp>,
}

/// What is asked of a log.
#[derive(Clone, Debug)]
pub(crate) struct LogRequest {
    pub(crate) follow: bool,
    pub(crate) streams: [bool; 2],
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) tail: Option<usize>,
    pub(crate) timestamps: bool,
}

struct LogWatcher {
    connection: Arc<Connection>,
    request: LogRequest,
    next: u64,
    /// Where the run ended that it follows.
    ends_at: Option<u64>,
    /// The engine has forgotten it.
    is_deaf: bool,
}

impl LogWatcher {
    fn is_open(&self) -> bool {
        !self.connection.is_broken()
    }
}

impl LogRequest {
    fn takes(&self, message: &Message) -> bool {
        self.streams[message.stream as usize]
            && self.since.is_none_or(|since| message.at >= since)
            && self.until.is_none_or(|until| message.at <= until)
    }

    fn told(&self, message: &Message, is_terminal: bool) -> Vec<u8> {
        let time = if self.timestamps { format!("{} ", message.at) } else { String::new() };
        let length = u32::try_from(time.len() + message.text.len()).expect("a message is shorter than 2^32 bytes");
        let mut frame = Vec::new();
        if !is_terminal {
            frame.extend_from_slice(&[message.stream as u8 + 1, 0, 0, 0]);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(time.as_bytes());
        frame.extend_from_slice(&message.text);
        chunk(&frame)
    }
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn take_down(&mut self, at: Timestamp, stream: LogStream, text: Vec<u8>) {
        self.bytes += text.len();
        self.messages.push_back(Message { at, stream, text });
        while self.bytes > KEPT {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.first += 1;
        }
    }

    fn write(&mut self, now: Timestamp, stream: LogStream, bytes: &[u8]) {
        let mut open = std::mem::take(&mut self.open[stream as usize]);
        open.bytes.extend_from_slice(bytes);
        let mut rest = &open.bytes[..];
        loop {
            let window = &rest[..rest.len().min(PIECE)];
            let end = window.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let (length, is_piece) = match end {
                Some(end) => (end, false),
                None if window.len() == PIECE => (PIECE, true),
                None => break,
            };
            let at = open.at.unwrap_or(now);
            open.at = is_piece.then_some(at);
            self.take_down(at, stream, rest[..length].to_vec());
            rest = &rest[length..];
        }
        self.open[stream as usize] = Open { bytes: rest.to_vec(), at: open.at };
    }

    /// The run is over: what is open is taken down as it is.
    fn flush(&mut self, now: Timestamp) {
        for stream in LogStream::ALL {
            let Open { bytes, at } = std::mem::take(&mut self.open[stream as usize]);
            if !bytes.is_empty() {
                self.take_down(at.unwrap_or(now), stream, bytes);
            }
        }
    }

    /// Tells every follower what it has room for; true where one has to wait.
    fn pump(&mut self, is_terminal: bool) -> bool {
        let (first, end) = (self.first, self.end());
        let messages = &self.messages;
        let mut waits = false;
        self.watchers.retain_mut(|watcher| {
            watcher.next = watcher.next.max(first);
            while watcher.next < watcher.ends_at.unwrap_or(end) && !watcher.is_deaf {
                let message = &messages[usize::try_from(watcher.next - first).expect("what is kept is in memory")];
                if watcher.request.takes(message) {
                    match watcher.connection.push(&watcher.request.told(message, is_terminal)) {
                        Pushed::Taken => {}
                        Pushed::Broken => return false,
                        Pushed::Full => {
                            waits = true;
                            return true;
                        }
                    }
                }
                watcher.next += 1;
            }
            if watcher.ends_at.is_some() {
                watcher.connection.finish(LAST_CHUNK);
            }
            watcher.ends_at.is_none()
        });
        waits
    }

    /// The container is gone: followers get what is left, and the end.
    pub(super) fn close(&mut self, is_terminal: bool) {
        for watcher in self.watchers.drain(..) {
            let left = usize::try_from(watcher.next.max(self.first) - self.first).expect("what is kept is in memory");
            let messages = self.messages.iter().skip(left).filter(|message| watcher.request.takes(message));
            let mut rest: Vec<u8> = messages.flat_map(|message| watcher.request.told(message, is_terminal)).collect();
            rest.extend_from_slice(LAST_CHUNK);
            watcher.connection.finish(&rest);
        }
    }

    pub(super) fn streams(&self) -> usize {
        self.watchers.iter().filter(|watcher| watcher.is_open()).count()
    }

    pub(super) fn forget_watchers(&mut self) {
        self.watchers.clear();
    }
}

impl World {
    /// A container writes bytes, ends of lines among them or not.
    pub(crate) fn write(&mut self, key: Key, stream: LogStream, bytes: &[u8]) -> Result<(), Refused> {
        self.must_run(key)?;
        self.write_at(key, self.clock.now(), stream, bytes);
        Ok(())
    }

    /// As [`World::write`], taken down with another time than now.
    pub(crate) fn write_at(&mut self, key: Key, at: Timestamp, stream: LogStream, bytes: &[u8]) {
        let container = self.container_mut(key);
        if container.spec.is_terminal {
            let mut text = Vec::with_capacity(bytes.len() + 8);
            for byte in bytes {
                if *byte == b'\n' {
                    text.push(b'\r');
                }
                text.push(*byte);
            }
            container.log.write(at, LogStream::Stdout, &text);
        } else {
            container.log.write(at, stream, bytes);
        }
        self.pump_log(key);
    }

    /// A container writes so many numbered lines: `line 1`, `line 2` …; the number of the last.
    pub(crate) fn write_lines(&mut self, key: Key, count: u64) -> Result<u64, Refused> {
        self.must_run(key)?;
        let first = self.container(key).log.lines;
        let now = self.clock.now();
        for number in first + 1..=first + count {
            self.container_mut(key).log.lines = number;
            self.write_at(key, now, LogStream::Stdout, format!("line {number}\n").as_bytes());
        }
        Ok(first + count)
    }

    /// The number of the last numbered line.
    pub(crate) fn lines_written(&self, key: Key) -> u64 {
        self.container(key).log.lines
    }

    /// The log of a run that begins.
    pub(super) fn begin_log(&mut self, key: Key) {
        let elapsed = self.clock.elapsed();
        let container = self.container_mut(key);
        container.log.begun_at = elapsed;
        container.log.lines_before = container.log.lines;
        if container.spec.lines_per_second > 0.0 {
            self.schedule(BREATH, key, Action::Write);
        }
    }

    /// The log of a run that is over: what is open is taken down, and followers are told the end.
    pub(super) fn end_log(&mut self, key: Key) {
        let now = self.clock.now();
        let log = &mut self.container_mut(key).log;
        log.flush(now);
        let end = log.end();
        log.watchers.iter_mut().for_each(|watcher| watcher.ends_at = watcher.ends_at.or(Some(end)));
        self.pump_log(key);
    }

    /// Writes the lines that are due at the container's rate.
    pub(super) fn write_due(&mut self, key: Key) {
        let elapsed = self.clock.elapsed();
        let container = self.container(key);
        let (rate, log) = (container.spec.lines_per_second, &container.log);
        let due = (elapsed.saturating_sub(log.begun_at).as_secs_f64() * rate) as u64;
        let written = log.lines - log.lines_before;
        if container.state == State::Running {
            // The state was checked: it cannot refuse.
            let _ = self.write_lines(key, due.saturating_sub(written));
        }
        self.schedule(BREATH.max(Duration::from_secs_f64(1.0 / rate)), key, Action::Write);
    }

    /// Answers a request for a log.
    pub(crate) fn watch_log(
        &mut self,
        key: Key,
        connection: &Arc<Connection>,
        request: LogRequest,
    ) -> Result<(), Refused> {
        let container = self.container(key);
        if container.spec.unreadable_log {
            return Err(Refused::new(501, "configured logging driver does not support reading"));
        }
        let (is_terminal, is_live) = (container.spec.is_terminal, container.state.is_live());
        let mut answer = self.banner().log_head(is_terminal);
        let log = &mut self.container_mut(key).log;
        let end = log.end();
        let next = request.tail.map_or(log.first, |tail| end.saturating_sub(tail as u64).max(log.first));
        if request.follow && is_live {
            connection.push(&answer);
            let connection = Arc::clone(connection);
            log.watchers.push(LogWatcher { connection, request, next, ends_at: None, is_deaf: false });
            self.pump_log(key);
            return Ok(());
        }
        let skipped = usize::try_from(next - log.first).expect("what is kept is in memory");
        for message in log.messages.iter().skip(skipped).filter(|message| request.takes(message)) {
            answer.extend_from_slice(&request.told(message, is_terminal));
        }
        answer.extend_from_slice(LAST_CHUNK);
        connection.respond(&answer);
        Ok(())
    }

    /// The engine forgets who follows a log, without a word: as with some rotations of the file.
    pub(crate) fn deafen_log(&mut self, key: Key) {
        self.container_mut(key).log.watchers.iter_mut().for_each(|watcher| watcher.is_deaf = true);
    }

    /// Only the last `count` messages of a log are left.
    pub(crate) fn rotate_log(&mut self, key: Key, count: usize) {
        let log = &mut self.container_mut(key).log;
        while log.messages.len() > count {
            let Some(oldest) = log.messages.pop_front() else { break };
            log.bytes -= oldest.text.len();
            log.first += 1;
        }
    }

    /// Tells followers what they had no room for.
    pub(super) fn pump_waiting_logs(&mut self) {
        for key in std::mem::take(&mut self.waiting_logs) {
            if self.exists(key) {
                self.pump_log(key);
            }
        }
    }

    fn pump_log(&mut self, key: Key) {
        let container = self.container_mut(key);
        if container.log.pump(container.spec.is_terminal) {
            self.waiting_logs.insert(key);
        }
    }
}
