//! Log lines: what containers write, one record a line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::{ContainerMeta, Timestamp};

/// Longest line that is kept, in bytes; a longer one is cut here.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Where a container wrote a line. A container with a terminal has standard output only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// Both, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The word in JSON, SQL and filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogStream {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|stream| stream.name() == text)
            .ok_or_else(|| format!("`{text}` is not a log stream: stdout or stderr"))
    }
}

/// One line of a container. Host, container, `timestamp`, `stream` and `ordinal` name it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogRecord {
    /// Whose line it is. `run` is not known for a line of an earlier run than the present one.
    #[serde(flatten)]
    pub meta: Arc<ContainerMeta>,
    /// When the engine took the line, by the engine's clock.
    pub timestamp: Timestamp,
    /// When dockstream received it, by its own clock.
    pub received_at: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// Its number, from 0, among the lines of this stream with the same timestamp.
    pub ordinal: u32,
    /// The line without its end, at most [`MAX_LINE_BYTES`] long. Terminal sequences are part of it.
    pub line: String,
    /// True where the line has no end: the container ended in the middle of it.
    pub partial: bool,
    /// True where the line was longer and the rest of it is lost.
    pub truncated: bool,
    /// True where bytes that are no UTF-8 were replaced by U+FFFD.
    pub invalid_utf8: bool,
}

impl Serialize for LogRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.meta.serialize_identity(&mut map)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("received_at", &self.received_at)?;
        map.serialize_entry("stream", &self.stream)?;
        map.serialize_entry("ordinal", &self.ordinal)?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("partial", &self.partial)?;
        map.serialize_entry("truncated", &self.truncated)?;
        map.serialize_entry("invalid_utf8", &self.invalid_utf8)?;
        if !self.meta.labels.is_empty() {
            map.serialize_entry("labels", &self.meta.labels)?;
        }
        map.end()
    }
}
