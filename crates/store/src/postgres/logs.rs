//! Log lines.

use model::{LogRecord, Timestamp};
use serde::Deserialize;

use super::columns::LOGS;
use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::query::PAGE_BYTES;
use crate::{ContainerKey, Listed, LogFilter, Page, StoreError, cursor};

const KEY: &str = "there.timestamp, there.nanos, there.stream COLLATE \"C\", there.ordinal";
const ORDER: &str = "there.timestamp DESC, there.nanos DESC, there.stream COLLATE \"C\" DESC, there.ordinal DESC";

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
    conditions.add_part("line", filter.text.as_ref());
    conditions.add_range("there.timestamp", "there.nanos", filter.from, filter.to);
    if let Some(before) = &page.cursor {
        let (timestamp, stream, ordinal): (i64, String, u32) = cursor::decode("logs", before)?;
        let (micros, beyond) = moment(Timestamp::from_nanos(timestamp));
        conditions.add(&format!("({KEY}) < ({micros}, {beyond}, ?, {ordinal})"), [&stream]);
        // What parts of the table are left out by.
        conditions.add(&format!("there.timestamp <= {micros}"), []);
    }
    let rows = page.rows();
    // Inside out: the rows, each once; what lies before each; those with room in the page.
    let sql = format!(
        "SELECT {}, there.found FROM (
             SELECT *, count(*) OVER () AS found,
                 sum(octet_length(line)) OVER (ORDER BY {ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
                     - octet_length(line) AS bytes_before
             FROM (
                 SELECT DISTINCT ON ({KEY}) * FROM container_logs AS there WHERE {} ORDER BY {ORDER} LIMIT {}
             ) AS there
         ) AS there WHERE there.bytes_before < {PAGE_BYTES} ORDER BY {ORDER} LIMIT {rows}",
        *LOGS,
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
