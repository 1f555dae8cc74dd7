//! A container's log, as it was stored.

use store::{ContainerKey, LogFilter, Page};

use super::containers::{HOST, find};
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, DEFAULT_LIMIT, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::{Problem, ProblemKind};

pub(super) const LINES: Operation = Operation {
    id: "getContainerLogs",
    path: "/api/containers/{id}/logs",
    tag: Tag::Containers,
    summary: "The newest stored lines of a container, the oldest of them first",
    description: "Lines are stored of containers whose log is read: `collect.logs.enabled`, or the label `dockstream.logs`. \
                  The next page has the lines before these. A page ends early where its lines are long.",
    parameters: &[
        HOST,
        Parameter::once(
            "tail",
            Kind::Integer { min: 1, max: 1_000, default: DEFAULT_LIMIT },
            "How many lines at most, counted from the newest.",
        ),
        Parameter::once("since", Kind::Time, "Written at this moment or later."),
        Parameter::once("until", Kind::Time, "Written before this moment."),
        Parameter::once("q", Kind::Text, "With this text in it, in any case."),
        Parameter::once("stream", Kind::Word(&["stdout", "stderr"]), "Written there."),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("LogLine"),
    problems: &[
        ProblemKind::ContainerNotFound,
        ProblemKind::AmbiguousContainer,
        ProblemKind::InvalidCursor,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ],
    handle: |call| Box::pin(lines(call)),
};

async fn lines(call: Call) -> Answer {
    let query = &call.query;
    let (from, to) = (query.time("since", call.now), query.time("until", call.now));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Problem::invalid("since", format!("`since` ({from}) must lie before `until` ({to})")));
    }
    let tail = query.integer("tail");
    if tail.is_some() && query.integer("limit").is_some() {
        return Err(Problem::invalid("limit", "`limit` and `tail` mean the same: give one of them"));
    }
    let limit = tail.and_then(|tail| usize::try_from(tail).ok()).unwrap_or_else(|| call.limit());
    let filter = LogFilter { stream: query.parsed("stream")?, text: query.text("q").map(str::to_owned), from, to };
    let page = Page { limit, cursor: call.place()? };
    let container = find(&call).await?;
    let listed = call.api.store.logs(&ContainerKey::from(&container), &filter, &page).await?;
    let newest = listed.data.iter().map(|line| line.received_at).max();
    let listing =
        Listing { data: listed.data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list(&call, listing)
}
