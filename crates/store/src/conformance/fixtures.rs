//! Records to store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{
    ContainerId, ContainerMeta, ContainerRecord, EventRecord, HostName, HostRecord, NetworkScope, Sample, StatsRecord,
    Timestamp,
};
use serde_json::{Value, json};

/// The start of an hour of yesterday: recent, so that no retention takes it.
pub(crate) fn start() -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    Timestamp::from_nanos((now.day() - 1) * 86_400_000_000_000 + 12 * 3_600_000_000_000)
}

pub(crate) fn seconds(count: u64) -> Timestamp {
    start() + Duration::from_secs(count)
}

pub(crate) fn id(number: u64) -> ContainerId {
    ContainerId::try_new(&format!("{number:016x}").repeat(4)).unwrap()
}

pub(crate) fn container(host: &str, number: u64, name: &str, more: Value) -> ContainerRecord {
    let mut record = json!({
        "host": host,
        "container_id": id(number),
        "container_name": name,
        "image": "nginx:1.29",
        "state": "running",
        "labels": {},
        "ports": [],
        "networks": [],
        "mounts": [],
        "observed_at": start(),
    });
    merge(&mut record, more);
    serde_json::from_value(record).unwrap()
}

pub(crate) fn event(second: u64, action: &str, more: Value) -> EventRecord {
    let mut record = json!({
        "host": "a",
        "timestamp": seconds(second),
        "received_at": seconds(second),
        "type": "container",
        "action": action,
        "actor_id": id(1),
        "synthetic": false,
        "attributes": {},
    });
    merge(&mut record, more);
    serde_json::from_value(record).unwrap()
}

pub(crate) fn host(name: &str, status: &str, more: Value) -> HostRecord {
    let mut record = json!({ "host": name, "url": "unix:///run/d.sock", "status": status, "observed_at": start() });
    merge(&mut record, more);
    serde_json::from_value(record).unwrap()
}

pub(crate) fn merge(record: &mut Value, more: Value) {
    let (Value::Object(record), Value::Object(more)) = (record, more) else { panic!("objects are merged") };
    record.extend(more);
}

pub(crate) fn meta(host: &str, number: u64, name: &str) -> Arc<ContainerMeta> {
    Arc::new(ContainerMeta {
        host: HostName::try_new(host).unwrap(),
        container_id: id(number),
        container_name: name.into(),
        image: "nginx:1.29".into(),
        compose_project: None,
        compose_service: Some("web".into()),
        run: Some(start()),
        labels: [("team".to_owned(), "blue".to_owned())].into(),
    })
}

pub(crate) fn stats(meta: &Arc<ContainerMeta>, at: Timestamp, sample: Sample) -> StatsRecord {
    StatsRecord {
        meta: meta.clone(),
        timestamp: at,
        received_at: at + Duration::from_millis(1),
        network_scope: Some(NetworkScope::Own),
        sample,
    }
}
