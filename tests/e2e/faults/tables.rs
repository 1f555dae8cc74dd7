//! What the tables hold of all but samples and events: as many of each in every store, and the same latest states.

use std::path::Path;

use model::Stream;
use test_support::ClickHouse;

use super::books::Books;
use crate::stores::{self, Kind, Row};

/// The streams of which every record is a row.
const COUNTED: [(Stream, &str); 4] = [
    (Stream::ImageVersions, "image_versions"),
    (Stream::Hosts, "host_health"),
    (Stream::Losses, "losses"),
    (Stream::Logs, "container_logs"),
];

/// The streams of which the newest record is the row, with what names it.
const LATEST: [(&str, &str); 2] = [("containers", "container_id"), ("docker_images", "image_id")];

/// How many rows there are of one stream.
struct Count {
    stream: Stream,
    sqlite: u64,
    clickhouse: u64,
}

/// The latest states of one kind, in one order.
struct Latest {
    table: &'static str,
    sqlite: Vec<Row>,
    clickhouse: Vec<Row>,
}

/// The tables of two stores.
pub struct Tables {
    counts: Vec<Count>,
    latest: Vec<Latest>,
}

impl Tables {
    /// Reads the embedded store and the database `name` of ClickHouse.
    pub fn of(database: &Path, server: &ClickHouse, name: &str) -> Self {
        let connection = rusqlite::Connection::open(database).expect("the database opens");
        let kept = |table: &str| {
            let count: i64 = connection
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .expect("the table is there");
            count.try_into().expect("a count")
        };
        let inserted =
            |table: &str| server.query(&format!("SELECT count() FROM {name}.{table}")).parse().expect("a count");
        let counts = COUNTED
            .map(|(stream, table)| Count { stream, sqlite: kept(table), clickhouse: inserted(table) })
            .into_iter()
            .collect();
        let sorted = |mut rows: Vec<Row>| {
            rows.sort();
            rows
        };
        let latest = LATEST
            .map(|(table, id)| {
                let columns =
                    [("host", Kind::Text), (id, Kind::Text), ("state", Kind::Text), ("observed_at", Kind::Time)];
                Latest {
                    table,
                    sqlite: sorted(stores::sqlite(database, table, &columns)),
                    clickhouse: sorted(stores::clickhouse(server, &format!("{name}.{table} FINAL"), &columns)),
                }
            })
            .into_iter()
            .collect();
        Self { counts, latest }
    }

    /// Every store has as many of each, `in_kafka` too, and the latest states are the same.
    pub fn stores_agree(&self, in_kafka: impl Fn(Stream) -> u64) {
        for Count { stream, sqlite, clickhouse } in &self.counts {
            assert_eq!(
                (sqlite, sqlite),
                (clickhouse, &in_kafka(*stream)),
                "{stream} in SQLite, in ClickHouse and Kafka"
            );
        }
        for Latest { table, sqlite, clickhouse } in &self.latest {
            assert_eq!(sqlite, clickhouse, "{table} in SQLite and ClickHouse");
        }
    }

    /// As many as the books said before the end. States of hosts and losses are told at the very end as well.
    pub fn hold_what_was_journaled(&self, books: &Books) {
        for Count { stream, sqlite, .. } in &self.counts {
            let journaled = books.stream(&stream.to_string()).journaled;
            let is_right = match stream {
                Stream::Hosts | Stream::Losses => *sqlite >= journaled,
                _ => *sqlite == journaled,
            };
            assert!(is_right, "{sqlite} of {stream} in the stores, {journaled} journaled");
        }
    }
}
