//! Events.

use model::{ContainerId, EventRecord, HostName, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, from_json, optional_text, text};
use crate::query::is_id_prefix;
use crate::{EventFilter, Listed, Page, cursor};

pub(super) fn list(
    connection: &Connection,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<EventRecord>, QueryError> {
    let mut conditions = conditions(filter);
    if let Some(before) = &page.cursor {
        let (timestamp, key): (i64, [String; 4]) = cursor::decode("events", before)?;
        let [host, kind, action, actor] = key.map(Value::Text);
        let key = [Value::Integer(timestamp), host, kind, action, actor];
        conditions.add("(timestamp, host, type, action, actor_id) < (?, ?, ?, ?, ?)", key);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT host, timestamp, received_at, type, action, argument, actor_id, actor_name, container_id,
             container_name, image, compose_project, compose_service, exit_code, signal, synthetic, attributes,
             exit_cause, labels
         FROM container_events WHERE {}
         ORDER BY timestamp DESC, host DESC, type DESC, action DESC, actor_id DESC LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values()), read_event)?;
    let mut data: Vec<EventRecord> = found.collect::<Result<_, _>>()?;
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
        let name = || Value::Text(container.clone());
        if is_id_prefix(container) {
            let end = Value::Text(format!("{container}g"));
            conditions.add("(container_id >= ? AND container_id < ?) OR container_name = ?", [name(), end, name()]);
        } else {
            conditions.add("container_name = ?", [name()]);
        }
    }
    conditions.add_container_labels(&filter.labels);
    if let Some(from) = filter.from {
        conditions.add("timestamp >= ?", [Value::Integer(from.as_nanos())]);
    }
    if let Some(to) = filter.to {
        conditions.add("timestamp < ?", [Value::Integer(to.as_nanos())]);
    }
    conditions
}

fn read_event(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        host: text::<HostName>(row, 0)?,
        timestamp: Timestamp::from_nanos(row.get(1)?),
        received_at: Timestamp::from_nanos(row.get(2)?),
        kind: row.get(3)?,
        action: row.get(4)?,
        argument: row.get(5)?,
        actor_id: row.get(6)?,
        actor_name: row.get(7)?,
        container_id: optional_text::<ContainerId>(row, 8)?,
        container_name: row.get(9)?,
        image: row.get(10)?,
        compose_project: row.get(11)?,
        compose_service: row.get(12)?,
        exit_code: row.get(13)?,
        exit_cause: row.get(17)?,
        signal: row.get(14)?,
        synthetic: row.get(15)?,
        attributes: from_json(row, 16)?,
        labels: from_json(row, 18)?,
    })
}
