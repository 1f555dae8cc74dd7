//! The questions of `docs/clickhouse-cookbook.md`, asked of the real engine on rows that are known.

use test_support::ClickHouse;

use super::tests::{config, ready};
use crate::fixtures::noon;

const PAGE: &str = include_str!("../../../../docs/clickhouse-cookbook.md");
const TABLES: &str = include_str!("../../../../docs/tables.md");
const ROWS: &str = include_str!("cookbook.sql");

/// A question of the page: its heading, its statement, and the table that answers it.
fn questions() -> Vec<(&'static str, &'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections
        .map(|section| {
            let (_, rest) = section.split_once("```sql\n").expect("a statement");
            let (sql, answer) = rest.split_once("\n```\n").expect("the statement ends");
            (section.lines().next().unwrap_or_default(), sql.trim_end_matches(';'), answer.trim())
        })
        .collect()
}

/// Half an hour past noon, at which the rows and the questions are made.
fn at_its_time(sql: &str) -> String {
    sql.replace("now()", &format!("toDateTime('{} 12:30:00', 'UTC')", &noon().to_string()[..10]))
}

#[tokio::test]
async fn every_question_of_the_cookbook_has_the_answer_that_it_prints() {
    let server = ClickHouse::shared();
    let config = config(server);
    ready(&config).await;
    let client = config.client().with_database(&config.database);
    let rows: Vec<&str> = ROWS.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    for insert in rows.join("\n").split(';').filter(|sql| !sql.trim().is_empty()) {
        client.query_raw(&at_its_time(insert)).execute().await.unwrap();
    }
    let questions = questions();
    assert_eq!(questions.len(), 15);
    for (heading, sql, expected) in questions {
        let answer = client.query_raw(&at_its_time(sql)).fetch_bytes("Markdown").unwrap().collect().await;
        let answer = answer.unwrap_or_else(|error| panic!("{heading}: {error}"));
        assert_eq!(String::from_utf8_lossy(&answer).trim(), expected, "{heading}");
    }
}

#[tokio::test]
async fn the_tables_page_names_every_column_of_the_rollups_with_its_type() {
    let server = ClickHouse::shared();
    let config = config(server);
    ready(&config).await;
    let (_, section) = TABLES.split_once("\n## Rollups\n").expect("a section on rollups");
    let section = section.split("\n## ").next().unwrap_or_default();
    let told: Vec<String> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>()[1..3].join("\t"))
        .collect();
    for bucket in ["1m", "1h", "1d"] {
        let columns = server.query(&format!(
            "SELECT name, type FROM system.columns WHERE database = '{}' AND table = 'container_stats_{bucket}'
             ORDER BY position FORMAT TSVRaw",
            config.database
        ));
        assert_eq!(told, columns.lines().collect::<Vec<_>>(), "{bucket}");
    }
}
