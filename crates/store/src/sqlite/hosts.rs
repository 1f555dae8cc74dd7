//! Hosts.

use model::{HostName, HostRecord, HostStatus, Timestamp};
use rusqlite::{Connection, Row};

use super::read::{from_json, text, time, whole};

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<HostRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT host, url, status, last_error, engine, engine_version, api_version, os, kernel, cgroup_version, cpus,
             memory_bytes, response_ns, containers, containers_running, observed_at, labels, status_since, failures, retry_at
         FROM hosts WHERE status <> 'removed' ORDER BY host",
    )?;
    statement.query_map([], read_host)?.collect()
}

fn read_host(row: &Row<'_>) -> rusqlite::Result<HostRecord> {
    let status: String = row.get(2)?;
    Ok(HostRecord {
        host: text::<HostName>(row, 0)?,
        url: row.get(1)?,
        status: match status.as_str() {
            "up" => HostStatus::Up,
            "down" => HostStatus::Down,
            "removed" => HostStatus::Removed,
            _ => HostStatus::Connecting,
        },
        labels: from_json(row, 16)?,
        status_since: time(row, 17)?,
        last_error: row.get(3)?,
        failures: whole(row, 18)?.unwrap_or(0),
        retry_at: time(row, 19)?,
        engine: row.get(4)?,
        engine_version: row.get(5)?,
        api_version: row.get(6)?,
        os: row.get(7)?,
        kernel: row.get(8)?,
        cgroup_version: row.get(9)?,
        cpus: row.get(10)?,
        memory_bytes: whole(row, 11)?,
        response_ns: whole(row, 12)?,
        containers: whole(row, 13)?,
        containers_running: whole(row, 14)?,
        observed_at: Timestamp::from_nanos(row.get(15)?),
    })
}
