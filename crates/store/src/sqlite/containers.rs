//! Containers: the list, and the one that a selector names.

use model::{ContainerId, ContainerRecord, ContainerState, Health, HostName, NetworkScope, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::pool::QueryError;
use super::read::{Conditions, from_json, optional_json, optional_text, text, time, whole};
use crate::query::is_id_prefix;
use crate::{ContainerFilter, Listed, Page, RevpFilter, Selector, cursor, select};

const COLUMNS: &str = "host, container_id, container_name, image, image_id, compose_project, compose_service, state,
    status, pid, exit_code, oom_killed, error, created_at, started_at, finished_at, health_status,
    health_failing_streak, health_last_output, labels, ports, networks, mounts, network_scope, restart_policy,
    restart_count, cpu_limit_cores, memory_limit_bytes, pids_limit, observed_at, image_digest, environment, cpu_shares,
    cpuset_cpus, memory_reservation_bytes, memory_swap_limit_bytes, revp, exit_cause";

pub(super) fn list(
    connection: &Connection,
    filter: &ContainerFilter,
    page: &Page,
) -> Result<Listed<ContainerRecord>, QueryError> {
    let mut conditions = conditions(filter);
    if let Some(after) = &page.cursor {
        let (name, host, id): (String, String, String) = cursor::decode("containers", after)?;
        let key = [name, host, id].map(Value::Text);
        conditions.add("(container_name, host, container_id) > (?, ?, ?)", key);
    }
    let rows = page.rows();
    let sql = format!(
        "SELECT {COLUMNS} FROM containers WHERE {} ORDER BY container_name, host, container_id LIMIT {}",
        conditions.clause(),
        rows + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values()), read_container)?;
    let mut data: Vec<ContainerRecord> = found.collect::<Result<_, _>>()?;
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
        conditions.add("state <> ?", [Value::Text(ContainerState::Removed.name().into())]);
    } else {
        let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
        let states = serde_json::to_string(&states).expect("words are JSON");
        conditions.add("state IN (SELECT value FROM json_each(?))", [Value::Text(states)]);
    }
    conditions.add_text("instr(lower(container_name), lower(?)) > 0", filter.name.as_ref());
    if let Some(image) = &filter.image {
        let values = [image, image].map(|image| Value::Text(image.clone()));
        conditions.add("instr(lower(image), lower(?)) > 0 OR image_id = ?", values);
    }
    conditions.add_text("image_id = ?", filter.image_id.as_ref());
    conditions.add_labels(&filter.labels);
    conditions.add_text("compose_project = ?", filter.project.as_ref());
    match filter.health.as_deref() {
        None => {}
        Some("none") => conditions.add("health_status IS NULL", []),
        Some(health) => conditions.add("health_status = ?", [Value::Text(health.to_owned())]),
    }
    match filter.revp {
        None => {}
        Some(RevpFilter::With) => conditions.add("revp IS NOT NULL", []),
        Some(RevpFilter::Without) => conditions.add("revp IS NULL", []),
        Some(RevpFilter::Valid) => conditions.add("json_array_length(revp, '$.errors') = 0", []),
        Some(RevpFilter::Invalid) => conditions.add("json_array_length(revp, '$.errors') > 0", []),
    }
    conditions.add_text("json_extract(revp, '$.domain') = lower(?)", filter.domain.as_ref());
    conditions
}

/// A full id or a name is exact; a prefix counts where neither is found.
pub(super) fn select(connection: &Connection, selector: &Selector) -> Result<ContainerRecord, QueryError> {
    let text = select::name_of(selector);
    let exact = matching(connection, "container_id = ? OR container_name = ?", [text, text], selector)?;
    let found = match exact {
        found if !found.is_empty() => found,
        _ if is_id_prefix(text) => {
            // All ids that begin so lie between it and it followed by a character beyond the digits.
            let end = format!("{text}g");
            matching(connection, "container_id >= ? AND container_id < ?", [text, &end], selector)?
        }
        none => none,
    };
    Ok(select::container(found, selector)?)
}

fn matching(
    connection: &Connection,
    sql: &str,
    values: [&str; 2],
    selector: &Selector,
) -> rusqlite::Result<Vec<ContainerRecord>> {
    let mut conditions = Conditions::default();
    conditions.add(sql, values.map(|value| Value::Text(value.to_owned())));
    conditions.add_text("host = ?", selector.host.as_ref());
    let sql = format!(
        "SELECT {COLUMNS} FROM containers WHERE {} ORDER BY state = 'removed', observed_at DESC LIMIT {}",
        conditions.clause(),
        select::MAX_FOUND
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(conditions.values()), read_container)?.collect()
}

/// How many containers are in each state.
pub(super) fn states(connection: &Connection) -> rusqlite::Result<Vec<(ContainerState, u64)>> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM containers GROUP BY state")?;
    statement.query_map([], |row| Ok((text(row, 0)?, whole(row, 1)?.unwrap_or(0))))?.collect()
}

fn read_container(row: &Row<'_>) -> rusqlite::Result<ContainerRecord> {
    let health = row.get::<_, Option<String>>(16)?.map(|status| {
        Ok::<_, rusqlite::Error>(Health {
            status,
            failing_streak: row.get::<_, Option<u32>>(17)?.unwrap_or(0),
            last_output: row.get(18)?,
        })
    });
    Ok(ContainerRecord {
        host: text::<HostName>(row, 0)?,
        container_id: text::<ContainerId>(row, 1)?,
        container_name: row.get(2)?,
        image: row.get(3)?,
        image_id: row.get(4)?,
        image_digest: row.get(30)?,
        compose_project: row.get(5)?,
        compose_service: row.get(6)?,
        state: text(row, 7)?,
        status: row.get(8)?,
        pid: whole(row, 9)?,
        exit_code: row.get(10)?,
        oom_killed: row.get(11)?,
        error: row.get(12)?,
        created_at: time(row, 13)?,
        started_at: time(row, 14)?,
        finished_at: time(row, 15)?,
        health: health.transpose()?,
        labels: from_json(row, 19)?,
        environment: from_json(row, 31)?,
        ports: from_json(row, 20)?,
        networks: from_json(row, 21)?,
        mounts: from_json(row, 22)?,
        network_scope: optional_text::<NetworkScope>(row, 23)?,
        restart_policy: row.get(24)?,
        restart_count: whole(row, 25)?,
        cpu_limit_cores: row.get(26)?,
        memory_limit_bytes: whole(row, 27)?,
        pids_limit: whole(row, 28)?,
        cpu_shares: whole(row, 32)?,
        cpuset_cpus: row.get(33)?,
        memory_reservation_bytes: whole(row, 34)?,
        memory_swap_limit_bytes: whole(row, 35)?,
        revp: optional_json(row, 36)?,
        exit_cause: row.get(37)?,
        observed_at: Timestamp::from_nanos(row.get(29)?),
    })
}
