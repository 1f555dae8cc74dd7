//! Images: the list, the one that a selector names, and what changed of them.

use model::{HostName, ImageRecord, ImageState, ImageVersionRecord, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, from_json, optional_json, text, time, whole};
use crate::query::image_id_prefix;
use crate::select::with_tag;
use crate::{ImageFilter, Listed, Page, Selector, StoreError, cursor, select};

const COLUMNS: &str = "host, image_id, state, tags, digests, created_at, size_bytes, labels, used_by, observed_at";

/// By the first tag; images without one come last.
const ORDER: &str = "tags = '[]', coalesce(json_extract(tags, '$[0]'), ''), host, image_id";

pub(super) fn list(
    connection: &Connection,
    filter: &ImageFilter,
    page: &Page,
) -> Result<Listed<ImageRecord>, QueryError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (is_dangling, tag, host, id): (bool, String, String, String) = cursor::decode("images", after)?;
        let key = [Value::Integer(is_dangling.into()), Value::Text(tag), Value::Text(host), Value::Text(id)];
        conditions.add(&format!("({ORDER}) > (?, ?, ?, ?)"), key);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {COLUMNS} FROM docker_images WHERE {} ORDER BY {ORDER} LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values()), read_image)?;
    let mut data: Vec<ImageRecord> = found.collect::<Result<_, _>>()?;
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data.last().filter(|_| more).map(|last| {
        let tag = last.tags.first();
        let key = (tag.is_none(), tag.map_or("", String::as_str), last.host.as_str(), last.image_id.as_str());
        cursor::encode("images", key)
    });
    Ok(Listed { data, next_cursor })
}

fn conditions(filter: &ImageFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_text("host = ?", filter.host.as_ref());
    let state = filter.state.unwrap_or(ImageState::Present);
    conditions.add("state = ?", [Value::Text(state.name().into())]);
    conditions.add_text(
        "EXISTS (SELECT 1 FROM json_each(tags) WHERE instr(lower(value), lower(?)) > 0)",
        filter.tag.as_ref(),
    );
    conditions.add_labels(&filter.labels);
    match filter.is_used {
        None => {}
        // Where the users are not known, it is neither used nor unused.
        Some(true) => conditions.add("used_by IS NOT NULL AND used_by <> '[]'", []),
        Some(false) => conditions.add("used_by = '[]'", []),
    }
    match filter.is_dangling {
        None => {}
        Some(true) => conditions.add("tags = '[]'", []),
        Some(false) => conditions.add("tags <> '[]'", []),
    }
    conditions
}

/// An id or a tag is exact; a prefix of an id counts where neither is found.
pub(super) fn select(connection: &Connection, selector: &Selector) -> Result<ImageRecord, QueryError> {
    let named = "image_id = ? OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value IN (?, ?))";
    let tag = with_tag(&selector.text);
    let exact = matching(connection, named, [&selector.text, &selector.text, &tag], selector)?;
    let found = match (exact.is_empty(), image_id_prefix(&selector.text)) {
        (true, Some(prefix)) => {
            let end = format!("{prefix}g");
            matching(connection, "image_id >= ? AND image_id < ? AND ? <> ''", [&prefix, &end, &prefix], selector)?
        }
        _ => exact,
    };
    Ok(select::image(found, selector)?)
}

fn matching(
    connection: &Connection,
    sql: &str,
    values: [&str; 3],
    selector: &Selector,
) -> rusqlite::Result<Vec<ImageRecord>> {
    let mut conditions = Conditions::default();
    conditions.add(sql, values.map(|value| Value::Text(value.to_owned())));
    conditions.add_text("host = ?", selector.host.as_ref());
    let sql = format!(
        "SELECT {COLUMNS} FROM docker_images WHERE {} ORDER BY state = 'removed', observed_at DESC LIMIT {}",
        conditions.clause(),
        select::MAX_FOUND
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(conditions.values()), read_image)?.collect()
}

/// What changed of an image, by its id or a prefix, or of a tag, on any host unless one is named; the newest first.
pub(super) fn history(
    connection: &Connection,
    selector: &Selector,
    page: &Page,
) -> Result<Listed<ImageVersionRecord>, QueryError> {
    let mut conditions = Conditions::default();
    conditions.add_text("host = ?", selector.host.as_ref());
    match image_id_prefix(&selector.text) {
        Some(prefix) => {
            let end = format!("{prefix}g");
            let bounds = [&prefix, &end, &prefix, &end].map(|text| Value::Text(text.clone()));
            let sql = "(from_image_id >= ? AND from_image_id < ?) OR (to_image_id >= ? AND to_image_id < ?)";
            conditions.add(sql, bounds);
        }
        None => {
            let names = [selector.text.clone(), with_tag(&selector.text)].map(Value::Text);
            conditions.add("reference IN (?, ?)", names);
        }
    }
    if let Some(before) = &page.cursor {
        let (observed_at, host): (i64, String) = cursor::decode("image_versions", before)?;
        conditions.add("(observed_at, host) < (?, ?)", [Value::Integer(observed_at), Value::Text(host)]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT host, observed_at, change, reference, from_image_id, to_image_id, from_digest, to_digest
         FROM image_versions WHERE {} ORDER BY observed_at DESC, host DESC LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values()), read_version)?;
    let mut data: Vec<ImageVersionRecord> = found.collect::<Result<_, _>>()?;
    if data.is_empty() && page.cursor.is_none() {
        // An image without a change is known; one that nobody has heard of is not. Several are as good as one.
        match select(connection, selector) {
            Ok(_) | Err(QueryError::Store(StoreError::AmbiguousImage(_))) => {}
            Err(error) => return Err(error),
        }
    }
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data
        .last()
        .filter(|_| more)
        .map(|last| cursor::encode("image_versions", (last.observed_at.as_nanos(), last.host.as_str())));
    Ok(Listed { data, next_cursor })
}

fn read_image(row: &Row<'_>) -> rusqlite::Result<ImageRecord> {
    Ok(ImageRecord {
        host: text::<HostName>(row, 0)?,
        image_id: row.get(1)?,
        state: text(row, 2)?,
        tags: from_json(row, 3)?,
        digests: from_json(row, 4)?,
        created_at: time(row, 5)?,
        size_bytes: whole(row, 6)?,
        labels: from_json(row, 7)?,
        used_by: optional_json(row, 8)?,
        observed_at: Timestamp::from_nanos(row.get(9)?),
    })
}

fn read_version(row: &Row<'_>) -> rusqlite::Result<ImageVersionRecord> {
    Ok(ImageVersionRecord {
        host: text::<HostName>(row, 0)?,
        observed_at: Timestamp::from_nanos(row.get(1)?),
        change: text(row, 2)?,
        reference: row.get(3)?,
        from_image_id: row.get(4)?,
        to_image_id: row.get(5)?,
        from_digest: row.get(6)?,
        to_digest: row.get(7)?,
    })
}
