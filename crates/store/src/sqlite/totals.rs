//! All containers together, over time.

use std::collections::{BTreeMap, HashSet};

use model::{ContainerId, HostName, Timestamp};
use rusqlite::Connection;

use super::history::{Span, points};
use super::pool::QueryError;
use super::read::text;
use crate::{ContainerKey, HistoryQuery, Plan, TotalsPoint};

pub(super) fn history(
    connection: &Connection,
    query: &HistoryQuery,
    plan: Plan,
) -> Result<Vec<TotalsPoint>, QueryError> {
    let _moment = connection.unchecked_transaction()?;
    let span = Span::of(&plan, query);
    let shared: HashSet<ContainerKey> =
        keys(connection, "SELECT host, container_id FROM containers WHERE network_scope LIKE 'shared:%'")?
            .into_iter()
            .collect();
    let mut totals: BTreeMap<Timestamp, TotalsPoint> = BTreeMap::new();
    for container in keys(connection, "SELECT DISTINCT host, container_id FROM series")? {
        let has_own_network = !shared.contains(&container);
        for point in points(connection, &container, plan.resolution, span, usize::MAX)?.unwrap_or_default() {
            let timestamp = point.timestamp;
            let total = totals.entry(timestamp).or_insert_with(|| TotalsPoint { timestamp, ..TotalsPoint::default() });
            total.add(&point, has_own_network);
        }
    }
    Ok(totals.into_values().collect())
}

fn keys(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<ContainerKey>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([], |row| {
        Ok(ContainerKey { host: text::<HostName>(row, 0)?, container_id: text::<ContainerId>(row, 1)? })
    })?;
    found.collect()
}
