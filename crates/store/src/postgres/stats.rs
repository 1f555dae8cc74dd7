//! Samples: the newest.

use std::time::Duration;

use model::{StatsRecord, Timestamp};

use super::columns::STATS;
use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::{ContainerKey, LatestStats, StoreError};

/// By how much an engine's clock may lie behind ours for its newest samples still to be found among all.
const SLOW_CLOCK: Duration = Duration::from_secs(3600);

const NEWEST: &str = "there.timestamp DESC, there.nanos DESC, there.received_at DESC";

pub(super) async fn latest(server: &Server, container: &ContainerKey) -> Result<Option<LatestStats>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add("host = ? AND container_id = ?", [container.host.as_str(), container.container_id.as_str()]);
    let sql = format!(
        "SELECT {} FROM container_stats AS there WHERE {} ORDER BY {NEWEST} LIMIT 1",
        *STATS,
        conditions.clause()
    );
    let newest: Vec<StatsRecord> = server.rows(&sql, conditions).await?;
    Ok(newest.into_iter().next().map(LatestStats::from))
}

/// The hours tell which containers there are: each is then looked up by itself.
pub(super) async fn latest_all(server: &Server, since: Timestamp) -> Result<Vec<LatestStats>, StoreError> {
    let earliest = since - SLOW_CLOCK;
    let (from, _) = moment(earliest);
    let (received, beyond) = moment(since);
    let sql = format!(
        "SELECT {} FROM (
             SELECT DISTINCT host, container_id FROM container_stats_hourly
             WHERE timestamp >= date_trunc('hour', {from})
         ) AS known CROSS JOIN LATERAL (
             SELECT * FROM container_stats AS there
             WHERE there.host = known.host AND there.container_id = known.container_id AND there.timestamp >= {from}
               AND (there.received_at, there.more_nanos / 1000) >= ({received}, {beyond})
             ORDER BY {NEWEST} LIMIT 1
         ) AS there",
        *STATS
    );
    let mut newest: Vec<StatsRecord> = server.rows(&sql, Conditions::default()).await?;
    newest.sort_by(|a, b| {
        let key =
            |of: &StatsRecord| (of.meta.host.clone(), of.meta.container_name.clone(), of.meta.container_id.clone());
        key(a).cmp(&key(b))
    });
    Ok(newest.into_iter().map(LatestStats::from).collect())
}
