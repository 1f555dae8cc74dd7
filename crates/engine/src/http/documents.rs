//! What one endless answer holds, cut into items, as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use pipeline::ports::EngineError;

use super::body::Body;
use super::lines::Lines;
use crate::error::{broken, from_chain, malformed};
use crate::transport::Connection;

/// Cuts the content of an answer into items.
pub(crate) trait Cut: Unpin {
    /// The media type that is asked for.
    const ACCEPT: &str;
    /// What the answer is made of.
    type Item;
    /// Why content can be no such thing.
    type Error: fmt::Display;

    /// Takes in content; what it completes becomes ready.
    fn push(&mut self, content: &[u8]) -> Result<(), Self::Error>;

    /// There is no more content: the engine ended it, or it broke off.
    fn finish(&mut self, end: End) -> Result<(), Self::Error>;

    /// The next item that is ready.
    fn pop(&mut self) -> Option<Self::Item>;
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The engine ended it.
    Clean,
    /// It broke off.
    Broken,
}

/// Items in order. Ends with nothing (the engine ended the answer) or with one error (it broke off). Reads only when
/// polled, and whenever polled.
pub(crate) struct Documents<C = Lines> {
    /// Dropped as soon as the answer ended.
    connection: Option<Connection>,
    answer: Answer<C>,
}

/// What was understood of the answer so far.
struct Answer<C> {
    body: Body,
    cutter: C,
    ended: bool,
    error: Option<EngineError>,
    url: Arc<str>,
    what: Arc<str>,
}

impl<C: Cut> Documents<C> {
    /// The items that `cutter` cuts out of a body, of which `rest` came with the head.
    pub(super) fn new(
        connection: Connection,
        body: Body,
        rest: &[u8],
        cutter: C,
        url: &Arc<str>,
        what: &Arc<str>,
    ) -> Self {
        let is_done = body.is_done();
        let (url, what) = (url.clone(), what.clone());
        let mut answer = Answer { ended: false, body, cutter, error: None, url, what };
        if is_done {
            answer.end(None);
        } else {
            answer.take_in(rest);
        }
        Self { connection: Some(connection), answer }
    }
}

impl<C: Cut> Answer<C> {
    fn take_in(&mut self, mut bytes: &[u8]) {
        loop {
            match self.body.content(&mut bytes) {
                Ok(Some(content)) => {
                    if let Err(error) = self.cutter.push(content) {
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
            self.ended = true;
            let end = if error.is_none() { End::Clean } else { End::Broken };
            let unfit = self.cutter.finish(end).err().map(|unfit| malformed(&self.url, &self.what, unfit));
            self.error = error.or(unfit);
        }
    }
}

impl<C: Cut> Stream for Documents<C> {
    type Item = Result<C::Item, EngineError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { connection, answer } = self.get_mut();
        loop {
            if let Some(document) = answer.cutter.pop() {
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

impl<C> fmt::Debug for Documents<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents")
            .field("url", &self.answer.url)
            .field("what", &self.answer.what)
            .finish_non_exhaustive()
    }
}
