//! How the embedded store keeps older samples: [packed](pack) column by column, each value guessed from those around
//! it, so that a sample takes a few bytes and any of its columns is read alone; and [`Rollup`]s, what samples come to over
//! time.
//!
//! Every value comes back as it was, to the last bit. The sink writes what the store reads: both by this crate.

mod bits;
mod chunk;
mod column;
mod layout;
mod numbers;
mod rollup;

pub use chunk::{Chunk, ChunkError, MAX_ROWS, Row, pack};
pub use rollup::{Merge, Rollup, Spread, Sum, fields};
