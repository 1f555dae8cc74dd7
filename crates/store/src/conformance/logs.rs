//! Promises about log lines.

use std::sync::Arc;
use std::time::Duration;

use model::{ContainerMeta, LogRecord, LogStream, Rows, Timestamp};

use super::Subject;
use super::fixtures::{id, meta, seconds};
use crate::{ContainerKey, LogFilter, Page};

fn line(container: u64, time: Timestamp, stream: LogStream, text: &str) -> LogRecord {
    LogRecord {
        meta: meta("a", container, "web"),
        timestamp: time,
        received_at: time + Duration::from_millis(1),
        stream,
        ordinal: 0,
        line: text.into(),
        partial: false,
        truncated: false,
        invalid_utf8: false,
    }
}

fn key(container: u64) -> ContainerKey {
    ContainerKey { host: meta("a", container, "web").host.clone(), container_id: id(container) }
}

use LogStream::{Stderr, Stdout};

pub(crate) async fn a_line_comes_back_as_it_was_stored_and_twice_stored_is_there_once(mut subject: Subject) {
    let plain = line(1, seconds(1), Stdout, "");
    let odd = LogRecord {
        ordinal: 7,
        partial: true,
        truncated: true,
        invalid_utf8: true,
        // Another run, under another name.
        meta: Arc::new(ContainerMeta { run: None, container_name: "old".into(), ..(*plain.meta).clone() }),
        ..line(1, seconds(2), Stderr, "tab\t \u{1b}[31m ü \u{fffd} \" \u{1f980}")
    };
    let rows: Arc<[LogRecord]> = [plain.clone(), odd.clone(), line(2, seconds(1), Stdout, "of another")].into();
    subject.stored(Rows::Logs(rows.clone())).await;
    subject.stored(Rows::Logs(rows)).await;
    let listed = subject.store.logs(&key(1), &LogFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(listed.data, [plain, odd]);
    assert_eq!(listed.next_cursor, None);
}

pub(crate) async fn the_newest_lines_come_oldest_first_and_the_next_page_is_older_without_repetition_or_gap(
    mut subject: Subject,
) {
    // Three lines at each moment, so that pages end between equal times.
    let rows: Vec<_> = (0..24)
        .map(|number: u64| LogRecord {
            ordinal: u32::try_from(number % 3).unwrap(),
            ..line(1, seconds(number / 3), Stdout, &format!("{number:02}"))
        })
        .collect();
    subject.stored(Rows::Logs(rows.into())).await;
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut cursor = None;
    loop {
        let page = Page { limit: 5, cursor };
        let listed = subject.store.logs(&key(1), &LogFilter::default(), &page).await.unwrap();
        pages.push(listed.data.into_iter().map(|line| line.line).collect());
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages[0], ["19", "20", "21", "22", "23"]);
    let all: Vec<String> = pages.into_iter().rev().flatten().collect();
    assert_eq!(all, (0..24).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

pub(crate) async fn lines_are_filtered_by_where_they_were_written_when_and_what_they_say(mut subject: Subject) {
    let rows = vec![
        line(1, seconds(1), Stdout, "started"),
        line(1, seconds(2), Stderr, "Timeout: 100%"),
        line(1, seconds(3), Stdout, "no timeout"),
        line(2, seconds(3), Stderr, "timeout elsewhere"),
    ];
    subject.stored(Rows::Logs(rows.into())).await;
    let all = LogFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases: Vec<(&str, LogFilter, &[u64])> = vec![
        ("stream", LogFilter { stream: Some(Stderr), ..all() }, &[2]),
        ("text", LogFilter { text: text("TIMEOUT"), ..all() }, &[2, 3]),
        ("text is no pattern", LogFilter { text: text("100%"), ..all() }, &[2]),
        ("text is no sql", LogFilter { text: text("' OR 1=1 --"), ..all() }, &[]),
        ("from", LogFilter { from: Some(seconds(2)), ..all() }, &[2, 3]),
        ("to", LogFilter { to: Some(seconds(2)), ..all() }, &[1]),
        ("all at once", LogFilter { stream: Some(Stdout), text: text("time"), from: Some(seconds(2)), to: None }, &[3]),
    ];
    for (what, filter, expected) in cases {
        let listed = subject.store.logs(&key(1), &filter, &Page::default()).await.unwrap();
        let times: Vec<_> = listed.data.iter().map(|line| line.timestamp).collect();
        assert_eq!(times, expected.iter().map(|second| seconds(*second)).collect::<Vec<_>>(), "{what}");
    }
}

pub(crate) async fn a_container_without_lines_has_an_empty_log(subject: Subject) {
    let listed = subject.store.logs(&key(1), &LogFilter::default(), &Page::default()).await.unwrap();
    assert_eq!((listed.data.len(), listed.next_cursor), (0, None));
}
