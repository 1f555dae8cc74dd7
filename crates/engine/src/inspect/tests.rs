//! Recorded answers, and answers no engine of ours gave.

use serde_json::{Value, json};

use super::*;

fn record(answer: &str) -> ContainerRecord {
    let inspected: Inspected = serde_json::from_str(answer).unwrap();
    inspected.record(
        &"edge-1".parse().unwrap(),
        &"ab".repeat(32).parse().unwrap(),
        &["TIER".to_owned()],
        Timestamp::from_nanos(7),
    )
}

fn of(answer: Value) -> ContainerRecord {
    record(&answer.to_string())
}

fn recorded(name: &str) -> ContainerRecord {
    record(&std::fs::read_to_string(format!("{}/tests/frames/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap())
}

#[test]
fn a_recorded_running_container_is_whole() {
    for prefix in ["d20v1", "d26v2", "d28v2", "p43v1"] {
        let record = recorded(&format!("{prefix}_inspect_running.json"));
        assert_eq!((record.container_name.as_str(), record.state), ("r_misc", ContainerState::Running), "{prefix}");
        assert!(record.image.ends_with("bench/busybox:1") && record.image_id.is_some(), "{prefix}");
        assert!(
            record.pid.is_some() && record.created_at.is_some() && record.started_at > record.created_at,
            "{prefix}"
        );
        assert_eq!((record.finished_at, record.exit_code, record.health), (None, None, None), "{prefix}");
        assert_eq!((record.oom_killed, record.network_scope), (Some(false), Some(NetworkScope::Own)), "{prefix}");
        assert_eq!(record.networks.len(), 1, "{prefix}");
        assert!(record.networks[0].ip_address.is_some(), "{prefix}");
        assert_eq!((record.restart_policy.as_deref(), record.restart_count), (Some("no"), Some(0)), "{prefix}");
    }
    assert_eq!(recorded("p43v1_inspect_running.json").pids_limit, Some(2048));
}

#[test]
fn a_recorded_ended_container_has_its_exit() {
    for prefix in ["d20v1", "d26v2", "d28v2", "p43v1"] {
        let record = recorded(&format!("{prefix}_inspect_exited.json"));
        assert_eq!((record.state, record.exit_code, record.pid), (ContainerState::Exited, Some(137), None), "{prefix}");
        assert!(record.finished_at > record.started_at, "{prefix}");
    }
}

#[test]
fn what_the_environment_and_the_command_hold_is_nowhere_in_the_record_unless_it_was_asked_for() {
    let answer = json!({"Name": "/x", "Path": "secret", "Args": ["secret"], "Config": {"Env": ["TOKEN=secret", "TIER=front"], "Cmd": ["secret"]}});
    let record = of(answer);
    assert!(!format!("{record:?}").contains("secret"));
    let environment = [("TIER".to_owned(), Some("front".to_owned())), ("TOKEN".to_owned(), None)];
    assert_eq!(record.environment, environment.into(), "but its names are, and the values that were asked for");
}

#[test]
fn an_answer_with_nothing_in_it_leaves_everything_unknown() {
    for answer in
        [json!({}), json!({"State": null, "Config": null, "HostConfig": null, "NetworkSettings": null, "Mounts": null})]
    {
        let record = of(answer);
        assert_eq!((record.state, record.network_scope, record.oom_killed), (ContainerState::Unknown, None, None));
        assert_eq!((record.created_at, record.restart_count, record.restart_policy), (None, None, None));
    }
}

#[test]
fn words_this_version_does_not_know_lose_nothing_else() {
    let record = of(json!({
        "Name": "/x",
        "State": {"Status": "levitating", "Running": true},
        "Mounts": [{"Type": "portal", "Source": "/a", "Destination": "/b", "RW": true}],
        "HostConfig": {"RestartPolicy": {"Name": "on-tuesdays"}},
    }));
    assert_eq!(
        (record.state, record.mounts[0].kind.as_str(), record.restart_policy.as_deref()),
        (ContainerState::Running, "portal", Some("on-tuesdays"))
    );
}

#[test]
fn the_network_scope_follows_the_mode() {
    let id = "cd".repeat(32);
    let scope = |mode: &str| of(json!({"HostConfig": {"NetworkMode": mode}})).network_scope;
    assert_eq!(scope("host"), Some(NetworkScope::Host));
    assert_eq!(scope("none"), Some(NetworkScope::None));
    assert_eq!(scope(&format!("container:{id}")), Some(NetworkScope::Shared(id.parse().unwrap())));
    assert_eq!(scope("container:web"), None);
    assert_eq!(scope("ns:/run/netns/x"), None);
    for own in ["default", "bridge", "shop_backend", "slirp4netns:mtu=1500", ""] {
        assert_eq!(scope(own), Some(NetworkScope::Own), "{own}");
    }
}

#[test]
fn ports_are_those_in_use_and_those_that_would_be() {
    let ports = |answer: Value| {
        let text = |port: model::Port| {
            let host =
                port.host_port.map_or(String::new(), |host| format!("{}:{host}->", port.host_ip.unwrap_or_default()));
            format!("{host}{}/{}", port.container_port, port.protocol)
        };
        of(answer).ports.into_iter().map(text).collect::<Vec<_>>()
    };
    let bindings = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]);
    let running = json!({
        "NetworkSettings": {"Ports": {"80/tcp": bindings, "443/tcp": null}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
        "Config": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "odd": {}}},
    });
    assert_eq!(ports(running), ["53/udp", "0.0.0.0:8080->80/tcp", ":::8080->80/tcp", "443/tcp"]);
    let stopped = json!({"NetworkSettings": {"Ports": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8081"}]}}});
    assert_eq!(ports(stopped), [":8081->80/tcp"]);
}

#[test]
fn limits_are_in_cores_and_bytes_and_absent_where_not_set() {
    let cores = |config: Value| of(json!({"HostConfig": config})).cpu_limit_cores;
    assert_eq!(cores(json!({"NanoCpus": 1_500_000_000_i64})), Some(1.5));
    assert_eq!(cores(json!({"CpuQuota": 20_000, "CpuPeriod": 0})), Some(0.2));
    assert_eq!(cores(json!({"CpuQuota": 25_000, "CpuPeriod": 50_000})), Some(0.5));
    assert_eq!(cores(json!({"CpuQuota": -1, "NanoCpus": 0})), None);
    let record = of(json!({"HostConfig": {"Memory": 67_108_864, "PidsLimit": -1}}));
    assert_eq!((record.memory_limit_bytes, record.pids_limit), (Some(67_108_864), None));
    let limits = json!({"CpuShares": 512, "CpusetCpus": "0-1", "MemoryReservation": 1024, "MemorySwap": -1});
    let record = of(json!({"HostConfig": limits}));
    assert_eq!((record.cpu_shares, record.cpuset_cpus.as_deref()), (Some(512), Some("0-1")));
    assert_eq!((record.memory_reservation_bytes, record.memory_swap_limit_bytes), (Some(1024), None));
    let record = of(json!({"HostConfig": {"CpuShares": 0, "CpusetCpus": "", "MemorySwap": 2048}}));
    assert_eq!((record.cpu_shares, record.cpuset_cpus, record.memory_swap_limit_bytes), (None, None, Some(2048)));
}

#[test]
fn health_is_what_the_last_probe_found() {
    let health = |health: Value| of(json!({"State": {"Health": health}})).health;
    assert_eq!(health(json!({"Status": "", "FailingStreak": 0, "Log": null})), None);
    assert_eq!(health(json!({"Status": "none"})), None);
    let found = health(
        json!({"Status": "unhealthy", "FailingStreak": 3, "Log": [{"Output": "fine"}, {"Output": "é".repeat(4_000)}]}),
    )
    .unwrap();
    assert_eq!((found.status.as_str(), found.failing_streak), ("unhealthy", 3));
    let output = found.last_output.unwrap();
    assert!(output.len() <= OUTPUT && output.len() > OUTPUT - 2 && output.chars().all(|character| character == 'é'));
}

#[test]
fn compose_names_and_volumes_are_taken_from_where_they_stand() {
    let record = of(json!({
        "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "tier": "1"}},
        "Mounts": [{"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data", "RW": false}],
    }));
    assert_eq!(
        (record.compose_project.as_deref(), record.compose_service.as_deref(), record.labels.len()),
        (Some("shop"), Some("web"), 3)
    );
    let expected = Mount {
        kind: "volume".to_owned(),
        source: "data".to_owned(),
        destination: "/data".to_owned(),
        writable: false,
    };
    assert_eq!(record.mounts, [expected]);
}

#[test]
fn a_recorded_container_says_how_long_it_has_been_up() {
    let mut record = recorded("d28v2_inspect_running.json");
    let started = record.started_at.unwrap();
    assert_eq!(record.status_at(started + std::time::Duration::from_secs(7_200)).as_deref(), Some("Up 2 hours"));
    record.health = Some(Health { status: "starting".to_owned(), failing_streak: 0, last_output: None });
    assert_eq!(record.status_at(started).as_deref(), Some("Up Less than a second (health: starting)"));
    let ended = recorded("d28v2_inspect_exited.json");
    let later = ended.finished_at.unwrap() + std::time::Duration::from_secs(90);
    assert_eq!(ended.status_at(later).as_deref(), Some("Exited (137) About a minute ago"));
    assert_eq!(of(json!({"State": {"Status": "created"}})).status.as_deref(), Some("Created"));
    assert_eq!(of(json!({"State": {"Status": "running"}})).status, None, "nobody knows since when");
}

#[test]
fn labels_of_the_reverse_proxy_are_read_and_what_is_wrong_with_them_is_listed() {
    let labels = json!({"snadboy.revp.domain": "app.example.com", "snadboy.revp.backend-port": "eighty"});
    let revp = of(json!({"Config": {"Labels": labels}})).revp.unwrap();
    assert_eq!((revp.domain.as_deref(), revp.backend_port), (Some("app.example.com"), None));
    assert_eq!(revp.errors[0].label, "snadboy.revp.backend-port");
    assert_eq!(of(json!({"Config": {"Labels": {"tier": "1"}}})).revp, None);
}

#[test]
fn the_digest_is_known_of_an_image_that_was_named_by_it() {
    let digest = |image: &str| of(json!({"Config": {"Image": image}})).image_digest;
    assert_eq!(digest("nginx@sha256:aa").as_deref(), Some("sha256:aa"));
    assert_eq!(digest("nginx:1.29"), None);
}
