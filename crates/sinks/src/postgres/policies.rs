//! TimescaleDB's own housekeeping: how long it keeps rows, and how far back it makes aggregates anew.

use std::time::Duration;

use tokio_postgres::{Client, Error};

use super::config::PostgresConfig;
use super::migrate::Tell;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Samples are kept at least so long: the aggregates by the day are made of them.
const SAMPLES_AT_LEAST: Duration = Duration::from_secs(4 * 86_400);

/// Makes the policies such as the configuration has them, where they are not.
pub(super) async fn keep(config: &PostgresConfig, client: &mut Client, tell: Tell<'_>) -> Result<(), Error> {
    let wanted = statements(config).join(";\n");
    let transaction = client.transaction().await?;
    // Held to the end: another process may do the same.
    transaction.batch_execute("LOCK TABLE dockstream_settings IN SHARE ROW EXCLUSIVE MODE").await?;
    let there = transaction.query_opt("SELECT value FROM dockstream_settings WHERE name = 'policies'", &[]).await?;
    if there.map(|row| row.try_get::<_, String>(0)).transpose()?.as_deref() == Some(wanted.as_str()) {
        return transaction.rollback().await;
    }
    let extension =
        "SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(nspname), true)
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'timescaledb'";
    transaction.batch_execute(extension).await?;
    transaction.batch_execute(&wanted).await?;
    transaction
        .execute(
            "INSERT INTO dockstream_settings (name, value) VALUES ('policies', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[&wanted],
        )
        .await?;
    transaction.commit().await?;
    tell("retention and refresh policies set".into());
    Ok(())
}

/// Each policy is taken away and made anew. An aggregate is never made anew from samples that are gone.
fn statements(config: &PostgresConfig) -> Vec<String> {
    let retention = &config.retention;
    let raw = retention.raw.max(SAMPLES_AT_LEAST);
    let kept = [
        ("container_stats", raw),
        ("container_logs", retention.logs),
        ("container_events", retention.events),
        ("image_versions", retention.events),
        ("container_stats_1m", retention.minutes),
        ("container_stats_hourly", retention.hours),
        ("container_stats_daily", retention.days),
    ];
    let kept = kept.into_iter().flat_map(|(table, age)| {
        [
            format!("SELECT remove_retention_policy('{table}', if_exists => true)"),
            format!("SELECT add_retention_policy('{table}', {})", interval(age)),
        ]
    });
    let whole = raw - DAY;
    let refreshed = [
        ("container_stats_1m", whole, Duration::from_secs(120), Duration::from_secs(300)),
        ("container_stats_hourly", whole, HOUR, HOUR / 2),
        ("container_stats_daily", whole, DAY, 6 * HOUR),
    ];
    let refreshed = refreshed.into_iter().flat_map(|(view, start, end, every)| {
        let [start, end, every] = [start, end, every].map(interval);
        [
            format!("SELECT remove_continuous_aggregate_policy('{view}', if_exists => true)"),
            format!(
                "SELECT add_continuous_aggregate_policy('{view}', start_offset => {start}, end_offset => {end}, schedule_interval => {every})"
            ),
        ]
    });
    kept.chain(refreshed).collect()
}

fn interval(length: Duration) -> String {
    format!("INTERVAL '{} seconds'", length.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Retention;

    #[test]
    fn samples_outlive_the_days_that_are_made_of_them() {
        let retention = Retention { raw: Duration::from_secs(60), ..Retention::default() };
        let config = PostgresConfig { retention, ..PostgresConfig::new("127.0.0.1") };
        let statements = statements(&config);
        let has = |text: &str| assert!(statements.iter().any(|statement| statement == text), "{text}: {statements:#?}");
        has("SELECT add_retention_policy('container_stats', INTERVAL '345600 seconds')");
        has("SELECT add_retention_policy('container_stats_daily', INTERVAL '63072000 seconds')");
        has(
            "SELECT add_continuous_aggregate_policy('container_stats_daily', start_offset => INTERVAL '259200 seconds', end_offset => INTERVAL '86400 seconds', schedule_interval => INTERVAL '21600 seconds')",
        );
    }
}
