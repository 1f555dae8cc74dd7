//! Which records are stored, by the sequences of their streams: what a range brings again is left out.

use std::ops::Range;

use model::{Batch, BatchId};
use tokio_postgres::{Error, Transaction};

/// One writer at a time under a node's name: another attempt at the same rows, which may still be under way on a
/// connection that was given up, is waited for. So what the ledger says stays true until the end of the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('dockstream/' || current_schema()), hashtext($1))";

const LANDED: &str = "SELECT first, last FROM dockstream_ledger
    WHERE node = $1 AND epoch = $2 AND stream = $3 AND last >= $4 AND first <= $5";

/// What follows on what is there makes that longer.
const LAND: &str = "WITH grown AS (
        UPDATE dockstream_ledger SET last = $5::bigint, landed_at = now()
        WHERE node = $1::text AND epoch = $2::bigint AND stream = $3::text AND last = $4::bigint - 1 RETURNING 1)
    INSERT INTO dockstream_ledger (node, epoch, stream, first, last)
    SELECT $1::text, $2::bigint, $3::text, $4::bigint, $5::bigint WHERE NOT EXISTS (SELECT 1 FROM grown)";

/// Rows of a batch that are not stored yet.
pub(super) struct Missing<'a> {
    pub batch: &'a Batch,
    pub rows: Vec<Range<usize>>,
}

/// Locks the nodes of `batches`, and tells what of these is missing.
pub(super) async fn missing<'a>(within: &Transaction<'_>, batches: &'a [Batch]) -> Result<Vec<Missing<'a>>, Error> {
    let mut nodes: Vec<&str> = batches.iter().map(|batch| batch.id.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        within.query_one(LOCK, &[&node]).await?;
    }
    let landed = within.prepare(LANDED).await?;
    let mut missing = Vec::with_capacity(batches.len());
    for batch in batches {
        let Name { node, epoch, stream, first, last } = Name::of(&batch.id);
        let rows = within.query(&landed, &[&node, &epoch, &stream, &first, &last]).await?;
        let landed = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let landed: Vec<(i64, i64)> = landed.collect::<Result<_, Error>>()?;
        missing.push(Missing { batch, rows: gaps(first, last, landed) });
    }
    Ok(missing)
}

/// Writes down that `batches` are stored.
pub(super) async fn land(within: &Transaction<'_>, batches: &[Missing<'_>]) -> Result<(), Error> {
    let land = within.prepare(LAND).await?;
    for Missing { batch, rows } in batches {
        let Name { node, epoch, stream, first, .. } = Name::of(&batch.id);
        for rows in rows {
            let sequence = |index: usize| first.saturating_add(i64::try_from(index).unwrap_or(i64::MAX));
            let (from, to) = (sequence(rows.start), sequence(rows.end) - 1);
            within.execute(&land, &[&node, &epoch, &stream, &from, &to]).await?;
        }
    }
    Ok(())
}

struct Name<'a> {
    node: &'a str,
    epoch: i64,
    stream: &'static str,
    first: i64,
    last: i64,
}

impl<'a> Name<'a> {
    /// Epochs and sequences are counted from 1, one by one: they fit.
    fn of(id: &'a BatchId) -> Self {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Self {
            node: id.node.as_str(),
            epoch: signed(id.epoch),
            stream: id.stream.name(),
            first: signed(id.first),
            last: signed(id.last),
        }
    }
}

/// The rows, from 0, of `first..=last` that are in none of `landed`.
fn gaps(first: i64, last: i64, mut landed: Vec<(i64, i64)>) -> Vec<Range<usize>> {
    landed.sort_unstable();
    let index = |sequence: i64| usize::try_from(sequence - first).unwrap_or(0);
    let mut gaps = Vec::new();
    let mut next = first;
    for (from, to) in landed {
        if from > next {
            gaps.push(index(next)..index(from.min(last + 1)));
        }
        next = next.max(to + 1);
    }
    if next <= last {
        gaps.push(index(next)..index(last + 1));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_landed_in_any_parts_is_left_out_and_all_else_is_not() {
        assert_eq!(gaps(10, 19, vec![]), std::slice::from_ref(&(0..10)));
        assert!(gaps(10, 19, vec![(10, 19)]).is_empty());
        assert!(gaps(10, 19, vec![(1, 100)]).is_empty());
        assert_eq!(gaps(10, 19, vec![(1, 9), (20, 30)]), std::slice::from_ref(&(0..10)));
        assert_eq!(gaps(10, 19, vec![(16, 30), (1, 11), (13, 13)]), [2..3, 4..6]);
        assert_eq!(gaps(10, 19, vec![(12, 14), (13, 18)]), [0..2, 9..10]);
    }
}
