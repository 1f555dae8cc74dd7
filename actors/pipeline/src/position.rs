//! Where sources begin again: a position moves on only once the journal has the records before it.
//!
//! A record of such a source carries a [`Place`] in its custody, all the way to the journal. The writer asks each
//! source for the mark that is true once the records in hand are journaled, and stores both in one step.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::ports::Mark;

/// A source that can begin again where the journal's knowledge of it ends. Called from any thread, never for long.
pub trait Source: fmt::Debug + Send + Sync {
    /// What the journal is to keep beside the records at `places`, which it does not have yet.
    fn mark(&self, places: &[u64]) -> Mark;

    /// The journal has the records at `places`.
    fn kept(&self, places: &[u64]);

    /// The records at `places` were lost on the way.
    fn lost(&self, places: &[u64]);
}

/// The place of one record in its source, by a number of the source's own.
#[derive(Clone, Debug)]
pub struct Place {
    /// Whose.
    pub source: Arc<dyn Source>,
    /// Which.
    pub number: u64,
}

/// Calls `each` once for every source, with the numbers of its places in order.
pub(crate) fn by_source<'a>(places: impl Iterator<Item = &'a Place>, mut each: impl FnMut(&dyn Source, &[u64])) {
    let mut sources: Vec<(&Arc<dyn Source>, Vec<u64>)> = Vec::new();
    // There may be thousands.
    let mut indices: HashMap<*const (), usize> = HashMap::new();
    for place in places {
        let index = *indices.entry(Arc::as_ptr(&place.source).cast()).or_insert_with(|| {
            sources.push((&place.source, Vec::new()));
            sources.len() - 1
        });
        sources[index].1.push(place.number);
    }
    for (source, numbers) in sources {
        each(&**source, &numbers);
    }
}
