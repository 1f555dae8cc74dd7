//! An HTTP/1.1 reader for answers that never end: stats, events and logs.
//!
//! One request a connection. A stream holds its socket and the rest of one line, nothing else: bytes are read into
//! a buffer that all streams of a thread share, so thousands of streams cost their sockets.

mod body;
mod documents;
mod head;
mod lines;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, str};

use futures_util::StreamExt;
use pipeline::ports::EngineError;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

pub(crate) use documents::{Cut, Documents, End};
use lines::Lines;

use crate::error::{Concern, answered, broken, from_chain, malformed, timed_out};
use crate::transport::{Connection, Transport};
use head::Head;

/// Bytes taken from a socket at once.
const READ: usize = 64 * 1024;

/// Most bytes of a head; real ones have some 300.
const HEAD: usize = 64 * 1024;

/// Most bytes read of the body of an error answer.
const ERROR_BODY: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Asks for `path` and gives the documents of the answer, one a line, once its head is there.
///
/// # Errors
/// `Timeout` where the head is not there within `patience`; else as the connection and the status say.
pub(crate) async fn documents(
    transport: &Transport,
    url: &Arc<str>,
    path: &str,
    what: &Arc<str>,
    concern: Concern,
    patience: Duration,
) -> Result<Documents, EngineError> {
    cut(transport, url, path, what, concern, patience, |_| Lines::default()).await
}

/// Asks for `path` and gives what the cutter made for the answer's content type cuts out of it, once its head is there.
///
/// # Errors
/// As [`documents`].
pub(crate) async fn cut<C: Cut>(
    transport: &Transport,
    url: &Arc<str>,
    path: &str,
    what: &Arc<str>,
    concern: Concern,
    patience: Duration,
    cutter: impl FnOnce(Option<&str>) -> C,
) -> Result<Documents<C>, EngineError> {
    let opening = async {
        let mut connection = transport.connect().await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: {}\r\nAccept: {}\r\n\r\n",
            crate::USER_AGENT,
            C::ACCEPT
        );
        connection.write_all(request.as_bytes()).await.map_err(|error| from_chain(url, what, &error))?;
        connection.flush().await.map_err(|error| from_chain(url, what, &error))?;
        let (head, rest) = read_head(&mut connection, url, what).await?;
        if (200..300).contains(&head.status) {
            let cutter = cutter(head.content_type.as_deref());
            return Ok(Documents::new(connection, head.body, &rest, cutter, url, what));
        }
        let words = Documents::new(connection, head.body, &rest, Lines::default(), url, what);
        Err(answered(url, what, head.status, concern, &error_body(words).await))
    };
    match tokio::time::timeout(patience, opening).await {
        Ok(outcome) => outcome,
        Err(_) => Err(timed_out(url, what, patience)),
    }
}

/// The head, and the bytes that came behind it.
async fn read_head(
    connection: &mut Connection,
    url: impl Display,
    what: impl Display,
) -> Result<(Head, Vec<u8>), EngineError> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        poll_fn(|cx| poll_read(connection, cx, |read| bytes.extend_from_slice(read)))
            .await
            .map_err(|error| from_chain(&url, &what, &error))?;
        if bytes.len() == before {
            return Err(broken(&url, &what, "it was closed before the answer"));
        }
        match Head::parse(&bytes) {
            Ok(Some((head, length))) => return Ok((head, bytes.split_off(length))),
            Ok(None) if bytes.len() > HEAD => return Err(malformed(&url, &what, "its head does not end")),
            Ok(None) => {}
            Err(error) => return Err(malformed(&url, &what, error)),
        }
    }
}

async fn error_body(mut documents: Documents) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Ok(line)) = documents.next().await {
        body.extend_from_slice(&line);
        body.push(b'\n');
        if body.len() > ERROR_BODY {
            break;
        }
    }
    body
}

/// Reads what is there and hands it to `taker`; nothing at the end of the stream.
fn poll_read(connection: &mut Connection, cx: &mut Context<'_>, taker: impl FnOnce(&[u8])) -> Poll<io::Result<()>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(connection).poll_read(cx, &mut buffer))?;
        taker(buffer.filled());
        Poll::Ready(Ok(()))
    })
}
