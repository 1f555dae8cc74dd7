//! How a record's value is written: as JSON, or as Avro or Protobuf by a schema that a registry keeps.
//!
//! The schemas are the files in `schemas/`, and the bytes follow from them: a record is taken as its JSON, field by field.
//! With a registry each value begins as Confluent's clients write it: a zero byte and the schema's id.

mod avro;
mod protobuf;
mod registry;
mod shape;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use model::Stream;
use serde::Serialize;

use super::KafkaConfig;
use super::errors::KafkaFailure;
use super::topics::topic_name;
use registry::Registry;
use shape::Shape;

pub use registry::RegistryConfig;

/// What the values in topics are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object each.
    #[default]
    Json,
    /// Avro, framed with the schema's id.
    Avro,
    /// Protobuf, framed with the schema's id.
    Protobuf,
}

impl Format {
    /// Header `content-type` of the records.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => super::CONTENT_TYPE,
            Self::Avro => "application/avro",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// The schema of a stream's values, as it is registered; `None` for JSON.
    pub fn schema(self, stream: Stream) -> Option<&'static str> {
        Some(match self {
            Self::Json => return None,
            Self::Avro => schemas(self)[&stream].text,
            Self::Protobuf => schemas(self)[&stream].text,
        })
    }

    /// What the registry calls it.
    const fn registered_as(self) -> Option<&'static str> {
        match self {
            // The default there, which old ones take only when it is not named.
            Self::Json | Self::Avro => None,
            Self::Protobuf => Some("PROTOBUF"),
        }
    }
}

/// The subject of a stream's values.
pub fn subject(prefix: &str, stream: Stream) -> String {
    format!("{}-value", topic_name(prefix, stream))
}

/// Why a record has no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("a record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a record does not fit its schema: {0}")]
    Shape(String),
}

/// A schema, as text and taken apart.
struct Schema {
    text: &'static str,
    shape: Shape,
}

macro_rules! files {
    ($folder:literal, $ending:literal) => {
        |stream| match stream {
            Stream::Stats => include_str!(concat!("../../../../../schemas/", $folder, "/docker.stats.", $ending)),
            Stream::Events => include_str!(concat!("../../../../../schemas/", $folder, "/docker.events.", $ending)),
            Stream::Containers => {
                include_str!(concat!("../../../../../schemas/", $folder, "/docker.containers.", $ending))
            }
            Stream::Images => include_str!(concat!("../../../../../schemas/", $folder, "/docker.images.", $ending)),
            Stream::ImageVersions => {
                include_str!(concat!("../../../../../schemas/", $folder, "/docker.image_versions.", $ending))
            }
            Stream::Hosts => include_str!(concat!("../../../../../schemas/", $folder, "/docker.hosts.", $ending)),
            Stream::Losses => include_str!(concat!("../../../../../schemas/", $folder, "/docker.losses.", $ending)),
            Stream::Logs => include_str!(concat!("../../../../../schemas/", $folder, "/docker.logs.", $ending)),
        }
    };
}

type Schemas = BTreeMap<Stream, Schema>;

/// The schemas of all streams.
fn schemas(format: Format) -> &'static Schemas {
    fn read(text: fn(Stream) -> &'static str, taken_apart: fn(&str) -> Result<Shape, String>) -> Schemas {
        let schema = |stream| {
            let text = text(stream);
            let shape = taken_apart(text).expect("the files in schemas/ are read by a test");
            (stream, Schema { text, shape })
        };
        Stream::ALL.into_iter().map(schema).collect()
    }
    static AVRO: LazyLock<Schemas> = LazyLock::new(|| read(files!("avro", "avsc"), shape::of_avro));
    static PROTOBUF: LazyLock<Schemas> = LazyLock::new(|| read(files!("protobuf", "proto"), shape::of_protobuf));
    match format {
        Format::Json | Format::Avro => &AVRO,
        Format::Protobuf => &PROTOBUF,
    }
}

/// Writes values in the format of one sink.
#[derive(Clone)]
pub(super) struct Encoder {
    format: Format,
    prefix: String,
    registry: Option<Registry>,
    /// What the registry calls the schemas. They are asked for once: an id means the same schema for ever.
    ids: BTreeMap<Stream, u32>,
}

impl Encoder {
    /// The encoder of a sink. Asks nobody yet.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self {
            format: config.format,
            prefix: config.topic_prefix.clone(),
            registry: config.registry.clone().map(Registry::new),
            ids: BTreeMap::new(),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.format.content_type()
    }

    /// Has the ids of all schemas; asks the registry for those that are missing.
    pub(super) async fn ready(&mut self) -> Result<(), KafkaFailure> {
        if self.format == Format::Json {
            return Ok(());
        }
        for stream in Stream::ALL {
            if self.ids.contains_key(&stream) {
                continue;
            }
            let (Some(registry), Some(schema)) = (&self.registry, self.format.schema(stream)) else {
                return Err(KafkaFailure::NoRegistry);
            };
            let id = registry.id(&subject(&self.prefix, stream), schema, self.format.registered_as()).await?;
            self.ids.insert(stream, id);
        }
        Ok(())
    }

    /// The bytes of a record of `stream`.
    pub(super) fn value<T: Serialize>(&self, stream: Stream, record: &T) -> Result<Vec<u8>, EncodeError> {
        if self.format == Format::Json {
            return Ok(serde_json::to_vec(record)?);
        }
        let id = *self.ids.get(&stream).ok_or_else(|| EncodeError::Shape("it has no id yet".into()))?;
        let mut bytes = vec![0];
        bytes.extend(id.to_be_bytes());
        let record = serde_json::to_value(record)?;
        let shape = &schemas(self.format)[&stream].shape;
        match self.format {
            Format::Protobuf => {
                // Of the messages in the file the first is meant.
                bytes.push(0);
                protobuf::write(shape, &record, &mut bytes)
            }
            Format::Json | Format::Avro => avro::write(shape, &record, &mut bytes),
        }
        .map_err(EncodeError::Shape)?;
        Ok(bytes)
    }

    /// One that has its ids without a registry.
    #[cfg(test)]
    pub(super) fn with_ids(format: Format) -> Self {
        let ids = Stream::ALL.into_iter().zip(1..).collect();
        Self { format, prefix: String::new(), registry: None, ids }
    }
}

#[cfg(test)]
pub(super) mod tests;
