//! A container's stats: the newest sample, and what came before.

use std::time::Duration;

use store::{ContainerKey, DEFAULT_POINTS, HistoryQuery, MAX_POINTS};

use super::containers::{HOST, find};
use crate::answer;
use crate::call::Call;
use crate::operation::{Answer, Body, Kind, Operation, Parameter, Tag};
use crate::problem::{Problem, ProblemKind};

/// How far back a history goes where `from` is not given.
const DEFAULT_RANGE: Duration = Duration::from_secs(60 * 60);

pub(super) const LATEST: Operation = Operation {
    id: "getContainerStats",
    path: "/api/containers/{id}/stats",
    tag: Tag::Containers,
    summary: "The newest stored sample of a container, with rates",
    description: "CPU and memory are what `docker stats` shows. What is not known is null: rates after a start, network \
                  counters of a container without a network of its own (`network_scope` says why).",
    parameters: &[HOST],
    body: Body::Object("Stats"),
    problems: &[
        ProblemKind::ContainerNotFound,
        ProblemKind::NoStatsYet,
        ProblemKind::AmbiguousContainer,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ],
    handle: |call| Box::pin(latest(call)),
};

async fn latest(call: Call) -> Answer {
    let container = find(&call).await?;
    match call.api.store.latest(&ContainerKey::from(&container)).await? {
        Some(stats) => answer::object(&call, &stats),
        None => {
            let detail = format!("no sample of `{}` is stored", container.container_name);
            Err(Problem::new(ProblemKind::NoStatsYet, detail)
                .with("container_id", container.container_id.as_str())
                .with("state", container.state.name()))
        }
    }
}

pub(super) const HISTORY: Operation = Operation {
    id: "getContainerStatsHistory",
    path: "/api/containers/{id}/stats/history",
    tag: Tag::Containers,
    summary: "A container's stats over time",
    description: "Where nothing was stored there is no point: a gap stays a gap. A point has mean, lowest and highest CPU and \
                  memory of its step, and the sum of what grew. Up to an hour is answered from samples, up to a day by \
                  minutes, up to 30 days by hours, beyond by days, unless `resolution` says otherwise; steps grow until \
                  there are no more than `max_points`.",
    parameters: &[
        HOST,
        Parameter::once("from", Kind::Time, "The first moment; an hour before `to` where it is not given."),
        Parameter::once("to", Kind::Time, "The moment after the last; now where it is not given."),
        Parameter::once("resolution", Kind::Word(&["raw", "1m", "1h", "1d"]), "What the points are made from."),
        Parameter::once(
            "max_points",
            Kind::Integer { min: 1, max: MAX_POINTS as u64, default: DEFAULT_POINTS as u64 },
            "How many points at most.",
        ),
    ],
    body: Body::Object("History"),
    problems: &[
        ProblemKind::ContainerNotFound,
        ProblemKind::AmbiguousContainer,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ],
    handle: |call| Box::pin(history(call)),
};

async fn history(call: Call) -> Answer {
    let query = &call.query;
    let to = query.time("to", call.now).unwrap_or(call.now);
    let from = query.time("from", call.now).unwrap_or(to - DEFAULT_RANGE);
    if from >= to {
        return Err(Problem::invalid("from", format!("`from` ({from}) must lie before `to` ({to})")));
    }
    let max_points =
        query.integer("max_points").and_then(|points| usize::try_from(points).ok()).unwrap_or(DEFAULT_POINTS);
    let wanted = HistoryQuery { from, to, resolution: query.parsed("resolution")?, max_points };
    let container = find(&call).await?;
    let history = call.api.store.history(&ContainerKey::from(&container), &wanted).await?;
    answer::object(&call, &history)
}
