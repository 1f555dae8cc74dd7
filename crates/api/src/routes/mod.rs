//! The routes: one table, from which they are registered and documented.

mod containers;
mod documents;
mod events;
mod hosts;
mod images;
mod logs;
mod losses;
mod metrics;
mod pipeline;
mod probes;
mod revp;
mod slice;
mod stats;
mod status;

use actix_web::guard::{Any, Get, Head};
use actix_web::{HttpRequest, web};

use crate::call::{dispatch, refuse};
use crate::operation::Operation;
use crate::problem::{Problem, ProblemKind};

/// Everything that is served, in the order of the document.
pub(crate) static OPERATIONS: [&Operation; 22] = [
    &containers::LIST,
    &containers::ONE,
    &stats::LATEST,
    &stats::HISTORY,
    &logs::LINES,
    &revp::LIST,
    &images::LIST,
    &images::ONE,
    &images::HISTORY,
    &events::LIST,
    &hosts::LIST,
    &hosts::ONE,
    &losses::LIST,
    &pipeline::NOW,
    &status::API,
    &status::ROOT,
    &probes::HEALTH,
    &probes::READY,
    &probes::METRICS,
    &metrics::CONTAINERS,
    &documents::OPENAPI,
    &documents::DOCS,
];

/// Where probes ask, over and over, whether the process does its job.
pub(crate) const READINESS: &str = probes::READY.path;

/// What every path is served with.
const METHODS: &str = "GET, HEAD";

/// Registers all operations, and what answers elsewhere.
pub(crate) fn register(config: &mut web::ServiceConfig) {
    for operation in OPERATIONS {
        let handler = move |request: HttpRequest, api| dispatch(operation, request, api);
        let read = web::route().guard(Any(Get()).or(Head())).to(handler);
        config.service(web::resource(operation.path).route(read).default_service(web::to(wrong_method)));
    }
    config.default_service(web::to(wrong_path));
}

async fn wrong_method(request: HttpRequest) -> actix_web::HttpResponse {
    let detail = format!("`{}` is served with {METHODS}", request.path());
    refuse(&request, Problem::new(ProblemKind::MethodNotAllowed, detail).allowing(METHODS))
}

async fn wrong_path(request: HttpRequest) -> actix_web::HttpResponse {
    let nearest = OPERATIONS
        .iter()
        .filter(|operation| !operation.has_id())
        .map(|operation| (strsim::damerau_levenshtein(operation.path, request.path()), operation.path))
        .filter(|(edits, path)| *edits <= 2 && path.len() > 3)
        .min();
    let detail = match nearest {
        Some((_, path)) => format!("nothing is served at this path: did you mean `{path}`?"),
        None => "nothing is served at this path: /api/docs lists what is".to_owned(),
    };
    refuse(&request, Problem::new(ProblemKind::RouteNotFound, detail).with("nearest", nearest.map(|(_, path)| path)))
}
