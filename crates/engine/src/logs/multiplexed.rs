//! Logs of containers without a terminal: frames, each with a head of eight bytes that names its stream and length.

use memchr::memchr;
use model::{LogStream, Timestamp};

use super::BadLog;
use super::lines::Lines;

const HEAD: usize = 8;

/// Longest frame: an engine's buffer is 16 KiB, other log drivers take a MiB.
const FRAME: u32 = 4 << 20;

/// Longest text of a time.
pub(super) const TIME: usize = 40;

/// The frame that is not there in full yet.
#[derive(Debug, Default)]
pub(crate) struct Multiplexed {
    frame: Vec<u8>,
}

impl Multiplexed {
    pub(super) fn push(&mut self, mut content: &[u8], lines: &mut Lines) -> Result<(), BadLog> {
        while !content.is_empty() {
            if self.frame.is_empty()
                && let Some((frame, rest)) = split(content)?
            {
                // The usual case: it is there in full, and is not copied.
                read(frame, lines)?;
                content = rest;
                continue;
            }
            let wanted = match length(&self.frame)? {
                Some(length) => HEAD + length - self.frame.len(),
                None => HEAD - self.frame.len(),
            };
            let (taken, rest) = content.split_at(wanted.min(content.len()));
            self.frame.extend_from_slice(taken);
            content = rest;
            if length(&self.frame)?.is_some_and(|length| self.frame.len() == HEAD + length) {
                let frame = std::mem::take(&mut self.frame);
                read(&frame, lines)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), BadLog> {
        if self.frame.is_empty() { Ok(()) } else { Err(BadLog::Torn) }
    }
}

type Parts<'a> = (&'a [u8], &'a [u8]);

/// The frame at the front of `content`, where it is there in full, and what follows.
fn split(content: &[u8]) -> Result<Option<Parts<'_>>, BadLog> {
    Ok(length(content)?.and_then(|length| content.split_at_checked(HEAD + length)))
}

/// The length in a frame's head, once that is there.
fn length(frame: &[u8]) -> Result<Option<usize>, BadLog> {
    let Some([stream, 0, 0, 0, length @ ..]) = frame.first_chunk::<HEAD>() else {
        return match frame.first_chunk::<HEAD>() {
            Some(head) => Err(BadLog::Stream(head[0])),
            None => Ok(None),
        };
    };
    if *stream > 3 {
        return Err(BadLog::Stream(*stream));
    }
    let length = u32::from_be_bytes(*length);
    if length > FRAME { Err(BadLog::TooLong(length)) } else { Ok(usize::try_from(length).ok()) }
}

/// One message: its time, a space, a line or a piece of one.
fn read(frame: &[u8], lines: &mut Lines) -> Result<(), BadLog> {
    let stream = match frame[0] {
        1 => LogStream::Stdout,
        2 => LogStream::Stderr,
        3 => return Err(BadLog::Engine),
        // Standard input is in no log.
        other => return Err(BadLog::Stream(other)),
    };
    let message = &frame[HEAD..];
    if message.is_empty() {
        return Ok(());
    }
    let head = &message[..message.len().min(TIME)];
    let space = memchr(b' ', head).ok_or(BadLog::NoTime)?;
    let timestamp = time(&message[..space]).ok_or(BadLog::NoTime)?;
    let mut text = &message[space + 1..];
    lines.begin(stream, timestamp);
    while let Some(end) = memchr(b'\n', text) {
        lines.extend(stream, &text[..end]);
        lines.end(stream);
        text = &text[end + 1..];
        if text.is_empty() {
            return Ok(());
        }
        lines.begin(stream, timestamp);
    }
    lines.extend(stream, text);
    Ok(())
}

/// A time as Docker writes it, or, in another zone, as Podman does.
pub(super) fn time(text: &[u8]) -> Option<Timestamp> {
    crate::frame::time::parse(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}
