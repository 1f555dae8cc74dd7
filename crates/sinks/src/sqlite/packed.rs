//! Which samples are in chunks already: what makes a sample that comes again change nothing.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use chunks::Chunk;
use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// Stretches looked at, at most: one takes up to 10 kB.
const STRETCHES: usize = 256;

/// What is known of the chunks, as far as it was asked for. To be forgotten where they change.
#[derive(Default)]
pub(super) struct Packed {
    /// By series: the last moment in any of its chunks.
    until: HashMap<i64, i64>,
    /// By series: where the last sample was looked for.
    stretches: HashMap<i64, Stretch>,
    /// Samples before this one have been removed. `None` where that was not looked up.
    removed_before: Option<i64>,
    /// Nor are samples taken that are older than this.
    oldest: Option<Duration>,
}

/// A chunk, or the room between two, from its first moment to its last.
struct Stretch {
    from: i64,
    to: i64,
    content: Content,
}

enum Content {
    /// No chunk.
    Nothing,
    /// The samples of these moments, in order.
    Samples(Vec<i64>),
    /// A chunk that cannot be read.
    Damaged,
}

/// Whether a sample is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It may be new.
    Open,
    /// It is in a chunk.
    Taken,
    /// It would be in a chunk that cannot be read.
    Damaged,
}

/// The moment before which samples were removed, as `meta` has it.
pub(super) fn removed_before(connection: &Connection) -> rusqlite::Result<i64> {
    let found = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'samples_removed_before'";
    Ok(connection.prepare_cached(found)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(i64::MIN))
}

/// Notes that samples up to `moment` are removed: from here on none of them is taken, as it could be one that the rollups
/// have. To be told what was removed and not what is old: a clock that was wrong once must not keep samples out for ever.
pub(super) fn note_removal(connection: &Connection, moment: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('samples_removed_before', ?1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
        )?
        .execute([moment.saturating_add(1).to_string()])
        .map(drop)
}

impl Packed {
    /// Takes no samples that are older than `age`: they would be removed at once.
    pub(super) fn with_oldest(age: Duration) -> Self {
        Self { oldest: Some(age), ..Self::default() }
    }

    /// Looks everything up again from here on.
    pub(super) fn forget(&mut self) {
        *self = Self { oldest: self.oldest, ..Self::default() };
    }

    /// Looks the chunks of a series up again.
    pub(super) fn forget_series(&mut self, series: i64) {
        self.until.remove(&series);
        self.stretches.remove(&series);
    }

    /// Whether a sample of that moment was removed, whosoever it is.
    pub(super) fn is_removed(&mut self, connection: &Connection, timestamp: i64) -> rusqlite::Result<bool> {
        let removed = match self.removed_before {
            Some(known) => known,
            None => *self.removed_before.insert(removed_before(connection)?),
        };
        let is_too_old = |age: Duration| timestamp < (Timestamp::from(SystemTime::now()) - age).as_nanos();
        Ok(timestamp < removed || self.oldest.is_some_and(is_too_old))
    }

    /// Where a sample of `series` belongs.
    pub(super) fn place(&mut self, connection: &Connection, series: i64, timestamp: i64) -> rusqlite::Result<Place> {
        let until = match self.until.get(&series) {
            Some(known) => *known,
            None => {
                let newest = "SELECT max(last) FROM chunks WHERE series = ?1 AND first = (
                    SELECT max(first) FROM chunks WHERE series = ?1)";
                let newest: Option<i64> = connection.prepare_cached(newest)?.query_row([series], |row| row.get(0))?;
                *self.until.entry(series).or_insert(newest.unwrap_or(i64::MIN))
            }
        };
        if timestamp > until {
            return Ok(Place::Open);
        }
        let is_near = |stretch: &&Stretch| (stretch.from..=stretch.to).contains(&timestamp);
        let content = match self.stretches.get(&series).filter(is_near) {
            Some(known) => &known.content,
            None => {
                if self.stretches.len() >= STRETCHES {
                    self.stretches.clear();
                }
                let stretch = look(connection, series, timestamp)?;
                &self.stretches.entry(series).insert_entry(stretch).into_mut().content
            }
        };
        Ok(match content {
            Content::Nothing => Place::Open,
            Content::Samples(samples) if samples.binary_search(&timestamp).is_ok() => Place::Taken,
            Content::Samples(_) => Place::Open,
            Content::Damaged => Place::Damaged,
        })
    }
}

fn look(connection: &Connection, series: i64, timestamp: i64) -> rusqlite::Result<Stretch> {
    let before = connection
        .prepare_cached(
            "SELECT chunk, first, last FROM chunks WHERE series = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![series, timestamp], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    match before {
        Some((chunk, first, last)) if last >= timestamp => {
            let data: Vec<u8> = connection
                .prepare_cached("SELECT data FROM chunks WHERE chunk = ?1")?
                .query_row([chunk], |row| row.get(0))?;
            let moments = Chunk::parse(&data).and_then(|mut chunk| chunk.timestamps());
            let content = match moments {
                Ok(moments) => Content::Samples(moments.into_iter().map(|moment| moment.as_nanos()).collect()),
                Err(error) => {
                    tracing::error!(chunk, series, %error, "a chunk of samples is damaged: what it held is lost");
                    Content::Damaged
                }
            };
            Ok(Stretch { from: first, to: last, content })
        }
        before => {
            let next: Option<i64> = connection
                .prepare_cached("SELECT min(first) FROM chunks WHERE series = ?1 AND first > ?2")?
                .query_row(params![series, timestamp], |row| row.get(0))?;
            let from = before.map_or(i64::MIN, |(_, _, last)| last + 1);
            Ok(Stretch { from, to: next.map_or(i64::MAX, |first| first - 1), content: Content::Nothing })
        }
    }
}
