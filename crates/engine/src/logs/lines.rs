//! Pieces of lines put together.

use std::time::Duration;

use bytes::Bytes;
use model::{LogStream, MAX_LINE_BYTES, Timestamp};
use pipeline::ports::LogLine;

/// The buffer of an engine: a line longer than that comes in pieces of it.
pub(super) const PIECE: usize = 16 * 1024;

/// Pieces of one line carry the same time; some log drivers take it anew for each.
const NEARLY: Duration = Duration::from_secs(1);

/// Lines that are complete, and the beginnings of others.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: [Option<Open>; 2],
    ready: Vec<LogLine>,
}

#[derive(Debug)]
struct Open {
    timestamp: Timestamp,
    bytes: Vec<u8>,
    /// Bytes of the last piece.
    piece: usize,
    is_truncated: bool,
}

impl Lines {
    /// A message begins: a new line, or the next piece of one.
    pub(super) fn begin(&mut self, stream: LogStream, timestamp: Timestamp) {
        let open = &mut self.open[stream as usize];
        let goes_on = open.as_mut().filter(|open| {
            let is_near = (0..=i64::try_from(NEARLY.as_nanos()).unwrap_or(i64::MAX))
                .contains(&timestamp.nanos_since(open.timestamp));
            timestamp == open.timestamp || (open.piece == PIECE && is_near)
        });
        if let Some(open) = goes_on {
            open.piece = 0;
            return;
        }
        self.close(stream, true);
        self.open[stream as usize] = Some(Open { timestamp, bytes: Vec::new(), piece: 0, is_truncated: false });
    }

    /// More of the open line.
    pub(super) fn extend(&mut self, stream: LogStream, bytes: &[u8]) {
        let Some(open) = &mut self.open[stream as usize] else { return };
        open.piece += bytes.len();
        // One byte more than a line may have, for it may be the `\r` of its end.
        let room = MAX_LINE_BYTES + 1 - open.bytes.len();
        open.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        open.is_truncated |= bytes.len() > room;
    }

    /// The end of the open line.
    pub(super) fn end(&mut self, stream: LogStream) {
        self.close(stream, false);
    }

    /// There is no more: open lines are over.
    pub(super) fn finish(&mut self) {
        LogStream::ALL.into_iter().for_each(|stream| self.close(stream, true));
    }

    /// The lines that are ready.
    pub(super) fn take(&mut self) -> Option<Vec<LogLine>> {
        (!self.ready.is_empty()).then(|| std::mem::take(&mut self.ready))
    }

    fn close(&mut self, stream: LogStream, is_partial: bool) {
        let Some(Open { timestamp, mut bytes, mut is_truncated, .. }) = self.open[stream as usize].take() else {
            return;
        };
        if !is_partial && !is_truncated && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.len() > MAX_LINE_BYTES {
            bytes.truncate(MAX_LINE_BYTES);
            is_truncated = true;
        }
        if is_truncated {
            bytes.truncate(whole_characters(&bytes));
        }
        self.ready.push(LogLine { timestamp, stream, bytes: Bytes::from(bytes), is_partial, is_truncated });
    }
}

/// How much of `bytes` is left without a character that was cut in two at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(4);
    match bytes[tail..].utf8_chunks().last() {
        Some(last) if (1..4).contains(&last.invalid().len()) && is_beginning(last.invalid()) => {
            bytes.len() - last.invalid().len()
        }
        _ => bytes.len(),
    }
}

/// True where the bytes are the beginning of a longer character.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
