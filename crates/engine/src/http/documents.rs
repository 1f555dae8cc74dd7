//! The documents of one endless answer, as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use pipeline::ports::EngineError;

use super::body::Body;
use super::lines::Lines;
use crate::error::{broken, from_chain, malformed};
use crate::transport::Connection;

/// Documents in order. Ends with nothing (the engine ended the answer) or with one error (it broke off).
///
/// What stands at the end without a line end is a document too: whether it is whole is for its decoder to tell, so
/// that a frame cut off is seen and counted. Reads only when polled, and whenever polled.
pub(crate) struct Documents {
    /// Dropped as soon as the answer ended.
    connection: Option<Connection>,
    answer: Answer,
}

/// What was understood of the answer so far.
struct Answer {
    body: Body,
    lines: Lines,
    ended: bool,
    error: Option<EngineError>,
    url: Arc<str>,
    what: Arc<str>,
}

impl Documents {
    pub(super) fn new(connection: Connection, body: Body, url: Arc<str>, what: Arc<str>) -> Self {
        let answer = Answer { ended: body.is_done(), body, lines: Lines::default(), error: None, url, what };
        Self { connection: Some(connection), answer }
    }

    /// Takes in bytes of the body that came with the head.
    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        self.answer.take_in(bytes);
    }
}

impl Answer {
    fn take_in(&mut self, mut bytes: &[u8]) {
        loop {
            match self.body.content(&mut bytes) {
                Ok(Some(content)) => {
                    if let Err(error) = self.lines.push(content) {
                        return self.end(Some(malformed(&self.url, &self.what, error)));
                    }
                }
                Ok(None) if self.body.is_done() => return self.end(None),
                Ok(None) => return,
                Err(error) => return self.end(Some(malformed(&self.url, &self.what, error))),
            }
        }
    }

    /// The engine closed the connection.
    fn closed(&mut self) {
        let early = || broken(&self.url, &self.what, "it was closed in the middle of the answer");
        self.end((!self.body.may_close()).then(early));
    }

    fn end(&mut self, error: Option<EngineError>) {
        if !self.ended {
            self.lines.finish();
            self.error = error;
            self.ended = true;
        }
    }
}

impl Stream for Documents {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { connection, answer } = self.get_mut();
        loop {
            if let Some(document) = answer.lines.pop() {
                return Poll::Ready(Some(Ok(document)));
            }
            let Some(open) = connection.as_mut().filter(|_| !answer.ended) else {
                *connection = None;
                return Poll::Ready(answer.error.take().map(Err));
            };
            let outcome = ready!(super::poll_read(open, cx, |bytes| match bytes {
                [] => answer.closed(),
                bytes => answer.take_in(bytes),
            }));
            if let Err(error) = outcome {
                answer.end(Some(from_chain(&answer.url, &answer.what, &error)));
            }
        }
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents")
            .field("url", &self.answer.url)
            .field("what", &self.answer.what)
            .finish_non_exhaustive()
    }
}
