//! Looking whether the tables are as expected, and what the server knows.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Client;
use clickhouse::error::Error;
use model::Stream;

use super::statements::LOCAL;
use super::{ClickHouseConfig, columns, table_name};

/// Settings of an insert. Older servers do not know all of them, and refuse what they do not know.
const INSERT_SETTINGS: [(&str, &str); 4] = [
    ("async_insert", "0"),
    // Of a distributed table: acknowledged once the shards have it.
    ("insert_distributed_sync", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // A column that was dropped is an error, not values thrown away.
    ("input_format_skip_unknown_fields", "0"),
];

/// The engine of a table that lies on the shards of a cluster.
pub(super) const DISTRIBUTED: &str = "Distributed";

/// What is wrong with the tables, in one line; `None` where they can be written to.
pub(super) async fn trouble(config: &ClickHouseConfig, client: &Client) -> Result<Option<String>, Error> {
    let found: Vec<(String, String, String)> = client
        .query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
        .fetch_all()
        .await?;
    let mut tables: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (table, column, kind) in &found {
        tables.entry(table).or_default().insert(column, kind);
    }
    let mut wrong = Vec::new();
    if config.cluster.is_some() {
        let engine = client.query("SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = ?");
        let engine: Option<String> = engine.bind(table_name(Stream::Stats)).fetch_optional().await?;
        if let Some(engine) = engine.filter(|engine| engine != DISTRIBUTED) {
            let table = table_name(Stream::Stats);
            wrong.push(format!("table {table} was made without the cluster: it is a {engine}; use another database"));
        }
    }
    for stream in Stream::ALL {
        let table = table_name(stream);
        let Some(there) = tables.get(table) else {
            wrong.push(format!("table {table} is missing"));
            continue;
        };
        for (column, kind) in columns(stream) {
            match there.get(column) {
                None => wrong.push(format!("{table} has no column {column}")),
                Some(found) if found != kind => wrong.push(format!("{table}.{column} is {found}, not {kind}")),
                Some(_) => {}
            }
        }
    }
    let count = wrong.len();
    wrong.truncate(3);
    let more = if count > 3 { format!(" and {} more", count - 3) } else { String::new() };
    Ok((count > 0).then(|| format!("{}{more}", wrong.join(", "))))
}

/// Those of the settings of an insert that the server knows.
pub(super) async fn known_settings(client: &Client) -> Result<Vec<(&'static str, &'static str)>, Error> {
    let known: Vec<String> = client.query("SELECT name FROM system.settings").fetch_all().await?;
    let known: BTreeSet<String> = known.into_iter().collect();
    if !known.contains("insert_deduplication_token") {
        tracing::warn!("this clickhouse server is too old for deduplication tokens: a resent insert can double rows");
    }
    Ok(INSERT_SETTINGS.into_iter().filter(|(name, _)| known.contains(*name)).collect())
}

/// The tables that views fill: an insert sent again passes through the views again.
const ROLLUPS: [&str; 3] = ["container_stats_1m", "container_stats_1h", "container_stats_1d"];

/// Tables in which a resent insert would double rows.
pub(super) async fn without_window(client: &Client) -> Result<Vec<String>, Error> {
    let tables: Vec<(String, String, String)> = client
        .query("SELECT name, engine, engine_full FROM system.tables WHERE database = currentDatabase()")
        .fetch_all()
        .await?;
    let safe = |engine: &str, full: &str| {
        let window = full
            .split_once("non_replicated_deduplication_window = ")
            .is_some_and(|(_, size)| !size.starts_with("0,") && size != "0");
        // Replicated tables have a window unless told otherwise.
        window || engine.starts_with("Replicated") || engine.starts_with("Shared")
    };
    let ours: Vec<&str> = Stream::ALL.into_iter().map(table_name).chain(ROLLUPS).collect();
    // Of a distributed table the parts count.
    let counts = |name: &str| ours.contains(&name.strip_suffix(LOCAL).unwrap_or(name));
    let is_distributed = |engine: &str| engine == DISTRIBUTED;
    Ok(tables
        .into_iter()
        .filter(|(name, engine, full)| counts(name) && !is_distributed(engine) && !safe(engine, full))
        .map(|(name, _, _)| name)
        .collect())
}
