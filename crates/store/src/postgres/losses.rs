//! Losses, as they were reported.

use model::Timestamp;

use super::columns::LOSSES;
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
    conditions.add_range("there.last_at", "there.nanos", filter.from, None);
    conditions.add_range("there.first_at", "there.more_nanos", None, filter.to);
    if let Some(before) = &page.cursor {
        let (last_at, node, epoch, sequence): (i64, String, u64, u64) = cursor::decode("losses", before)?;
        let (micros, beyond) = moment(Timestamp::from_nanos(last_at));
        let key = "there.last_at, there.nanos, there.node COLLATE \"C\", there.epoch, there.sequence";
        conditions.add(&format!("({key}) < ({micros}, {beyond}, ?, {epoch}, {sequence})"), [&node]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {} FROM losses AS there WHERE {} ORDER BY there.last_at DESC, there.nanos DESC,
             there.node COLLATE \"C\" DESC, there.epoch DESC, there.sequence DESC LIMIT {}",
        *LOSSES,
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
