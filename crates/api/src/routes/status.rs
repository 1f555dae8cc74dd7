//! The status: for programs as JSON, for a person as a page.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use model::{HostName, HostRecord, HostStatus, NodeName, Timestamp};
use serde::Serialize;

use crate::call::Call;
use crate::html::{self, escape};
use crate::operation::{Answer, Body, Operation, Tag};
use crate::{Readiness, answer};

pub(super) const API: Operation = Operation {
    id: "getStatus",
    path: "/api",
    tag: Tag::Dockstream,
    summary: "Who answers, how it does, and where to go on",
    description: "",
    parameters: &[],
    body: Body::Object("Status"),
    problems: &[],
    handle: |call| Box::pin(async move { answer::moment(&Status::of(&call)) }),
};

pub(super) const ROOT: Operation = Operation {
    id: "getRoot",
    path: "/",
    tag: Tag::Dockstream,
    summary: "The status: a page for browsers, JSON for programs",
    description: "JSON where `Accept` prefers `application/json` to `text/html`.",
    parameters: &[],
    body: Body::ObjectOrPage("Status"),
    problems: &[],
    handle: |call| Box::pin(root(call)),
};

#[derive(Serialize)]
struct Status {
    name: &'static str,
    version: &'static str,
    node: NodeName,
    started_at: Timestamp,
    uptime_seconds: i64,
    ready: bool,
    reason: Option<String>,
    hosts: Vec<HostLine>,
    sinks: Vec<SinkLine>,
    links: Vec<Link>,
}

#[derive(Serialize)]
struct HostLine {
    host: HostName,
    status: HostStatus,
    last_error: Option<String>,
    containers_running: Option<u64>,
}

#[derive(Serialize)]
struct SinkLine {
    sink: String,
    delivered: u64,
    pending: u64,
    dropped: u64,
    failing: Option<String>,
}

#[derive(Serialize)]
struct Link {
    href: &'static str,
    title: &'static str,
}

impl Status {
    fn of(call: &Call) -> Self {
        let (sight, about) = (&call.api.sight, &call.api.about);
        let (ready, reason) = match sight.readiness() {
            Readiness::Ready => (true, None),
            Readiness::NotReady(reason) => (false, Some(reason)),
        };
        let host = |host: HostRecord| HostLine {
            host: host.host,
            status: host.status,
            last_error: host.last_error,
            containers_running: host.containers_running,
        };
        let sink = |sink: crate::SinkView| SinkLine {
            sink: sink.books.sink,
            delivered: sink.books.delivered,
            pending: sink.books.pending,
            dropped: sink.books.dropped,
            failing: sink.state.failing,
        };
        let elsewhere = super::OPERATIONS.iter().filter(|other| !other.has_id() && other.path != call.operation.path);
        Self {
            name: "dockstream",
            version: env!("CARGO_PKG_VERSION"),
            node: about.node.clone(),
            started_at: about.started_at,
            uptime_seconds: call.now.nanos_since(about.started_at).max(0) / 1_000_000_000,
            ready,
            reason,
            hosts: sight.hosts().into_iter().map(host).collect(),
            sinks: sight.sinks().into_iter().map(sink).collect(),
            links: elsewhere.map(|other| Link { href: other.path, title: other.summary }).collect(),
        }
    }

    fn page(&self) -> String {
        let mut body = String::new();
        let state = match &self.reason {
            None => "<p><strong class=\"good\">Ready</strong></p>".to_owned(),
            Some(reason) => format!("<p><strong class=\"bad\">Not ready</strong>: {}</p>", escape(reason)),
        };
        let _ = write!(
            body,
            "<h1>dockstream</h1>{state}<p>Version {}, node {}, up for {} s.</p>",
            self.version,
            escape(self.node.as_str()),
            self.uptime_seconds
        );
        body.push_str(
            "<h2>Hosts</h2><table><tr><th>Host</th><th>Status</th><th>Running containers</th><th>Error</th></tr>",
        );
        for host in &self.hosts {
            let running = host.containers_running.map_or("not known".to_owned(), |count| count.to_string());
            let error = host.last_error.as_deref().unwrap_or_default();
            let _ = write!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{running}</td><td>{}</td></tr>",
                escape(host.host.as_str()),
                host.status.name(),
                escape(error)
            );
        }
        body.push_str("</table><h2>Sinks</h2><table><tr><th>Sink</th><th>Delivered</th><th>Pending</th><th>Dropped</th><th>Error</th></tr>");
        for sink in &self.sinks {
            let _ = write!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&sink.sink),
                sink.delivered,
                sink.pending,
                sink.dropped,
                escape(sink.failing.as_deref().unwrap_or_default())
            );
        }
        body.push_str("</table><h2>Go on</h2><ul>");
        for link in &self.links {
            let _ = write!(body, "<li><a href=\"{0}\">{0}</a> {1}</li>", escape(link.href), escape(link.title));
        }
        body.push_str("</ul>");
        html::page("dockstream", &body)
    }
}

async fn root(call: Call) -> Answer {
    let status = Status::of(&call);
    let accept = call.header(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut answer = if prefers_json(accept) { answer::moment(&status)? } else { show(status.page()) };
    answer.headers_mut().insert(VARY, actix_web::http::header::HeaderValue::from_static("accept"));
    Ok(answer)
}

fn show(page: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, html::MEDIA_TYPE))
        .insert_header((CONTENT_SECURITY_POLICY, html::POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(page)
}

/// True where JSON has a higher weight than HTML; where both have the same, a person is assumed.
fn prefers_json(accept: &str) -> bool {
    weight(accept, "application", "json") > weight(accept, "text", "html")
}

/// The weight, in thousandths, that the most specific range of `accept` gives to a media type.
fn weight(accept: &str, kind: &str, subtype: &str) -> u32 {
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let precision = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((of, "*")) if of == kind => 2,
            Some((of, exact)) if of == kind && exact == subtype => 3,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 1000")]
        let quality = (quality.clamp(0.0, 1.0) * 1_000.0) as u32;
        best = best.max((precision, quality));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_a_program_that_asks_for_json_gets_json() {
        for json in
            ["application/json", "application/json, */*;q=0.5", "text/html;q=0.2, application/*", "Application/JSON"]
        {
            assert!(prefers_json(json), "{json}");
        }
        for page in [
            "",
            "*/*",
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json;q=0.5, text/html",
            "application/json;q=0, */*",
        ] {
            assert!(!prefers_json(page), "{page}");
        }
    }
}
