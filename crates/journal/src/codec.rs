//! Batches as bytes: what the journal on disk keeps.
//!
//! A body is self-contained: `head length (u16) · head · rows · CRC-32`, little endian. The head is kept a
//! second time apart from the rows, so that opening a journal reads heads only. Samples and log lines have forms of
//! their own ([`stats`], [`logs`]); the other streams are few, and are kept as MessagePack with field names, which survives new fields.

mod logs;
mod stats;
mod wire;

use model::{Batch, BatchId, NodeName, Rows, Stream, Timestamp, Trigger};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::span::span_of;
use wire::{Reader, Writer};

/// Raised when the layout changes in a way older versions cannot read.
const VERSION: u8 = 1;

/// Bytes of a CRC-32.
const SUM: usize = 4;

/// What the log needs to know of a batch without its rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) id: BatchId,
    pub(crate) trigger: Trigger,
    /// Estimated bytes in memory.
    pub(crate) bytes: usize,
    pub(crate) opened_at: Timestamp,
    /// First and last time of its records.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl Head {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self {
            id: batch.id.clone(),
            trigger: batch.trigger,
            bytes: batch.bytes,
            opened_at: batch.opened_at,
            span: span_of(&batch.rows),
        }
    }

    /// Records, by the sequence numbers.
    pub(crate) fn rows(&self) -> u64 {
        (self.id.last + 1).saturating_sub(self.id.first)
    }

    /// The head as bytes, with a checksum.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        sealed(out.into_bytes())
    }

    /// The head from [`Head::encode`]'s bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        Self::read(&mut Reader::new(unsealed(bytes)?))
    }

    fn write(&self, out: &mut Writer) {
        out.byte(VERSION);
        out.byte(index_of(self.id.stream, &Stream::ALL));
        out.byte(index_of(self.trigger, &TRIGGERS));
        out.text(self.id.node.as_str());
        for number in [self.id.epoch, self.id.first, self.id.last, self.bytes as u64] {
            out.unsigned(number);
        }
        out.signed(self.opened_at.as_nanos());
        out.byte(u8::from(self.span.is_some()));
        if let Some((first, last)) = self.span {
            out.signed(between(self.opened_at, first));
            out.signed(between(first, last));
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let version = from.byte()?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let stream = *Stream::ALL.get(usize::from(from.byte()?)).ok_or(Unreadable::Shape)?;
        let trigger = *TRIGGERS.get(usize::from(from.byte()?)).ok_or(Unreadable::Shape)?;
        let node = NodeName::try_new(from.text()?).map_err(|_| Unreadable::Shape)?;
        let (epoch, first, last) = (from.unsigned()?, from.unsigned()?, from.unsigned()?);
        let bytes = usize::try_from(from.unsigned()?).map_err(|_| Unreadable::Shape)?;
        let opened_at = Timestamp::from_nanos(from.signed()?);
        let span = match from.byte()? {
            0 => None,
            _ => {
                let first = after(opened_at, from.signed()?);
                Some((first, after(first, from.signed()?)))
            }
        };
        Ok(Self { id: BatchId { node, epoch, stream, first, last }, trigger, bytes, opened_at, span })
    }
}

const TRIGGERS: [Trigger; 4] = [Trigger::Count, Trigger::Bytes, Trigger::Age, Trigger::Drain];

/// Stored bytes that are not a batch of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the checksum does not match")]
    Checksum,
    #[error("layout version {0} is not known")]
    Version(u8),
    #[error("the bytes do not have the expected shape")]
    Shape,
}

/// `batch` as bytes. Fails where a record cannot be written, which no record of [`model`] can cause.
pub(crate) fn encode(head: &Head, batch: &Batch) -> Result<Vec<u8>, String> {
    let mut body = Writer::default();
    let mut prefix = Writer::default();
    head.write(&mut prefix);
    let prefix = prefix.into_bytes();
    let length = u16::try_from(prefix.len()).map_err(|_| "head too long".to_owned())?;
    body.raw(&length.to_le_bytes());
    body.raw(&prefix);
    match &batch.rows {
        Rows::Stats(rows) => stats::write(&mut body, rows, batch.opened_at),
        Rows::Events(rows) => body.raw(&packed(rows)?),
        Rows::Containers(rows) => body.raw(&packed(rows)?),
        Rows::Images(rows) => body.raw(&packed(rows)?),
        Rows::ImageVersions(rows) => body.raw(&packed(rows)?),
        Rows::Hosts(rows) => body.raw(&packed(rows)?),
        Rows::Losses(rows) => body.raw(&packed(rows)?),
        Rows::Logs(rows) => logs::write(&mut body, rows, batch.opened_at),
    }
    Ok(sealed(body.into_bytes()))
}

/// The batch from [`encode`]'s bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Batch, Unreadable> {
    let (head, rest) = split(unsealed(bytes)?)?;
    let Head { id, trigger, bytes, opened_at, .. } = head;
    let rows = match id.stream {
        Stream::Stats => Rows::Stats(stats::read(&mut Reader::new(rest), opened_at)?.into()),
        Stream::Events => Rows::Events(unpacked::<Vec<_>>(rest)?.into()),
        Stream::Containers => Rows::Containers(unpacked::<Vec<_>>(rest)?.into()),
        Stream::Images => Rows::Images(unpacked::<Vec<_>>(rest)?.into()),
        Stream::ImageVersions => Rows::ImageVersions(unpacked::<Vec<_>>(rest)?.into()),
        Stream::Hosts => Rows::Hosts(unpacked::<Vec<_>>(rest)?.into()),
        Stream::Losses => Rows::Losses(unpacked::<Vec<_>>(rest)?.into()),
        Stream::Logs => Rows::Logs(logs::read(&mut Reader::new(rest), opened_at)?.into()),
    };
    Ok(Batch { id, trigger, bytes, opened_at, rows })
}

/// The head inside a body, for where the head kept apart is damaged.
pub(crate) fn head_of(body: &[u8]) -> Result<Head, Unreadable> {
    Ok(split(unsealed(body)?)?.0)
}

fn split(bytes: &[u8]) -> Result<(Head, &[u8]), Unreadable> {
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or(Unreadable::Shape)?;
    let (head, rows) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(Unreadable::Shape)?;
    Ok((Head::read(&mut Reader::new(head))?, rows))
}

/// `bytes` with their checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn unsealed(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    let (content, sum) = bytes.split_last_chunk::<SUM>().ok_or(Unreadable::Checksum)?;
    if crc32fast::hash(content) == u32::from_le_bytes(*sum) { Ok(content) } else { Err(Unreadable::Checksum) }
}

/// A small state as bytes with a checksum.
pub(crate) fn encode_state<T: Serialize>(state: &T) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(state).map(sealed).map_err(|error| error.to_string())
}

/// The state from [`encode_state`]'s bytes.
pub(crate) fn decode_state<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    unpacked(unsealed(bytes)?)
}

fn packed<T: Serialize>(rows: &[T]) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(rows).map_err(|error| error.to_string())
}

fn unpacked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(|_| Unreadable::Shape)
}

fn index_of<T: PartialEq>(value: T, all: &[T]) -> u8 {
    let index = all.iter().position(|one| *one == value);
    index.and_then(|index| u8::try_from(index).ok()).expect("every variant is in the list of all")
}

/// Nanoseconds from `from` to `to`, wrapping: [`after`] undoes it for every pair of times.
fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_nanos().wrapping_sub(from.as_nanos())
}

fn after(time: Timestamp, nanos: i64) -> Timestamp {
    Timestamp::from_nanos(time.as_nanos().wrapping_add(nanos))
}

#[cfg(test)]
mod tests;
