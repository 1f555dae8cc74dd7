//! What the process says of itself: status, hosts, losses, pipeline, probes.

use api::{ApiConfig, Readiness};
use serde_json::{Value, json};

use crate::http::{get, request};
use crate::served::Served;
use crate::world::{World, names};

fn ok(path: &str) -> Value {
    let reply = get(Served::shared().address, path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

#[test]
fn the_status_tells_who_answers_how_it_does_and_where_to_go_on() {
    let status = ok("/api");
    assert_eq!((&status["name"], &status["node"]), (&json!("dockstream"), &json!("node-1")));
    assert_eq!(
        (&status["ready"], &status["reason"]),
        (&json!(false), &json!("host beta: nobody answers at unix:///run/<beta>.sock"))
    );
    assert_eq!(
        status["sinks"][1],
        json!({"sink": "kafka", "delivered": 900, "pending": 300, "dropped": 4, "failing": "no broker answers"})
    );
    for link in status["links"].as_array().unwrap() {
        assert!(
            get(Served::shared().address, link["href"].as_str().unwrap()).status < 500 || link["href"] == "/readyz"
        );
    }
}

#[test]
fn the_root_is_a_page_for_a_browser_and_json_for_a_program() {
    let address = Served::shared().address;
    let page = request(address, "GET", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("vary"), Some("accept"));
    assert!(page.body.contains("unix:///run/&lt;beta&gt;.sock"), "what an engine says is text, never markup");
    assert!(!page.body.contains("<beta>"));
    let json = request(address, "GET", "/", "Accept: application/json\r\n");
    assert_eq!(json.json()["name"], "dockstream");
}

#[test]
fn a_page_needs_no_other_server_and_runs_no_script() {
    let address = Served::shared().address;
    for path in ["/", "/api/docs"] {
        let page = get(address, path);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        let lower = page.body.to_lowercase();
        for forbidden in ["<script", "http://", "https://", "src=", "style=\"", " onclick", "@import", "url("] {
            assert!(!lower.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[test]
fn hosts_are_listed_by_name_with_those_that_do_not_answer() {
    let hosts = ok("/api/hosts");
    assert_eq!(hosts["data"][0]["host"], "alpha");
    assert_eq!(hosts["data"][1]["last_error"], "nobody answers at unix:///run/<beta>.sock");
    assert_eq!(hosts["meta"]["source"], "live");
    assert_eq!(names(&ok("/api/hosts?status=down"), "host"), ["beta"]);
}

#[test]
fn a_host_is_found_by_its_name_and_one_that_is_not_there_is_told_with_the_nearest() {
    let host = ok("/api/hosts/beta");
    assert_eq!(host, ok("/api/hosts")["data"][1]);
    let problem = get(Served::shared().address, "/api/hosts/betta").problem("host-not-found");
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["nearest"], "beta");
    assert_eq!(get(Served::shared().address, "/api/hosts/none-such").problem("host-not-found")["nearest"], Value::Null);
}

#[test]
fn lists_from_memory_are_paged_too() {
    let first = ok("/api/hosts?limit=1");
    let cursor = first["page"]["next_cursor"].as_str().unwrap();
    let second = ok(&format!("/api/hosts?limit=1&cursor={cursor}"));
    assert_eq!(names(&first, "host"), ["alpha"]);
    assert_eq!(names(&second, "host"), ["beta"]);
    assert_eq!(second["page"]["next_cursor"], Value::Null);
}

#[test]
fn losses_tell_stream_sink_reason_and_count() {
    for (query, expected) in [
        ("", vec!["journal_full", "rejected", "truncated"]),
        ("?stream=events", vec!["rejected"]),
        ("?sink=kafka", vec!["journal_full", "rejected"]),
        ("?reason=truncated", vec!["truncated"]),
        ("?sink=kafka&stream=stats", vec!["journal_full"]),
        ("?sink=nobody", vec![]),
    ] {
        assert_eq!(names(&ok(&format!("/api/losses{query}")), "reason"), expected, "{query}");
    }
    assert_eq!(ok("/api/losses?reason=journal_full")["data"][0]["count"], 4);
}

#[test]
fn the_pipeline_shows_the_tree_with_exits_and_books_that_balance() {
    let pipeline = ok("/api/pipeline");
    let kafka = &pipeline["tree"]["children"][0]["children"][1];
    assert_eq!((&kafka["name"], &kafka["restarts"], &kafka["capacity"]), (&json!("kafka"), &json!(1), &json!(64)));
    assert_eq!(
        kafka["last_exit"],
        json!({"kind": "panicked", "text": "panicked: index out of bounds", "at": "2026-11-20T12:00:07.000000000Z"})
    );
    let number = |value: &Value| value.as_u64().unwrap();
    for sink in pipeline["sinks"].as_array().unwrap() {
        let parts = ["delivered", "rejected", "dropped", "pending"].map(|part| number(&sink[part]));
        assert_eq!(number(&sink["journaled"]), parts.iter().sum::<u64>());
    }
    let stats = &pipeline["streams"][0];
    let dropped: u64 = stats["dropped_before_parsing"].as_object().unwrap().values().map(number).sum();
    assert_eq!(number(&stats["received"]), number(&stats["parsed"]) + dropped + number(&stats["in_parsing"]));
}

#[test]
fn readiness_is_503_with_why_and_200_without() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let reply = get(served.address, "/readyz");
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.json(),
        json!({"status": "not_ready", "reason": "host beta: nobody answers at unix:///run/<beta>.sock"})
    );
    *served.world.readiness.lock().unwrap() = Readiness::Ready;
    let reply = get(served.address, "/readyz");
    assert_eq!((reply.status, reply.json()), (200, json!({"status": "ready", "reason": null})));
    assert_eq!(get(served.address, "/healthz").json(), json!({"status": "ok"}));
}

#[test]
fn metrics_are_prometheus_text() {
    let reply = get(Served::shared().address, "/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(reply.body.contains("dockstream_batches_total{stream=\"stats\",trigger=\"count\"} 42\n"));
}

#[test]
fn every_answer_is_told_with_its_route_and_status() {
    let served = Served::filled(ApiConfig::default());
    for path in ["/api/containers/web", "/api/containers/nobody", "/nowhere", "/healthz"] {
        get(served.address, path);
    }
    let told = served.world.answered.lock().unwrap().clone();
    let expected =
        [("/api/containers/{id}", 200), ("/api/containers/{id}", 404), ("unmatched", 404), ("/healthz", 200)];
    assert_eq!(told, expected);
}
