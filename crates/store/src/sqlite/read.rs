//! Conditions into SQL, and columns into the model's types.

use model::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Value};
use serde::de::DeserializeOwned;

use crate::LabelMatch;

/// Conditions joined by AND, with their values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// `sql` has a `?` for each of `values`.
    pub(super) fn add<const N: usize>(&mut self, sql: &str, values: [Value; N]) {
        self.sql.push(format!("({sql})"));
        self.values.extend(values);
    }

    pub(super) fn add_text(&mut self, sql: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(sql, [Value::Text(value.clone())]);
        }
    }

    /// All of `labels` are in the column of that name.
    pub(super) fn add_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let key = Value::Text(label.key.clone());
            match &label.value {
                None => self.add("EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ?)", [key]),
                Some(value) => self.add(
                    "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)",
                    [key, Value::Text(value.clone())],
                ),
            }
        }
    }

    /// All of `labels` are on the event, or on the container it is about.
    pub(super) fn add_container_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let value = if label.value.is_some() { "AND label.value = ?" } else { "" };
            let sql = format!(
                "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? {value})
                 OR EXISTS (SELECT 1 FROM containers AS known, json_each(known.labels) AS label
                     WHERE known.host = container_events.host AND known.container_id = container_events.container_id
                       AND label.key = ? {value})"
            );
            let values = || std::iter::once(&label.key).chain(&label.value).cloned().map(Value::Text);
            self.sql.push(format!("({sql})"));
            self.values.extend(values().chain(values()));
        }
    }

    pub(super) fn clause(&self) -> String {
        if self.sql.is_empty() { "1".into() } else { self.sql.join(" AND ") }
    }

    pub(super) fn values(self) -> impl IntoIterator<Item = Value> {
        self.values
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    FromSqlError::other(error).into()
}

/// A column that holds one of the model's words.
pub(super) fn text<T: std::str::FromStr<Err: std::fmt::Display>>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    text.parse().map_err(|error: T::Err| unreadable(std::io::Error::other(error.to_string())))
}

/// A column that holds a word as it stands in JSON.
pub(super) fn word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_value(text.into()).map_err(unreadable)
}

pub(super) fn optional_text<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    index: usize,
) -> rusqlite::Result<Option<T>> {
    let known: Option<String> = row.get(index)?;
    known.map(|_| text(row, index)).transpose()
}

/// A column that holds a number that is never negative.
pub(super) fn whole(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<u64>> {
    let value: Option<i64> = row.get(index)?;
    value.map(|value| u64::try_from(value).map_err(unreadable)).transpose()
}

pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    let value: Option<i64> = row.get(index)?;
    Ok(value.map(Timestamp::from_nanos))
}

pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(unreadable)
}

/// A column that holds JSON, or NULL.
pub(super) fn optional_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(index)?;
    text.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
}
