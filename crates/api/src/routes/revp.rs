//! Reverse proxy labels, of all containers that have any.

use model::{ContainerId, ContainerRecord, ContainerState, HostName, Revp};
use serde::Serialize;
use store::{ContainerFilter, Page, RevpFilter};

use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, STATES, Tag};
use crate::problem::ProblemKind;

pub(super) const LIST: Operation = Operation {
    id: "listRevp",
    path: "/api/revp",
    tag: Tag::Containers,
    summary: "What containers' labels say of their reverse proxy, by container name",
    description: "The labels `snadboy.revp.*`. One that cannot be what it is meant to be leaves its field null and is listed in \
                  `errors`: nothing is guessed.",
    parameters: &[
        Parameter::once("host", Kind::Text, "On this host."),
        Parameter::many("state", Kind::Word(STATES), "Of containers in this state; repeated: in any of them."),
        Parameter::once("domain", Kind::Text, "With this domain."),
        Parameter::once(
            "valid",
            Kind::Word(&["true", "false"]),
            "With labels that are all right, or with one that is not.",
        ),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("RevpEntry"),
    problems: &[ProblemKind::InvalidCursor, ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(list(call)),
};

/// What the labels of one container say. Serialises flat.
#[derive(Serialize)]
struct Entry {
    host: HostName,
    container_id: ContainerId,
    container_name: String,
    state: ContainerState,
    #[serde(flatten)]
    revp: Revp,
}

async fn list(call: Call) -> Answer {
    let query = &call.query;
    let text = |name| query.text(name).map(str::to_owned);
    let filter = ContainerFilter {
        host: text("host"),
        states: query.all("state").map(|word| word.parse().unwrap_or_else(|never| match never {})).collect(),
        domain: text("domain"),
        revp: Some(match query.text("valid") {
            None => RevpFilter::With,
            Some("true") => RevpFilter::Valid,
            Some(_) => RevpFilter::Invalid,
        }),
        ..ContainerFilter::default()
    };
    let page = Page { limit: call.limit(), cursor: call.place()? };
    let listed = call.api.store.containers(&filter, &page).await?;
    let newest = listed.data.iter().map(|container| container.observed_at).max();
    let data = listed.data.into_iter().filter_map(entry).collect::<Vec<_>>();
    let listing = Listing { data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list(&call, listing)
}

fn entry(container: ContainerRecord) -> Option<Entry> {
    Some(Entry {
        revp: container.revp?,
        host: container.host,
        container_id: container.container_id,
        container_name: container.container_name,
        state: container.state,
    })
}
