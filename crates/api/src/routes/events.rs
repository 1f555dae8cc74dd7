//! Events, the newest first.

use store::{EventFilter, Page};

use super::containers;
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::{Problem, ProblemKind};

pub(super) const LIST: Operation = Operation {
    id: "listEvents",
    path: "/api/events",
    tag: Tag::Fleet,
    summary: "What happened, the newest first",
    description: "Events of containers, images, networks, volumes and daemons. `synthetic` marks what the inventory found out \
                  because the engine's own event was not seen.",
    parameters: &[
        Parameter::once("type", Kind::Text, "Of this type: container, image, network, volume, daemon."),
        Parameter::once("action", Kind::Text, "With this action: start, die, oom, health_status …"),
        Parameter::once("host", Kind::Text, "On this host."),
        Parameter::once("container", Kind::Text, "Of this container: full id, prefix of 12 or more, or its name then."),
        Parameter::many(
            "label",
            Kind::Label,
            "Of containers with this label (`key` or `key=value`); repeated: with all of them.",
        ),
        Parameter::once("from", Kind::Time, "At this moment or later."),
        Parameter::once("since", Kind::Time, "The same as `from`."),
        Parameter::once("to", Kind::Time, "Before this moment."),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("Event"),
    problems: &[ProblemKind::InvalidCursor, ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Answer {
    let query = &call.query;
    let text = |name| query.text(name).map(str::to_owned);
    let (from, since, to) = (query.time("from", call.now), query.time("since", call.now), query.time("to", call.now));
    if from.is_some() && since.is_some() {
        return Err(Problem::invalid("since", "`since` and `from` mean the same: give one of them"));
    }
    let from = from.or(since);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Problem::invalid("from", format!("`from` ({from}) must lie before `to` ({to})")));
    }
    let filter = EventFilter {
        host: text("host"),
        kind: text("type"),
        action: text("action"),
        container: text("container"),
        labels: query.all("label").map(containers::label).collect(),
        from,
        to,
    };
    let page = Page { limit: call.limit(), cursor: call.place()? };
    let listed = call.api.store.events(&filter, &page).await?;
    let newest = listed.data.iter().map(|event| event.received_at).max();
    let listing =
        Listing { data: listed.data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list(&call, listing)
}
