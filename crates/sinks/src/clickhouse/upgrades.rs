//! Making and upgrading tables, against the real engine.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Rows, Stream};
use pipeline::ports::{Deliver, FailureClass};
use test_support::ClickHouse;

use super::statements::{Kind, MIGRATIONS, Migration, Statement};
use super::tests::{config, count, ready, samples};
use super::*;
use crate::fixtures::{batch, noon, range, stats, unknown_stats};
use crate::migrate::Migrate;

/// Migrates, and gives the steps that were done.
async fn steps(config: &ClickHouseConfig) -> Vec<String> {
    let mut steps = Vec::new();
    let answer = ClickHouseTables::new(config.clone()).migrate(&mut |step| steps.push(step)).await.unwrap();
    let version = MIGRATIONS.last().unwrap().version;
    assert_eq!(answer, format!("{} ({}), version {version}", config.url, config.database));
    steps
}

/// A database as it was before there were rollups.
fn without_rollups(server: &ClickHouse, config: &ClickHouseConfig) {
    let database = &config.database;
    server.query(&format!("CREATE DATABASE {database}"));
    server.query(&format!(
        "CREATE TABLE {database}.schema_migrations (version UInt32, name String,
             applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY version"
    ));
    // Nobody could write without the columns that others add.
    let others = MIGRATIONS.iter().filter(|migration| !["rollups", "codecs", "rates"].contains(&migration.name));
    for Migration { version, name, sql } in others {
        for statement in Statement::all(sql) {
            for sql in statement.alone() {
                let table = format!(" {database}.{} ", statement.name);
                server.query(&sql.replacen(&format!(" {} ", statement.name), &table, 1));
            }
        }
        server.query(&format!("INSERT INTO {database}.schema_migrations (version, name) SELECT {version}, '{name}'"));
    }
}

/// Samples in each of the rollups.
fn rolled_up(server: &ClickHouse, config: &ClickHouseConfig) -> [u64; 3] {
    ["1m", "1h", "1d"].map(|bucket| {
        let sql = format!("SELECT sum(samples) FROM {}.container_stats_{bucket}", config.database);
        server.query(&sql).parse().unwrap()
    })
}

fn tables(server: &ClickHouse, config: &ClickHouseConfig) -> BTreeSet<String> {
    let sql = format!("SELECT name FROM system.tables WHERE database = '{}'", config.database);
    server.query(&sql).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_new_database_gets_every_table_and_the_second_time_there_is_nothing_to_do() {
    let server = ClickHouse::shared();
    let config = config(server);
    let done = steps(&config).await;
    assert_eq!(done[0], format!("database {} made", config.database));
    assert!(done.contains(&"0001 initial: table container_stats made".to_owned()), "{done:?}");
    assert!(done.contains(&"0004 rollups: view container_stats_1m_view made".to_owned()), "{done:?}");
    let statements = MIGRATIONS.iter().flat_map(|migration| Statement::all(migration.sql));
    let mut expected: BTreeSet<String> = statements
        .filter(|statement| matches!(statement.kind, Kind::Table | Kind::View))
        .map(|statement| statement.name)
        .collect();
    expected.insert("schema_migrations".into());
    assert_eq!(tables(server, &config), expected);
    assert_eq!(steps(&config).await, [""; 0]);
}

#[tokio::test]
async fn an_old_database_is_upgraded_by_two_at_once_while_another_writes() {
    let server = ClickHouse::shared();
    let config = config(server);
    without_rollups(server, &config);
    let unchanging = ClickHouseConfig { create_tables: false, ..config.clone() };
    let mut writer = ready(&unchanging).await;
    writer.deliver(&samples(0, 100)).await.unwrap();
    let mut upgraded = std::pin::pin!(async {
        let (one, other) = tokio::join!(steps(&config), steps(&config));
        let done: BTreeSet<String> = one.into_iter().chain(other).collect();
        let rollups = done.iter().filter(|step| step.starts_with("0004 rollups: "));
        assert_eq!(rollups.count(), 6, "three tables, three views: {done:?}");
    });
    let mut ended = false;
    let (mut written, mut after) = (100, 0);
    while after < 5 {
        let work = samples(written, 100);
        if ended {
            writer.deliver(&work).await.unwrap();
            after += 1;
        } else {
            let mut sent = std::pin::pin!(writer.deliver(&work));
            tokio::select! {
                sent = &mut sent => sent.unwrap(),
                () = &mut upgraded => {
                    ended = true;
                    sent.await.unwrap()
                }
            };
        }
        written += 100;
    }
    assert_eq!(count(server, &config, Stream::Stats), written);
    let [minutes, hours, days] = rolled_up(server, &config);
    assert!((500..=written - 100).contains(&minutes), "{minutes} of {written}");
    assert_eq!([hours, days], [minutes; 2], "no sample is in one rollup and not in the next");
}

#[tokio::test]
async fn an_upgrade_that_was_cut_short_is_finished_and_a_table_that_was_removed_is_made_anew() {
    let server = ClickHouse::shared();
    let config = config(server);
    steps(&config).await;
    let database = &config.database;
    server.query(&format!("DROP VIEW {database}.container_stats_1m_view SYNC"));
    server.query(&format!("DROP TABLE {database}.container_stats SYNC"));
    server.query(&format!(
        "ALTER TABLE {database}.schema_migrations DELETE WHERE version = 4 SETTINGS mutations_sync = 1"
    ));
    let done = steps(&config).await;
    let expected = [
        "0001 initial: table container_stats made",
        "0004 rollups: view container_stats_1m_view made",
        "0005 codecs: table container_stats changed",
        "0007 rates: view container_stats_1m_view changed",
    ];
    assert_eq!(done, expected);
    assert_eq!(steps(&config).await, [""; 0]);
}

#[tokio::test]
async fn rows_are_kept_as_long_as_the_configuration_says() {
    let server = ClickHouse::shared();
    let plain = config(server);
    steps(&plain).await;
    let retention = Retention {
        raw: Duration::from_secs(36 * 3600),
        days: Duration::from_secs(100 * 86_400),
        ..Retention::default()
    };
    let longer = ClickHouseConfig { retention, ..plain.clone() };
    let done = steps(&longer).await;
    assert_eq!(
        done,
        ["table container_stats keeps its rows 129600 seconds", "table container_stats_1d keeps its rows 100 days"]
    );
    assert_eq!(steps(&longer).await, [""; 0]);
    // Rows that are in time are not touched by it.
    ready(&longer).await.deliver(&samples(0, 10)).await.unwrap();
    assert_eq!(count(server, &longer, Stream::Stats), 10);
    let back = steps(&plain).await;
    assert_eq!(back.len(), 2, "{back:?}");
}

#[tokio::test]
async fn rollups_hold_what_the_samples_say_however_often_they_were_sent() {
    let server = ClickHouse::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let minute = Duration::from_secs(60);
    for number in 0..6u32 {
        let at = noon() + minute * (number * 25);
        let known = (0..40).map(|index| stats(index % 3 + u64::from(number), at + Duration::from_secs(index)));
        let unknown = (0..5).map(|index| {
            let mut row = unknown_stats(99, at + Duration::from_secs(index));
            // Of some the time is known, and nothing else.
            row.sample.interval_ns = (index > 2).then_some(1_000_000_007 + index);
            row
        });
        let rows: Vec<_> = known.chain(unknown).collect();
        let work = range(u64::from(number), vec![batch(1 + u64::from(number) * 45, Rows::Stats(rows.into()))]);
        // Stored, and the acknowledgement lost: once, and once with another process behind it.
        server.fault("reset_after", 1);
        sink.deliver(&work).await.unwrap_err();
        server.fault("http500_after", 1);
        sink.deliver(&work).await.unwrap_err();
        sink = ready(&config).await;
        sink.deliver(&work).await.unwrap();
    }
    let database = &config.database;
    let sums = "sum(interval_ns), sum(cpu_usage_delta_ns), sum(cpu_throttled_delta_ns), sum(network_rx_delta_bytes),
                sum(network_tx_delta_bytes), sum(block_read_delta_bytes), sum(block_write_delta_bytes),
                max(memory_limit_bytes), max(online_cpus), max(pids_limit), max(run), anyLast(labels['team'])";
    let unknown = ["cpu_throttled", "network_rx", "network_tx", "block_read", "block_write"];
    let delta = |of: &str| format!("{of}_delta_{}", if of == "cpu_throttled" { "ns" } else { "bytes" });
    let unknown_raw = unknown.map(|of| format!("sumIf(ifNull(interval_ns, 0), {} IS NULL)", delta(of))).join(", ");
    let unknown_states = unknown.map(|of| format!("sum({of}_unknown_ns)")).join(", ");
    let gauges = ["cpu_usage_percent", "memory_usage_bytes", "memory_usage_percent", "pids"];
    let of = |gauge: &str| format!("min({gauge}), round(avg({gauge}), 6), max({gauge})");
    let raw = gauges.map(of).join(", ");
    let of = |gauge: &str| format!("min({gauge}_min), round(avgMerge({gauge}_avg), 6), max({gauge}_max)");
    let states = gauges.map(of).join(", ");
    for (bucket, start) in [("1m", "toStartOfMinute"), ("1h", "toStartOfHour"), ("1d", "toStartOfDay")] {
        let by = "container_name, image, compose_project, compose_service, host, container_id";
        let expected = server.query(&format!(
            "SELECT {by}, {start}(timestamp) AS bucket, count(), {sums}, {unknown_raw}, {raw} FROM {database}.container_stats
             GROUP BY ALL ORDER BY container_id, bucket, compose_project"
        ));
        let found = server.query(&format!(
            "SELECT {by}, bucket, sum(samples), {sums}, {unknown_states}, {states} FROM
                 (SELECT *, timestamp AS bucket FROM {database}.container_stats_{bucket} FINAL)
             GROUP BY ALL ORDER BY container_id, bucket, compose_project"
        ));
        assert!(expected.lines().count() > 8 && expected.contains("\\N"), "{expected}");
        assert_eq!(found, expected, "{bucket}");
    }
    assert_eq!(rolled_up(&server, &config), [6 * 45; 3]);
}

#[tokio::test]
async fn a_rollup_without_a_window_is_told() {
    let server = ClickHouse::shared();
    let config = config(server);
    steps(&config).await;
    let client = config.client().with_database(&config.database);
    assert_eq!(schema::without_window(&client).await.unwrap(), [""; 0]);
    let table = format!("{}.container_stats_1h", config.database);
    server.query(&format!("ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0"));
    assert_eq!(schema::without_window(&client).await.unwrap(), ["container_stats_1h"]);
}

#[tokio::test]
async fn tables_that_were_made_without_a_cluster_are_not_changed_for_one() {
    let server = ClickHouse::shared();
    let alone = config(server);
    steps(&alone).await;
    let before = tables(server, &alone);
    let clustered = ClickHouseConfig { cluster: Some("fleet".into()), ..alone.clone() };
    let error = ClickHouseSink::new(clustered.clone()).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    let told = ClickHouseTables::new(clustered).migrate(&mut |step| panic!("{step}")).await.unwrap_err();
    for text in [error.message, told] {
        assert!(text.contains("container_stats was made without the cluster: it is a MergeTree"), "{text}");
    }
    assert_eq!(tables(server, &alone), before);
}

#[tokio::test]
async fn a_cluster_that_the_server_does_not_know_is_one_clear_line() {
    let server = ClickHouse::shared();
    let config = ClickHouseConfig { cluster: Some("nowhere".into()), ..config(server) };
    let told = ClickHouseTables::new(config).migrate(&mut |step| panic!("{step}")).await.unwrap_err();
    assert!(told.contains("Code: ") && !told.contains('\n'), "{told}");
    println!("{told}");
}
