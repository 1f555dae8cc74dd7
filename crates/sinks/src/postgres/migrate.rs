//! Bringing a schema up to date: tables, views, policies.
//!
//! All that is missing is done in one transaction under a lock: twice, by two at once and while others write.

use async_trait::async_trait;
use tokio_postgres::{Client, Error};

use super::config::{PostgresConfig, Timescale};
use super::errors::{PostgresFailure, classify};
use super::partitions;
use super::policies;
use super::schema::{Found, Layout, look, trouble};
use super::session::{self, identifier};
use crate::migrate::Migrate;

/// Hears of each step that was done.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(String) + Send);

/// A numbered script of `schemas/postgres/`, for either layout.
struct Migration {
    version: i32,
    name: &'static str,
    native: &'static str,
    timescale: &'static str,
}

const TABLES: &str = include_str!("../../../../schemas/postgres/0001_tables.sql");

/// The migrations, in order.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "tables", native: TABLES, timescale: TABLES },
    Migration {
        version: 2,
        name: "rollups",
        native: include_str!("../../../../schemas/postgres/0002_rollups_native.sql"),
        timescale: include_str!("../../../../schemas/postgres/0002_rollups_timescale.sql"),
    },
];

/// The version that the last of them makes.
pub(super) const VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The tables of one PostgreSQL schema.
pub struct PostgresTables(pub PostgresConfig);

#[async_trait]
impl Migrate for PostgresTables {
    async fn migrate(&mut self, tell: Tell<'_>) -> Result<String, String> {
        let config = &self.0;
        let migrated = async {
            let mut session = session::open(config).await?;
            let layout = migrate(config, &mut session.client, tell).await?;
            let wrong = trouble(config, &session.client).await.map_err(|error| failed(config, error))?;
            session.close().await;
            match wrong {
                None => Ok(layout),
                Some(what) => Err(PostgresFailure::Tables { place: config.place.to_string(), what }),
            }
        };
        let layout = migrated.await.map_err(|failure| failure.to_string())?;
        let with = if layout == Layout::Timescale { ", with TimescaleDB" } else { "" };
        Ok(format!("{}, version {VERSION}{with}", config.place))
    }
}

fn failed(config: &PostgresConfig, error: Error) -> PostgresFailure {
    PostgresFailure::Server { place: config.place.to_string(), class: classify(&error, 1), error }
}

/// Makes what is missing and changes what is old; how the tables are laid out.
pub(super) async fn migrate(
    config: &PostgresConfig,
    client: &mut Client,
    tell: Tell<'_>,
) -> Result<Layout, PostgresFailure> {
    let sql = |error| failed(config, error);
    let tables = |what| PostgresFailure::Tables { place: config.place.to_string(), what };
    let mut found = look(client, &config.place.schema).await.map_err(sql)?;
    if found.version.is_none_or(|version| version < VERSION) && found.refusal().is_none() {
        let done = apply(config, client).await.map_err(sql)?.map_err(tables)?;
        done.into_iter().for_each(&mut *tell);
        found = look(client, &config.place.schema).await.map_err(sql)?;
    }
    if let Some(refusal) = found.refusal() {
        return Err(tables(refusal));
    }
    let layout = found.layout();
    match layout {
        Layout::Native => partitions::complete(config, client, tell).await.map_err(sql)?,
        Layout::Timescale => policies::keep(config, client, tell).await.map_err(sql)?,
    }
    Ok(layout)
}

/// Applies the migrations that are missing: all or none. What was done, or why nothing may be.
async fn apply(config: &PostgresConfig, client: &mut Client) -> Result<Result<Vec<String>, String>, Error> {
    let schema = identifier(&config.place.schema);
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '50s'").await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock(hashtext('dockstream/migrate'), hashtext($1))", &[&config.place.schema])
        .await?;
    // Under the lock: another process may have been faster.
    let there = transaction.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&config.place.schema]).await?;
    let mut done = Vec::new();
    if there.is_none() {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        done.push(format!("schema {} made", config.place.schema));
    }
    let found = look(transaction.client(), &config.place.schema).await?;
    if let Some(refusal) = found.refusal() {
        return Ok(Err(refusal));
    }
    let (layout, extension) = match layout(config, &found, transaction.client()).await? {
        Ok(chosen) => chosen,
        Err(what) => return Ok(Err(what)),
    };
    let path = extension.map_or(schema.clone(), |extension| format!("{schema}, {}", identifier(&extension)));
    transaction
        .batch_execute(&format!(
            "SET LOCAL search_path TO {path};
             CREATE TABLE IF NOT EXISTS dockstream_migrations (
                 version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
             CREATE TABLE IF NOT EXISTS dockstream_settings (name text PRIMARY KEY, value text NOT NULL)"
        ))
        .await?;
    for Migration { version, name, native, timescale } in MIGRATIONS {
        if found.version.is_some_and(|applied| applied >= *version) {
            continue;
        }
        let text = match layout {
            Layout::Native => native.replace(")/* PARTITION", ") PARTITION").replace(" */;", ";"),
            Layout::Timescale => (*timescale).to_owned(),
        };
        transaction.batch_execute(&text).await?;
        transaction
            .execute("INSERT INTO dockstream_migrations (version, name) VALUES ($1, $2)", &[version, name])
            .await?;
        done.push(format!("{version:04} {name}: applied"));
    }
    transaction.commit().await?;
    Ok(Ok(done))
}

/// The layout of tables that are there; else what the configuration and the database's extensions make of it, with the schema
/// of the extension.
async fn layout(
    config: &PostgresConfig,
    found: &Found,
    client: &Client,
) -> Result<Result<(Layout, Option<String>), String>, Error> {
    let extension = client
        .query_opt(
            "SELECT nspname::text, coalesce(current_setting('timescaledb.license', true), '') FROM pg_extension
             JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'timescaledb'",
            &[],
        )
        .await?;
    let extension =
        extension.map(|row| Ok::<(String, String), Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    let wanted = match (found.version, config.timescale) {
        (Some(_), _) => found.layout() == Layout::Timescale,
        (None, Timescale::Off) => false,
        (None, Timescale::On) => true,
        (None, Timescale::Auto) => extension.as_ref().is_some_and(|(_, licence)| licence == "timescale"),
    };
    Ok(match extension {
        _ if !wanted => Ok((Layout::Native, None)),
        Some((_, licence)) if licence == "apache" => Err(
            "timescaledb.license is apache, which has no continuous aggregates: set timescale = \"off\", or that licence".into(),
        ),
        Some((schema, _)) => Ok((Layout::Timescale, Some(schema))),
        None => Err(
            "the database lacks the extension: CREATE EXTENSION timescaledb, or set timescale = \"off\"".into(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_only_the_native_ones_make_partitions() {
        assert!(MIGRATIONS.iter().zip(1..).all(|(migration, number)| migration.version == number));
        assert_eq!(TABLES.matches(")/* PARTITION BY RANGE (").count(), 4);
        assert_eq!(TABLES.matches("*/;").count(), 4);
        let timescale = MIGRATIONS[1].timescale;
        assert_eq!(timescale.matches("create_hypertable(").count(), 4);
        assert_eq!(timescale.matches("WITH NO DATA").count(), 3);
    }
}
