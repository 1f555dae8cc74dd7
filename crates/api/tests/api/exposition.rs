//! `/metrics/containers`: what Prometheus, and its tool, make of it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::ApiConfig;
use model::{ContainerMeta, Rows, StatsRecord, Timestamp};
use serde_json::{Value, json};
use test_support::{Prometheus, wait_until};

use crate::http::{get, request};
use crate::served::Served;
use crate::world::{HOSTILE, WEB, World, at, container, containers, sample};

const PATH: &str = "/metrics/containers";

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A sample read at `read`.
fn read_at(read: Timestamp) -> StatsRecord {
    StatsRecord { timestamp: read, received_at: read, ..sample(5) }
}

/// The known containers, of which one reports.
fn served() -> Served {
    let served = Served::empty(ApiConfig::default(), World::default());
    let mut newest = read_at(now());
    let labels = BTreeMap::from([("com.example/team".into(), HOSTILE.into()), ("com.example.team".into(), "x".into())]);
    newest.meta = Arc::new(ContainerMeta { labels, ..ContainerMeta::clone(&newest.meta) });
    served.store(Rows::Containers(containers().into()));
    served.store(Rows::Stats(vec![newest].into()));
    served
}

/// The lines of a metric.
fn of<'a>(page: &'a str, metric: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']))).collect()
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics_of_containers() {
    let reply = get(served().address, PATH);
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is not installed: run `make deps`");
    tool.stdin.take().unwrap().write_all(reply.body.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert_eq!((said.status.code(), words.as_str()), (Some(0), ""), "{}", reply.body);
}

#[test]
fn a_container_has_its_values_and_what_is_not_known_has_no_metric() {
    let page = get(served().address, PATH).body;
    let labels = "compose_project=\"shop\",compose_service=\"web\",container=\"web\",container_label_com_example_team=\"x\",\
                  host=\"alpha\",image=\"nginx:1.29\"";
    for (metric, value) in [
        ("docker_container_cpu_usage_seconds_total", "1.625000000"),
        ("docker_container_cpu_usage_ratio", "0.175"),
        ("docker_container_memory_usage_bytes", "50005000"),
        ("docker_container_network_receive_bytes_total", "11000"),
        ("docker_container_pids", "3"),
    ] {
        assert_eq!(of(&page, metric), [format!("{metric}{{{labels}}} {value}")]);
    }
    for unknown in ["docker_container_cpu_throttled_seconds_total", "docker_container_pids_limit"] {
        assert_eq!(of(&page, unknown), [""; 0]);
    }
    assert_eq!(of(&page, "docker_container_info").len(), 6, "all but the removed one: {page}");
    assert!(
        of(&page, "docker_container_info").iter().any(|line| line.contains(&format!("container_id=\"{WEB}\"}} 1")))
    );
    assert_eq!(
        of(&page, "docker_container_exit_code"),
        ["docker_container_exit_code{container=\"old-job\",host=\"beta\",image=\"busybox:1.36\"} 137"]
    );
}

#[test]
fn who_names_openmetrics_gets_it() {
    let served = served();
    let reply =
        request(served.address, "GET", PATH, "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n");
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((reply.header("content-type"), reply.header("vary")), (Some(media), Some("Accept")));
    assert!(reply.body.ends_with("\n# EOF\n"), "{}", reply.body);
    assert!(reply.body.contains("# TYPE docker_container_cpu_usage_seconds counter\n"), "{}", reply.body);
    assert_eq!(of(&reply.body, "docker_container_cpu_usage_seconds_total").len(), 1);
    // A family's samples stand together, under one heading.
    let headings: Vec<&str> = reply.body.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let unique: std::collections::BTreeSet<&&str> = headings.iter().collect();
    assert_eq!(unique.len(), headings.len());
}

#[test]
fn a_container_that_does_not_report_has_its_state_only() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let running = |state: &str, observed| json!({"state": state, "observed_at": observed});
    served.store(Rows::Containers(vec![container("alpha", WEB, "web", running("running", at(0)))].into()));
    served.store(Rows::Stats(vec![read_at(now() - Duration::from_secs(120))].into()));
    let page = get(served.address, PATH).body;
    assert_eq!((of(&page, "docker_container_pids").len(), of(&page, "docker_container_info").len()), (0, 1), "too old");
    served.store(Rows::Stats(vec![read_at(now())].into()));
    assert_eq!(of(&get(served.address, PATH).body, "docker_container_pids").len(), 1);
    for (state, told) in [("exited", 1), ("removed", 0)] {
        let record = container("alpha", WEB, "web", running(state, now()));
        served.store(Rows::Containers(vec![record].into()));
        let page = get(served.address, PATH).body;
        assert_eq!(of(&page, "docker_container_state").len(), told, "{page}");
        if state == "exited" {
            assert_eq!(of(&page, "docker_container_pids").len(), 0, "it has ended: {page}");
        }
    }
}

#[test]
fn a_name_that_another_container_had_before_is_told_once() {
    let served = served();
    let successor = container("alpha", &crate::world::id("beef"), "web", json!({"observed_at": now()}));
    served.store(Rows::Containers(vec![successor].into()));
    let page = get(served.address, PATH).body;
    let web: Vec<&str> =
        of(&page, "docker_container_info").into_iter().filter(|line| line.contains("container=\"web\"")).collect();
    assert!(web.len() == 1 && web[0].contains("container_id=\"beef"), "{web:?}");
    assert_eq!(of(&page, "docker_container_pids").len(), 0, "the sample is of the one before");
}

#[test]
fn a_prometheus_that_scrapes_has_every_container_under_its_name() {
    let served = served();
    let prometheus = Prometheus::scraping(served.address, PATH);
    let results = |question: &str| -> Vec<Value> {
        let answer: Value = serde_json::from_str(&prometheus.query(question)).unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    };
    wait_until(Duration::from_secs(60), "a scrape that succeeds", || {
        results("up").iter().any(|up| up["value"][1] == "1")
    });
    wait_until(Duration::from_secs(60), "what was scraped", || results("docker_container_info").len() == 6);
    let names: Vec<String> = results("docker_container_info")
        .iter()
        .map(|result| result["metric"]["container"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.contains(&HOSTILE.to_owned()), "{names:?}");
    let cpu = &results("docker_container_cpu_usage_seconds_total")[0];
    assert_eq!((&cpu["metric"]["container"], &cpu["value"][1]), (&json!("web"), &json!("1.625")));
    let scraped = get(served.address, PATH).body.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(results("scrape_samples_scraped")[0]["value"][1], scraped.to_string());
}
