//! Events.

use model::{EventRecord, Timestamp};

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::query::is_id_prefix;
use crate::{EventFilter, Listed, Page, StoreError, cursor};

pub(super) async fn list(
    server: &Server,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<EventRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(before) = &page.cursor {
        let (timestamp, [host, kind, action, actor]): (i64, [String; 4]) = cursor::decode("events", before)?;
        let key = format!(
            "(timestamp, host, type, action, actor_id) < ({}, ?, ?, ?, ?)",
            moment(Timestamp::from_nanos(timestamp))
        );
        conditions.add(&key, [&host, &kind, &action, &actor]);
        // What the server can leave out parts by.
        conditions.add(&format!("timestamp <= {}", moment(Timestamp::from_nanos(timestamp))), []);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT * FROM container_events FINAL WHERE {}
         ORDER BY timestamp DESC, host DESC, type DESC, action DESC, actor_id DESC LIMIT {}",
        conditions.clause(),
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
            let end = format!("{container}g");
            let sql = "(container_id >= ? AND container_id < ?) OR container_name = ?";
            conditions.add(sql, [container, &end, container]);
        } else {
            conditions.add("container_name = ?", [container]);
        }
    }
    conditions.add_container_labels(&filter.labels);
    conditions.add_range("timestamp", filter.from, filter.to);
    conditions
}
