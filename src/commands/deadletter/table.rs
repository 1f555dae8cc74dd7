//! Letters for people, and as lines of JSON.

use std::collections::BTreeMap;

use model::Timestamp;
use sinks::deadletter::{Entry, Of};

/// What is said where there are none.
pub(super) const NOTHING: &str = "nothing in the dead letter";

/// Letters that differ in nothing but the record.
struct Group {
    last: Timestamp,
    count: u64,
}

/// A line for each sink, stream, container and error: when last, how often.
pub(super) fn table(entries: &[Entry], damaged: usize) -> String {
    let mut groups: BTreeMap<[String; 4], Group> = BTreeMap::new();
    for entry in entries {
        // An error may quote the record it is about, and should not break the line.
        let error = entry.error.split_whitespace().collect::<Vec<_>>().join(" ");
        let key = [entry.sink.clone(), entry.stream.to_string(), entry.subject(), error];
        let group = groups.entry(key).or_insert(Group { last: entry.refused_at, count: 0 });
        group.last = group.last.max(entry.refused_at);
        group.count += 1;
    }
    if groups.is_empty() && damaged == 0 {
        return format!("{NOTHING}\n");
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, group)| group.last);
    let head = ["LAST REFUSED", "SINK", "STREAM", "CONTAINER", "COUNT", "ERROR"].map(str::to_owned);
    let cells = rows.into_iter().map(|([sink, stream, subject, error], group)| {
        [group.last.to_string()[..19].to_owned() + "Z", sink, stream, subject, group.count.to_string(), error]
    });
    let lines: Vec<[String; 6]> = [head].into_iter().chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            text += &format!("{cell:<width$}  ");
        }
        text += &line[5];
        text.push('\n');
    }
    text += &format!("{} kept", records(entries.len() as u64));
    if damaged > 0 {
        text += &format!(", and {damaged} damaged lines");
    }
    text + "; once the reason is gone: dockstream deadletter replay\n"
}

/// Every letter, whole, a line each.
pub(super) fn lines(entries: &[Entry]) -> String {
    let line = |entry: &Entry| serde_json::to_string(entry).map(|line| line + "\n");
    entries.iter().filter_map(|entry| line(entry).ok()).collect()
}

/// How many there are of each sink and stream.
pub(super) fn counts(entries: &[Entry]) -> BTreeMap<Of, u64> {
    entries.iter().fold(BTreeMap::new(), |mut counts, entry| {
        *counts.entry(Of { sink: entry.sink.clone(), stream: entry.stream }).or_default() += 1;
        counts
    })
}

/// `1 record`, `2 records`.
pub(super) fn records(count: u64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, error: &str, at: &str) -> Entry {
        serde_json::from_str(&format!(
            r#"{{"sink":"clickhouse","stream":"stats","node":"n","epoch":1,"sequence":{sequence},"batch_id":"n/1/stats/0-9",
                "refused_at":"{at}","error":"{error}","record":{{"container_name":"web-1"}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn equal_errors_of_a_container_are_one_line_with_their_number() {
        let entries = [
            entry(1, "constraint `sane`", "2026-11-20T12:00:00Z"),
            entry(2, "constraint `sane`", "2026-11-20T12:00:05Z"),
            entry(3, "too large", "2026-11-20T11:00:00Z"),
        ];
        let expected = "\
LAST REFUSED          SINK        STREAM  CONTAINER  COUNT  ERROR
2026-11-20T11:00:00Z  clickhouse  stats   web-1      1      too large
2026-11-20T12:00:05Z  clickhouse  stats   web-1      2      constraint `sane`
3 records kept; once the reason is gone: dockstream deadletter replay
";
        assert_eq!(table(&entries, 0), expected);
        assert_eq!(table(&[], 0), "nothing in the dead letter\n");
    }
}
