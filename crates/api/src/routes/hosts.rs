//! Docker hosts.

use model::HostRecord;

use super::slice::slice;
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::{Problem, ProblemKind};

pub(super) const LIST: Operation = Operation {
    id: "listHosts",
    path: "/api/hosts",
    tag: Tag::Fleet,
    summary: "Every configured Docker host, by name",
    description: "A host that does not answer is listed too, with why.",
    parameters: &[
        Parameter::once("status", Kind::Word(&["connecting", "up", "down"]), "With this status."),
        LIMIT,
        CURSOR,
    ],
    body: Body::List("Host"),
    problems: &[ProblemKind::InvalidCursor],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Answer {
    let status = call.query.text("status");
    let hosts: Vec<HostRecord> = call
        .api
        .sight
        .hosts()
        .into_iter()
        .filter(|host| status.is_none_or(|status| host.status.name() == status))
        .collect();
    let (data, next) = slice(&call, hosts, |host| host.host.to_string())?;
    let newest = data.iter().map(|host| host.observed_at).max();
    answer::list(&call, Listing { data, next, source: Source::Live, newest, warnings: Vec::new() })
}

pub(super) const ONE: Operation = Operation {
    id: "getHost",
    path: "/api/hosts/{id}",
    tag: Tag::Fleet,
    summary: "One Docker host",
    description: "By the name it has in the configuration.",
    parameters: &[],
    body: Body::Object("Host"),
    problems: &[ProblemKind::HostNotFound],
    handle: |call| Box::pin(one(call)),
};

async fn one(call: Call) -> Answer {
    let hosts = call.api.sight.hosts();
    if let Some(host) = hosts.iter().find(|host| host.host.as_str() == call.id) {
        return answer::object(&call, host);
    }
    let nearest = hosts
        .iter()
        .map(|host| (strsim::damerau_levenshtein(host.host.as_str(), &call.id), host.host.as_str()))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, name)| name);
    let detail = format!("no host is called `{}`: /api/hosts lists all", call.id);
    Err(Problem::new(ProblemKind::HostNotFound, detail).with("nearest", nearest))
}
