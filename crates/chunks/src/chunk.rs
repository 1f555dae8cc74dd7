//! A chunk: the samples of one series, column by column.
//!
//! ```text
//! version    1 byte, 1
//! checksum   4 bytes, CRC-32 of all that follows, the lowest byte first
//! rows       how many, seven bits a byte
//! columns    how many that have values
//! directory  for each: its number, 1 byte, and its length
//! columns    the bytes of each, in the order of the directory
//! ```

use model::{NetworkScope, Sample, SampleKind, SampleValue, Timestamp};

use crate::bits::{put_varint, take_byte, take_varint};
use crate::column::{self, Values};
use crate::layout::{Column, Guess, NETWORK_SCOPE, RECEIVED_AT, TIMESTAMP, column_of};

const VERSION: u8 = 1;

/// Rows of a chunk, at most.
pub const MAX_ROWS: usize = 1 << 16;

/// A sample without the container it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When the engine read the counters.
    pub timestamp: Timestamp,
    /// When dockstream received the frame.
    pub received_at: Timestamp,
    /// Why there are, or are not, network counters.
    pub network_scope: Option<NetworkScope>,
    /// The values.
    pub sample: Sample,
}

/// Bytes that are no chunk, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The checksum does not fit.
    #[error("its checksum does not fit")]
    Checksum,
    /// A newer dockstream packed it.
    #[error("it has format {0}, this dockstream knows {VERSION}")]
    Version(u8),
    /// It was packed wrongly.
    #[error("it does not read as a chunk")]
    Malformed,
}

/// Packs `rows`, which should be in order of time; 1 to [`MAX_ROWS`] of them.
pub fn pack(rows: &[Row]) -> Vec<u8> {
    debug_assert!((1..=MAX_ROWS).contains(&rows.len()));
    let packed = columns(rows);
    let mut body = Vec::with_capacity(rows.len() * 24);
    put_varint(&mut body, rows.len() as u64);
    put_varint(&mut body, packed.len() as u64);
    for (number, bytes) in &packed {
        body.push(*number);
        put_varint(&mut body, bytes.len() as u64);
    }
    packed.iter().for_each(|(_, bytes)| body.extend(bytes));
    let mut out = vec![VERSION];
    out.extend(crc32fast::hash(&body).to_le_bytes());
    out.extend(body);
    out
}

/// Every column that has a value, packed.
fn columns(rows: &[Row]) -> Vec<(Column, Vec<u8>)> {
    let mut all: Vec<(Column, Values)> = vec![
        (TIMESTAMP, rows.iter().map(|row| Some(row.timestamp.as_nanos().cast_unsigned())).collect()),
        (RECEIVED_AT, rows.iter().map(|row| Some(row.received_at.as_nanos().cast_unsigned())).collect()),
    ];
    let fields = 0..Sample::FIELDS.len();
    let mut values: Vec<Values> = fields.clone().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in values.iter_mut().zip(row.sample.values()) {
            column.push(match value {
                SampleValue::Float(value) => value.map(f64::to_bits),
                SampleValue::Unsigned(value) => value,
            });
        }
    }
    all.extend(fields.map(column_of).zip(values));

    // A column without values is left out: nothing can be guessed from it.
    let known = |values: &&Values| values.iter().any(Option::is_some);
    let of = |number| all.iter().find(|(column, _)| *column == number).map(|(_, values)| values).filter(known);
    let mut packed: Vec<(Column, Vec<u8>)> = scopes(rows).map(|bytes| (NETWORK_SCOPE, bytes)).into_iter().collect();
    for (position, (number, values)) in all.iter().enumerate() {
        if !known(&values) {
            continue;
        }
        let is_float = position >= 2 && Sample::KINDS[position - 2] == SampleKind::Float64;
        let guesses = Guess::for_column(*number).iter().filter(|guess| !is_float || **guess != Guess::Before);
        let tried = guesses.filter_map(|guess| column::encode(values, *guess, of));
        let tried = tried.chain(is_float.then(|| column::encode_floats(values)));
        let shortest = tried.min_by_key(Vec::len).expect("a guess that needs nothing is among them");
        packed.push((*number, shortest));
    }
    packed
}

/// The scopes: how many there are, each with its length, and which of them each row has. `None` where no row has one.
fn scopes(rows: &[Row]) -> Option<Vec<u8>> {
    let mut known: Vec<&NetworkScope> = Vec::new();
    let which: Values = rows
        .iter()
        .map(|row| {
            let scope = row.network_scope.as_ref()?;
            let at = known.iter().position(|one| *one == scope).unwrap_or_else(|| {
                known.push(scope);
                known.len() - 1
            });
            Some(at as u64)
        })
        .collect();
    let packed = (!known.is_empty()).then(|| column::encode(&which, Guess::Before, |_| None))??;
    let mut out = Vec::new();
    put_varint(&mut out, known.len() as u64);
    for scope in known {
        let text = scope.to_string();
        put_varint(&mut out, text.len() as u64);
        out.extend(text.as_bytes());
    }
    out.extend(packed);
    Some(out)
}

/// A packed chunk, of which columns are read as they are asked for.
pub struct Chunk<'a> {
    rows: usize,
    columns: Vec<(Column, &'a [u8])>,
    read: Vec<(Column, Values)>,
}

impl<'a> Chunk<'a> {
    /// Looks at the head of `data`, and at its checksum.
    ///
    /// # Errors
    /// It is damaged, or of a newer format.
    pub fn parse(data: &'a [u8]) -> Result<Self, ChunkError> {
        let (version, rest) = data.split_first().ok_or(ChunkError::Malformed)?;
        if *version != VERSION {
            return Err(ChunkError::Version(*version));
        }
        let (checksum, body) = rest.split_first_chunk::<4>().ok_or(ChunkError::Malformed)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(ChunkError::Checksum);
        }
        Self::directory(body).ok_or(ChunkError::Malformed)
    }

    fn directory(mut body: &'a [u8]) -> Option<Self> {
        let rows = usize::try_from(take_varint(&mut body)?).ok().filter(|rows| (1..=MAX_ROWS).contains(rows))?;
        let count = take_varint(&mut body)?;
        let mut lengths = Vec::new();
        for _ in 0..count {
            lengths.push((take_byte(&mut body)?, usize::try_from(take_varint(&mut body)?).ok()?));
        }
        let mut columns = Vec::new();
        for (number, length) in lengths {
            let (bytes, rest) = body.split_at_checked(length)?;
            columns.push((number, bytes));
            body = rest;
        }
        Some(Self { rows, columns, read: Vec::new() })
    }

    /// How many samples it holds; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// When each sample was read.
    ///
    /// # Errors
    /// `Malformed`, as for all that follow.
    pub fn timestamps(&mut self) -> Result<Vec<Timestamp>, ChunkError> {
        self.moments(TIMESTAMP)
    }

    /// The samples, with the fields at these positions in [`Sample::FIELDS`] alone: the others are `None`.
    pub fn samples(&mut self, fields: &[usize]) -> Result<Vec<Sample>, ChunkError> {
        let mut columns = vec![None; Sample::FIELDS.len()];
        for field in fields {
            columns[*field] = self.column(column_of(*field))?;
        }
        let sample = |row: usize| {
            Sample::read(|position, kind| {
                let bits = columns[position].and_then(|column: usize| self.read[column].1[row]);
                Ok::<_, ChunkError>(match kind {
                    SampleKind::Float64 => SampleValue::Float(bits.map(f64::from_bits)),
                    SampleKind::UInt32 | SampleKind::UInt64 => SampleValue::Unsigned(bits),
                })
            })
        };
        (0..self.rows).map(sample).collect()
    }

    /// Everything.
    pub fn rows(&mut self) -> Result<Vec<Row>, ChunkError> {
        let (timestamps, received) = (self.moments(TIMESTAMP)?, self.moments(RECEIVED_AT)?);
        let scopes = self.scopes().ok_or(ChunkError::Malformed)?;
        let samples = self.samples(&(0..Sample::FIELDS.len()).collect::<Vec<_>>())?;
        let rows = timestamps.into_iter().zip(received).zip(scopes).zip(samples);
        Ok(rows
            .map(|(((timestamp, received_at), network_scope), sample)| Row {
                timestamp,
                received_at,
                network_scope,
                sample,
            })
            .collect())
    }

    fn moments(&mut self, number: Column) -> Result<Vec<Timestamp>, ChunkError> {
        let at = self.column(number)?.ok_or(ChunkError::Malformed)?;
        let moment = |bits: &Option<u64>| bits.map(|bits| Timestamp::from_nanos(bits.cast_signed()));
        self.read[at].1.iter().map(|bits| moment(bits).ok_or(ChunkError::Malformed)).collect()
    }

    fn scopes(&self) -> Option<Vec<Option<NetworkScope>>> {
        let Some(&(_, mut bytes)) = self.columns.iter().find(|(number, _)| *number == NETWORK_SCOPE) else {
            return Some(vec![None; self.rows]);
        };
        let mut known = Vec::new();
        for _ in 0..take_varint(&mut bytes)? {
            let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
            let (text, rest) = bytes.split_at_checked(length)?;
            known.push(std::str::from_utf8(text).ok()?.parse::<NetworkScope>().ok()?);
            bytes = rest;
        }
        let which = column::decode(bytes, self.rows, &[])?;
        let scope = |at: Option<u64>| match at {
            None => Some(None),
            Some(at) => Some(Some(known.get(usize::try_from(at).ok()?)?.clone())),
        };
        which.into_iter().map(scope).collect()
    }

    /// Where in `read` the column is; `None` where it has no values.
    fn column(&mut self, number: Column) -> Result<Option<usize>, ChunkError> {
        self.read_column(number, 0).ok_or(ChunkError::Malformed)
    }

    fn read_column(&mut self, number: Column, depth: usize) -> Option<Option<usize>> {
        if let Some(at) = self.read.iter().position(|(read, _)| *read == number) {
            return Some(Some(at));
        }
        let Some(bytes) = self.columns.iter().find(|(column, _)| *column == number).map(|(_, bytes)| *bytes) else {
            return Some(None);
        };
        // Columns that are guessed from each other would never end.
        if depth > self.columns.len() {
            return None;
        }
        let mut needed = Vec::new();
        for other in column::needs(bytes, self.rows)? {
            needed.push(self.read_column(other, depth + 1)??);
        }
        let needed: Vec<&Values> = needed.into_iter().map(|at| &self.read[at].1).collect();
        let values = column::decode(bytes, self.rows, &needed)?;
        self.read.push((number, values));
        Some(Some(self.read.len() - 1))
    }
}

#[cfg(test)]
mod tests;
