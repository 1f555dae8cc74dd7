//! Whole answers over a socket pair, where each write is read before the next one.

use std::task::Poll;

use bytes::Bytes;
use futures_util::{StreamExt, poll};
use pipeline::ports::EngineFailure;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::body::Body;
use super::lines::DOCUMENT;
use super::*;

/// What a reader gets: documents, and how it ended (`None` while it has not).
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    documents: Vec<Bytes>,
    end: Option<Result<(), EngineFailure>>,
}

impl Outcome {
    async fn read(&mut self, documents: &mut Documents) {
        while let Poll::Ready(item) = poll!(documents.next()) {
            match item {
                Some(Ok(document)) => self.documents.push(document),
                Some(Err(error)) => self.end = Some(Err(error.failure)),
                None => {
                    self.end.get_or_insert(Ok(()));
                    return;
                }
            }
        }
    }
}

/// Writes `pieces` one by one, closes where told to, and reads after each step.
async fn answer<'a>(body: Body, pieces: impl IntoIterator<Item = &'a [u8]>, close: bool) -> Outcome {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut documents =
        Documents::new(Connection::from(near), body, &[], Lines::default(), &"unix:///x".into(), &"stats".into());
    let mut outcome = Outcome::default();
    for piece in pieces {
        // A reader that has ended may have closed its side.
        let mut left = piece;
        while !left.is_empty() {
            let part = left.len().min(32 * 1024);
            if far.write_all(&left[..part]).await.is_err() {
                break;
            }
            left = &left[part..];
            tokio::task::yield_now().await;
            outcome.read(&mut documents).await;
        }
        tokio::task::yield_now().await;
        outcome.read(&mut documents).await;
    }
    if close {
        drop(far);
        tokio::task::yield_now().await;
        outcome.read(&mut documents).await;
    }
    outcome
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// `documents` as an engine writes them, in chunks of the given sizes.
fn chunked(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = content;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.extend_from_slice(&rest[..size]);
        out.extend_from_slice(b"\r\n");
        rest = &rest[size..];
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

const CONTENT: &[u8] = b"{\"read\":\"a\"}\n{\"read\":\"b\"}\r\n\n{\"read\":\"c\"}\n";

fn expected() -> Vec<Bytes> {
    ["{\"read\":\"a\"}", "{\"read\":\"b\"}", "{\"read\":\"c\"}"].map(Bytes::from).to_vec()
}

#[test]
fn an_answer_cut_into_two_reads_anywhere_gives_the_same_documents() {
    let whole = chunked(CONTENT, &[5, 20]);
    run(async {
        for cut in 0..=whole.len() {
            let outcome = answer(Body::chunked(), [&whole[..cut], &whole[cut..]], false).await;
            assert_eq!(outcome, Outcome { documents: expected(), end: Some(Ok(())) }, "cut at {cut}");
        }
    });
}

#[test]
fn documents_come_out_as_soon_as_their_line_ends() {
    run(async {
        let outcome =
            answer(Body::chunked(), [b"1a\r\n{\"read\":\"a\"}\n{\"read\":\"b\"}\n\r\n".as_slice()], false).await;
        assert_eq!(outcome, Outcome { documents: expected()[..2].to_vec(), end: None });
    });
}

#[test]
fn a_connection_that_breaks_off_is_an_error_after_all_that_was_read() {
    let whole = chunked(CONTENT, &[100]);
    run(async {
        for cut in 0..whole.len() {
            let outcome = answer(Body::chunked(), [&whole[..cut]], true).await;
            assert_eq!(outcome.end, Some(Err(EngineFailure::Unreachable)), "cut at {cut}");
            let text = outcome.documents.concat();
            assert!(CONTENT.len() >= text.len(), "cut at {cut}");
        }
        let outcome = answer(Body::chunked(), [b"14\r\n{\"read\":\"a\"}\n{\"rea".as_slice()], true).await;
        assert_eq!(outcome.documents, ["{\"read\":\"a\"}", "{\"rea"], "the frame cut off is there to be counted");
    });
}

#[test]
fn a_last_line_without_an_end_is_a_document() {
    run(async {
        for (body, text) in [
            (Body::chunked(), "5\r\n{}\n[]\r\n0\r\n\r\n"),
            (Body::length(5), "{}\n[]"),
            (Body::until_close(), "{}\n[]"),
        ] {
            let outcome = answer(body, [text.as_bytes()], true).await;
            assert_eq!(outcome, Outcome { documents: vec!["{}".into(), "[]".into()], end: Some(Ok(())) }, "{text:?}");
        }
    });
}

#[test]
fn chunks_that_are_none_end_the_stream_with_an_error() {
    run(async {
        let outcome = answer(Body::chunked(), [b"3\r\n{}\n\r\nHTTP/1.1 200 OK\r\n".as_slice()], false).await;
        assert_eq!(outcome, Outcome { documents: vec!["{}".into()], end: Some(Err(EngineFailure::Malformed)) });
    });
}

#[test]
fn a_document_without_an_end_is_cut_off_at_its_bound() {
    run(async {
        let endless = vec![b'x'; DOCUMENT + 1];
        let outcome = answer(Body::until_close(), [endless.as_slice()], false).await;
        assert_eq!(outcome.end, Some(Err(EngineFailure::Malformed)));
        assert!(outcome.documents.iter().map(Bytes::len).sum::<usize>() <= DOCUMENT);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_do_not_depend_on_how_chunks_and_reads_fall(
        lines in prop::collection::vec("[ -~]{0,40}", 0..12), sizes in prop::collection::vec(1..60_usize, 1..5), reads in prop::collection::vec(1..90_usize, 1..5),
    ) {
        let content = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let bytes = chunked(content.as_bytes(), &sizes);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        let mut reads = reads.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(reads.next().unwrap_or(1).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        let outcome = run(answer(Body::chunked(), pieces, false));
        let expected: Vec<Bytes> = lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty()).map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        prop_assert_eq!(outcome, Outcome { documents: expected, end: Some(Ok(())) });
    }
}
