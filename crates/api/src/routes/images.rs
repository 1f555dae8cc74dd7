//! Images: the list, one of them, and what changed of it.

use model::{ContainerId, ContainerState, ImageRecord, ImageState};
use serde::Serialize;
use store::{ContainerFilter, ImageFilter, MAX_LIMIT, Page, Selector};

use super::containers::label;
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::ProblemKind;

const TRUTH: Kind = Kind::Word(&["true", "false"]);

/// Which host's image is meant.
const HOST: Parameter =
    Parameter::once("host", Kind::Text, "The host, where an id or a tag alone is not enough: hosts share images.");

pub(super) const LIST: Operation = Operation {
    id: "listImages",
    path: "/api/images",
    tag: Tag::Images,
    summary: "Images in their latest state, by tag",
    description: "Images without a tag come last; those that are gone from their engine only with `state=removed`.",
    parameters: &[
        Parameter::once("host", Kind::Text, "On this host."),
        Parameter::once("state", Kind::Word(&["present", "removed"]), "In this state; else `present`."),
        Parameter::once("tag", Kind::Text, "With this text in a tag, in any case."),
        Parameter::many("label", Kind::Label, "With this label (`key` or `key=value`); repeated: with all of them."),
        Parameter::once("used", TRUTH, "That containers are made of, or that none is."),
        Parameter::once("dangling", TRUTH, "Without a tag, or with one."),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("Image"),
    problems: &[ProblemKind::InvalidCursor, ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Answer {
    let query = &call.query;
    let text = |name| query.text(name).map(str::to_owned);
    let truth = |name| query.text(name).map(|word| word == "true");
    let filter = ImageFilter {
        host: text("host"),
        state: query.parsed::<ImageState>("state")?,
        tag: text("tag"),
        labels: query.all("label").map(label).collect(),
        is_used: truth("used"),
        is_dangling: truth("dangling"),
    };
    let page = Page { limit: call.limit(), cursor: call.place()? };
    let listed = call.api.store.images(&filter, &page).await?;
    let newest = listed.data.iter().map(|image| image.observed_at).max();
    let listing =
        Listing { data: listed.data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list(&call, listing)
}

pub(super) const ONE: Operation = Operation {
    id: "getImage",
    path: "/api/images/{id}",
    tag: Tag::Images,
    summary: "One image in its latest state, with the containers made of it",
    description: "",
    parameters: &[HOST],
    body: Body::Object("ImageDetail"),
    problems: &[
        ProblemKind::ImageNotFound,
        ProblemKind::AmbiguousImage,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ],
    handle: |call| Box::pin(one(call)),
};

/// An image with its containers by name. Serialises flat.
#[derive(Serialize)]
struct ImageDetail {
    #[serde(flatten)]
    image: ImageRecord,
    containers: Vec<User>,
}

/// A container made of an image.
#[derive(Serialize)]
struct User {
    container_id: ContainerId,
    container_name: String,
    state: ContainerState,
}

async fn one(call: Call) -> Answer {
    let image = call.api.store.image(&selector(&call)).await?;
    let filter = ContainerFilter {
        host: Some(image.host.to_string()),
        image_id: Some(image.image_id.clone()),
        ..ContainerFilter::default()
    };
    let users = call.api.store.containers(&filter, &Page { limit: MAX_LIMIT, cursor: None }).await?;
    let containers = users.data.into_iter().map(|container| User {
        container_id: container.container_id,
        container_name: container.container_name,
        state: container.state,
    });
    answer::object(&call, &ImageDetail { image, containers: containers.collect() })
}

pub(super) const HISTORY: Operation = Operation {
    id: "getImageHistory",
    path: "/api/images/{id}/history",
    tag: Tag::Images,
    summary: "What changed of an image or of a tag, the newest first",
    description: "Of an id: every change that led to the image or away from it. Of a tag: every image it was given to. On all \
                  hosts unless one is named.",
    parameters: &[Parameter::once("host", Kind::Text, "On this host."), LIMIT, CURSOR],
    body: Body::List("ImageVersion"),
    problems: &[ProblemKind::ImageNotFound, ProblemKind::InvalidCursor, ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(history(call)),
};

async fn history(call: Call) -> Answer {
    let page = Page { limit: call.limit(), cursor: call.place()? };
    let listed = call.api.store.image_history(&selector(&call), &page).await?;
    let newest = listed.data.iter().map(|version| version.observed_at).max();
    let listing =
        Listing { data: listed.data, next: listed.next_cursor, source: Source::Store, newest, warnings: Vec::new() };
    answer::list(&call, listing)
}

/// The image that the path names.
fn selector(call: &Call) -> Selector {
    Selector { text: call.id.clone(), host: call.query.text("host").map(str::to_owned) }
}
