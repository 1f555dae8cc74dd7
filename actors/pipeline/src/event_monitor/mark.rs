//! The mark of a host's events as bytes: version, watermark, and hash and time of each event journaled since; little
//! endian.

use model::Timestamp;

const VERSION: u8 = 1;

/// Events in a mark at most: a mark is stored beside every batch of events.
const MOST: usize = 4096;

pub(super) fn encode(watermark: Timestamp, kept: &[(u64, Timestamp)]) -> Vec<u8> {
    // The newest: what is replayed ends with them.
    let kept = &kept[kept.len().saturating_sub(MOST)..];
    let mut bytes = Vec::with_capacity(9 + 16 * kept.len());
    bytes.push(VERSION);
    bytes.extend(watermark.as_nanos().to_le_bytes());
    for (hash, timestamp) in kept {
        bytes.extend(hash.to_le_bytes());
        bytes.extend(timestamp.as_nanos().to_le_bytes());
    }
    bytes
}

/// `None` where the bytes are not of this version.
pub(super) fn decode(bytes: &[u8]) -> Option<(Timestamp, Vec<(u64, Timestamp)>)> {
    let (watermark, events) = bytes.strip_prefix(&[VERSION])?.split_first_chunk::<8>()?;
    let (events, []) = events.as_chunks::<16>() else { return None };
    let event = |bytes: &[u8; 16]| {
        let (hash, time) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*hash), Timestamp::from_nanos(i64::from_le_bytes(*time.first_chunk::<8>()?))))
    };
    let events = events.iter().map(event).collect::<Option<_>>()?;
    Some((Timestamp::from_nanos(i64::from_le_bytes(*watermark)), events))
}
