//! How rows enter a table.

use super::columns::{Column, columns};

/// Rows of these come once, by the ledger: they are copied.
pub(super) const COPIED: [&str; 2] = ["container_stats", "container_logs"];

/// What tells the rows of a table apart.
const fn key(table: &str) -> Option<&'static str> {
    // A const function compares no strings but byte by byte.
    match table.as_bytes() {
        b"containers" => Some("host, container_id"),
        b"docker_images" => Some("host, image_id"),
        b"hosts" => Some("host"),
        _ => None,
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// `COPY … FROM STDIN`.
pub(super) fn copy(table: &str) -> String {
    format!("COPY {table} ({}) FROM STDIN BINARY", names(columns(table)))
}

/// One row: the latest state of a thing where it is newer than what is there; else what is not there yet.
pub(super) fn insert(table: &str) -> String {
    let columns = columns(table);
    let marks: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names(columns), marks.join(", "));
    let Some(key) = key(table) else { return format!("{insert} ON CONFLICT DO NOTHING") };
    let sets: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
    format!(
        "{insert} ON CONFLICT ({key}) DO UPDATE SET {}
         WHERE (excluded.observed_at, excluded.nanos) >= ({table}.observed_at, {table}.nanos)",
        sets.join(", ")
    )
}
