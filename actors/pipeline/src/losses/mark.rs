//! The mark of losses as text: a line for each sink, stream and reason, and how many have been told.

use std::collections::BTreeMap;

use model::{LossReason, Stream};

use super::reported::Key;

/// The name of the mark in the journal.
pub(super) const SOURCE: &str = "losses";

pub(super) fn encode(told: &BTreeMap<Key, u64>) -> Vec<u8> {
    let line = |((sink, stream, reason), told): (&Key, &u64)| {
        format!("{stream} {reason} {told} {}\n", sink.as_deref().unwrap_or_default())
    };
    told.iter().map(line).collect::<String>().into_bytes()
}

/// What cannot be read is told again.
pub(super) fn decode(bytes: &[u8]) -> BTreeMap<Key, u64> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (stream, reason) = (words.next()?, words.next()?);
        let stream = Stream::ALL.into_iter().find(|known| known.name() == stream)?;
        let reason = LossReason::ALL.into_iter().find(|known| known.name() == reason)?;
        let told = words.next()?.parse().ok()?;
        Some(((Some(words.next()?.to_owned()), stream, reason), told))
    };
    text.lines().filter_map(line).collect()
}
