//! The API's description of itself.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::Value;

use crate::operation::{Answer, Body, Operation, Tag};
use crate::{answer, html, openapi};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&super::OPERATIONS));

static PAGE: LazyLock<String> = LazyLock::new(|| openapi::page(&super::OPERATIONS));

pub(super) const OPENAPI: Operation = Operation {
    id: "getOpenApi",
    path: "/api/openapi.json",
    tag: Tag::Documents,
    summary: "This API as an OpenAPI 3.1 document",
    description: "",
    parameters: &[],
    body: Body::Media("application/json"),
    problems: &[],
    handle: |call| Box::pin(async move { answer::object(&call, &*DOCUMENT) }),
};

pub(super) const DOCS: Operation = Operation {
    id: "getDocs",
    path: "/api/docs",
    tag: Tag::Documents,
    summary: "This API as a page",
    description: "Every route, schema and problem; needs no other server.",
    parameters: &[],
    body: Body::Media(html::MEDIA_TYPE),
    problems: &[],
    handle: |_| Box::pin(docs()),
};

async fn docs() -> Answer {
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, html::MEDIA_TYPE))
        .insert_header((CONTENT_SECURITY_POLICY, html::POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .body(PAGE.as_str()))
}
