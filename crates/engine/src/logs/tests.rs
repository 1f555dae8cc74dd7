use std::time::Duration;

use model::{LogStream, MAX_LINE_BYTES, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(second * 1_000_000_000 + 1_795_175_444_002_260_246)
}

/// One frame as Docker sends it.
fn frame(stream: u8, time: Timestamp, text: &[u8]) -> Vec<u8> {
    let message = message(time, text);
    let mut frame = vec![stream, 0, 0, 0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

fn message(time: Timestamp, text: &[u8]) -> Vec<u8> {
    [time.to_string().as_bytes(), b" ", text].concat()
}

/// The lines of a log that comes in these pieces and then ends in order.
fn read<'a>(is_raw: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<LogLine>, BadLog> {
    let mut cutter = LogCutter::new(is_raw);
    pieces.into_iter().try_for_each(|piece| cutter.push(piece))?;
    cutter.finish(End::Clean)?;
    Ok(std::iter::from_fn(|| cutter.pop()).flatten().collect())
}

fn texts(lines: &[LogLine]) -> Vec<(i64, &str, &str)> {
    let text = |line: &'_ LogLine| (line.timestamp.nanos_since(at(0)) / 1_000_000_000, line.stream.name());
    lines
        .iter()
        .map(|line| {
            let (second, stream) = text(line);
            (second, stream, std::str::from_utf8(&line.bytes).unwrap())
        })
        .collect()
}

#[test]
fn a_line_comes_with_its_stream_its_time_and_without_its_end() {
    let log = [frame(1, at(1), b"out\n"), frame(2, at(2), b"err\r\n"), frame(1, at(3), b"\n")].concat();
    let lines = read(false, [&log[..]]).unwrap();
    assert_eq!(texts(&lines), [(1, "stdout", "out"), (2, "stderr", "err"), (3, "stdout", "")]);
    assert_eq!(lines[0].timestamp, at(1), "to the nanosecond");
    assert!(lines.iter().all(|line| !line.is_partial && !line.is_truncated));
}

#[test]
fn the_pieces_of_a_long_line_are_joined_although_another_stream_writes_between_them() {
    let piece = vec![b'x'; 16 * 1024];
    let log = [frame(1, at(1), &piece), frame(2, at(2), b"err\n"), frame(1, at(1), &piece), frame(1, at(1), b"end\n")];
    let lines = read(false, log.iter().map(Vec::as_slice)).unwrap();
    let lengths: Vec<_> = lines.iter().map(|line| (line.stream, line.bytes.len())).collect();
    assert_eq!(lengths, [(LogStream::Stderr, 3), (LogStream::Stdout, 2 * 16 * 1024 + 3)]);
}

#[test]
fn a_line_of_exactly_one_buffer_ends_with_the_empty_piece_behind_it() {
    let piece = vec![b'x'; 16 * 1024];
    let log = [frame(1, at(1), &piece), frame(1, at(1), b"\n"), frame(1, at(2), b"next\n")].concat();
    let lines = read(false, [&log[..]]).unwrap();
    assert_eq!(lines.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [16 * 1024, 4]);
    let terminal = [message(at(1), &piece), message(at(1), b"\r\n"), message(at(2), b"next\r\n")].concat();
    let lines = read(true, [&terminal[..]]).unwrap();
    assert_eq!(lines.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [16 * 1024, 4]);
}

#[test]
fn full_pieces_are_joined_where_the_log_driver_takes_the_time_anew() {
    let piece = vec![b'x'; 16 * 1024];
    let later = at(1) + Duration::from_millis(1);
    let log = [frame(1, at(1), &piece), frame(1, later, b"end\n")].concat();
    let lines = read(false, [&log[..]]).unwrap();
    assert_eq!((lines.len(), lines[0].timestamp, lines[0].bytes.len()), (1, at(1), 16 * 1024 + 3));
}

#[test]
fn a_line_without_an_end_is_no_part_of_the_next_run() {
    let log = [frame(1, at(1), b"half"), frame(1, at(5), b"next\n"), frame(1, at(6), b"last")].concat();
    let lines = read(false, [&log[..]]).unwrap();
    assert_eq!(texts(&lines), [(1, "stdout", "half"), (5, "stdout", "next"), (6, "stdout", "last")]);
    assert_eq!(lines.iter().map(|line| line.is_partial).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_line_that_was_open_when_the_log_broke_off_is_left_to_the_next_reading() {
    for is_raw in [false, true] {
        let log = if is_raw { message(at(1), b"half") } else { frame(1, at(1), b"half") };
        let mut cutter = LogCutter::new(is_raw);
        cutter.push(&log).unwrap();
        cutter.finish(End::Broken).unwrap();
        assert_eq!(cutter.pop(), None);
    }
}

#[test]
fn a_line_of_one_mib_passes_and_a_longer_one_is_cut_and_says_so() {
    for (length, cut) in [(MAX_LINE_BYTES, false), (MAX_LINE_BYTES + 1, true), (3 * MAX_LINE_BYTES, true)] {
        let text = vec![b'x'; length];
        let pieces: Vec<_> = text.chunks(16 * 1024).map(|piece| frame(1, at(1), piece)).collect();
        let end = frame(1, at(1), b"\r\n");
        let log = pieces.iter().map(Vec::as_slice).chain([&end[..]]);
        let lines = read(false, log).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].bytes.len(), lines[0].is_truncated), (MAX_LINE_BYTES, cut), "{length} bytes");
    }
}

#[test]
fn a_cut_line_does_not_end_in_half_a_character() {
    let text = "ü".repeat(MAX_LINE_BYTES / 2 + 10);
    let text = format!("x{text}\n");
    let lines = read(false, [&frame(1, at(1), text.as_bytes())[..]]).unwrap();
    assert!(lines[0].is_truncated);
    assert_eq!(std::str::from_utf8(&lines[0].bytes).unwrap().len(), MAX_LINE_BYTES - 1);
}

#[test]
fn a_terminal_has_no_frames_and_may_begin_a_line_with_any_byte() {
    let log = [message(at(1), b"\x01\x00\x00\x00 bell\r\n"), message(at(2), b"\x1b[31mred\x1b[0m\r\n")].concat();
    let lines = read(true, [&log[..]]).unwrap();
    assert_eq!(texts(&lines), [(1, "stdout", "\u{1}\0\0\0 bell"), (2, "stdout", "\u{1b}[31mred\u{1b}[0m")]);
}

#[test]
fn the_pieces_of_a_long_line_of_a_terminal_are_joined_without_the_times_between_them() {
    let piece = vec![b'x'; 16 * 1024];
    let log = [message(at(1), &piece), message(at(1), &piece), message(at(1), b"end\r\n"), message(at(2), b"next\r\n")];
    let lines = read(true, [&log.concat()[..]]).unwrap();
    assert_eq!(lines.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [2 * 16 * 1024 + 3, 4]);
    // What looks like a time but for one byte is text.
    let mut odd = message(at(1), &piece);
    odd.extend_from_slice(b"2026-11-20T12 no time\r\n");
    let lines = read(true, [&odd[..]]).unwrap();
    assert_eq!(lines[0].bytes.len(), 16 * 1024 + 21);
    assert!(lines[0].bytes.ends_with(b"x2026-11-20T12 no time"));
}

#[test]
fn bytes_that_are_no_text_pass_as_they_are() {
    let lines = read(false, [&frame(1, at(1), b"\xff\xfe\x00\n")[..]]).unwrap();
    assert_eq!(&lines[0].bytes[..], b"\xff\xfe\x00");
}

#[test]
fn what_is_no_log_is_refused_without_a_word_of_what_is_in_it() {
    assert_eq!(read(false, [&frame(7, at(1), b"x\n")[..]]), Err(BadLog::Stream(7)));
    assert_eq!(read(false, [&frame(3, at(1), b"Error grabbing logs: EOF\n")[..]]), Err(BadLog::Engine));
    assert_eq!(read(false, [&b"\x01\0\0\0\xff\xff\xff\xff"[..]]), Err(BadLog::TooLong(u32::MAX)));
    assert_eq!(read(false, [&b"\x01\0\0\0\0\0\0\x05hello"[..]]), Err(BadLog::NoTime));
    assert_eq!(read(false, [&b"\x01\0\0"[..]]), Err(BadLog::Torn));
    assert_eq!(read(true, [&b"Error grabbing logs"[..]]), Err(BadLog::NoTime));
}

#[test]
fn a_log_goes_on_where_it_was_left_and_a_little_before_where_two_hands_write() {
    let newest = Timestamp::from_nanos(10_000_000_005);
    let after = |is_partial, is_terminal| query(LogStart::After { newest, is_partial }, is_terminal, true, None);
    let fixed = "stdout=1&stderr=1&timestamps=1&follow=1";
    assert_eq!(after(false, false), format!("{fixed}&since=8.000000005"));
    assert_eq!(after(false, true), format!("{fixed}&since=10.000000005"));
    assert_eq!(after(true, true), format!("{fixed}&since=10.000000006"), "the open line would swallow the next one");
    assert_eq!(query(LogStart::Beginning, false, false, Some(1)), "stdout=1&stderr=1&timestamps=1&follow=0&tail=1");
}

#[test]
fn the_media_type_tells_the_form_and_the_container_where_there_is_none() {
    assert!(is_raw(Some("application/vnd.docker.raw-stream"), false));
    assert!(!is_raw(Some("application/vnd.docker.multiplexed-stream"), true));
    assert!(is_raw(None, true) && !is_raw(Some("application/octet-stream"), false));
}

proptest! {
    #[test]
    fn a_log_reads_the_same_however_it_is_cut(
        lines in prop::collection::vec((0..2_u8, 0..4_i64, prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        cuts in prop::collection::vec(1..200_usize, 1..20),
        is_raw in any::<bool>(),
    ) {
        let log: Vec<u8> = lines
            .iter()
            .flat_map(|(stream, second, text)| {
                let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\n').chain([b'\n']).collect();
                if is_raw { message(at(*second), &text) } else { frame(stream + 1, at(*second), &text) }
            })
            .collect();
        let whole = read(is_raw, [&log[..]]).unwrap();
        prop_assert_eq!(whole.len(), lines.len());
        let mut pieces = Vec::new();
        let (mut rest, mut cuts) = (&log[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, left) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        prop_assert_eq!(read(is_raw, pieces).unwrap(), whole);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), is_raw in any::<bool>()) {
        drop(read(is_raw, [&bytes[..]]));
    }
}
