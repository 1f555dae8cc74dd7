//! `/api/containers/{id}/logs`.

use api::ApiConfig;
use model::Rows;
use serde_json::Value;

use crate::http::get;
use crate::served::Served;
use crate::world::{HOSTILE, WEB_PREFIX, World, containers, line};

fn list(query: &str) -> Value {
    let reply = get(Served::shared().address, &format!("/api/containers/web/logs{query}"));
    assert_eq!(reply.status, 200, "{query}: {}", reply.body);
    reply.json()
}

fn texts(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_newest_lines_come_oldest_first_as_they_were_stored() {
    let all = list("");
    assert_eq!(texts(&all), ["ready on port 80", "2026/11/20 12:00:20 [warn] upstream timed out", HOSTILE]);
    assert_eq!(all["data"][1]["stream"], "stderr");
    assert_eq!(texts(&list("?tail=1")), [HOSTILE]);
    assert_eq!(texts(&list("?limit=1")), [HOSTILE]);
    let by_prefix = get(Served::shared().address, &format!("/api/containers/{WEB_PREFIX}/logs")).json();
    assert_eq!(texts(&by_prefix), texts(&all));
}

#[test]
fn every_filter_takes_what_it_names_and_nothing_else() {
    for (query, expected) in [
        ("?stream=stderr", vec![1]),
        ("?q=TIMED%20OUT", vec![1]),
        ("?q=%27%20OR%201%3D1%20--", vec![]),
        ("?since=2026-11-20T12:00:20Z", vec![1, 2]),
        ("?until=2026-11-20T12:00:20Z", vec![0]),
        ("?stream=stdout&since=2026-11-20T12:00:02Z&until=2026-11-20T12:01:00Z&q=script", vec![2]),
    ] {
        let all = texts(&list(""));
        let expected: Vec<String> = expected.into_iter().map(|at: usize| all[at].clone()).collect();
        assert_eq!(texts(&list(query)), expected, "{query}");
    }
}

#[test]
fn a_container_without_lines_has_an_empty_log_and_no_container_has_none() {
    let reply = get(Served::shared().address, "/api/containers/db/logs");
    assert_eq!(texts(&reply.json()), Vec::<String>::new());
    get(Served::shared().address, "/api/containers/nobody/logs").problem("container-not-found");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for query in ["?since=now&until=now-1h", "?tail=5&limit=5", "?tail=0", "?tail=1001", "?stream=stdin"] {
        get(Served::shared().address, &format!("/api/containers/web/logs{query}")).problem("invalid-parameter");
    }
}

#[test]
fn pages_go_back_in_time_and_have_every_line_once_though_newer_ones_arrive() {
    let served = Served::empty(ApiConfig::default(), World::default());
    served.store(Rows::Containers(containers().into()));
    served.store(Rows::Logs((0..40).map(|second| line(second, "stdout", &format!("{second:02}"))).collect()));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let list = get(served.address, &format!("/api/containers/web/logs?tail=9{cursor}")).json();
        seen.push(texts(&list));
        let Some(next) = list["page"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        served.store(Rows::Logs(vec![line(100 + page, "stdout", "new")].into()));
    }
    let all: Vec<String> = seen.into_iter().rev().flatten().collect();
    assert_eq!(all, (0..40).map(|second| format!("{second:02}")).collect::<Vec<_>>());
}

#[test]
fn a_page_of_huge_lines_ends_early_and_goes_on() {
    let served = Served::empty(ApiConfig::default(), World::default());
    served.store(Rows::Containers(containers().into()));
    let huge = "x".repeat(1 << 20);
    served.store(Rows::Logs((0..12).map(|second| line(second, "stdout", &huge)).collect()));
    let first = get(served.address, "/api/containers/web/logs").json();
    let count = first["data"].as_array().unwrap().len();
    assert!((1..12).contains(&count) && first["page"]["next_cursor"].is_string(), "{count}");
}
