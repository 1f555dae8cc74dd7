//! Events.

use model::{EventRecord, Timestamp};

use super::columns::EVENTS;
use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::query::is_id_prefix;
use crate::{EventFilter, Listed, Page, StoreError, cursor};

const KEY: &str = "there.timestamp, there.nanos, there.host COLLATE \"C\", there.type COLLATE \"C\", \
                   there.action COLLATE \"C\", there.actor_id COLLATE \"C\"";

pub(super) async fn list(
    server: &Server,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<EventRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(before) = &page.cursor {
        let (timestamp, [host, kind, action, actor]): (i64, [String; 4]) = cursor::decode("events", before)?;
        let (micros, beyond) = moment(Timestamp::from_nanos(timestamp));
        conditions.add(&format!("({KEY}) < ({micros}, {beyond}, ?, ?, ?, ?)"), [&host, &kind, &action, &actor]);
        // What parts of the table are left out by.
        conditions.add(&format!("there.timestamp <= {micros}"), []);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {} FROM container_events AS there WHERE {} ORDER BY {} DESC LIMIT {}",
        *EVENTS,
        conditions.clause(),
        KEY.replace(", there", " DESC, there"),
        rows + 1
    );
    let mut data: Vec<EventRecord> = server.rows(&sql, conditions).await?;
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data.last().filter(|_| more).map(|last| {
        cursor::encode(
            "events",
            (last.timestamp.as_nanos(), [last.host.as_str(), &last.kind, &last.action, &last.actor_id]),
        )
    });
    Ok(Listed { data, next_cursor })
}

fn conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_text("host = ?", filter.host.as_ref());
    conditions.add_text("type = ?", filter.kind.as_ref());
    conditions.add_text("action = ?", filter.action.as_ref());
    if let Some(container) = &filter.container {
        if is_id_prefix(container) {
            conditions.add("starts_with(container_id, ?) OR container_name = ?", [container, container]);
        } else {
            conditions.add("container_name = ?", [container]);
        }
    }
    conditions.add_container_labels(&filter.labels);
    conditions.add_range("there.timestamp", "there.nanos", filter.from, filter.to);
    conditions
}
