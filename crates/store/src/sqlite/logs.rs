//! Log lines.

use std::collections::HashMap;
use std::sync::Arc;

use model::{ContainerMeta, LogRecord, LogStream, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, from_json, text, time};
use crate::query::PAGE_BYTES;
use crate::{ContainerKey, Listed, LogFilter, Page, cursor};

pub(super) fn list(
    connection: &Connection,
    container: &ContainerKey,
    filter: &LogFilter,
    page: &Page,
) -> Result<Listed<LogRecord>, QueryError> {
    let before =
        page.cursor.as_deref().map(|before| cursor::decode::<(i64, String, u32)>("logs", before)).transpose()?;
    let identity = [container.host.as_str(), container.container_id.as_str()];
    let number: Option<i64> = connection
        .prepare_cached("SELECT container FROM logged WHERE host = ? AND container_id = ?")?
        .query_row(identity, |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(Listed { data: Vec::new(), next_cursor: None }) };
    let mut conditions = conditions(number, filter);
    if let Some((timestamp, stream, ordinal)) = before {
        let key = [Value::Integer(timestamp), Value::Text(stream), Value::Integer(ordinal.into())];
        conditions.add("(timestamp, stream, ordinal) < (?, ?, ?)", key);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT timestamp, received_at, stream, ordinal, line, partial, truncated, invalid_utf8, series
         FROM log_lines WHERE {} ORDER BY timestamp DESC, stream DESC, ordinal DESC LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query(params_from_iter(conditions.values()))?;
    let mut metas = Metas { connection, container, known: HashMap::new() };
    let mut data: Vec<LogRecord> = Vec::new();
    let (mut bytes, mut has_more) = (0, false);
    while let Some(row) = found.next()? {
        has_more = data.len() == rows || bytes >= PAGE_BYTES;
        if has_more {
            break;
        }
        let meta = metas.of(row.get(8)?)?;
        let line = read_line(row, meta)?;
        bytes += line.line.len();
        data.push(line);
    }
    let next_cursor = data
        .last()
        .filter(|_| has_more)
        .map(|last| cursor::encode("logs", (last.timestamp.as_nanos(), last.stream.name(), last.ordinal)));
    data.reverse();
    Ok(Listed { data, next_cursor })
}

fn conditions(container: i64, filter: &LogFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add("container = ?", [Value::Integer(container)]);
    if let Some(stream) = filter.stream {
        conditions.add("stream = ?", [Value::Text(stream.name().into())]);
    }
    conditions.add_text("instr(lower(line), lower(?)) > 0", filter.text.as_ref());
    if let Some(from) = filter.from {
        conditions.add("timestamp >= ?", [Value::Integer(from.as_nanos())]);
    }
    if let Some(to) = filter.to {
        conditions.add("timestamp < ?", [Value::Integer(to.as_nanos())]);
    }
    conditions
}

fn read_line(row: &Row<'_>, meta: Arc<ContainerMeta>) -> rusqlite::Result<LogRecord> {
    Ok(LogRecord {
        meta,
        timestamp: Timestamp::from_nanos(row.get(0)?),
        received_at: Timestamp::from_nanos(row.get(1)?),
        stream: text::<LogStream>(row, 2)?,
        ordinal: row.get(3)?,
        line: row.get(4)?,
        partial: row.get(5)?,
        truncated: row.get(6)?,
        invalid_utf8: row.get(7)?,
    })
}

/// Who wrote lines: a few identities for many lines.
struct Metas<'a> {
    connection: &'a Connection,
    container: &'a ContainerKey,
    known: HashMap<i64, Arc<ContainerMeta>>,
}

impl Metas<'_> {
    fn of(&mut self, series: i64) -> rusqlite::Result<Arc<ContainerMeta>> {
        if let Some(meta) = self.known.get(&series) {
            return Ok(meta.clone());
        }
        let meta = self
            .connection
            .prepare_cached(
                "SELECT container_name, image, compose_project, compose_service, run, labels
                 FROM series WHERE series = ?",
            )?
            .query_row([series], |row| {
                Ok(ContainerMeta {
                    host: self.container.host.clone(),
                    container_id: self.container.container_id.clone(),
                    container_name: row.get(0)?,
                    image: row.get(1)?,
                    compose_project: row.get(2)?,
                    compose_service: row.get(3)?,
                    run: time(row, 4)?,
                    labels: from_json(row, 5)?,
                })
            })?;
        let meta = Arc::new(meta);
        self.known.insert(series, meta.clone());
        Ok(meta)
    }
}
