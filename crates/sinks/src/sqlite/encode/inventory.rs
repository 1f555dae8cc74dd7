//! What hosts have: containers, images, and what changed of images.

use std::sync::LazyLock;

use model::{ContainerRecord, ImageRecord, ImageVersionRecord};
use rusqlite::{Connection, params};

use super::{integer, nanos, to_json, upsert};

static UPSERT_CONTAINER: LazyLock<String> = LazyLock::new(|| {
    let columns = [
        "host",
        "container_id",
        "container_name",
        "image",
        "image_id",
        "image_digest",
        "compose_project",
        "compose_service",
        "state",
        "status",
        "pid",
        "exit_code",
        "exit_cause",
        "oom_killed",
        "error",
        "created_at",
        "started_at",
        "finished_at",
        "health_status",
        "health_failing_streak",
        "health_last_output",
        "labels",
        "environment",
        "ports",
        "networks",
        "mounts",
        "network_scope",
        "restart_policy",
        "restart_count",
        "cpu_limit_cores",
        "memory_limit_bytes",
        "pids_limit",
        "cpu_shares",
        "cpuset_cpus",
        "memory_reservation_bytes",
        "memory_swap_limit_bytes",
        "revp",
        "observed_at",
    ];
    upsert("containers", "host, container_id", &columns)
});

pub(super) fn write_containers(connection: &Connection, rows: &[ContainerRecord]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(&UPSERT_CONTAINER)?;
    for row in rows {
        let health = row.health.as_ref();
        upsert.execute(params![
            row.host.as_str(),
            row.container_id.as_str(),
            row.container_name,
            row.image,
            row.image_id,
            row.image_digest,
            row.compose_project,
            row.compose_service,
            row.state.name(),
            row.status,
            integer(row.pid),
            row.exit_code,
            row.exit_cause,
            row.oom_killed,
            row.error,
            nanos(row.created_at),
            nanos(row.started_at),
            nanos(row.finished_at),
            health.map(|health| health.status.as_str()),
            health.map(|health| health.failing_streak),
            health.and_then(|health| health.last_output.as_deref()),
            to_json(&row.labels)?,
            to_json(&row.environment)?,
            to_json(&row.ports)?,
            to_json(&row.networks)?,
            to_json(&row.mounts)?,
            row.network_scope.as_ref().map(ToString::to_string),
            row.restart_policy,
            integer(row.restart_count),
            row.cpu_limit_cores,
            integer(row.memory_limit_bytes),
            integer(row.pids_limit),
            integer(row.cpu_shares),
            row.cpuset_cpus,
            integer(row.memory_reservation_bytes),
            integer(row.memory_swap_limit_bytes),
            row.revp.as_ref().map(to_json).transpose()?,
            row.observed_at.as_nanos(),
        ])?;
    }
    Ok(())
}

static UPSERT_IMAGE: LazyLock<String> = LazyLock::new(|| {
    let columns = [
        "host",
        "image_id",
        "state",
        "tags",
        "digests",
        "created_at",
        "size_bytes",
        "labels",
        "used_by",
        "observed_at",
    ];
    upsert("docker_images", "host, image_id", &columns)
});

pub(super) fn write_images(connection: &Connection, rows: &[ImageRecord]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(&UPSERT_IMAGE)?;
    for row in rows {
        upsert.execute(params![
            row.host.as_str(),
            row.image_id,
            row.state.name(),
            to_json(&row.tags)?,
            to_json(&row.digests)?,
            nanos(row.created_at),
            integer(row.size_bytes),
            to_json(&row.labels)?,
            row.used_by.as_ref().map(to_json).transpose()?,
            row.observed_at.as_nanos(),
        ])?;
    }
    Ok(())
}

pub(super) fn write_image_versions(connection: &Connection, rows: &[ImageVersionRecord]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO image_versions (
             host, observed_at, change, reference, from_image_id, to_image_id, from_digest, to_digest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host, observed_at) DO NOTHING",
    )?;
    for row in rows {
        insert.execute(params![
            row.host.as_str(),
            row.observed_at.as_nanos(),
            row.change.name(),
            row.reference,
            row.from_image_id,
            row.to_image_id,
            row.from_digest,
            row.to_digest,
        ])?;
    }
    Ok(())
}
