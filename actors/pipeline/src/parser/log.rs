//! From an engine's lines to log records: pure.

use std::sync::Arc;

use model::{ContainerMeta, LogRecord, Timestamp};

use crate::messages::NumberedLine;

/// The records of these lines.
pub(super) fn records(meta: &Arc<ContainerMeta>, received_at: Timestamp, lines: Vec<NumberedLine>) -> Vec<LogRecord> {
    // What was written before the present run began is of an earlier one, of which only the time is known.
    let mut earlier: Option<Arc<ContainerMeta>> = None;
    let mut meta_of = |time| {
        if meta.run.is_none_or(|run| run <= time) {
            return meta.clone();
        }
        earlier.get_or_insert_with(|| Arc::new(ContainerMeta { run: None, ..ContainerMeta::clone(meta) })).clone()
    };
    lines
        .into_iter()
        .map(|NumberedLine { line, ordinal }| {
            let (text, invalid_utf8) = text(&line.bytes);
            LogRecord {
                meta: meta_of(line.timestamp),
                timestamp: line.timestamp,
                received_at,
                stream: line.stream,
                ordinal,
                line: text,
                partial: line.is_partial,
                truncated: line.is_truncated,
                invalid_utf8,
            }
        })
        .collect()
}

/// The text of a line, and whether bytes of it had to be replaced.
fn text(bytes: &[u8]) -> (String, bool) {
    match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => (text.to_owned(), false),
        std::borrow::Cow::Owned(text) => (text, true),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use model::{ContainerId, HostName, LogStream};

    use super::*;
    use crate::ports::LogLine;

    fn meta(run: Option<i64>) -> Arc<ContainerMeta> {
        Arc::new(ContainerMeta {
            host: HostName::try_new("edge-1").unwrap(),
            container_id: ContainerId::try_new(&"a".repeat(64)).unwrap(),
            container_name: "web".into(),
            image: "nginx:1".into(),
            compose_project: None,
            compose_service: None,
            run: run.map(Timestamp::from_nanos),
            labels: BTreeMap::new(),
        })
    }

    fn line(nanos: i64, bytes: &'static [u8]) -> NumberedLine {
        let line = LogLine {
            timestamp: Timestamp::from_nanos(nanos),
            stream: LogStream::Stderr,
            bytes: Bytes::from_static(bytes),
            is_partial: false,
            is_truncated: true,
        };
        NumberedLine { line, ordinal: 3 }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_the_record_says_so() {
        let rows =
            records(&meta(None), Timestamp::from_nanos(9), vec![line(1, b"caf\xe9"), line(2, "café".as_bytes())]);
        assert_eq!((rows[0].line.as_str(), rows[0].invalid_utf8), ("caf\u{fffd}", true));
        assert_eq!((rows[1].line.as_str(), rows[1].invalid_utf8), ("café", false));
        assert_eq!((rows[0].stream, rows[0].ordinal, rows[0].truncated), (LogStream::Stderr, 3, true));
    }

    #[test]
    fn a_line_from_before_the_present_run_does_not_claim_to_be_of_it() {
        let rows = records(&meta(Some(5)), Timestamp::default(), vec![line(4, b""), line(5, b"")]);
        assert_eq!(rows.iter().map(|row| row.meta.run.map(Timestamp::as_nanos)).collect::<Vec<_>>(), [None, Some(5)]);
    }
}
