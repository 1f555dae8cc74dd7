//! Losses: what was dropped, and why.

use model::{LossReason, LossRecord, Stream};

use super::slice::slice;
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::ProblemKind;

const STREAMS: [&str; Stream::ALL.len()] = {
    let mut names = [""; Stream::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Stream::ALL[at].name();
        at += 1;
    }
    names
};

const REASONS: [&str; LossReason::ALL.len()] = {
    let mut names = [""; LossReason::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = LossReason::ALL[at].name();
        at += 1;
    }
    names
};

pub(super) const LIST: Operation = Operation {
    id: "listLosses",
    path: "/api/losses",
    tag: Tag::Dockstream,
    summary: "What was lost, by stream, sink and reason",
    description: "Before the journal since the start of the process, `sink` being null; after it since the journal began, by sink. \
                  What is expected (`empty_frame`, `duplicate_frame`, `between_intervals`) is no loss: it is in the books at \
                  `/api/pipeline`. No item means that nothing was lost.",
    parameters: &[
        Parameter::once("stream", Kind::Word(&STREAMS), "Of this stream."),
        Parameter::once("sink", Kind::Text, "That this sink did not get."),
        Parameter::once("reason", Kind::Word(&REASONS), "For this reason."),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("Loss"),
    problems: &[ProblemKind::InvalidCursor],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Answer {
    let wanted = |name: &str, value: Option<&str>| call.query.text(name).is_none_or(|text| Some(text) == value);
    let losses: Vec<LossRecord> = call
        .api
        .sight
        .losses()
        .into_iter()
        .filter(|loss| {
            wanted("stream", Some(loss.stream.name()))
                && wanted("sink", loss.sink.as_deref())
                && wanted("reason", Some(loss.reason.name()))
        })
        .collect();
    let key =
        |loss: &LossRecord| format!("{}/{}/{}", loss.stream, loss.sink.as_deref().unwrap_or_default(), loss.reason);
    let (data, next) = slice(&call, losses, key)?;
    let newest = data.iter().map(|loss| loss.last_at).max();
    answer::list(&call, Listing { data, next, source: Source::Live, newest, warnings: Vec::new() })
}
