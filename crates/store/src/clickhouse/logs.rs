//! Log lines.

use model::{LogRecord, Timestamp};
use serde::Deserialize;

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::query::PAGE_BYTES;
use crate::{ContainerKey, Listed, LogFilter, Page, StoreError, cursor};

const COLUMNS: &str = "host, container_id, container_name, image, compose_project, compose_service, run, timestamp,
    received_at, stream, ordinal, line, partial, truncated, invalid_utf8, labels";
const ORDER: &str = "timestamp DESC, stream DESC, ordinal DESC";

#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    record: LogRecord,
    /// How many there are, up to one more than asked for.
    found: u64,
}

pub(super) async fn list(
    server: &Server,
    container: &ContainerKey,
    filter: &LogFilter,
    page: &Page,
) -> Result<Listed<LogRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add("host = ? AND container_id = ?", [container.host.as_str(), container.container_id.as_str()]);
    if let Some(stream) = filter.stream {
        conditions.add("stream = ?", [stream.name()]);
    }
    conditions.add_text("position(lower(line), lower(?)) > 0", filter.text.as_ref());
    conditions.add_range("timestamp", filter.from, filter.to);
    if let Some(before) = &page.cursor {
        let (timestamp, stream, ordinal): (i64, String, u32) = cursor::decode("logs", before)?;
        let timestamp = moment(Timestamp::from_nanos(timestamp));
        conditions.add(&format!("(timestamp, stream, ordinal) < ({timestamp}, ?, {ordinal})"), [&stream]);
        // What the server can leave out parts by.
        conditions.add(&format!("timestamp <= {timestamp}"), []);
    }
    let rows = page.rows();
    // Inside out: the rows, each once; what lies before each; those with room in the page.
    let sql = format!(
        "SELECT {COLUMNS}, found FROM (
             SELECT *, count() OVER () AS found,
                 sum(length(line)) OVER (ORDER BY {ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
                     - length(line) AS bytes_before
             FROM (
                 SELECT {COLUMNS} FROM container_logs WHERE {} ORDER BY {ORDER}
                 LIMIT 1 BY timestamp, stream, ordinal LIMIT {}
             )
         ) WHERE bytes_before < {PAGE_BYTES} ORDER BY {ORDER} LIMIT {rows}",
        conditions.clause(),
        rows + 1
    );
    let lines: Vec<Line> = server.rows(&sql, conditions).await?;
    let found = lines.first().map_or(0, |line| line.found);
    let mut data: Vec<LogRecord> = lines.into_iter().map(|line| line.record).collect();
    let next_cursor = data
        .last()
        .filter(|_| found > data.len() as u64)
        .map(|last| cursor::encode("logs", (last.timestamp.as_nanos(), last.stream.name(), last.ordinal)));
    data.reverse();
    Ok(Listed { data, next_cursor })
}
