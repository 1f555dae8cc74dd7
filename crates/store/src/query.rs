//! What can be asked.

use std::convert::Infallible;
use std::str::FromStr;

use model::{
    ContainerId, ContainerRecord, ContainerState, HostName, ImageState, LogStream, LossReason, Stream, Timestamp,
};

use crate::Resolution;

/// Rows of a page where nothing else is asked for.
pub const DEFAULT_LIMIT: usize = 100;
/// Rows of a page, at most.
pub const MAX_LIMIT: usize = 1_000;
/// Points of a history where nothing else is asked for.
pub const DEFAULT_POINTS: usize = 1_500;
/// Points of a history, at most.
pub const MAX_POINTS: usize = 11_000;

/// Bytes of log lines in a page, at most; one line may exceed it.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows, 1 to [`MAX_LIMIT`]; what lies outside is brought inside.
    pub limit: usize,
    /// `next_cursor` of the page before; `None` for the first.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, cursor: None }
    }
}

impl Page {
    pub(crate) fn rows(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT)
    }
}

/// A container's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerKey {
    /// Its host.
    pub host: HostName,
    /// Its full id.
    pub container_id: ContainerId,
}

impl From<&ContainerRecord> for ContainerKey {
    fn from(record: &ContainerRecord) -> Self {
        Self { host: record.host.clone(), container_id: record.container_id.clone() }
    }
}

/// A label that must be there: `key`, or `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMatch {
    /// The key.
    pub key: String,
    /// The value; `None` takes any.
    pub value: Option<String>,
}

impl FromStr for LabelMatch {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once('=') {
            Some((key, value)) => Self { key: key.into(), value: Some(value.into()) },
            None => Self { key: text.into(), value: None },
        })
    }
}

/// Which containers. What is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// Host, exactly.
    pub host: Option<String>,
    /// Any of these states; empty takes all but `removed`.
    pub states: Vec<ContainerState>,
    /// Part of the name, in any case.
    pub name: Option<String>,
    /// Part of the image's name in any case, or its whole id.
    pub image: Option<String>,
    /// Image id, exactly.
    pub image_id: Option<String>,
    /// Labels, all of which must be there.
    pub labels: Vec<LabelMatch>,
    /// Compose project, exactly.
    pub project: Option<String>,
    /// Health: `starting`, `healthy`, `unhealthy`, or `none` for containers without a health check.
    pub health: Option<String>,
    /// By the labels of the reverse proxy.
    pub revp: Option<RevpFilter>,
    /// Domain of the reverse proxy, in any case.
    pub domain: Option<String>,
}

/// Which containers, by their labels of the reverse proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevpFilter {
    /// With such labels.
    With,
    /// Without any.
    Without,
    /// With such labels, and nothing wrong with them.
    Valid,
    /// With something wrong with them.
    Invalid,
}

/// Which images. What is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFilter {
    /// Host, exactly.
    pub host: Option<String>,
    /// The state; `None` takes those that are present.
    pub state: Option<ImageState>,
    /// Part of a tag, in any case.
    pub tag: Option<String>,
    /// Labels, all of which must be there.
    pub labels: Vec<LabelMatch>,
    /// Whether containers are made of it.
    pub is_used: Option<bool>,
    /// Whether it has no tag.
    pub is_dangling: Option<bool>,
}

/// How a person names a container: a full id, a prefix of 12 or more of it, or a name. An image: likewise, or a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Id, prefix or name. A leading slash, as the engine writes names, does not count.
    pub text: String,
    /// The host, where the name alone is not enough.
    pub host: Option<String>,
}

impl Selector {
    /// A selector without a host.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), host: None }
    }
}

/// Which part of a container's history, at which resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The first moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub to: Timestamp,
    /// The resolution; `None` takes it from the length of the range.
    pub resolution: Option<Resolution>,
    /// Points at most, 2 to [`MAX_POINTS`]; what lies outside is brought inside. More data makes longer steps.
    pub max_points: usize,
}

/// Which events. What is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Host, exactly.
    pub host: Option<String>,
    /// Type, exactly: `container`, `image` …
    pub kind: Option<String>,
    /// Action, exactly: `start`, `die` …
    pub action: Option<String>,
    /// Full container id, a prefix of 12 or more, or the container's name at that moment.
    pub container: Option<String>,
    /// Labels, all of which the event carries or its container has or had.
    pub labels: Vec<LabelMatch>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The moment after the last.
    pub to: Option<Timestamp>,
}

/// Which lines of a container. What is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Where it was written.
    pub stream: Option<LogStream>,
    /// Part of the line, in any case.
    pub text: Option<String>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The moment after the last.
    pub to: Option<Timestamp>,
}

/// Which losses. What is not set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LossFilter {
    /// What was lost.
    pub stream: Option<Stream>,
    /// The sink that did not get it, exactly.
    pub sink: Option<String>,
    /// Why.
    pub reason: Option<LossReason>,
    /// Of which something was lost at this moment or later.
    pub from: Option<Timestamp>,
    /// Of which something was lost before this moment.
    pub to: Option<Timestamp>,
}

/// A prefix of a container id long enough to select by: 12 to 64 lower-case hexadecimal digits.
pub(crate) fn is_id_prefix(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `text` as a prefix of an image id, where it is one: 12 to 64 digits, with or without `sha256:`.
pub(crate) fn image_id_prefix(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    is_id_prefix(digits).then(|| format!("sha256:{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_match_is_a_key_or_a_key_and_a_value_that_may_hold_equals_signs() {
        let parsed = |text: &str| text.parse::<LabelMatch>().unwrap();
        assert_eq!(parsed("team"), LabelMatch { key: "team".into(), value: None });
        assert_eq!(parsed("team="), LabelMatch { key: "team".into(), value: Some(String::new()) });
        assert_eq!(parsed("cmd=a=b"), LabelMatch { key: "cmd".into(), value: Some("a=b".into()) });
    }

    #[test]
    fn a_page_is_never_empty_and_never_endless() {
        let rows = |limit| Page { limit, cursor: None }.rows();
        assert_eq!((rows(0), rows(7), rows(usize::MAX)), (1, 7, MAX_LIMIT));
    }
}
