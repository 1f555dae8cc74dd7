//! The newest of every container, for Prometheus.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use model::{ContainerRecord, StatsRecord};
use store::{ContainerFilter, MAX_LIMIT, Page, StoreError};

use crate::call::Call;
use crate::exposition::{Container, Format, render};
use crate::operation::{Answer, Body, Operation, Tag};
use crate::problem::ProblemKind;

pub(super) const CONTAINERS: Operation = Operation {
    id: "getContainerMetrics",
    path: "/metrics/containers",
    tag: Tag::Containers,
    summary: "The newest of every container, for Prometheus",
    description: "OpenMetrics where `Accept` names it, as Prometheus does; else Prometheus' text format. A container that has \
                  no sample for a while, or is not running any more, has its state only; one that is removed is gone. What is \
                  not known has no metric. Names and labels: docs/prometheus.md.",
    parameters: &[],
    body: Body::Media(Format::OpenMetrics.media_type()),
    problems: &[ProblemKind::Unavailable, ProblemKind::Timeout],
    handle: |call| Box::pin(containers(call)),
};

async fn containers(call: Call) -> Answer {
    let latest = call.api.store.latest_all(call.now - call.api.sight.fresh()).await?;
    let records = every_container(&call).await?;
    let joined = join(records, latest.into_iter().map(|latest| latest.record));
    let accept = call.header(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.media_type()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept"))
        .body(render(&joined, format)))
}

async fn every_container(call: &Call) -> Result<Vec<ContainerRecord>, StoreError> {
    let filter = ContainerFilter::default();
    let mut page = Page { limit: MAX_LIMIT, cursor: None };
    let mut records = Vec::new();
    loop {
        let listed = call.api.store.containers(&filter, &page).await?;
        records.extend(listed.data);
        page.cursor = listed.next_cursor;
        if page.cursor.is_none() {
            return Ok(records);
        }
    }
}

/// Puts samples to their containers, by host and name: no engine has two containers of one name, but the store may not have heard
/// yet that one is gone. The later one counts.
fn join(records: Vec<ContainerRecord>, samples: impl Iterator<Item = StatsRecord>) -> Vec<Container> {
    let mut joined: BTreeMap<(String, String), Container> = BTreeMap::new();
    for record in records {
        let of = joined.entry((record.host.to_string(), record.container_name.clone())).or_default();
        if of.record.as_ref().is_none_or(|other| other.observed_at < record.observed_at) {
            of.record = Some(record);
        }
    }
    for sample in samples {
        let of = joined.entry((sample.meta.host.to_string(), sample.meta.container_name.clone())).or_default();
        // The state is known sooner than samples cease.
        let counts = of
            .record
            .as_ref()
            .is_none_or(|record| record.container_id == sample.meta.container_id && record.state.has_stats());
        if counts && of.stats.as_ref().is_none_or(|other| other.timestamp < sample.timestamp) {
            of.stats = Some(sample);
        }
    }
    // A sample whose container is another one by now, and nothing else, is nothing.
    joined.into_values().filter(|of| of.record.is_some() || of.stats.is_some()).collect()
}
