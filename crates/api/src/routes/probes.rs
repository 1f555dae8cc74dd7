//! What machines ask: alive, ready, metrics.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::json;

use crate::Readiness;
use crate::answer;
use crate::call::Call;
use crate::operation::{Answer, Body, Operation, Tag};

/// The media type of Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const HEALTH: Operation = Operation {
    id: "getHealth",
    path: "/healthz",
    tag: Tag::Dockstream,
    summary: "Whether the process lives",
    description: "Always 200 while it answers at all.",
    parameters: &[],
    body: Body::Object("Health"),
    problems: &[],
    handle: |_| Box::pin(async { answer::moment(&json!({"status": "ok"})) }),
};

pub(super) const READY: Operation = Operation {
    id: "getReadiness",
    path: "/readyz",
    tag: Tag::Dockstream,
    summary: "Whether the process does its job",
    description: "200, or 503 with why, in one line.",
    parameters: &[],
    body: Body::Object("Readiness"),
    problems: &[],
    handle: |call| Box::pin(ready(call)),
};

async fn ready(call: Call) -> Answer {
    let (mut answer, body) = match call.api.sight.readiness() {
        Readiness::Ready => (HttpResponse::Ok(), json!({"status": "ready", "reason": null})),
        Readiness::NotReady(reason) => {
            (HttpResponse::ServiceUnavailable(), json!({"status": "not_ready", "reason": reason}))
        }
    };
    let answer = answer.insert_header((CONTENT_TYPE, "application/json")).insert_header((CACHE_CONTROL, "no-store"));
    Ok(answer.body(body.to_string()))
}

pub(super) const METRICS: Operation = Operation {
    id: "getMetrics",
    path: "/metrics",
    tag: Tag::Dockstream,
    summary: "dockstream's own metrics, for Prometheus",
    description: "",
    parameters: &[],
    body: Body::Media(EXPOSITION),
    problems: &[],
    handle: |call| Box::pin(metrics(call)),
};

async fn metrics(call: Call) -> Answer {
    let text = call.api.sight.metrics();
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, EXPOSITION))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text))
}
