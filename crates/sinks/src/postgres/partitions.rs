//! Partitions by day, where there is no TimescaleDB.
//!
//! Days from the oldest that is kept to some days ahead have a partition of their own. What is older, or further in the future, lies
//! in the default partition of its table, from which it is taken when its day comes, or goes when it is old: every row finds a place.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use model::{Batch, Rows, Timestamp};
use tokio_postgres::{Client, Error};

use super::config::PostgresConfig;
use super::migrate::Tell;

/// Days ahead of today that have partitions.
const AHEAD: i64 = 3;

/// Partitions made or dropped wait no longer for a lock: who reads or writes the table waits behind them.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// A table in parts of days.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parted {
    pub table: &'static str,
    /// The column that says when.
    pub time: &'static str,
    /// How long its rows are kept.
    pub kept: Duration,
}

/// A day, counted from 1970, of a table.
pub(super) type Part = (&'static str, i64);

impl Parted {
    /// Every table of this kind.
    pub(super) fn all(config: &PostgresConfig) -> [Self; 5] {
        let retention = &config.retention;
        [
            Self { table: "container_stats", time: "timestamp", kept: retention.raw },
            Self { table: "container_logs", time: "timestamp", kept: retention.logs },
            Self { table: "container_events", time: "timestamp", kept: retention.events },
            Self { table: "image_versions", time: "observed_at", kept: retention.events },
            Self { table: "rollup_1m", time: "timestamp", kept: retention.minutes },
        ]
    }

    /// The days with partitions of their own.
    pub(super) fn window(&self, now: Timestamp) -> std::ops::RangeInclusive<i64> {
        (now - self.kept).day()..=now.day() + AHEAD
    }

    /// Where the other days are.
    pub(super) fn default(&self) -> String {
        default_of(self.table)
    }
}

fn default_of(table: &str) -> String {
    format!("{table}_default")
}

/// `container_stats_p20261121`
pub(super) fn name_of((table, day): Part) -> String {
    format!("{table}_p{}", date(day).replace('-', ""))
}

/// `2026-11-21`
fn date(day: i64) -> String {
    Timestamp::from_nanos(day.saturating_mul(86_400_000_000_000)).to_string()[..10].to_owned()
}

/// A day's beginning, as a literal.
pub(super) fn midnight(day: i64) -> String {
    format!("'{} 00:00:00+00'", date(day))
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// The parts into which the rows of `batches` belong.
pub(super) fn needed(batches: &[Batch]) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    let mut add =
        |tables: &[&'static str], time: Timestamp| parts.extend(tables.iter().map(|table| (*table, time.day())));
    for batch in batches {
        match &batch.rows {
            Rows::Stats(rows) => {
                rows.iter().for_each(|row| add(&["container_stats", "rollup_1m"], row.timestamp));
            }
            Rows::Logs(rows) => rows.iter().for_each(|row| add(&["container_logs"], row.timestamp)),
            Rows::Events(rows) => rows.iter().for_each(|row| add(&["container_events"], row.timestamp)),
            Rows::ImageVersions(rows) => rows.iter().for_each(|row| add(&["image_versions"], row.observed_at)),
            Rows::Containers(_) | Rows::Images(_) | Rows::Hosts(_) | Rows::Losses(_) => {}
        }
    }
    parts
}

/// The partitions that are there, of the tables of `parted`.
pub(super) async fn there(client: &Client, parted: &[Parted]) -> Result<BTreeSet<Part>, Error> {
    let rows = client
        .query(
            "SELECT whole.relname::text, part.relname::text FROM pg_inherits
             JOIN pg_class AS whole ON whole.oid = inhparent JOIN pg_class AS part ON part.oid = inhrelid
             JOIN pg_namespace ON pg_namespace.oid = whole.relnamespace WHERE nspname = current_schema()",
            &[],
        )
        .await?;
    let mut parts = BTreeSet::new();
    for row in rows {
        let (whole, part): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let table = parted.iter().find(|parted| parted.table == whole);
        if let Some((table, day)) = table.and_then(|parted| Some((parted.table, day_of(parted.table, &part)?))) {
            parts.insert((table, day));
        }
    }
    Ok(parts)
}

/// The day in the name of a partition; `None` where it is not one of ours.
fn day_of(table: &str, part: &str) -> Option<i64> {
    let digits =
        part.strip_prefix(table)?.strip_prefix("_p").filter(|digits| digits.len() == 8 && digits.is_ascii())?;
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..]);
    let midnight: Timestamp = format!("{year}-{month}-{day}T00:00:00Z").parse().ok()?;
    Some(midnight.day())
}

/// Whoever makes partitions does so alone.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('dockstream/partitions'), hashtext(current_schema()))";

const WITHOUT_DEFAULT: &str = "SELECT whole.relname::text FROM pg_partitioned_table
    JOIN pg_class AS whole ON whole.oid = partrelid JOIN pg_namespace ON pg_namespace.oid = whole.relnamespace
    WHERE nspname = current_schema() AND partdefid = 0 AND whole.relname = ANY ($1::text[])";

/// Gives every table its default partition.
pub(super) async fn complete(config: &PostgresConfig, client: &mut Client, tell: Tell<'_>) -> Result<(), Error> {
    let tables: Vec<&str> = Parted::all(config).iter().map(|parted| parted.table).collect();
    if client.query(WITHOUT_DEFAULT, &[&tables]).await?.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[]).await?;
    let mut made = Vec::new();
    for row in transaction.query(WITHOUT_DEFAULT, &[&tables]).await? {
        let table: String = row.try_get(0)?;
        let part = default_of(&table);
        transaction.batch_execute(&format!("CREATE TABLE {part} PARTITION OF {table} DEFAULT")).await?;
        made.push(format!("partition {part} made"));
    }
    transaction.commit().await?;
    made.into_iter().for_each(tell);
    Ok(())
}

/// Makes the partition of a day, and moves there what lies in the default one; nothing where it is there already.
pub(super) async fn make(client: &mut Client, parted: &Parted, day: i64) -> Result<(), Error> {
    let (whole, time, default) = (parted.table, parted.time, parted.default());
    let part = name_of((whole, day));
    let (from, to) = (midnight(day), midnight(day + 1));
    let transaction = client.transaction().await?;
    transaction.batch_execute(PATIENCE).await?;
    transaction.execute(LOCK, &[]).await?;
    let there = transaction.query_one("SELECT to_regclass($1) IS NOT NULL", &[&part]).await?;
    if there.try_get(0)? {
        return transaction.rollback().await;
    }
    // To attach a partition takes that lock anyway; taken first, nothing comes in between.
    transaction
        .batch_execute(&format!(
            "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE;
             CREATE TABLE {part} (LIKE {whole} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
             WITH moved AS (DELETE FROM {default} WHERE {time} >= {from} AND {time} < {to} RETURNING *)
             INSERT INTO {part} SELECT * FROM moved;
             ALTER TABLE {whole} ATTACH PARTITION {part} FOR VALUES FROM ({from}) TO ({to})"
        ))
        .await?;
    transaction.commit().await
}

/// Drops a partition with all that is in it.
pub(super) async fn remove(client: &mut Client, part: Part) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("{PATIENCE}; DROP TABLE IF EXISTS {}", name_of(part))).await?;
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_known_by_its_name_and_nothing_else_is_taken_for_one() {
        let day = 20_778;
        assert_eq!(name_of(("container_stats", day)), "container_stats_p20261121");
        assert_eq!(day_of("container_stats", "container_stats_p20261121"), Some(day));
        assert_eq!(midnight(day), "'2026-11-21 00:00:00+00'");
        for other in [
            "container_stats_default",
            "container_stats_p2026112",
            "container_stats_p2026112x",
            "container_stats_p20261399",
            "other_p20261121",
        ] {
            assert_eq!(day_of("container_stats", other), None, "{other}");
        }
        for far in [i64::MIN, i64::MAX] {
            let day = Timestamp::from_nanos(far).day();
            assert_eq!(name_of(("t", day)).len(), 11);
        }
    }

    #[test]
    fn days_that_are_kept_and_some_ahead_have_partitions() {
        let config = PostgresConfig::new("127.0.0.1");
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let window = Parted::all(&config)[0].window(now);
        assert_eq!((date(*window.start()), date(*window.end())), ("2026-11-14".into(), "2026-11-24".into()));
    }
}
