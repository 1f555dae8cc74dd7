//! A known world: two hosts, a handful of containers, a minute of samples, and a process that watches them.

use std::sync::Mutex;
use std::time::Duration;

use actor_runtime::{Exit, NodeKind, NodeState, NodeView};
use api::{Readiness, Sight, SinkView};
use model::{
    ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossReason, LossRecord, Revp,
    StatsRecord, Stream, Timestamp,
};
use pipeline::books::StreamBooks;
use pipeline::ports::{SinkBooks, StorageState};
use pipeline::sink::SinkState;
use pipeline::stats_stream::Silent;
use serde_json::{Value, json};

pub const WEB: &str = "3f4e1a90c2b7d58e6a1f0b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70";
pub const WEB_PREFIX: &str = "3f4e1a90c2b7";
pub const HOSTILE: &str = "<script>alert('x')</script>\"; DROP TABLE containers;--";
pub const START: &str = "2026-11-20T12:00:00Z";

pub fn at(second: u64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + Duration::from_secs(second)
}

/// A full id that begins with `digits`.
pub fn id(digits: &str) -> String {
    format!("{digits:0<64}")
}

fn merged(mut record: Value, more: Value) -> Value {
    let fields = more.as_object().unwrap().clone();
    record.as_object_mut().unwrap().extend(fields);
    record
}

pub fn container(host: &str, id: &str, name: &str, more: Value) -> ContainerRecord {
    let record = json!({
        "host": host, "container_id": id, "container_name": name, "image": "busybox:1.36", "state": "running",
        "labels": {}, "ports": [], "networks": [], "mounts": [], "observed_at": at(0),
    });
    serde_json::from_value(merged(record, more)).unwrap()
}

pub fn event(second: u64, action: &str, more: Value) -> EventRecord {
    let record = json!({
        "host": "alpha", "timestamp": at(second), "received_at": at(second), "type": "container", "action": action,
        "actor_id": WEB, "container_id": WEB, "container_name": "web", "synthetic": false, "attributes": {},
    });
    serde_json::from_value(merged(record, more)).unwrap()
}

pub fn sample(second: u64) -> StatsRecord {
    let first = second == 0;
    let known = |value: u64| if first { Value::Null } else { json!(value) };
    let record = json!({
        "host": "alpha", "container_id": WEB, "container_name": "web", "image": "nginx:1.29",
        "compose_project": "shop", "compose_service": "web", "run": at(0), "network_scope": "own",
        "timestamp": at(second), "received_at": at(second) + Duration::from_millis(2),
        "cpu_usage_percent": if first { Value::Null } else { json!(12.5 + second as f64) },
        "cpu_usage_ns": 1_000_000_000 + second * 125_000_000, "online_cpus": 2,
        "memory_usage_bytes": 50_000_000 + second * 1_000, "memory_limit_bytes": 268_435_456, "memory_usage_percent": 18.63,
        "network_rx_bytes": 10_000 + second * 200, "network_tx_bytes": 5_000 + second * 100,
        "block_read_bytes": 4_096, "block_write_bytes": 0, "pids": 3,
        "interval_ns": known(5_000_000_000), "cpu_usage_delta_ns": known(625_000_000), "cpu_throttled_delta_ns": known(0),
        "network_rx_delta_bytes": known(1_000), "network_tx_delta_bytes": known(500),
        "block_read_delta_bytes": known(0), "block_write_delta_bytes": known(0),
    });
    serde_json::from_value(record).unwrap()
}

pub fn containers() -> Vec<ContainerRecord> {
    vec![
        container(
            "alpha",
            WEB,
            "web",
            json!({
                "image": "nginx:1.29", "image_id": image_id("9bea9f2796e2"), "image_digest": digest("1f2e"), "compose_project": "shop", "compose_service": "web",
                "status": "Up 3 hours", "pid": 4711, "created_at": at(0), "started_at": at(0),
                "health": {"status": "healthy", "failing_streak": 0, "last_output": "ok"},
                "labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "tier": "front"},
                "ports": [{"container_port": 80, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 8081}],
                "networks": [{"name": "shop_default", "network_id": id("1c5f"), "ip_address": "172.18.0.2"}],
                "environment": {"TIER": "front", "TOKEN": null},
                "revp": revp(&[("domain", "shop.example.com"), ("backend-port", "80"), ("health-check.path", "/ok")]),
                "mounts": [{"kind": "volume", "source": "shop_html", "destination": "/usr/share/nginx/html", "writable": false}],
                "network_scope": "own", "restart_policy": "unless-stopped", "restart_count": 0, "cpu_limit_cores": 1.5,
                "memory_limit_bytes": 268_435_456, "pids_limit": 100,
            }),
        ),
        container(
            "alpha",
            &id("5b0c"),
            "db",
            json!({
                "image": "postgres:17", "compose_project": "shop", "compose_service": "db",
                "health": {"status": "unhealthy", "failing_streak": 3, "last_output": null}, "labels": {"tier": "back", "a": "b=c"},
                "revp": revp(&[("domain", "db.example.com"), ("backend-port", "many"), ("note", "x")]),
            }),
        ),
        container("alpha", &id("6c1d"), "cache", json!({"image": "redis:8", "image_id": image_id("5d41")})),
        container(
            "beta",
            &id("7d2e"),
            "cache",
            json!({"image": "redis:8", "image_id": image_id("5d41"), "state": "paused"}),
        ),
        container(
            "beta",
            &id("8e3f"),
            "old-job",
            json!({"state": "exited", "exit_code": 137,
            "exit_cause": "killed (SIGKILL), out of memory", "oom_killed": true}),
        ),
        container("beta", &id("9f40"), "gone", json!({"state": "removed"})),
        container("beta", &id("a051"), HOSTILE, json!({"image": "evil/<b>", "labels": {"x\"y": "</script>"}})),
    ]
}

pub fn image_id(digits: &str) -> String {
    format!("sha256:{}", id(digits))
}

fn digest(digits: &str) -> String {
    image_id(digits)
}

fn revp(labels: &[(&str, &str)]) -> Option<Revp> {
    let labels = labels.iter().map(|(key, value)| (format!("snadboy.revp.{key}"), (*value).to_owned()));
    Revp::from_labels(&labels.collect())
}

pub fn image(host: &str, id: &str, tags: &[&str], more: Value) -> ImageRecord {
    let record = json!({
        "host": host, "image_id": image_id(id), "state": "present", "tags": tags, "digests": [], "labels": {},
        "observed_at": at(0),
    });
    serde_json::from_value(merged(record, more)).unwrap()
}

pub fn images() -> Vec<ImageRecord> {
    vec![
        image(
            "alpha",
            "9bea9f2796e2",
            &["nginx:1.29", "nginx:latest"],
            json!({
                "digests": [format!("nginx@{}", digest("1f2e"))], "created_at": at(0), "size_bytes": 191_823_104,
                "labels": {"maintainer": "NGINX Docker Maintainers"}, "used_by": [WEB],
            }),
        ),
        image("alpha", "5d41", &["redis:8"], json!({"used_by": [id("6c1d")]})),
        image("beta", "5d41", &["redis:8"], json!({"used_by": [id("7d2e")]})),
        image("alpha", "77aa", &[], json!({"used_by": []})),
        image("alpha", "88bb", &["shop/api:1"], json!({"state": "removed", "used_by": []})),
    ]
}

pub fn versions() -> Vec<ImageVersionRecord> {
    let version = |second, change: &str, reference: &str, from: Option<&str>, to: Option<&str>| {
        let record = json!({
            "host": "alpha", "observed_at": at(second), "change": change, "reference": reference,
            "from_image_id": from.map(image_id), "to_image_id": to.map(image_id),
            "from_digest": from.map(|_| digest("0a0b")), "to_digest": to.map(|_| digest("1f2e")),
        });
        serde_json::from_value(record).unwrap()
    };
    vec![
        version(10, "tag_moved", "nginx:1.29", Some("77aa"), Some("9bea9f2796e2")),
        version(20, "tag_added", "nginx:latest", None, Some("9bea9f2796e2")),
        version(30, "image_removed", &image_id("88bb"), Some("88bb"), None),
    ]
}

pub fn events() -> Vec<EventRecord> {
    vec![
        event(0, "start", json!({"image": "nginx:1.29", "compose_project": "shop", "compose_service": "web"})),
        event(10, "health_status", json!({"argument": "healthy"})),
        event(
            20,
            "die",
            json!({
                "host": "beta", "actor_id": id("8e3f"), "container_id": id("8e3f"), "container_name": "old-job", "exit_code": 137,
                "exit_cause": "killed (SIGKILL), out of memory",
            }),
        ),
        event(
            30,
            "create",
            json!({
                "type": "network", "actor_id": "net1", "container_id": null, "container_name": null, "actor_name": "shop_default",
            }),
        ),
        event(
            40,
            "oom",
            json!({"container_name": HOSTILE, "container_id": id("a051"), "actor_id": id("a051"), "host": "beta"}),
        ),
        event(50, "stop", json!({"synthetic": true})),
    ]
}

pub fn line(second: u64, stream: &str, text: &str) -> LogRecord {
    let record = json!({
        "host": "alpha", "container_id": WEB, "container_name": "web", "image": "nginx:1.29",
        "compose_project": "shop", "compose_service": "web", "run": at(0), "timestamp": at(second),
        "received_at": at(second) + Duration::from_millis(2), "stream": stream, "ordinal": 0, "line": text,
        "partial": false, "truncated": false, "invalid_utf8": false, "labels": {"tier": "front"},
    });
    serde_json::from_value(record).unwrap()
}

pub fn lines() -> Vec<LogRecord> {
    vec![
        line(1, "stdout", "ready on port 80"),
        line(20, "stderr", "2026/11/20 12:00:20 [warn] upstream timed out"),
        line(40, "stdout", HOSTILE),
    ]
}

/// What the process is doing, as the test says.
pub struct World {
    pub hosts: Mutex<Vec<HostRecord>>,
    pub readiness: Mutex<Readiness>,
    pub answered: Mutex<Vec<(&'static str, u16)>>,
    /// Runs when the metrics are asked for: to panic, to take long.
    pub on_metrics: fn(),
}

impl Default for World {
    fn default() -> Self {
        let host = |name: &str, more| {
            let record =
                json!({"host": name, "url": format!("unix:///run/{name}.sock"), "status": "up", "observed_at": at(0)});
            serde_json::from_value(merged(record, more)).unwrap()
        };
        let hosts = vec![
            host("beta", json!({"status": "down", "last_error": "nobody answers at unix:///run/<beta>.sock"})),
            host(
                "alpha",
                json!({
                    "engine": "docker", "engine_version": "28.5.2", "api_version": "1.51", "os": "linux", "kernel": "6.12.48",
                    "cgroup_version": 2, "cpus": 2, "memory_bytes": 8_200_000_000_u64, "response_ns": 412_000,
                    "containers": 3, "containers_running": 3,
                }),
            ),
        ];
        let readiness = Readiness::NotReady("host beta: nobody answers at unix:///run/<beta>.sock".into());
        Self {
            hosts: Mutex::new(hosts),
            readiness: Mutex::new(readiness),
            answered: Mutex::default(),
            on_metrics: || {},
        }
    }
}

fn node(name: &str, kind: NodeKind, children: Vec<NodeView>) -> NodeView {
    let actor = kind == NodeKind::Actor;
    NodeView {
        name: name.into(),
        kind,
        state: NodeState::Running,
        restarts: 0,
        last_exit: None,
        last_exit_at_ns: None,
        depth: actor.then_some(0),
        capacity: actor.then_some(64),
        backpressure_ns: actor.then_some(0),
        children,
    }
}

impl Sight for World {
    fn tree(&self) -> NodeView {
        let mut sink = node("kafka", NodeKind::Actor, vec![]);
        sink.restarts = 1;
        sink.last_exit = Some(Exit::Panicked("index out of bounds".into()));
        sink.last_exit_at_ns = Some(at(7).as_nanos());
        let delivery = node("delivery", NodeKind::Group, vec![node("batcher", NodeKind::Actor, vec![]), sink]);
        node("root", NodeKind::Group, vec![delivery])
    }

    fn sinks(&self) -> Vec<SinkView> {
        let books = |sink: &str, delivered, pending| SinkBooks {
            sink: sink.into(),
            journaled: delivered + pending + 5,
            delivered,
            rejected: 1,
            dropped: 4,
            pending,
            pending_bytes: pending * 512,
            oldest_pending: (pending > 0).then(|| at(8)),
        };
        let state = |kind, target: &str, failing: Option<&str>| SinkState {
            kind,
            target: target.into(),
            failures: u64::from(failing.is_some()),
            delivered_at: Some(at(9)),
            failing: failing.map(str::to_owned),
        };
        vec![
            SinkView { books: books("sqlite", 1_200, 0), state: state("sqlite", "data/dockstream.db", None) },
            SinkView {
                books: books("kafka", 900, 300),
                state: state("kafka", "127.0.0.1:9092", Some("no broker answers")),
            },
        ]
    }

    fn journal(&self) -> StorageState {
        StorageState { kind: "disk", bytes: 300 * 512, limit_bytes: 4 << 30, ..StorageState::default() }
    }

    fn books(&self) -> Vec<StreamBooks> {
        vec![StreamBooks {
            stream: Stream::Stats,
            received: 1_210,
            parsed: 1_205,
            journaled: 1_200,
            dropped_before_parsing: vec![(LossReason::Truncated, 3)],
            dropped_after_parsing: vec![],
        }]
    }

    fn fresh(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn hosts(&self) -> Vec<HostRecord> {
        self.hosts.lock().unwrap().clone()
    }

    fn silent(&self) -> Vec<Silent> {
        vec![Silent {
            host: "alpha".parse().unwrap(),
            container_id: id("a1").parse().unwrap(),
            container_name: "web-1".into(),
            since: at(3),
        }]
    }

    fn losses(&self) -> Vec<LossRecord> {
        let loss = |stream, sink: Option<&str>, reason, count| LossRecord {
            stream,
            sink: sink.map(str::to_owned),
            reason,
            count,
            first_at: at(1),
            last_at: at(2),
        };
        vec![
            loss(Stream::Stats, None, LossReason::Truncated, 3),
            loss(Stream::Stats, Some("kafka"), LossReason::JournalFull, 4),
            loss(Stream::Events, Some("kafka"), LossReason::Rejected, 1),
        ]
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap().clone()
    }

    fn metrics(&self) -> String {
        (self.on_metrics)();
        "# TYPE dockstream_batches_total counter\ndockstream_batches_total{stream=\"stats\",trigger=\"count\"} 42\n"
            .into()
    }

    fn answered(&self, route: &'static str, status: u16, _: Duration) {
        self.answered.lock().unwrap().push((route, status));
    }
}

/// Sorted names in a list's data, for comparing.
pub fn names(list: &Value, field: &str) -> Vec<String> {
    let mut names: Vec<String> =
        list["data"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap_or("null").to_owned()).collect();
    names.sort();
    names
}
