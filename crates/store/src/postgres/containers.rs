//! Containers: the list, and the one that a selector names.

use model::{ContainerRecord, ContainerState};
use serde::Deserialize;

use super::columns::CONTAINERS;
use super::conditions::{Conditions, lower};
use super::server::Server;
use crate::query::is_id_prefix;
use crate::{ContainerFilter, Listed, Page, RevpFilter, Selector, StoreError, cursor, select};

const ORDER: &str = "there.container_name COLLATE \"C\", there.host COLLATE \"C\", there.container_id COLLATE \"C\"";

pub(super) async fn list(
    server: &Server,
    filter: &ContainerFilter,
    page: &Page,
) -> Result<Listed<ContainerRecord>, StoreError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (name, host, id): (String, String, String) = cursor::decode("containers", after)?;
        conditions.add(&format!("({ORDER}) > (?, ?, ?)"), [&name, &host, &id]);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {} FROM containers AS there WHERE {} ORDER BY {ORDER} LIMIT {}",
        *CONTAINERS,
        conditions.clause(),
        rows + 1
    );
    let mut data: Vec<ContainerRecord> = server.rows(&sql, conditions).await?;
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
    conditions.add_part("container_name", filter.name.as_ref());
    if let Some(image) = &filter.image {
        let part = format!("strpos({}, {}) > 0 OR image_id = ?", lower("image"), lower("?"));
        conditions.add(&part, [image, image]);
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
        Some(RevpFilter::Valid) => conditions.add("jsonb_array_length(revp -> 'errors') = 0", []),
        Some(RevpFilter::Invalid) => conditions.add("jsonb_array_length(revp -> 'errors') > 0", []),
    }
    conditions.add_text(&format!("revp ->> 'domain' = {}", lower("?")), filter.domain.as_ref());
    conditions
}

/// A full id or a name is exact; a prefix counts where neither is found.
pub(super) async fn select(server: &Server, selector: &Selector) -> Result<ContainerRecord, StoreError> {
    let text = select::name_of(selector);
    let exact = matching(server, "container_id = ? OR container_name = ?", [text, text], selector).await?;
    let found = match exact {
        found if !found.is_empty() => found,
        _ if is_id_prefix(text) => matching(server, "starts_with(container_id, ?)", [text], selector).await?,
        none => none,
    };
    select::container(found, selector)
}

async fn matching<const N: usize>(
    server: &Server,
    sql: &str,
    values: [&str; N],
    selector: &Selector,
) -> Result<Vec<ContainerRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add(sql, values);
    conditions.add_text("host = ?", selector.host.as_ref());
    let sql = format!(
        "SELECT {} FROM containers AS there WHERE {}
         ORDER BY there.state = 'removed', there.observed_at DESC, there.nanos DESC LIMIT {}",
        *CONTAINERS,
        conditions.clause(),
        select::MAX_FOUND
    );
    server.rows(&sql, conditions).await
}

#[derive(Deserialize)]
struct Counted {
    state: ContainerState,
    containers: u64,
}

/// How many containers are in each state.
pub(super) async fn states(server: &Server) -> Result<Vec<(ContainerState, u64)>, StoreError> {
    let sql = "SELECT state, count(*) AS containers FROM containers GROUP BY state";
    let counted: Vec<Counted> = server.rows(sql, Conditions::default()).await?;
    Ok(counted.into_iter().map(|Counted { state, containers }| (state, containers)).collect())
}
