//! Samples: the newest.

use std::sync::LazyLock;
use std::time::Duration;

use model::{Sample, StatsRecord, Timestamp};

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::{ContainerKey, LatestStats, StoreError};

/// By how much an engine's clock may lie behind ours for its newest samples still to be found among all.
const SLOW_CLOCK: Duration = Duration::from_secs(3600);

static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "host, container_id, container_name, image, compose_project, compose_service, run, timestamp, received_at,
         network_scope, {}, labels",
        Sample::FIELDS.join(", ")
    )
});

/// The minutes tell where to look: in the samples, a container has a piece of every hour.
pub(super) async fn latest(server: &Server, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
    let mut conditions = Conditions::default();
    let (host, id) = (container.host.as_str(), container.container_id.as_str());
    conditions.add("host = ? AND container_id = ?", [host, id]);
    conditions.add(
        "timestamp >= (SELECT max(timestamp) FROM container_stats_1m WHERE host = ? AND container_id = ?)",
        [host, id],
    );
    let sql = format!(
        "SELECT {} FROM container_stats WHERE {} ORDER BY timestamp DESC, received_at DESC LIMIT 1",
        *COLUMNS,
        conditions.clause()
    );
    let newest: Vec<StatsRecord> = server.rows(&sql, conditions).await?;
    Ok(newest.into_iter().next().map(LatestStats::from))
}

pub(super) async fn latest_all(server: &Server, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
    let sql = format!(
        "SELECT {} FROM container_stats WHERE timestamp >= {} AND received_at >= {}
         ORDER BY timestamp DESC, received_at DESC LIMIT 1 BY host, container_id",
        *COLUMNS,
        moment(since - SLOW_CLOCK),
        moment(since)
    );
    let mut newest: Vec<StatsRecord> = server.rows(&sql, Conditions::default()).await?;
    newest.sort_by(|a, b| {
        let key =
            |of: &StatsRecord| (of.meta.host.clone(), of.meta.container_name.clone(), of.meta.container_id.clone());
        key(a).cmp(&key(b))
    });
    Ok(newest.into_iter().map(LatestStats::from).collect())
}
