//! Records into values, in the order of `columns`.

use model::{
    BatchId, ContainerId, ContainerMeta, ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord,
    LogRecord, LossRecord, Rows, SampleValue, StatsRecord,
};

use super::value::Value;

/// The values of a row for each of the tables of its stream.
pub(super) fn values<'a>(id: &BatchId, rows: &'a Rows, index: usize) -> Vec<Vec<Value<'a>>> {
    match rows {
        Rows::Stats(rows) => vec![stats(&rows[index])],
        Rows::Events(rows) => vec![event(&rows[index])],
        Rows::Containers(rows) => vec![container(&rows[index])],
        Rows::Images(rows) => vec![image(&rows[index])],
        Rows::ImageVersions(rows) => vec![image_version(&rows[index])],
        Rows::Hosts(rows) => vec![host(&rows[index]), host_health(&rows[index])],
        Rows::Logs(rows) => vec![log(&rows[index])],
        Rows::Losses(rows) => vec![loss(id, id.first + index as u64, &rows[index])],
    }
}

fn identity<'a>(meta: &'a ContainerMeta, to: &mut Vec<Value<'a>>) {
    to.extend([
        Value::text(meta.host.as_str()),
        Value::text(meta.container_id.as_str()),
        Value::text(&meta.container_name),
        Value::text(&meta.image),
        Value::maybe_text(meta.compose_project.as_deref()),
        Value::maybe_text(meta.compose_service.as_deref()),
        Value::time(meta.run),
    ]);
}

fn stats(row: &StatsRecord) -> Vec<Value<'_>> {
    let mut to = Vec::with_capacity(48);
    identity(&row.meta, &mut to);
    to.extend([Value::Time(row.timestamp), Value::Time(row.received_at), Value::word(row.network_scope.as_ref())]);
    to.extend(row.sample.values().map(|value| match value {
        SampleValue::Float(value) => Value::float(value),
        SampleValue::Unsigned(value) => Value::count(value),
    }));
    to.extend([
        Value::json(&row.meta.labels),
        Value::nanos(row.timestamp),
        Value::more_nanos(&[row.meta.run, Some(row.received_at)]),
    ]);
    to
}

fn log(row: &LogRecord) -> Vec<Value<'_>> {
    let mut to = Vec::with_capacity(18);
    identity(&row.meta, &mut to);
    to.extend([
        Value::Time(row.timestamp),
        Value::Time(row.received_at),
        Value::text(row.stream.name()),
        Value::Integer(i64::from(row.ordinal)),
        Value::text(&row.line),
        Value::Bool(row.partial),
        Value::Bool(row.truncated),
        Value::Bool(row.invalid_utf8),
        Value::json(&row.meta.labels),
        Value::nanos(row.timestamp),
        Value::more_nanos(&[row.meta.run, Some(row.received_at)]),
    ]);
    to
}

fn event(row: &EventRecord) -> Vec<Value<'_>> {
    vec![
        Value::text(row.host.as_str()),
        Value::Time(row.timestamp),
        Value::Time(row.received_at),
        Value::text(&row.kind),
        Value::text(&row.action),
        Value::maybe_text(row.argument.as_deref()),
        Value::text(&row.actor_id),
        Value::maybe_text(row.actor_name.as_deref()),
        Value::maybe_text(row.container_id.as_ref().map(ContainerId::as_str)),
        Value::maybe_text(row.container_name.as_deref()),
        Value::maybe_text(row.image.as_deref()),
        Value::maybe_text(row.compose_project.as_deref()),
        Value::maybe_text(row.compose_service.as_deref()),
        Value::integer(row.exit_code),
        Value::maybe_text(row.exit_cause.as_deref()),
        Value::maybe_text(row.signal.as_deref()),
        Value::Bool(row.synthetic),
        Value::json(&row.attributes),
        Value::json(&row.labels),
        Value::nanos(row.timestamp),
        Value::more_nanos(&[Some(row.received_at)]),
    ]
}

fn container(row: &ContainerRecord) -> Vec<Value<'_>> {
    let health = row.health.as_ref();
    vec![
        Value::text(row.host.as_str()),
        Value::text(row.container_id.as_str()),
        Value::text(&row.container_name),
        Value::text(&row.image),
        Value::maybe_text(row.image_id.as_deref()),
        Value::maybe_text(row.image_digest.as_deref()),
        Value::maybe_text(row.compose_project.as_deref()),
        Value::maybe_text(row.compose_service.as_deref()),
        Value::text(row.state.name()),
        Value::maybe_text(row.status.as_deref()),
        Value::count(row.pid),
        Value::integer(row.exit_code),
        Value::maybe_text(row.exit_cause.as_deref()),
        Value::bool(row.oom_killed),
        Value::maybe_text(row.error.as_deref()),
        Value::time(row.created_at),
        Value::time(row.started_at),
        Value::time(row.finished_at),
        Value::maybe_text(health.map(|health| health.status.as_str())),
        Value::count(health.map(|health| health.failing_streak)),
        Value::maybe_text(health.and_then(|health| health.last_output.as_deref())),
        Value::json(&row.labels),
        Value::json(&row.environment),
        Value::json(&row.ports),
        Value::json(&row.networks),
        Value::json(&row.mounts),
        Value::word(row.network_scope.as_ref()),
        Value::maybe_text(row.restart_policy.as_deref()),
        Value::count(row.restart_count),
        Value::float(row.cpu_limit_cores),
        Value::count(row.memory_limit_bytes),
        Value::count(row.pids_limit),
        Value::count(row.cpu_shares),
        Value::maybe_text(row.cpuset_cpus.as_deref()),
        Value::count(row.memory_reservation_bytes),
        Value::count(row.memory_swap_limit_bytes),
        row.revp.as_ref().map_or(Value::Null, Value::json),
        Value::Time(row.observed_at),
        Value::nanos(row.observed_at),
        Value::more_nanos(&[row.created_at, row.started_at, row.finished_at]),
    ]
}

fn image(row: &ImageRecord) -> Vec<Value<'_>> {
    let used_by = row.used_by.as_ref().map(|ids| ids.iter().map(|id| id.as_str().into()).collect());
    vec![
        Value::text(row.host.as_str()),
        Value::text(&row.image_id),
        Value::text(row.state.name()),
        Value::texts(&row.tags),
        Value::texts(&row.digests),
        Value::time(row.created_at),
        Value::count(row.size_bytes),
        Value::json(&row.labels),
        used_by.map_or(Value::Null, Value::Texts),
        Value::Time(row.observed_at),
        Value::nanos(row.observed_at),
        Value::more_nanos(&[row.created_at]),
    ]
}

fn image_version(row: &ImageVersionRecord) -> Vec<Value<'_>> {
    vec![
        Value::text(row.host.as_str()),
        Value::Time(row.observed_at),
        Value::text(row.change.name()),
        Value::text(&row.reference),
        Value::maybe_text(row.from_image_id.as_deref()),
        Value::maybe_text(row.to_image_id.as_deref()),
        Value::maybe_text(row.from_digest.as_deref()),
        Value::maybe_text(row.to_digest.as_deref()),
        Value::nanos(row.observed_at),
    ]
}

fn host(row: &HostRecord) -> Vec<Value<'_>> {
    vec![
        Value::text(row.host.as_str()),
        Value::text(&row.url),
        Value::text(row.status.name()),
        Value::maybe_text(row.last_error.as_deref()),
        Value::maybe_text(row.engine.as_deref()),
        Value::maybe_text(row.engine_version.as_deref()),
        Value::maybe_text(row.api_version.as_deref()),
        Value::maybe_text(row.os.as_deref()),
        Value::maybe_text(row.kernel.as_deref()),
        Value::count(row.cgroup_version),
        Value::count(row.cpus),
        Value::count(row.memory_bytes),
        Value::count(row.response_ns),
        Value::count(row.containers),
        Value::count(row.containers_running),
        Value::Time(row.observed_at),
        Value::json(&row.labels),
        Value::time(row.status_since),
        Value::count(Some(row.failures)),
        Value::time(row.retry_at),
        Value::nanos(row.observed_at),
        Value::more_nanos(&[row.status_since, row.retry_at]),
    ]
}

fn host_health(row: &HostRecord) -> Vec<Value<'_>> {
    vec![
        Value::text(row.host.as_str()),
        Value::Time(row.observed_at),
        Value::text(row.status.name()),
        Value::maybe_text(row.last_error.as_deref()),
        Value::count(row.response_ns),
        Value::count(row.containers),
        Value::count(row.containers_running),
        Value::count(Some(row.failures)),
        Value::nanos(row.observed_at),
    ]
}

fn loss<'a>(id: &BatchId, sequence: u64, row: &'a LossRecord) -> Vec<Value<'a>> {
    vec![
        Value::word(Some(&id.node)),
        Value::count(Some(id.epoch)),
        Value::count(Some(sequence)),
        Value::text(row.stream.name()),
        Value::maybe_text(row.sink.as_deref()),
        Value::text(row.reason.name()),
        Value::count(Some(row.count)),
        Value::Time(row.first_at),
        Value::Time(row.last_at),
        Value::nanos(row.last_at),
        Value::more_nanos(&[Some(row.first_at)]),
    ]
}
