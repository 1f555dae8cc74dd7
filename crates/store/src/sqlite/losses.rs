//! Losses, as they were reported.

use model::{LossReason, LossRecord, NodeName, Stream, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, text, whole, word};
use crate::{Listed, LossFilter, Page, StoredLoss, cursor};

pub(super) fn list(
    connection: &Connection,
    filter: &LossFilter,
    page: &Page,
) -> Result<Listed<StoredLoss>, QueryError> {
    let mut conditions = conditions(filter);
    if let Some(before) = &page.cursor {
        let (last_at, node, epoch, sequence): (i64, String, i64, i64) = cursor::decode("losses", before)?;
        let key = [Value::Integer(last_at), Value::Text(node), Value::Integer(epoch), Value::Integer(sequence)];
        conditions.add("(last_at, node, epoch, sequence) < (?, ?, ?, ?)", key);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT node, epoch, sequence, stream, sink, reason, count, first_at, last_at FROM losses WHERE {}
         ORDER BY last_at DESC, node DESC, epoch DESC, sequence DESC LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values()), read_loss)?;
    let mut data: Vec<StoredLoss> = found.collect::<Result<_, _>>()?;
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data.last().filter(|_| more).map(|last| {
        cursor::encode("losses", (last.record.last_at.as_nanos(), last.node.as_str(), last.epoch, last.sequence))
    });
    Ok(Listed { data, next_cursor })
}

fn conditions(filter: &LossFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(stream) = filter.stream {
        conditions.add("stream = ?", [Value::Text(stream.name().into())]);
    }
    conditions.add_text("sink = ?", filter.sink.as_ref());
    if let Some(reason) = filter.reason {
        conditions.add("reason = ?", [Value::Text(reason.name().into())]);
    }
    if let Some(from) = filter.from {
        conditions.add("last_at >= ?", [Value::Integer(from.as_nanos())]);
    }
    if let Some(to) = filter.to {
        conditions.add("first_at < ?", [Value::Integer(to.as_nanos())]);
    }
    conditions
}

fn read_loss(row: &Row<'_>) -> rusqlite::Result<StoredLoss> {
    Ok(StoredLoss {
        node: text::<NodeName>(row, 0)?,
        epoch: whole(row, 1)?.unwrap_or(0),
        sequence: whole(row, 2)?.unwrap_or(0),
        record: LossRecord {
            stream: word::<Stream>(row, 3)?,
            sink: row.get(4)?,
            reason: word::<LossReason>(row, 5)?,
            count: whole(row, 6)?.unwrap_or(0),
            first_at: Timestamp::from_nanos(row.get(7)?),
            last_at: Timestamp::from_nanos(row.get(8)?),
        },
    })
}
