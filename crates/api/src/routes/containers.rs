//! Containers: the list, and one of them.

use model::ContainerRecord;
use model::Timestamp;
use store::{ContainerFilter, LabelMatch, Page, RevpFilter, Selector};

use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, STATES, Tag};
use crate::problem::{Problem, ProblemKind};

/// Which host's container is meant.
pub(super) const HOST: Parameter =
    Parameter::once("host", Kind::Text, "The host, where an id or a name alone is not enough.");

pub(super) const LIST: Operation = Operation {
    id: "listContainers",
    path: "/api/containers",
    tag: Tag::Containers,
    summary: "Containers in their latest state, by name",
    description: "Containers that are gone from their engine are listed only with `state=removed`.",
    parameters: &[
        Parameter::once("host", Kind::Text, "On this host."),
        Parameter::many("state", Kind::Word(STATES), "In this state; repeated: in any of them."),
        Parameter::once("name", Kind::Text, "With this text in the name, in any case."),
        Parameter::once("image", Kind::Text, "With this text in the image's name in any case, or with this image id."),
        Parameter::many("label", Kind::Label, "With this label (`key` or `key=value`); repeated: with all of them."),
        Parameter::once("project", Kind::Text, "Of this compose project."),
        Parameter::once(
            "health",
            Kind::Word(&["starting", "healthy", "unhealthy", "none"]),
            "With this result of the health check; `none`: without a health check.",
        ),
        Parameter::once(
            "revp",
            Kind::Word(&["true", "false", "valid", "invalid"]),
            "With reverse proxy labels or without; with such that are all right, or with one that is not.",
        ),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("Container"),
    problems: &[ProblemKind::InvalidCursor, ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Answer {
    let query = &call.query;
    let text = |name| query.text(name).map(str::to_owned);
    let filter = ContainerFilter {
        host: text("host"),
        states: query.all("state").map(|word| word.parse().unwrap_or_else(|never| match never {})).collect(),
        name: text("name"),
        image: text("image"),
        labels: query.all("label").map(label).collect(),
        project: text("project"),
        health: text("health"),
        revp: query.text("revp").map(revp_filter),
        ..ContainerFilter::default()
    };
    let page = Page { limit: call.limit(), cursor: call.place()? };
    let listed = call.api.store.containers(&filter, &page).await?;
    let newest = listed.data.iter().map(|container| container.observed_at).max();
    let listing =
        Listing { data: listed.data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list_as(&call, listing, |data| data.into_iter().map(|container| fresh(container, call.now)).collect())
}

/// The record with its sentence as of now: the stored one was true when it was observed.
fn fresh(mut record: ContainerRecord, now: Timestamp) -> ContainerRecord {
    record.status = record.status_at(now);
    record
}

fn revp_filter(word: &str) -> RevpFilter {
    match word {
        "false" => RevpFilter::Without,
        "valid" => RevpFilter::Valid,
        "invalid" => RevpFilter::Invalid,
        _ => RevpFilter::With,
    }
}

pub(super) fn label(text: &str) -> LabelMatch {
    text.parse().unwrap_or_else(|never| match never {})
}

pub(super) const ONE: Operation = Operation {
    id: "getContainer",
    path: "/api/containers/{id}",
    tag: Tag::Containers,
    summary: "One container in its latest state",
    description: "",
    parameters: &[HOST],
    body: Body::Object("Container"),
    problems: &[
        ProblemKind::ContainerNotFound,
        ProblemKind::AmbiguousContainer,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ],
    handle: |call| Box::pin(one(call)),
};

async fn one(call: Call) -> Answer {
    let container = find(&call).await?;
    answer::object_as(&call, &container, &fresh(container.clone(), call.now))
}

/// The container that the path names.
pub(super) async fn find(call: &Call) -> Result<ContainerRecord, Problem> {
    let selector = Selector { text: call.id.clone(), host: call.query.text("host").map(str::to_owned) };
    Ok(call.api.store.container(&selector).await?)
}
