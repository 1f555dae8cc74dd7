//! Logs: what a container wrote, as lines.
//!
//! An engine sends messages, each with its time before it (`timestamps=1`): a line, or a piece of one that was longer
//! than its buffer. Without a terminal they come in frames that name their stream (`multiplexed`), with one as they
//! are (`terminal`). `lines` puts the pieces together again.

mod lines;
mod multiplexed;
mod terminal;

use pipeline::ports::{LogLine, LogStart};

use crate::events;
use crate::http::{Cut, End};
use lines::Lines;
use multiplexed::Multiplexed;
use terminal::Terminal;

/// Standard output and standard error are written by two hands: a line of one may come a little before an earlier one
/// of the other.
const OVERLAP: std::time::Duration = std::time::Duration::from_secs(2);

/// The media type of a log with a terminal, from API 1.42 on.
const RAW: &str = "application/vnd.docker.raw-stream";

/// The content of a log is not what the API promises. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLog {
    /// No time where one must be.
    #[error("a message has no time before it")]
    NoTime,
    /// A frame of an unknown stream.
    #[error("a frame is of stream {0}")]
    Stream(u8),
    /// A frame that no engine sends.
    #[error("a frame has {0} bytes")]
    TooLong(u32),
    /// The end, and a frame is not over.
    #[error("it ends in the middle of a frame")]
    Torn,
    /// The engine's own words for a failure.
    #[error("the engine cannot read the log")]
    Engine,
}

/// The query of a request for logs.
pub(crate) fn query(start: LogStart, is_terminal: bool, follow: bool, tail: Option<u32>) -> String {
    let since = match start {
        LogStart::Beginning => None,
        LogStart::At(time) => Some(time),
        // One hand, one order: only lines of the same nanosecond come again. A line that had no end would have the
        // next message behind it, without a mark where that begins.
        LogStart::After { newest, is_partial } if is_terminal => {
            Some(newest + std::time::Duration::from_nanos(u64::from(is_partial)))
        }
        LogStart::After { newest, .. } => Some(newest - OVERLAP),
    };
    let mut query = format!("stdout=1&stderr=1&timestamps=1&follow={}", u8::from(follow));
    if let Some(since) = since {
        query.push_str("&since=");
        query.push_str(&events::since(since));
    }
    if let Some(tail) = tail {
        query.push_str(&format!("&tail={tail}"));
    }
    query
}

/// True where the media type, or else the container's configuration, says that the log has a terminal's form.
pub(crate) fn is_raw(content_type: Option<&str>, is_terminal: bool) -> bool {
    match content_type {
        Some(RAW) => true,
        Some("application/vnd.docker.multiplexed-stream") => false,
        _ => is_terminal,
    }
}

/// Cuts a log into lines.
pub(crate) enum LogCutter {
    Terminal(Terminal, Lines),
    Multiplexed(Multiplexed, Lines),
}

impl LogCutter {
    pub(crate) fn new(is_raw: bool) -> Self {
        if is_raw {
            Self::Terminal(Terminal::default(), Lines::default())
        } else {
            Self::Multiplexed(Multiplexed::default(), Lines::default())
        }
    }

    fn lines(&mut self) -> &mut Lines {
        match self {
            Self::Terminal(_, lines) | Self::Multiplexed(_, lines) => lines,
        }
    }
}

impl Cut for LogCutter {
    // Docker answers some media types, where they are named, with JSON.
    const ACCEPT: &str = "*/*";
    type Item = Vec<LogLine>;
    type Error = BadLog;

    fn push(&mut self, content: &[u8]) -> Result<(), BadLog> {
        match self {
            Self::Terminal(terminal, lines) => terminal.push(content, lines),
            Self::Multiplexed(multiplexed, lines) => multiplexed.push(content, lines),
        }
    }

    /// Where the engine ended the log, a line without an end is over too; where it broke off, it comes again.
    fn finish(&mut self, end: End) -> Result<(), BadLog> {
        if end == End::Broken {
            return Ok(());
        }
        let whole = match self {
            Self::Terminal(terminal, lines) => terminal.finish(lines),
            Self::Multiplexed(multiplexed, _) => multiplexed.finish(),
        };
        self.lines().finish();
        whole
    }

    fn pop(&mut self) -> Option<Vec<LogLine>> {
        self.lines().take()
    }
}

#[cfg(test)]
mod tests;
