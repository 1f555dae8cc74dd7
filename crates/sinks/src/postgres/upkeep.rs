//! Tables that are made, kept in order, and emptied of what is old.

use std::time::Duration;

use model::{ContainerState, HostStatus, ImageState, Rows, StatsRecord, Timestamp};
use pipeline::ports::{Deliver, FailureClass};
use test_support::{Postgres, wait_for_async};

use super::partitions::{self, Parted, name_of};
use super::session;
use super::tests::{DAY, SOON, ask, config, count, ready, samples};
use super::*;
use crate::fixtures::{
    batch, container, event, host, image, image_version, log, loss, noon, one_of_each, range, stats,
};
use crate::migrate::Migrate;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_future_rows_find_a_partition_and_move_when_their_day_has_one() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let ahead = noon() + 30 * DAY;
    let rows = vec![stats(1, noon()), stats(2, noon() - 5 * DAY), stats(3, ahead)];
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    for at in [noon(), noon() - 5 * DAY] {
        assert_eq!(count(server, &config, &name_of(("container_stats", at.day()))), 1);
        assert_eq!(count(server, &config, &name_of(("rollup_1m", at.day()))), 1);
    }
    assert_eq!(count(server, &config, "container_stats_default"), 1);

    let mut session = session::open(&config).await.unwrap();
    let [parted, ..] = Parted::all(&config);
    for _ in 0..2 {
        partitions::make(&mut session.client, &parted, ahead.day()).await.unwrap();
    }
    assert_eq!(count(server, &config, "container_stats_default"), 0);
    assert_eq!(count(server, &config, &name_of(("container_stats", ahead.day()))), 1);
    assert_eq!(count(server, &config, "container_stats"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_go_and_young_rows_stay_and_days_to_come_have_partitions() {
    let server = Postgres::shared();
    let config = PostgresConfig { housekeeping: Duration::from_millis(100), ..config(server) };
    let now = Timestamp::from(std::time::SystemTime::now());
    let (old, older) = (now - 9 * DAY, now - 40 * DAY);
    let mut gone = container(1, ContainerState::Removed, older);
    gone.container_name = "gone".into();
    let removed = model::HostRecord { status: HostStatus::Removed, host: "b".parse().unwrap(), ..host(older) };
    let mut sink = ready(&config).await;
    sink.deliver(&range(
        0,
        vec![
            batch(1, Rows::Stats(vec![stats(1, old), stats(2, now), stats(3, now - 1_000 * DAY)].into())),
            batch(1, Rows::Logs(vec![log(4, old), log(5, now - 2 * DAY)].into())),
            batch(1, Rows::Events(vec![event(1, older), event(1, old)].into())),
            batch(1, Rows::Containers(vec![gone, container(2, ContainerState::Exited, older)].into())),
            batch(
                1,
                Rows::Images(vec![image(1, ImageState::Removed, older), image(2, ImageState::Present, older)].into()),
            ),
            batch(1, Rows::ImageVersions(vec![image_version(older), image_version(old)].into())),
            batch(1, Rows::Hosts(vec![removed, host(now)].into())),
            batch(1, Rows::Losses(vec![loss(older), loss(old)].into())),
        ],
    ))
    .await
    .unwrap();
    // A day that was young once.
    let mut session = session::open(&config).await.unwrap();
    partitions::make(&mut session.client, &Parted::all(&config)[0], old.day() - 1).await.unwrap();
    let left = [
        ("container_stats", 1),
        ("container_stats_1m", 2),
        ("container_stats_hourly", 2),
        ("container_stats_daily", 2),
        ("container_logs", 1),
        ("container_events", 1),
        ("containers", 1),
        ("docker_images", 1),
        ("image_versions", 1),
        ("hosts", 1),
        ("host_health", 1),
        ("losses", 1),
    ];
    let old_part = format!("SELECT to_regclass('{}') IS NULL", name_of(("container_stats", old.day() - 1)));
    let coming = format!("SELECT count(*) FROM {}", name_of(("container_stats", now.day() + 3)));
    wait_for_async(SOON, "what is old goes", async || {
        let is_left = left.iter().all(|(table, rows)| count(server, &config, table) == *rows);
        (is_left && ask(server, &config, &old_part) == "t").then_some(())
    })
    .await;
    assert_eq!(ask(server, &config, &coming), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_also_by_two_at_once_and_while_others_write() {
    let server = Postgres::shared();
    let config = config(server);
    let mut tables = [(); 4].map(|()| PostgresTables(config.clone()));
    let [a, b, c, d] = &mut tables;
    let (mut steps, mut none) = (Vec::new(), Vec::new());
    {
        let mut tell = |step| steps.push(step);
        let (mut quiet, mut quieter, mut quietest) = (|_| (), |_| (), |_| ());
        let made = tokio::join!(
            a.migrate(&mut tell),
            b.migrate(&mut quiet),
            c.migrate(&mut quieter),
            d.migrate(&mut quietest)
        );
        for made in [made.0, made.1, made.2, made.3] {
            assert_eq!(
                made.unwrap(),
                format!("127.0.0.1:{}/postgres, schema {}, version 2", config.place.port, config.place.schema)
            );
        }
    }
    let mut sink = ready(&config).await;
    for number in 0..5 {
        let (work, mut tell) = (samples(number * 500, 500), |step| none.push(step));
        let (sent, migrated) = tokio::join!(sink.deliver(&work), a.migrate(&mut tell));
        sent.unwrap();
        migrated.unwrap();
    }
    assert_eq!(none, Vec::<String>::new());
    assert_eq!(count(server, &config, "container_stats"), 2_500);
    assert_eq!(ask(server, &config, "SELECT count(*) FROM dockstream_migrations"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_program_or_of_a_newer_dockstream_is_refused_and_left_as_it_is() {
    let server = Postgres::shared();
    let (foreign, newer) = (config(server), config(server));
    server.query("postgres", &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.hosts (name text)", foreign.place.schema));
    let error = PostgresSink::new(foreign.clone()).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.ends_with("the schema has a table hosts of another program: name another schema"), "{error}");
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", foreign.place.schema);
    assert_eq!(server.query("postgres", &tables), "1");

    ready(&newer).await;
    ask(server, &newer, "INSERT INTO dockstream_migrations (version, name) VALUES (99, 'later')");
    let error = PostgresTables(newer.clone()).migrate(&mut |_| ()).await.unwrap_err();
    assert!(error.contains("the schema has version 99, this dockstream knows 2: use the newer dockstream"), "{error}");
    let strict = PostgresConfig { create_tables: false, ..newer };
    assert_eq!(PostgresSink::new(strict).prepare().await.unwrap_err().class, FailureClass::Config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_timescaledb_the_tables_are_hypertables_and_readers_see_the_same() {
    let server = Postgres::shared();
    if !server.has_timescale() {
        println!("not run: TimescaleDB is not installed");
        return;
    }
    server.query("postgres", "CREATE EXTENSION IF NOT EXISTS timescaledb");
    let with = PostgresConfig { timescale: Timescale::On, ..config(server) };
    let without = config(server);
    let rows: Vec<StatsRecord> =
        (0..300).map(|second| stats(second % 3, noon() + Duration::from_secs(second))).collect();
    let mut batches = one_of_each();
    batches[0] = batch(1, Rows::Stats(rows.into()));
    for config in [&with, &without] {
        let mut sink = ready(config).await;
        for _ in 0..2 {
            sink.deliver(&range(0, batches.clone())).await.unwrap();
        }
        PostgresTables(config.clone()).migrate(&mut |step| panic!("{step}")).await.unwrap();
    }
    let hypertables = format!(
        "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_schema = '{}'",
        with.place.schema
    );
    assert_eq!(server.query("postgres", &hypertables), "4");
    for table in [
        "container_stats",
        "container_logs",
        "image_versions",
        "container_stats_1m",
        "container_stats_hourly",
        "container_stats_daily",
    ] {
        let columns = format!(
            "SELECT column_name, data_type FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY 1"
        );
        assert_eq!(ask(server, &with, &columns), ask(server, &without, &columns), "{table}");
        let names = format!(
            "SELECT string_agg(column_name, ', ' ORDER BY 1) FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = '{table}'"
        );
        let all = format!("SELECT {} FROM {table} ORDER BY 1, 2, 3, 4, 5", ask(server, &without, &names));
        assert_eq!(ask(server, &with, &all), ask(server, &without, &all), "{table}");
    }
}
