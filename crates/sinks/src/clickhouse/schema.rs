//! Making the tables, and looking whether they are as expected.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Client;
use clickhouse::error::Error;
use model::Stream;

use super::{ClickHouseConfig, columns, table_name};

/// The migrations, in order; the position is the version.
const MIGRATIONS: &[(&str, &str)] = &[("initial", include_str!("../../../../schemas/clickhouse/0001_initial.sql"))];

/// Settings of an insert. Older servers do not know all of them, and refuse what they do not know.
const INSERT_SETTINGS: [(&str, &str); 3] = [
    ("async_insert", "0"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // A column that was dropped is an error, not values thrown away.
    ("input_format_skip_unknown_fields", "0"),
];

/// Makes the database and the tables where they are missing or old.
pub(super) async fn migrate(config: &ClickHouseConfig) -> Result<(), Error> {
    let database = &config.database;
    let server = config.client();
    let there: u64 =
        server.query("SELECT count() FROM system.databases WHERE name = ?").bind(database).fetch_one().await?;
    if there == 0 {
        server.query("CREATE DATABASE IF NOT EXISTS ?").bind(clickhouse::sql::Identifier(database)).execute().await?;
    }
    let client = server.with_database(database);
    client
        .query(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
             ) ENGINE = ReplacingMergeTree ORDER BY version",
        )
        .execute()
        .await?;
    let done: u32 = client.query("SELECT max(version) FROM schema_migrations").fetch_one().await?;
    for (version, (name, sql)) in (1..).zip(MIGRATIONS) {
        if version <= done {
            continue;
        }
        for statement in statements(sql) {
            client.query_raw(&statement).execute().await?;
        }
        // Every statement may be repeated, so a migration that was cut short is simply done again.
        client
            .query("INSERT INTO schema_migrations (version, name) SELECT ?, ?")
            .bind(version)
            .bind(*name)
            .execute()
            .await?;
        tracing::info!(database, version, name, "clickhouse tables migrated");
    }
    Ok(())
}

/// The statements of a script. Comments are lines of their own; no literal holds a semicolon.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// What is wrong with the tables, in one line; `None` where they can be written to.
pub(super) async fn trouble(client: &Client) -> Result<Option<String>, Error> {
    let found: Vec<(String, String, String)> = client
        .query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
        .fetch_all()
        .await?;
    let mut tables: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (table, column, kind) in &found {
        tables.entry(table).or_default().insert(column, kind);
    }
    let mut wrong = Vec::new();
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

/// Tables in which a resent insert would double rows.
pub(super) async fn without_window(client: &Client) -> Result<Vec<String>, Error> {
    let tables: Vec<(String, String, String)> = client
        .query("SELECT name, engine, engine_full FROM system.tables WHERE database = currentDatabase()")
        .fetch_all()
        .await?;
    let ours: Vec<&str> = Stream::ALL.into_iter().map(table_name).collect();
    let safe = |engine: &str, full: &str| {
        let window = full
            .split_once("non_replicated_deduplication_window = ")
            .is_some_and(|(_, size)| !size.starts_with("0,") && size != "0");
        // Replicated tables have a window unless told otherwise.
        window || engine.starts_with("Replicated") || engine.starts_with("Shared")
    };
    Ok(tables
        .into_iter()
        .filter(|(name, engine, full)| ours.contains(&name.as_str()) && !safe(engine, full))
        .map(|(name, _, _)| name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_is_a_list_of_statements_that_may_be_repeated() {
        for (name, sql) in MIGRATIONS {
            let statements = statements(sql);
            assert!(!statements.is_empty());
            for statement in statements {
                assert!(statement.starts_with("CREATE TABLE IF NOT EXISTS "), "{name}: {statement}");
                assert!(statement.contains("non_replicated_deduplication_window"), "{name}: {statement}");
            }
        }
    }
}
