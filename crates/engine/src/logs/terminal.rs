//! Logs of containers with a terminal: messages one behind the other, and nothing between them.
//!
//! A message ends with its line, or, where the line goes on, after exactly one buffer. One whose container ended in
//! the middle of a shorter one is followed by the next without a mark: read as history, the two are one line.

use memchr::memchr;
use model::{LogStream, Timestamp};

use super::BadLog;
use super::lines::{Lines, PIECE};
use super::multiplexed::{TIME, time};

/// A terminal has one output.
const STREAM: LogStream = LogStream::Stdout;

/// Where in a message we are.
#[derive(Debug)]
pub(crate) struct Terminal {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In the time before a message: so much of it.
    Time(Vec<u8>),
    /// In a message, behind so many bytes of it.
    Text(usize),
    /// Behind a whole buffer of a line: this may be the time before its next piece, or more of the same.
    Boundary(Vec<u8>),
}

impl Default for Terminal {
    fn default() -> Self {
        Self { at: At::Time(Vec::new()) }
    }
}

impl Terminal {
    pub(super) fn push(&mut self, mut content: &[u8], lines: &mut Lines) -> Result<(), BadLog> {
        while !content.is_empty() {
            content = match &mut self.at {
                At::Time(text) => match take_time(text, content) {
                    Time::Open => return Ok(()),
                    Time::None => return Err(BadLog::NoTime),
                    Time::Is(timestamp, rest) => {
                        lines.begin(STREAM, timestamp);
                        self.at = At::Text(0);
                        rest
                    }
                },
                At::Boundary(text) => {
                    let before = text.len();
                    match take_time(text, content) {
                        Time::Open => return Ok(()),
                        Time::Is(timestamp, rest) => {
                            lines.begin(STREAM, timestamp);
                            self.at = At::Text(0);
                            rest
                        }
                        // It was text all along: what came before this content is no time, nor a line's end.
                        Time::None => {
                            lines.extend(STREAM, &text[..before]);
                            self.at = At::Text(PIECE + before);
                            self.text(content, lines)
                        }
                    }
                }
                At::Text(_) => self.text(content, lines),
            };
        }
        Ok(())
    }

    /// Takes text up to the end of the line or of the buffer; gives what follows.
    fn text<'a>(&mut self, content: &'a [u8], lines: &mut Lines) -> &'a [u8] {
        let At::Text(length) = &mut self.at else { return content };
        let left = if *length < PIECE { PIECE - *length } else { usize::MAX };
        let end = memchr(b'\n', content);
        match end.filter(|end| *end <= left) {
            Some(end) => {
                lines.extend(STREAM, &content[..end]);
                lines.end(STREAM);
                self.at = At::Time(Vec::new());
                &content[end + 1..]
            }
            None => {
                let (taken, rest) = content.split_at(left.min(content.len()));
                lines.extend(STREAM, taken);
                *length += taken.len();
                if *length == PIECE {
                    self.at = At::Boundary(Vec::new());
                }
                rest
            }
        }
    }

    /// The log is over: what might have been a time was text.
    pub(super) fn finish(&mut self, lines: &mut Lines) -> Result<(), BadLog> {
        match std::mem::take(&mut self.at) {
            At::Boundary(text) => {
                lines.extend(STREAM, &text);
                Ok(())
            }
            At::Time(text) if !text.is_empty() => Err(BadLog::Torn),
            _ => Ok(()),
        }
    }
}

impl std::default::Default for At {
    fn default() -> Self {
        Self::Time(Vec::new())
    }
}

/// What stands where a time may be.
enum Time<'a> {
    /// More is needed.
    Open,
    /// No time.
    None,
    /// A time and its space; what follows.
    Is(Timestamp, &'a [u8]),
}

/// Adds `content` to `text` up to the space behind a time. Where it is no time, `text` is longer than it was by
/// bytes that `content` still has.
fn take_time<'a>(text: &mut Vec<u8>, content: &'a [u8]) -> Time<'a> {
    for (index, byte) in content.iter().enumerate() {
        match byte {
            b' ' => {
                return time(text).map_or(Time::None, |timestamp| Time::Is(timestamp, &content[index + 1..]));
            }
            b'0'..=b'9' | b'T' | b':' | b'.' | b'Z' | b'+' | b'-' if text.len() < TIME => text.push(*byte),
            _ => return Time::None,
        }
    }
    Time::Open
}
