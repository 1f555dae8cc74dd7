//! Images: the list, the one that a selector names, and what changed of them.

use model::{ImageRecord, ImageState, ImageVersionRecord, Timestamp};
use serde::Deserialize;

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::query::image_id_prefix;
use crate::select::with_tag;
use crate::{ImageFilter, Listed, Page, Selector, StoreError, cursor, select};

/// By the first tag; images without one come last.
const ORDER: &str = "empty(tags), tags[1], host, image_id";

/// An array cannot be NULL: whether the users are known is told by their number.
#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    record: ImageRecord,
    containers: Option<u64>,
}

fn read(rows: Vec<Stored>) -> Vec<ImageRecord> {
    let record = |Stored { record, containers }: Stored| ImageRecord {
        used_by: record.used_by.filter(|_| containers.is_some()),
        ..record
    };
    rows.into_iter().map(record).collect()
}

pub(super) async fn list(
    server: &Server,
    filter: &ImageFilter,
    page: &Page,
) -> Result<Listed<ImageRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (is_dangling, tag, host, id): (bool, String, String, String) = cursor::decode("images", after)?;
        conditions.add(&format!("({ORDER}) > ({}, ?, ?, ?)", u8::from(is_dangling)), [&tag, &host, &id]);
    }
    let rows = page.rows();
    let sql =
        format!("SELECT * FROM docker_images FINAL WHERE {} ORDER BY {ORDER} LIMIT {}", conditions.clause(), rows + 1);
    let mut data = read(server.rows(&sql, conditions).await?);
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
    conditions.add("state = ?", [filter.state.unwrap_or(ImageState::Present).name()]);
    conditions.add_text("arrayExists(tag -> position(lower(tag), lower(?)) > 0, tags)", filter.tag.as_ref());
    conditions.add_labels(&filter.labels);
    match filter.is_used {
        None => {}
        // Where the users are not known, it is neither used nor unused.
        Some(true) => conditions.add("containers > 0", []),
        Some(false) => conditions.add("containers = 0", []),
    }
    match filter.is_dangling {
        None => {}
        Some(true) => conditions.add("empty(tags)", []),
        Some(false) => conditions.add("notEmpty(tags)", []),
    }
    conditions
}

/// An id or a tag is exact; a prefix of an id counts where neither is found.
pub(super) async fn select(server: &Server, selector: &Selector) -> Result<ImageRecord, StoreError> {
    let (text, tag) = (selector.text.as_str(), with_tag(&selector.text));
    let exact = matching(server, "image_id = ? OR has(tags, ?) OR has(tags, ?)", [text, text, &tag], selector).await?;
    let found = match (exact.is_empty(), image_id_prefix(text)) {
        (true, Some(prefix)) => {
            let end = format!("{prefix}g");
            matching(server, "image_id >= ? AND image_id < ?", [&prefix, &end], selector).await?
        }
        _ => exact,
    };
    select::image(found, selector)
}

async fn matching<const N: usize>(
    server: &Server,
    sql: &str,
    values: [&str; N],
    selector: &Selector,
) -> Result<Vec<ImageRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add(sql, values);
    conditions.add_text("host = ?", selector.host.as_ref());
    let sql = format!(
        "SELECT * FROM docker_images FINAL WHERE {} ORDER BY state = 'removed', observed_at DESC LIMIT {}",
        conditions.clause(),
        select::MAX_FOUND
    );
    Ok(read(server.rows(&sql, conditions).await?))
}

/// What changed of an image, by its id or a prefix, or of a tag, on any host unless one is named; the newest first.
pub(super) async fn history(
    server: &Server,
    selector: &Selector,
    page: &Page,
) -> Result<Listed<ImageVersionRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add_text("host = ?", selector.host.as_ref());
    match image_id_prefix(&selector.text) {
        Some(prefix) => {
            let end = format!("{prefix}g");
            let sql = "(from_image_id >= ? AND from_image_id < ?) OR (to_image_id >= ? AND to_image_id < ?)";
            conditions.add(sql, [&prefix, &end, &prefix, &end]);
        }
        None => conditions.add("reference IN (?, ?)", [&selector.text, &with_tag(&selector.text)]),
    }
    if let Some(before) = &page.cursor {
        let (observed_at, host): (i64, String) = cursor::decode("image_versions", before)?;
        let observed_at = moment(Timestamp::from_nanos(observed_at));
        conditions.add(&format!("(observed_at, host) < ({observed_at}, ?)"), [&host]);
    }
    let rows = page.rows();
    // A change that was delivered twice is one.
    let sql = format!(
        "SELECT * FROM image_versions WHERE {} ORDER BY observed_at DESC, host DESC
         LIMIT 1 BY host, observed_at LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut data: Vec<ImageVersionRecord> = server.rows(&sql, conditions).await?;
    if data.is_empty() && page.cursor.is_none() {
        // An image without a change is known; one that nobody has heard of is not. Several are as good as one.
        match select(server, selector).await {
            Ok(_) | Err(StoreError::AmbiguousImage(_)) => {}
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
