//! Looking at what a schema has.

use std::collections::{BTreeMap, BTreeSet};

use model::Stream;
use tokio_postgres::{Client, Error};

use super::columns::{columns, table_names};
use super::config::PostgresConfig;
use super::migrate::VERSION;

/// How samples and what is made of them are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Partitions by day, and rollups kept by the writer.
    Native,
    /// Hypertables and continuous aggregates.
    Timescale,
}

/// What is there.
pub(super) struct Found {
    /// The kind of each table and view: `r`, `p`, `v` …
    pub tables: BTreeMap<String, String>,
    /// The newest migration; `None` where none was ever applied.
    pub version: Option<i32>,
}

impl Found {
    pub(super) fn layout(&self) -> Layout {
        match self.tables.get("container_stats").map(String::as_str) {
            Some("r") => Layout::Timescale,
            _ => Layout::Native,
        }
    }

    /// Why nothing may be made or written here, in one line.
    pub(super) fn refusal(&self) -> Option<String> {
        match self.version {
            Some(found) if found > VERSION => Some(format!(
                "the schema has version {found}, this dockstream knows {VERSION}: use the newer dockstream, or name another schema"
            )),
            Some(_) => None,
            None => {
                let ours = || every_table().chain(["rollup_1m", "rollup_1h", "rollup_1d", "container_stats_1m"]);
                let foreign = ours().find(|table| self.tables.contains_key(*table))?;
                Some(format!("the schema has a table {foreign} of another program: name another schema"))
            }
        }
    }
}

/// The tables that rows are written to.
pub(super) fn every_table() -> impl Iterator<Item = &'static str> {
    let streams = Stream::ALL.into_iter().flat_map(|stream| table_names(stream).iter().copied());
    streams.chain(["dockstream_ledger"])
}

/// What the schema has.
pub(super) async fn look(client: &Client, schema: &str) -> Result<Found, Error> {
    let rows = client
        .query(
            "SELECT relname::text, relkind::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f')",
            &[&schema],
        )
        .await?;
    let tables = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
    let mut found = Found { tables, version: None };
    if found.tables.contains_key("dockstream_migrations") {
        let newest = client.query_one("SELECT max(version) FROM dockstream_migrations", &[]).await?;
        found.version = newest.try_get(0)?;
    }
    Ok(found)
}

/// What is wrong with the tables, in one line; `None` where they can be written to.
pub(super) async fn trouble(config: &PostgresConfig, client: &Client) -> Result<Option<String>, Error> {
    let found = look(client, &config.place.schema).await?;
    if let Some(refusal) = found.refusal() {
        return Ok(Some(refusal));
    }
    let rows = client
        .query(
            "SELECT relname::text, attname::text, format_type(atttypid, atttypmod),
                 has_table_privilege(pg_class.oid, 'INSERT'),
                 has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'UPDATE')
             FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
             JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
             WHERE nspname = $1",
            &[&config.place.schema],
        )
        .await?;
    let mut there: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for row in rows {
        let table: String = row.try_get(0)?;
        let (insert, update): (bool, bool) = (row.try_get(3)?, row.try_get(4)?);
        if !insert || (!update && !super::statements::COPIED.contains(&table.as_str())) {
            closed.insert(table.clone());
        }
        there.entry(table).or_default().insert(row.try_get(1)?, row.try_get(2)?);
    }
    let mut wrong = Vec::new();
    for table in every_table() {
        let Some(there) = there.get(table) else {
            wrong.push(format!("table {table} is missing"));
            continue;
        };
        if closed.contains(table) {
            wrong.push(format!("{} may not write to table {table}: grant SELECT, INSERT, UPDATE", config.place.user));
        }
        for (column, kind) in columns(table) {
            let kind = if *kind == "timestamptz" { "timestamp with time zone" } else { kind };
            match there.get(*column) {
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
