//! Log lines.

use std::collections::HashMap;
use std::sync::Arc;

use model::{ContainerMeta, LogRecord, LogStream, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, from_json, text, time};
use crate::{ContainerKey, Listed, LogFilter, Page, cursor};

/// Bytes of lines in a page, at most; one line may exceed it.
const PAGE_BYTES: usize = 4 << 20;

pub(super) fn list(
    connection: &Connection,
    container: &ContainerKey,
    filter: &LogFilter,
    page: &Page,
) -> Result<Listed<LogRecord>, QueryError> {
    let before = page.cursor.as_deref().map(|before| cursor::decode::<(i64, i64)>("logs", before)).transpose()?;
    let identity = [container.host.as_str(), container.container_id.as_str()];
    let number: Option<i64> = connection
        .prepare_cached("SELECT container FROM logged WHERE host = ? AND container_id = ?")?
        .query_row(identity, |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(Listed { data: Vec::new(), next_cursor: None }) };
    let mut conditions = conditions(number, filter);
    if let Some((timestamp, number)) = before {
        conditions.add("(timestamp, number) < (?, ?)", [Value::Integer(timestamp), Value::Integer(number)]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT timestamp, received_at, stream, ordinal, line, partial, truncated, invalid_utf8, series, number
         FROM log_lines WHERE {} ORDER BY timestamp DESC, number DESC LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query(params_from_iter(conditions.values()))?;
    let mut metas = Metas { connection, container, known: HashMap::new() };
    let mut lines: Vec<(LogRecord, i64)> = Vec::new();
    let (mut bytes, mut has_more) = (0, false);
    while let Some(row) = found.next()? {
        has_more = lines.len() == rows || bytes >= PAGE_BYTES;
        if has_more {
            break;
        }
        let meta = metas.of(row.get(8)?)?;
        let line = read_line(row, meta)?;
        bytes += line.line.len();
        lines.push((line, row.get(9)?));
    }
    let next_cursor = lines
        .last()
        .filter(|_| has_more)
        .map(|(record, number)| cursor::encode("logs", (record.timestamp.as_nanos(), number)));
    Ok(Listed { data: lines.into_iter().rev().map(|(record, _)| record).collect(), next_cursor })
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
