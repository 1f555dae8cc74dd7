//! Images: the list, the one that a selector names, and what changed of them.

use model::{ImageRecord, ImageState, ImageVersionRecord, Timestamp};

use super::columns::{IMAGE_VERSIONS, IMAGES};
use super::conditions::{Conditions, lower, moment};
use super::server::Server;
use crate::query::image_id_prefix;
use crate::select::with_tag;
use crate::{ImageFilter, Listed, Page, Selector, StoreError, cursor, select};

/// By the first tag; images without one come last.
const ORDER: &str = "cardinality(there.tags) = 0, coalesce(there.tags[1], '') COLLATE \"C\", \
                     there.host COLLATE \"C\", there.image_id COLLATE \"C\"";

pub(super) async fn list(
    server: &Server,
    filter: &ImageFilter,
    page: &Page,
) -> Result<Listed<ImageRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (is_dangling, tag, host, id): (bool, String, String, String) = cursor::decode("images", after)?;
        conditions.add(&format!("({ORDER}) > ({is_dangling}, ?, ?, ?)"), [&tag, &host, &id]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {} FROM docker_images AS there WHERE {} ORDER BY {ORDER} LIMIT {}",
        *IMAGES,
        conditions.clause(),
        rows + 1
    );
    let mut data: Vec<ImageRecord> = server.rows(&sql, conditions).await?;
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
    let of_a_tag =
        format!("EXISTS (SELECT 1 FROM unnest(tags) AS tag WHERE strpos({}, {}) > 0)", lower("tag"), lower("?"));
    conditions.add_text(&of_a_tag, filter.tag.as_ref());
    conditions.add_labels(&filter.labels);
    match filter.is_used {
        None => {}
        // Where the users are not known, it is neither used nor unused.
        Some(true) => conditions.add("cardinality(used_by) > 0", []),
        Some(false) => conditions.add("cardinality(used_by) = 0", []),
    }
    match filter.is_dangling {
        None => {}
        Some(true) => conditions.add("cardinality(tags) = 0", []),
        Some(false) => conditions.add("cardinality(tags) > 0", []),
    }
    conditions
}

/// An id or a tag is exact; a prefix of an id counts where neither is found.
pub(super) async fn select(server: &Server, selector: &Selector) -> Result<ImageRecord, StoreError> {
    let (text, tag) = (selector.text.as_str(), with_tag(&selector.text));
    let named = "image_id = ? OR ? = ANY (tags) OR ? = ANY (tags)";
    let exact = matching(server, named, [text, text, &tag], selector).await?;
    let found = match (exact.is_empty(), image_id_prefix(text)) {
        (true, Some(prefix)) => matching(server, "starts_with(image_id, ?)", [&prefix], selector).await?,
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
        "SELECT {} FROM docker_images AS there WHERE {}
         ORDER BY there.state = 'removed', there.observed_at DESC, there.nanos DESC LIMIT {}",
        *IMAGES,
        conditions.clause(),
        select::MAX_FOUND
    );
    server.rows(&sql, conditions).await
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
            conditions.add("starts_with(from_image_id, ?) OR starts_with(to_image_id, ?)", [&prefix, &prefix]);
        }
        None => conditions.add("reference IN (?, ?)", [&selector.text, &with_tag(&selector.text)]),
    }
    if let Some(before) = &page.cursor {
        let (observed_at, host): (i64, String) = cursor::decode("image_versions", before)?;
        let (micros, beyond) = moment(Timestamp::from_nanos(observed_at));
        let key = "there.observed_at, there.nanos, there.host COLLATE \"C\"";
        conditions.add(&format!("({key}) < ({micros}, {beyond}, ?)"), [&host]);
        conditions.add(&format!("there.observed_at <= {micros}"), []);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {} FROM image_versions AS there WHERE {}
         ORDER BY there.observed_at DESC, there.nanos DESC, there.host COLLATE \"C\" DESC LIMIT {}",
        *IMAGE_VERSIONS,
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
