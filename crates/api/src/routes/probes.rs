//! What machines ask: alive, ready, metrics.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;

use crate::Readiness;
use crate::answer;
use crate::call::Call;
use crate::exposition::Format;
use crate::operation::{Answer, Body, Operation, Tag};

/// The media type of Prometheus' text format.
const EXPOSITION: &str = Format::Prometheus.media_type();

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

/// What a probe is told.
#[derive(Serialize)]
struct Verdict {
    status: &'static str,
    reason: Option<String>,
}

async fn ready(call: Call) -> Answer {
    let verdict = match call.api.sight.readiness() {
        Readiness::Ready => Verdict { status: "ready", reason: None },
        Readiness::NotReady(reason) => Verdict { status: "not_ready", reason: Some(reason) },
    };
    let mut answer = answer::moment(&verdict)?;
    if verdict.reason.is_some() {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
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
