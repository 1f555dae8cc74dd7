//! Records to deliver, every field set and different, or every optional field unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{
    Batch, BatchId, ContainerId, ContainerMeta, ContainerRecord, ContainerState, EventRecord, Health, HostName,
    HostRecord, HostStatus, ImageChange, ImageRecord, ImageState, ImageVersionRecord, LogRecord, LogStream, LossReason,
    LossRecord, Mount, Network, NetworkScope, NodeName, Port, Revp, Rows, Sample, SampleKind, SampleValue, StatsRecord,
    Stream, Timestamp, Trigger,
};
use pipeline::ports::Range;

/// A recent time, the same for the whole test run: tables drop what is older than their retention.
pub(crate) fn noon() -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    let day = now.day() - 1;
    Timestamp::from_nanos(day * 86_400_000_000_000 + 43_200_123_456_789)
}

pub(crate) fn container_id(number: u64) -> ContainerId {
    ContainerId::try_new(&format!("{number:064x}")).unwrap()
}

pub(crate) fn meta(number: u64) -> Arc<ContainerMeta> {
    Arc::new(ContainerMeta {
        host: HostName::try_new("edge-1").unwrap(),
        container_id: container_id(number),
        container_name: format!("web-{number}"),
        image: "nginx:1.29".into(),
        compose_project: Some("shop".into()),
        compose_service: Some("web".into()),
        run: Some(noon()),
        labels: BTreeMap::from([("team".into(), "blue".into())]),
    })
}

/// A sample whose every field has another value.
pub(crate) fn stats(number: u64, at: Timestamp) -> StatsRecord {
    let sample = Sample::read(|position, kind| {
        let value = 1_000_000 * number + position as u64;
        Ok::<_, ()>(match kind {
            SampleKind::Float64 => SampleValue::Float(Some(value as f64 + 0.1)),
            SampleKind::UInt32 | SampleKind::UInt64 => SampleValue::Unsigned(Some(value)),
        })
    });
    StatsRecord {
        meta: meta(number),
        timestamp: at,
        received_at: at + Duration::from_nanos(1),
        network_scope: Some(NetworkScope::Own),
        sample: sample.unwrap(),
    }
}

/// A sample of which nothing is known.
pub(crate) fn unknown_stats(number: u64, at: Timestamp) -> StatsRecord {
    let known = meta(number);
    let meta = ContainerMeta {
        compose_project: None,
        compose_service: None,
        run: None,
        labels: BTreeMap::new(),
        ..known.as_ref().clone()
    };
    StatsRecord { meta: Arc::new(meta), timestamp: at, received_at: at, network_scope: None, sample: Sample::default() }
}

pub(crate) fn event(number: u64, at: Timestamp) -> EventRecord {
    let meta = meta(number);
    EventRecord {
        host: meta.host.clone(),
        timestamp: at,
        received_at: at + Duration::from_millis(3),
        kind: "container".into(),
        action: "die".into(),
        argument: Some("argument".into()),
        actor_id: meta.container_id.to_string(),
        actor_name: Some(meta.container_name.clone()),
        container_id: Some(meta.container_id.clone()),
        container_name: Some(meta.container_name.clone()),
        image: Some(meta.image.clone()),
        compose_project: meta.compose_project.clone(),
        compose_service: meta.compose_service.clone(),
        exit_code: Some(137),
        exit_cause: Some("killed (SIGKILL)".into()),
        signal: Some("SIGKILL".into()),
        synthetic: true,
        attributes: BTreeMap::from([("exitCode".into(), "137".into())]),
        labels: BTreeMap::from([("team".into(), "blue".into())]),
    }
}

/// An event that concerns no container.
pub(crate) fn network_event(at: Timestamp) -> EventRecord {
    EventRecord {
        kind: "network".into(),
        action: "create".into(),
        argument: None,
        actor_id: "net-1".into(),
        actor_name: None,
        container_id: None,
        container_name: None,
        image: None,
        compose_project: None,
        compose_service: None,
        exit_code: None,
        exit_cause: None,
        signal: None,
        synthetic: false,
        attributes: BTreeMap::new(),
        labels: BTreeMap::new(),
        ..event(0, at)
    }
}

pub(crate) fn container(number: u64, state: ContainerState, observed_at: Timestamp) -> ContainerRecord {
    let meta = meta(number);
    ContainerRecord {
        host: meta.host.clone(),
        container_id: meta.container_id.clone(),
        container_name: meta.container_name.clone(),
        image: meta.image.clone(),
        image_id: Some("sha256:abc".into()),
        image_digest: Some("sha256:def".into()),
        compose_project: meta.compose_project.clone(),
        compose_service: meta.compose_service.clone(),
        state,
        status: Some("Up 3 hours".into()),
        pid: Some(4711),
        exit_code: Some(-1),
        exit_cause: Some("failed (exit code -1)".into()),
        oom_killed: Some(false),
        error: Some("none".into()),
        created_at: Some(noon()),
        started_at: Some(noon() + Duration::from_nanos(1)),
        finished_at: Some(noon() + Duration::from_nanos(2)),
        health: Some(Health { status: "healthy".into(), failing_streak: 2, last_output: Some("ok\n".into()) }),
        labels: BTreeMap::from([("team".into(), "blue".into()), ("a \"quote\"".into(), "ü".into())]),
        environment: BTreeMap::from([("TIER".into(), Some("front".into())), ("TOKEN".into(), None)]),
        ports: vec![Port {
            container_port: 80,
            protocol: "tcp".into(),
            host_ip: Some("127.0.0.1".into()),
            host_port: Some(8080),
        }],
        networks: vec![Network {
            name: "bridge".into(),
            network_id: Some("0a1b".into()),
            ip_address: Some("172.17.0.2".into()),
            ipv6_address: Some("fd00::2".into()),
            mac_address: None,
        }],
        mounts: vec![Mount { kind: "bind".into(), source: "/srv".into(), destination: "/data".into(), writable: true }],
        network_scope: Some(NetworkScope::Shared(container_id(9))),
        restart_policy: Some("always".into()),
        restart_count: Some(3),
        cpu_limit_cores: Some(1.5),
        memory_limit_bytes: Some(1 << 30),
        pids_limit: Some(100),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0-1".into()),
        memory_reservation_bytes: Some(1 << 28),
        memory_swap_limit_bytes: Some(1 << 31),
        revp: Some(revp()),
        observed_at,
    }
}

/// Settings of a reverse proxy, one of them wrong.
fn revp() -> Revp {
    let labels = [
        ("snadboy.revp.domain", "shop.example.com"),
        ("snadboy.revp.backend-port", "eighty"),
        ("snadboy.revp.health-check.interval", "30s"),
        ("snadboy.revp.note", "ü"),
    ];
    Revp::from_labels(&labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap()
}

pub(crate) fn image(number: u64, state: ImageState, observed_at: Timestamp) -> ImageRecord {
    ImageRecord {
        host: HostName::try_new("edge-1").unwrap(),
        image_id: format!("sha256:{number:04}"),
        state,
        tags: vec!["nginx:1.29".into(), "nginx:latest".into()],
        digests: vec!["nginx@sha256:def".into()],
        created_at: Some(noon()),
        size_bytes: Some(187_000_000),
        labels: BTreeMap::from([("maintainer".into(), "ü".into())]),
        used_by: Some(vec![container_id(1), container_id(2)]),
        observed_at,
    }
}

/// An image of which next to nothing is known.
pub(crate) fn unknown_image(number: u64, observed_at: Timestamp) -> ImageRecord {
    ImageRecord {
        tags: Vec::new(),
        digests: Vec::new(),
        created_at: None,
        size_bytes: None,
        labels: BTreeMap::new(),
        used_by: None,
        ..image(number, ImageState::Present, observed_at)
    }
}

pub(crate) fn image_version(observed_at: Timestamp) -> ImageVersionRecord {
    ImageVersionRecord {
        host: HostName::try_new("edge-1").unwrap(),
        observed_at,
        change: ImageChange::TagMoved,
        reference: "nginx:1.29".into(),
        from_image_id: Some("sha256:0001".into()),
        to_image_id: Some("sha256:0002".into()),
        from_digest: Some("sha256:def".into()),
        to_digest: None,
    }
}

pub(crate) fn host(observed_at: Timestamp) -> HostRecord {
    HostRecord {
        host: HostName::try_new("edge-1").unwrap(),
        url: "unix:///var/run/docker.sock".into(),
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        status: HostStatus::Up,
        status_since: Some(observed_at),
        last_error: None,
        failures: 3,
        retry_at: Some(observed_at),
        engine: Some("docker".into()),
        engine_version: Some("20.10.24".into()),
        api_version: Some("1.41".into()),
        os: Some("linux".into()),
        kernel: Some("6.1.0".into()),
        cgroup_version: Some(2),
        cpus: Some(2),
        memory_bytes: Some(8 << 30),
        response_ns: Some(1_234_567),
        containers: Some(12),
        containers_running: Some(7),
        observed_at,
    }
}

pub(crate) fn loss(at: Timestamp) -> LossRecord {
    LossRecord {
        stream: Stream::Stats,
        sink: Some("kafka".into()),
        reason: LossReason::JournalFull,
        count: 42,
        first_at: at,
        last_at: at + Duration::from_secs(1),
    }
}

pub(crate) fn log(number: u64, at: Timestamp) -> LogRecord {
    LogRecord {
        meta: meta(number),
        timestamp: at,
        received_at: at + Duration::from_millis(2),
        stream: LogStream::Stderr,
        ordinal: 3,
        line: "GET /caf\u{e9} \"200\"\t\u{1b}[0m".into(),
        partial: true,
        truncated: true,
        invalid_utf8: true,
    }
}

/// A batch of `rows` whose first sequence is `first`.
pub(crate) fn batch(first: u64, rows: Rows) -> Batch {
    Batch {
        id: BatchId {
            node: NodeName::try_new("node-1").unwrap(),
            epoch: 7,
            stream: rows.stream(),
            first,
            last: first + rows.len() as u64 - 1,
        },
        trigger: Trigger::Count,
        bytes: 500 * rows.len(),
        opened_at: noon(),
        rows,
    }
}

/// `batches` as the range that starts at journal position `first`.
pub(crate) fn range(first: u64, batches: Vec<Batch>) -> Range {
    Range { first, end: first + batches.len() as u64, batches }
}

/// One batch of each stream.
pub(crate) fn one_of_each() -> Vec<Batch> {
    vec![
        batch(1, Rows::Stats(vec![stats(1, noon()), unknown_stats(2, noon())].into())),
        batch(1, Rows::Events(vec![event(1, noon()), network_event(noon())].into())),
        batch(1, Rows::Containers(vec![container(1, ContainerState::Running, noon())].into())),
        batch(1, Rows::Images(vec![image(1, ImageState::Present, noon()), unknown_image(2, noon())].into())),
        batch(1, Rows::ImageVersions(vec![image_version(noon())].into())),
        batch(1, Rows::Hosts(vec![host(noon())].into())),
        batch(1, Rows::Losses(vec![loss(noon())].into())),
        batch(1, Rows::Logs(vec![log(1, noon()), log(3, noon())].into())),
    ]
}
