//! Losses, as they were reported.

use model::Timestamp;

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::{Listed, LossFilter, Page, StoreError, StoredLoss, cursor};

pub(super) async fn list(server: &Server, filter: &LossFilter, page: &Page) -> Result<Listed<StoredLoss>, StoreError> {
    let mut conditions = Conditions::default();
    if let Some(stream) = filter.stream {
        conditions.add("stream = ?", [stream.name()]);
    }
    conditions.add_text("sink = ?", filter.sink.as_ref());
    if let Some(reason) = filter.reason {
        conditions.add("reason = ?", [reason.name()]);
    }
    conditions.add_range("last_at", filter.from, None);
    conditions.add_range("first_at", None, filter.to);
    if let Some(before) = &page.cursor {
        let (last_at, node, epoch, sequence): (i64, String, u64, u64) = cursor::decode("losses", before)?;
        let last_at = moment(Timestamp::from_nanos(last_at));
        let key = format!("(last_at, node, epoch, sequence) < ({last_at}, ?, {epoch}, {sequence})");
        conditions.add(&key, [&node]);
    }
    let rows = page.rows();
    // A report that was delivered twice is one.
    let sql = format!(
        "SELECT * FROM losses WHERE {} ORDER BY last_at DESC, node DESC, epoch DESC, sequence DESC
         LIMIT 1 BY node, epoch, sequence LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut data: Vec<StoredLoss> = server.rows(&sql, conditions).await?;
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data.last().filter(|_| more).map(|last| {
        cursor::encode("losses", (last.record.last_at.as_nanos(), last.node.as_str(), last.epoch, last.sequence))
    });
    Ok(Listed { data, next_cursor })
}
