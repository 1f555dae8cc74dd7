//! Containers: the list, and the one that a selector names.

use model::{ContainerRecord, ContainerState};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::conditions::Conditions;
use super::server::Server;
use crate::query::is_id_prefix;
use crate::{ContainerFilter, Listed, Page, RevpFilter, Selector, StoreError, cursor, select};

pub(super) async fn list(
    server: &Server,
    filter: &ContainerFilter,
    page: &Page,
) -> Result<Listed<ContainerRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (name, host, id): (String, String, String) = cursor::decode("containers", after)?;
        conditions.add("(container_name, host, container_id) > (?, ?, ?)", [&name, &host, &id]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT * FROM containers FINAL WHERE {} ORDER BY container_name, host, container_id LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut data = read(server.rows(&sql, conditions).await?)?;
    let more = data.len() > rows;
    data.truncate(rows);
    let next_cursor = data.last().filter(|_| more).map(|last| {
        cursor::encode("containers", (&last.container_name, last.host.as_str(), last.container_id.as_str()))
    });
    Ok(Listed { data, next_cursor })
}

fn conditions(filter: &ContainerFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_text("host = ?", filter.host.as_ref());
    if filter.states.is_empty() {
        conditions.add("state <> 'removed'", []);
    } else {
        let states: Vec<String> = filter.states.iter().map(|state| format!("'{}'", state.name())).collect();
        conditions.add(&format!("state IN ({})", states.join(", ")), []);
    }
    conditions.add_text("position(lower(container_name), lower(?)) > 0", filter.name.as_ref());
    if let Some(image) = &filter.image {
        conditions.add("position(lower(image), lower(?)) > 0 OR image_id = ?", [image, image]);
    }
    conditions.add_text("image_id = ?", filter.image_id.as_ref());
    conditions.add_labels(&filter.labels);
    conditions.add_text("compose_project = ?", filter.project.as_ref());
    match filter.health.as_deref() {
        None => {}
        Some("none") => conditions.add("health_status IS NULL", []),
        Some(health) => conditions.add("health_status = ?", [health]),
    }
    match filter.revp {
        None => {}
        Some(RevpFilter::With) => conditions.add("revp IS NOT NULL", []),
        Some(RevpFilter::Without) => conditions.add("revp IS NULL", []),
        Some(RevpFilter::Valid) => {
            conditions.add("revp IS NOT NULL AND JSONLength(ifNull(revp, ''), 'errors') = 0", []);
        }
        Some(RevpFilter::Invalid) => conditions.add("JSONLength(ifNull(revp, ''), 'errors') > 0", []),
    }
    conditions
        .add_text("JSONExtract(ifNull(revp, ''), 'domain', 'Nullable(String)') = lower(?)", filter.domain.as_ref());
    conditions
}

/// A full id or a name is exact; a prefix counts where neither is found.
pub(super) async fn select(server: &Server, selector: &Selector) -> Result<ContainerRecord, StoreError> {
    let text = select::name_of(selector);
    let exact = matching(server, "container_id = ? OR container_name = ?", [text, text], selector).await?;
    let found = match exact {
        found if !found.is_empty() => found,
        _ if is_id_prefix(text) => {
            // All ids that begin so lie between it and it followed by a character beyond the digits.
            let end = format!("{text}g");
            matching(server, "container_id >= ? AND container_id < ?", [text, &end], selector).await?
        }
        none => none,
    };
    select::container(found, selector)
}

async fn matching(
    server: &Server,
    sql: &str,
    values: [&str; 2],
    selector: &Selector,
) -> Result<Vec<ContainerRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add(sql, values);
    conditions.add_text("host = ?", selector.host.as_ref());
    let sql = format!(
        "SELECT * FROM containers FINAL WHERE {} ORDER BY state = 'removed', observed_at DESC LIMIT {}",
        conditions.clause(),
        select::MAX_FOUND
    );
    read(server.rows(&sql, conditions).await?)
}

#[derive(Deserialize)]
struct Counted {
    state: ContainerState,
    containers: u64,
}

/// How many containers are in each state.
pub(super) async fn states(server: &Server) -> Result<Vec<(ContainerState, u64)>, StoreError> {
    let sql = "SELECT state, count() AS containers FROM containers FINAL GROUP BY state";
    let counted: Vec<Counted> = server.rows(sql, Conditions::default()).await?;
    Ok(counted.into_iter().map(|Counted { state, containers }| (state, containers)).collect())
}

/// A row differs from the record in what is a record of its own there: the columns of the health check, and the labels of
/// the reverse proxy, which are JSON in a text.
fn read(rows: Vec<Map<String, Value>>) -> Result<Vec<ContainerRecord>, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError::Unreadable(error.to_string());
    let record = |mut row: Map<String, Value>| {
        let mut take = |column: &str| row.remove(column).unwrap_or_default();
        let (status, streak, output) =
            (take("health_status"), take("health_failing_streak"), take("health_last_output"));
        if !status.is_null() {
            let streak = if streak.is_null() { 0.into() } else { streak };
            let health = serde_json::json!({ "status": status, "failing_streak": streak, "last_output": output });
            row.insert("health".into(), health);
        }
        if let Some(Value::String(revp)) = row.get("revp") {
            let revp = serde_json::from_str(revp).map_err(unreadable)?;
            row.insert("revp".into(), revp);
        }
        serde_json::from_value(Value::Object(row)).map_err(unreadable)
    };
    rows.into_iter().map(record).collect()
}
