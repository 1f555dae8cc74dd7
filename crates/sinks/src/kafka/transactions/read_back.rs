//! Reading the cursor of a writer back, once its last transaction is over.

use std::thread::sleep;
use std::time::{Duration, Instant};

use pipeline::ports::FailureClass;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::cursor::{Cursor, key};
use crate::kafka::KafkaConfig;
use crate::kafka::config::Writer;
use crate::kafka::errors::{KafkaFailure, classify};
use crate::kafka::topics::cursors_name;

/// The topic has one partition.
const PARTITION: i32 = 0;

/// How often to look whether others' transactions are over.
const LOOK: Duration = Duration::from_millis(20);

/// How long to look whose transaction stays open.
const WHOSE: Duration = Duration::from_secs(5);

/// The cursor, or the one every writer begins with. Blocks.
///
/// The writer's own last transaction is over when this is called, but a read-committed consumer stops before the first
/// open one, whosever it is. So it waits until nothing is open before what was there when it came. Its own that is
/// still open is one whose end the brokers have lost: nobody will write it any more.
pub(super) fn read_back(config: &KafkaConfig, writer: &Writer, within: Duration) -> Result<Cursor, KafkaFailure> {
    let topic = cursors_name(&config.topic_prefix);
    let failed = |error: &KafkaError| KafkaFailure::Topic {
        topic: topic.clone(),
        class: class_of(error),
        reason: format!("cannot read the cursor: {error}"),
    };
    let deadline = Instant::now() + within;
    let left = || deadline.saturating_duration_since(Instant::now());
    let group = config.transactional_id(writer);
    let reader = |isolation: &str| config.reader(isolation, &group).create::<BaseConsumer>();
    let end = |reader: &BaseConsumer| loop {
        match reader.fetch_watermarks(&topic, PARTITION, left().max(LOOK)) {
            Ok((_, end)) => return Ok(end),
            Err(error) if left().is_zero() || !may_pass(&error) => return Err(failed(&error)),
            Err(_) => sleep(LOOK),
        }
    };
    let of_all = reader("read_uncommitted")?;
    let end_of_all = end(&of_all)?;
    let reader = reader("read_committed")?;
    let ours = key(writer);
    loop {
        let stable = end(&reader)?;
        if stable >= end_of_all {
            break;
        }
        if left().is_zero() {
            let open = key_at(&of_all, &topic, stable).map_err(|error| failed(&error))?;
            return Err(if open.as_deref() == Some(ours.as_bytes()) {
                KafkaFailure::EndLost { topic, offset: stable }
            } else {
                KafkaFailure::CursorNotReadable { topic }
            });
        }
        sleep(LOOK);
    }

    read_from(&reader, &topic, Offset::Beginning).map_err(|error| failed(&error))?;
    let mut last: Option<Vec<u8>> = None;
    loop {
        match reader.poll(left()) {
            Some(Ok(message)) if message.key() == Some(ours.as_bytes()) => {
                last = message.payload().map(<[u8]>::to_vec);
            }
            Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            // The group is never joined, so its rights are not needed, and the client recovers from the rest.
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
            Some(Err(error)) if left().is_zero() || !may_pass(&error) => return Err(failed(&error)),
            Some(Err(_)) => {}
            None if left().is_zero() => return Err(KafkaFailure::CursorNotReadable { topic }),
            None => {}
        }
    }
    match last {
        None => Ok(Cursor::default()),
        Some(value) => Cursor::from_value(&value, writer).map_err(|error| KafkaFailure::CursorRefused {
            topic,
            key: ours,
            reason: error.to_string(),
        }),
    }
}

fn read_from(reader: &BaseConsumer, topic: &str, offset: Offset) -> Result<(), KafkaError> {
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, PARTITION, offset)?;
    reader.assign(&place)
}

/// The key of the record at `offset`; `None` where it could not be read in time.
fn key_at(reader: &BaseConsumer, topic: &str, offset: i64) -> Result<Option<Vec<u8>>, KafkaError> {
    read_from(reader, topic, Offset::Offset(offset))?;
    let deadline = Instant::now() + WHOSE;
    while Instant::now() < deadline {
        if let Some(Ok(message)) = reader.poll(LOOK) {
            return Ok(message.key().map(<[u8]>::to_vec));
        }
    }
    Ok(None)
}

fn class_of(error: &KafkaError) -> FailureClass {
    error.rdkafka_error_code().map_or(FailureClass::Retry, classify)
}

/// A topic that was made just now is not known everywhere at once.
fn may_pass(error: &KafkaError) -> bool {
    matches!(class_of(error), FailureClass::Retry | FailureClass::Schema)
}
