//! One accepted socket. Whoever has something to say writes it at once, from any thread, without waiting: what the
//! kernel does not take is queued here, up to a bound, and flushed by the connection's own task.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::http::{BadRequest, Request, take_request};

/// A connection and what it still has to send.
pub(crate) struct Connection {
    socket: UnixStream,
    outbox: Mutex<Outbox>,
    changed: Notify,
}

#[derive(Default)]
struct Outbox {
    queue: VecDeque<Piece>,
    queued_bytes: usize,
    /// The present response is complete once the queue is empty.
    complete: bool,
    broken: bool,
}

struct Piece {
    bytes: Vec<u8>,
    then: After,
}

/// What follows a piece that was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Next,
    Pause(Duration),
    BreakOff,
}

/// What became of something pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Sent, or queued to be.
    Taken,
    /// The reader lags too far behind: dropped whole.
    Full,
    /// The connection is gone.
    Broken,
}

/// A stream's reader may lag this far; the real engine keeps 1024 frames of about 2 KB.
const MAX_LAG_BYTES: usize = 2 << 20;

/// Longest request head and body.
const MAX_REQUEST: usize = 64 << 10;

/// How long a response may be split between two pieces: long enough for two reads, short enough for tests.
const PIECE_GAP: Duration = Duration::from_millis(5);

impl Connection {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, outbox: Mutex::default(), changed: Notify::new() }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once it ended, from either side.
    pub(crate) fn is_broken(&self) -> bool {
        self.outbox().broken
    }

    /// Sends part of a stream, or drops it where the reader lags.
    pub(crate) fn push(&self, bytes: &[u8]) -> Pushed {
        let mut outbox = self.outbox();
        if outbox.broken {
            return Pushed::Broken;
        }
        if outbox.queued_bytes + bytes.len() > MAX_LAG_BYTES {
            return Pushed::Full;
        }
        self.send(&mut outbox, bytes)
    }

    /// Sends a whole response of any size, and ends the answer.
    pub(crate) fn respond(&self, bytes: &[u8]) {
        let mut outbox = self.outbox();
        if !outbox.broken {
            self.send(&mut outbox, bytes);
        }
        outbox.complete = true;
        drop(outbox);
        self.changed.notify_one();
    }

    /// Ends the answer after what was pushed.
    pub(crate) fn finish(&self, last: &[u8]) {
        self.respond(last);
    }

    /// Sends `bytes` in `pieces` writes, far enough apart to be read one by one.
    pub(crate) fn push_in_pieces(&self, bytes: &[u8], pieces: usize) -> Pushed {
        let size = bytes.len().div_ceil(pieces.max(1)).max(1);
        self.enqueue(bytes.chunks(size).map(|piece| Piece { bytes: piece.to_vec(), then: After::Pause(PIECE_GAP) }))
    }

    /// Sends `bytes` and then breaks off without a proper end.
    pub(crate) fn push_and_break_off(&self, bytes: &[u8]) -> Pushed {
        self.enqueue([Piece { bytes: bytes.to_vec(), then: After::BreakOff }])
    }

    fn enqueue(&self, pieces: impl IntoIterator<Item = Piece>) -> Pushed {
        let mut outbox = self.outbox();
        if outbox.broken {
            return Pushed::Broken;
        }
        for piece in pieces {
            outbox.queued_bytes += piece.bytes.len();
            outbox.queue.push_back(piece);
        }
        drop(outbox);
        self.changed.notify_one();
        Pushed::Taken
    }

    /// Ends the connection abruptly, as a daemon that is killed does.
    pub(crate) fn break_off(&self) {
        self.break_locked(&mut self.outbox());
        self.changed.notify_one();
    }

    fn break_locked(&self, outbox: &mut Outbox) {
        outbox.broken = true;
        outbox.queue.clear();
        outbox.queued_bytes = 0;
        // An error means the peer was faster.
        let _ = socket2::SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }

    fn send(&self, outbox: &mut Outbox, bytes: &[u8]) -> Pushed {
        let mut sent = 0;
        if outbox.queue.is_empty() {
            while sent < bytes.len() {
                match self.socket.try_write(&bytes[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.break_locked(outbox);
                        self.changed.notify_one();
                        return Pushed::Broken;
                    }
                }
            }
        }
        if sent < bytes.len() {
            outbox.queued_bytes += bytes.len() - sent;
            outbox.queue.push_back(Piece { bytes: bytes[sent..].to_vec(), then: After::Next });
            self.changed.notify_one();
        }
        Pushed::Taken
    }

    /// The next request; `None` where the peer is gone or talks nonsense.
    pub(crate) async fn next_request(&self, buffer: &mut Vec<u8>) -> Option<Request> {
        loop {
            match take_request(buffer) {
                Ok(Some(request)) => return Some(request),
                Ok(None) if buffer.len() < MAX_REQUEST => {}
                Ok(None) | Err(BadRequest) => return None,
            }
            self.socket.readable().await.ok()?;
            self.read_into(buffer).ok()?;
        }
    }

    /// Reads what is there. An error where the peer is gone.
    fn read_into(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut space = [0u8; 2048];
        match self.socket.try_read(&mut space) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer.extend_from_slice(&space[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Flushes until the answer is complete. An error where the connection ended before; requests that come meanwhile
    /// stay in `buffer`.
    pub(crate) async fn settle(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let waiting = match self.flush() {
                Flushed::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
                Flushed::Complete => return Ok(()),
                Flushed::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Flushed::Idle => false,
                Flushed::Blocked => true,
            };
            let interest = if waiting { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            tokio::select! {
                () = self.changed.notified() => {}
                ready = self.socket.ready(interest), if buffer.len() < MAX_REQUEST => {
                    if ready?.is_readable() {
                        self.read_into(buffer)?;
                    }
                }
            }
        }
    }

    fn flush(&self) -> Flushed {
        let mut outbox = self.outbox();
        loop {
            if outbox.broken {
                return Flushed::Broken;
            }
            let Some(piece) = outbox.queue.front_mut() else {
                return if std::mem::take(&mut outbox.complete) { Flushed::Complete } else { Flushed::Idle };
            };
            match self.socket.try_write(&piece.bytes) {
                Ok(count) if count < piece.bytes.len() => {
                    piece.bytes.drain(..count);
                    outbox.queued_bytes -= count;
                }
                Ok(count) => {
                    let then = piece.then;
                    outbox.queue.pop_front();
                    outbox.queued_bytes -= count;
                    match then {
                        After::Next => {}
                        After::Pause(pause) => return Flushed::Pause(pause),
                        After::BreakOff => self.break_locked(&mut outbox),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(_) => self.break_locked(&mut outbox),
            }
        }
    }
}

enum Flushed {
    Idle,
    Blocked,
    Pause(Duration),
    Complete,
    Broken,
}
