//! Docker hosts.

use model::HostRecord;

use super::slice::slice;
use crate::answer::{self, Listing, Source};
use crate::call::Call;
use crate::operation::{Answer, Body, CURSOR, Kind, LIMIT, Operation, Parameter, Tag};
use crate::problem::ProblemKind;

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
