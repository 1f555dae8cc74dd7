//! Where a container's log was left, and how the journal keeps it: as text.

use std::fmt::Write;

use model::{LogStream, Timestamp};

/// What a line is recognised by within its stream: its time, and its number among the lines with that time.
pub(super) type Key = (Timestamp, u32);

/// A line as a place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogCursor {
    /// Its time, by the engine's clock.
    pub timestamp: Timestamp,
    /// Its number among the lines of its stream with that time.
    pub ordinal: u32,
    /// It had no end.
    pub is_partial: bool,
}

impl LogCursor {
    pub fn key(&self) -> Key {
        (self.timestamp, self.ordinal)
    }
}

/// How far a log was read: the last line of each of its two streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub cursors: [Option<LogCursor>; 2],
    /// The stream of the last line of all. Clocks are set back: it need not be the one with the later time.
    last: Option<LogStream>,
}

impl Reach {
    /// The log goes on with this line.
    pub fn advance(&mut self, stream: LogStream, cursor: LogCursor) {
        self.cursors[stream as usize] = Some(cursor);
        self.last = Some(stream);
    }

    /// The last line of all, and its stream.
    pub fn last(&self) -> Option<(LogStream, LogCursor)> {
        let stream = self.last?;
        Some((stream, self.cursors[stream as usize]?))
    }

    /// Its time.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last().map(|(_, cursor)| cursor.timestamp)
    }
}

/// Lines of one stream, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub stream: LogStream,
    pub first: Key,
    pub last: Key,
}

impl Span {
    pub fn has(&self, stream: LogStream, key: Key) -> bool {
        self.stream == stream && self.first <= key && key <= self.last
    }
}

/// Of a log that is not wanted, and was read before.
const PASSED_OVER: &str = "passed-over";

/// A line for each stream, the last line's first, and one for each span that is journaled although lines before it
/// are not; another where the container is passed over.
pub(super) fn encode(reach: &Reach, kept: &[Span], is_passed_over: bool) -> Vec<u8> {
    let mut text = String::new();
    let others = LogStream::ALL.into_iter().filter(|stream| Some(*stream) != reach.last);
    for stream in reach.last.into_iter().chain(others) {
        if let Some(LogCursor { timestamp, ordinal, is_partial }) = reach.cursors[stream as usize] {
            let end = if is_partial { " partial" } else { "" };
            writeln!(text, "{stream} {} {ordinal}{end}", timestamp.as_nanos()).expect("a string takes all");
        }
    }
    for Span { stream, first, last } in kept {
        let (from, to) = (first.0.as_nanos(), last.0.as_nanos());
        writeln!(text, "kept {stream} {from} {} {to} {}", first.1, last.1).expect("a string takes all");
    }
    if is_passed_over {
        writeln!(text, "{PASSED_OVER}").expect("a string takes all");
    }
    text.into_bytes()
}

/// `None` where this is no mark.
pub(super) fn decode(bytes: &[u8]) -> Option<(Reach, Vec<Span>, bool)> {
    let (mut reach, mut kept, mut is_passed_over) = (Reach::default(), Vec::new(), false);
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["kept", stream, from, first, to, last] => {
                let (first, last) = (key(from, first)?, key(to, last)?);
                kept.push(Span { stream: stream.parse().ok()?, first, last });
            }
            [stream, time, ordinal, ref end @ ..] => {
                let stream: LogStream = stream.parse().ok()?;
                let (timestamp, ordinal) = key(time, ordinal)?;
                let is_partial = end == ["partial"];
                reach.cursors[stream as usize] = Some(LogCursor { timestamp, ordinal, is_partial });
                reach.last = reach.last.or(Some(stream));
            }
            [PASSED_OVER] => is_passed_over = true,
            _ => return None,
        }
    }
    Some((reach, kept, is_passed_over))
}

fn key(nanos: &str, ordinal: &str) -> Option<Key> {
    Some((Timestamp::from_nanos(nanos.parse().ok()?), ordinal.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_the_last_line_stays_the_last() {
        let cursor =
            |nanos, ordinal, is_partial| LogCursor { timestamp: Timestamp::from_nanos(nanos), ordinal, is_partial };
        let mut reach = Reach::default();
        assert_eq!(decode(&encode(&reach, &[], false)), Some((reach, Vec::new(), false)));
        reach.advance(LogStream::Stdout, cursor(99, 0, false));
        reach.advance(LogStream::Stderr, cursor(-7, 3, true));
        let at = |nanos, ordinal| (Timestamp::from_nanos(nanos), ordinal);
        let span = Span { stream: LogStream::Stdout, first: at(100, 2), last: at(101, 0) };
        for passed_over in [false, true] {
            let decoded = decode(&encode(&reach, &[span], passed_over));
            assert_eq!(decoded, Some((reach, vec![span], passed_over)));
        }
        let (decoded, ..) = decode(&encode(&reach, &[span], true)).unwrap();
        assert_eq!(decoded.last(), Some((LogStream::Stderr, cursor(-7, 3, true))));
        for bad in ["stdout", "stdout x 0", "stdin 5 0", "kept stdout 5 0 6", "\u{fffd} 1 2"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode(b"stdout 5 \xff"), None);
    }
}
