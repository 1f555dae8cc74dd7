//! Giving ranges out: read, frozen, stored, and only then told to the sink.

use model::{Batch, LossReason};
use pipeline::ports::Range;
use tokio::sync::oneshot;
use tokio::time::Instant;

use std::sync::Arc;

use super::{AGAIN, Keeper};
use crate::codec::decode;
use crate::disk::log::{Look, Span};
use crate::disk::queue::Seen;
use crate::disk::store::StoreError;

/// A range that waits for its bounds to be stored.
pub(super) struct Grant {
    sink: String,
    asked: Instant,
    reply: oneshot::Sender<Seen>,
    range: Range,
    /// Its bounds were stored before.
    frozen: bool,
}

impl Keeper {
    /// Reads the range that is due to `sink` and freezes it.
    pub(super) fn grant(
        &mut self,
        sink: String,
        asked: Instant,
        reply: oneshot::Sender<Seen>,
        granted: &mut Vec<Grant>,
    ) {
        if reply.is_closed() {
            return;
        }
        loop {
            let look = self.shared.log().look(&sink, asked);
            let span = match look {
                Look::Ended => return drop(reply.send(Seen::Ended)),
                Look::Wait(ready, until) => return drop(reply.send(Seen::Wait(ready, until))),
                Look::Due(span) => span,
            };
            match self.read(&span) {
                Ok(Some(batches)) => {
                    let frozen = !self.shared.log().freeze(&sink, &span);
                    let range = Range { first: span.first, end: span.end, batches };
                    granted.push(Grant { sink, asked, reply, range, frozen });
                    return;
                }
                // Something was damaged and is counted: the range is another one now.
                Ok(None) => {}
                Err(error) => {
                    self.complain(&error);
                    return drop(reply.send(Seen::Wait(Arc::default(), Some(asked + AGAIN))));
                }
            }
        }
    }

    /// The batches of `span`; `None` where one was damaged.
    fn read(&mut self, span: &Span) -> Result<Option<Vec<Batch>>, StoreError> {
        let mut batches = Vec::with_capacity(span.positions.len());
        for position in &span.positions {
            if let Some(batch) = self.recent.get(*position) {
                batches.push(batch);
                continue;
            }
            match self.store.body(*position)?.map(|body| decode(&body)) {
                Some(Ok(batch)) => batches.push(batch),
                damaged => {
                    let error =
                        damaged.and_then(Result::err).map_or_else(|| "it is gone".to_owned(), |e| e.to_string());
                    tracing::error!(position, error, "a journal entry cannot be read; skipped");
                    self.shared.log().lose(*position, LossReason::Corrupt);
                    return Ok(None);
                }
            }
        }
        Ok(Some(batches))
    }

    /// Tells the sinks, now that the bounds are stored, or could not be.
    pub(super) fn answer(&self, granted: Vec<Grant>, is_stored: bool) {
        for Grant { sink, asked, reply, range, frozen } in granted {
            // Not stored, so not given out, unless it had been before.
            let seen = if is_stored || (frozen && self.shared.log().holds(&sink, range.end)) {
                Seen::Range(range)
            } else {
                let mut log = self.shared.log();
                log.melt(&sink);
                match log.look(&sink, asked) {
                    Look::Wait(ready, _) => Seen::Wait(ready, Some(asked + AGAIN)),
                    Look::Due(_) => Seen::Wait(Arc::default(), Some(asked + AGAIN)),
                    Look::Ended => Seen::Ended,
                }
            };
            // A caller that is gone asks again.
            let _ = reply.send(seen);
        }
    }
}
