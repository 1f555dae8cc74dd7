//! A letter as one line of JSON, and back.

use std::borrow::Cow;

use model::{Batch, BatchId, NodeName, Rows, Stream, Timestamp, Trigger};
use pipeline::ports::Letter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// Name and version of the form.
pub const SCHEMA: &str = "dockstream.deadletter.v1";

/// A letter as it is written: everything about the record, and the record as it is everywhere else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The sink whose server refused it.
    pub sink: String,
    /// Its stream.
    pub stream: Stream,
    /// The process that made its batch.
    pub node: NodeName,
    /// That process's start.
    pub epoch: u64,
    /// Its number in that epoch.
    pub sequence: u64,
    /// The batch it came in: `node/epoch/stream/first-last`.
    pub batch_id: String,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// The server's words.
    pub error: String,
    /// The record.
    pub record: Box<RawValue>,
}

/// The record in a line is not of its stream.
#[derive(Debug, thiserror::Error)]
#[error("the letter {sink}/{batch_id}#{sequence} holds no record of {stream}: {error}")]
pub struct NotALetter {
    sink: String,
    batch_id: String,
    sequence: u64,
    stream: Stream,
    error: serde_json::Error,
}

/// What tells one letter of a sink and stream from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct Identity<'a> {
    #[serde(borrow)]
    node: Cow<'a, str>,
    epoch: u64,
    sequence: u64,
}

impl Identity<'_> {
    pub(super) fn of(letter: &Letter) -> Identity<'static> {
        let id = &letter.record.id;
        Identity { node: id.node.to_string().into(), epoch: id.epoch, sequence: id.first }
    }

    /// Of a line; `None` where it is damaged.
    pub(super) fn read(line: &str) -> Option<Identity<'static>> {
        let Identity { node, epoch, sequence } = serde_json::from_str::<Identity<'_>>(line).ok()?;
        Some(Identity { node: node.into_owned().into(), epoch, sequence })
    }
}

/// `letter` as JSON, without a line end.
///
/// # Errors
/// Where its record cannot be written as JSON.
pub fn encode(letter: &Letter) -> serde_json::Result<String> {
    let record = match &letter.record.rows {
        Rows::Stats(rows) => rows.first().map(to_raw_value),
        Rows::Events(rows) => rows.first().map(to_raw_value),
        Rows::Containers(rows) => rows.first().map(to_raw_value),
        Rows::Images(rows) => rows.first().map(to_raw_value),
        Rows::ImageVersions(rows) => rows.first().map(to_raw_value),
        Rows::Hosts(rows) => rows.first().map(to_raw_value),
        Rows::Losses(rows) => rows.first().map(to_raw_value),
        Rows::Logs(rows) => rows.first().map(to_raw_value),
    };
    let id = &letter.record.id;
    serde_json::to_string(&Entry {
        sink: letter.sink.clone(),
        stream: id.stream,
        node: id.node.clone(),
        epoch: id.epoch,
        sequence: id.first,
        batch_id: letter.batch.to_string(),
        refused_at: letter.refused_at,
        error: letter.error.clone(),
        record: record.transpose()?.unwrap_or_else(|| RawValue::NULL.to_owned()),
    })
}

impl Entry {
    /// The letter, ready to be delivered again.
    ///
    /// # Errors
    /// Where its record is not of its stream.
    pub fn letter(&self) -> Result<Letter, NotALetter> {
        let rows = match self.stream {
            Stream::Stats => self.one().map(|row| Rows::Stats([row].into())),
            Stream::Events => self.one().map(|row| Rows::Events([row].into())),
            Stream::Containers => self.one().map(|row| Rows::Containers([row].into())),
            Stream::Images => self.one().map(|row| Rows::Images([row].into())),
            Stream::ImageVersions => self.one().map(|row| Rows::ImageVersions([row].into())),
            Stream::Hosts => self.one().map(|row| Rows::Hosts([row].into())),
            Stream::Losses => self.one().map(|row| Rows::Losses([row].into())),
            Stream::Logs => self.one().map(|row| Rows::Logs([row].into())),
        };
        let rows = rows.map_err(|error| NotALetter {
            sink: self.sink.clone(),
            batch_id: self.batch_id.clone(),
            sequence: self.sequence,
            stream: self.stream,
            error,
        })?;
        let own = BatchId {
            node: self.node.clone(),
            epoch: self.epoch,
            stream: self.stream,
            first: self.sequence,
            last: self.sequence,
        };
        let record = Batch {
            id: own.clone(),
            trigger: Trigger::Drain,
            bytes: self.record.get().len(),
            opened_at: self.refused_at,
            rows,
        };
        Ok(Letter {
            sink: self.sink.clone(),
            batch: self.batch().unwrap_or(own),
            refused_at: self.refused_at,
            error: self.error.clone(),
            record,
        })
    }

    /// What the record is about, for people: a container's name, else whatever the event or state is of.
    pub fn subject(&self) -> String {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            container_name: Option<String>,
            actor_name: Option<String>,
            actor_id: Option<String>,
            host: Option<String>,
        }
        let named: Named = serde_json::from_str(self.record.get()).unwrap_or_default();
        let Named { container_name, actor_name, actor_id, host } = named;
        container_name.or(actor_name).or(actor_id).or(host).unwrap_or_else(|| "-".to_owned())
    }

    fn one<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.record.get())
    }

    /// The batch it came in.
    fn batch(&self) -> Option<BatchId> {
        let (first, last) = self.batch_id.rsplit_once('/')?.1.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(BatchId { node: self.node.clone(), epoch: self.epoch, stream: self.stream, first, last })
    }
}
