//! Bringing a database up to date: tables, views, retention, for one server or a cluster.
//!
//! Every step may be repeated, and is left out where there is nothing to do. So it can be run twice, by two at once,
//! while others write, and again after it was cut short.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::sql::Identifier;

use super::errors::{Attempt, ClickHouseFailure, classify, told};
use super::retention::Kept;
use super::schema::{self, DISTRIBUTED};
use super::statements::{Kind, LOCAL, MIGRATIONS, Migration, Statement, quoted};
use super::{ClickHouseConfig, table_name};
use crate::migrate::Migrate;

/// Hears of each step that was done.
type Tell<'a> = &'a mut (dyn FnMut(String) + Send);

/// The tables of one ClickHouse database.
pub struct ClickHouseTables {
    config: ClickHouseConfig,
}

impl ClickHouseTables {
    /// The tables of the database that `config` names.
    pub fn new(config: ClickHouseConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Migrate for ClickHouseTables {
    async fn migrate(&mut self, tell: Tell<'_>) -> Result<String, String> {
        let config = &self.config;
        let client = config.client().with_database(&config.database);
        let migrated = async {
            migrate(config, tell).await?;
            schema::trouble(config, &client).await
        };
        match migrated.await {
            Ok(None) => {
                let version = MIGRATIONS.last().map_or(0, |migration| migration.version);
                Ok(format!("{} ({}), version {version}", config.shown_url(), config.database))
            }
            Ok(Some(what)) => {
                let (url, database) = (config.shown_url(), config.database.clone());
                Err(ClickHouseFailure::Tables { url, database, what }.to_string())
            }
            Err(error) => {
                let class = classify(&error, Attempt::default());
                Err(ClickHouseFailure::Server { url: config.shown_url(), class, text: told(&error) }.to_string())
            }
        }
    }
}

/// Makes what is missing and changes what is old. A table that was made without the cluster, or with it, is left as it is.
pub(super) async fn migrate(config: &ClickHouseConfig, tell: Tell<'_>) -> Result<(), Error> {
    let database = &config.database;
    let on_cluster =
        config.cluster.as_ref().map_or(String::new(), |cluster| format!(" ON CLUSTER {}", quoted(cluster)));
    let server = config.client();
    let there: u64 =
        server.query("SELECT count() FROM system.databases WHERE name = ?").bind(database).fetch_one().await?;
    if there == 0 {
        let sql = format!("CREATE DATABASE IF NOT EXISTS ?{on_cluster}");
        server.query(&sql).bind(Identifier(database)).execute().await?;
        tell(format!("database {database} made"));
    }
    let client = server.with_database(database);
    let found = tables(&client).await?;
    if config.cluster.is_some()
        && found.get(table_name(model::Stream::Stats)).is_some_and(|(engine, _)| engine != DISTRIBUTED)
    {
        // Half of it would be under each regime; what is wrong is told by those who look at the tables next.
        return Ok(());
    }
    if !found.contains_key("schema_migrations") {
        client.query_raw(&journal_of_migrations(config, &on_cluster)).execute().await?;
    }
    let applied: Vec<u32> = client.query("SELECT DISTINCT version FROM schema_migrations").fetch_all().await?;
    let applied: BTreeSet<u32> = applied.into_iter().collect();
    for migration in MIGRATIONS {
        apply(config, &client, migration, applied.contains(&migration.version), &found, tell).await?;
    }
    keep(config, &client, &on_cluster, tell).await
}

/// Name, engine and settings of every table and view.
async fn tables(client: &Client) -> Result<BTreeMap<String, (String, String)>, Error> {
    let found: Vec<(String, String, String)> = client
        .query("SELECT name, engine, engine_full FROM system.tables WHERE database = currentDatabase()")
        .fetch_all()
        .await?;
    Ok(found.into_iter().map(|(name, engine, full)| (name, (engine, full))).collect())
}

/// What was applied is one list for the whole cluster.
fn journal_of_migrations(config: &ClickHouseConfig, on_cluster: &str) -> String {
    let engine = match config.cluster {
        None => "ReplacingMergeTree".to_owned(),
        Some(_) => format!(
            "ReplicatedReplacingMergeTree({}, '{{shard}}-{{replica}}')",
            quoted(&format!("/clickhouse/dockstream/{}/schema_migrations", config.database))
        ),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS schema_migrations{on_cluster} (
             version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
         ) ENGINE = {engine} ORDER BY version"
    )
}

/// Does what is left to do of a migration: a table that was removed by hand is made anew.
async fn apply(
    config: &ClickHouseConfig,
    client: &Client,
    migration: &Migration,
    applied: bool,
    found: &BTreeMap<String, (String, String)>,
    tell: Tell<'_>,
) -> Result<(), Error> {
    let Migration { version, name, sql } = migration;
    for statement in Statement::all(sql) {
        let done = match statement.kind {
            Kind::Table | Kind::View => found.contains_key(&statement.name),
            // What is made anew needs its changes again.
            Kind::Change | Kind::Query => applied && found.contains_key(&statement.name),
        };
        if done {
            continue;
        }
        let texts = match &config.cluster {
            None => statement.alone(),
            Some(cluster) => statement.clustered(cluster, &config.database),
        };
        for text in texts {
            client.query_raw(&text).execute().await?;
        }
        tell(format!("{version:04} {name}: {}", statement.done()));
    }
    if !applied {
        let record = client.query("INSERT INTO schema_migrations (version, name) SELECT ?, ?");
        record.bind(version).bind(*name).execute().await?;
    }
    Ok(())
}

/// Lets every table keep its rows as long as the configuration says.
async fn keep(config: &ClickHouseConfig, client: &Client, on_cluster: &str, tell: Tell<'_>) -> Result<(), Error> {
    let local = if config.cluster.is_some() { LOCAL } else { "" };
    let found = tables(client).await?;
    for kept in Kept::all(config) {
        let name = format!("{}{local}", kept.table);
        // A table that somebody put behind another engine ends its rows by itself.
        if found.get(&name).is_none_or(|(engine, full)| !engine.ends_with("MergeTree") || kept.holds(full)) {
            continue;
        }
        client.query_raw(&format!("ALTER TABLE {name}{on_cluster} MODIFY TTL {}", kept.ttl())).execute().await?;
        tell(format!("table {} keeps its rows {}", kept.table, kept.words()));
    }
    Ok(())
}
