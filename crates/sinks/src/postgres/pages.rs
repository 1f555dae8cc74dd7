//! What `docs/tables.md` says of PostgreSQL is what is there.

use std::collections::BTreeMap;

use pipeline::ports::Deliver;
use test_support::Postgres;

use super::schema::every_table;
use super::tests::{ask, config, ready};
use crate::contract::{TABLES, blocks, cells, section};
use crate::fixtures::{one_of_each, range};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_page_names_every_column_with_its_type() {
    let server = Postgres::shared();
    let config = config(server);
    ready(&config).await;
    let there = |table: &str| -> BTreeMap<String, String> {
        let sql = format!(
            "SELECT attname, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz')
                 || CASE WHEN attnotnull THEN ' not null' ELSE '' END
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        );
        let answer = ask(server, &config, &sql);
        answer.lines().filter_map(|line| line.split_once('|')).map(|(name, kind)| (name.into(), kind.into())).collect()
    };
    for table in every_table().filter(|table| *table != "dockstream_ledger") {
        let told = cells(section(TABLES, table)).into_iter().filter(|row| row[3] != "-");
        let told: BTreeMap<String, String> = told.map(|row| (row[0].clone(), row[3].clone())).collect();
        assert_eq!(told, there(table), "{table}");
    }
    let told = cells(section(TABLES, "PostgreSQL and TimescaleDB")).into_iter();
    let told: BTreeMap<String, String> = told.map(|row| (row[0].clone(), row[1].clone())).collect();
    for view in ["container_stats_1m", "container_stats_hourly", "container_stats_daily"] {
        assert_eq!(told, there(view), "{view}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_questions_on_the_tables_page_have_answers() {
    let server = Postgres::shared();
    let config = config(server);
    ready(&config).await.deliver(&range(0, one_of_each())).await.unwrap();
    let questions = blocks(section(TABLES, "Asking"), "sql");
    let ours: Vec<&str> = questions.into_iter().filter(|sql| sql.starts_with("-- PostgreSQL")).collect();
    for question in &ours {
        ask(server, &config, question.split_once('\n').unwrap().1);
    }
    assert!(ours.len() >= 2);
}
