//! A container's stats: the newest sample and the history.

use serde_json::{Value, json};

use crate::http::get;
use crate::served::Served;
use crate::world::{WEB, at, id};

fn ok(path: &str) -> Value {
    let reply = get(Served::shared().address, path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

fn history(query: &str) -> Value {
    ok(&format!("/api/containers/web/stats/history{query}"))
}

#[test]
fn the_newest_sample_has_its_rates_and_unknown_values_are_null() {
    let stats = ok("/api/containers/web/stats");
    assert_eq!(stats["container_id"], WEB);
    assert_eq!(stats["timestamp"], at(55).to_string());
    assert_eq!(stats["cpu_usage_percent"], 67.5);
    assert_eq!(stats["network_rx_bytes_per_second"], 200.0);
    assert_eq!(stats["block_write_bytes_per_second"], 0.0);
    assert_eq!(stats["cpu_user_ns"], Value::Null);
}

#[test]
fn a_container_that_never_had_a_sample_is_a_404_of_its_own_kind() {
    let reply = get(Served::shared().address, "/api/containers/db/stats");
    assert_eq!(reply.status, 404);
    let problem = reply.problem("no-stats-yet");
    assert_eq!((&problem["container_id"], &problem["state"]), (&json!(id("5b0c")), &json!("running")));
}

#[test]
fn a_history_takes_every_form_of_time() {
    let seconds = at(0).as_secs();
    for (from, to) in [
        ("2026-11-20T12:00:00Z".to_owned(), "2026-11-20T12:01:00Z".to_owned()),
        ("2026-11-20T13:00:00%2B01:00".to_owned(), "2026-11-20T13:01:00+01:00".to_owned()),
        (seconds.to_string(), (seconds + 60).to_string()),
        (format!("{seconds}.000000000"), format!("{}.5", seconds + 59)),
    ] {
        let history = history(&format!("?from={from}&to={to}"));
        assert_eq!(history["points"].as_array().unwrap().len(), 12, "{from} {to}");
        assert_eq!(history["from"], at(0).to_string());
        assert_eq!((&history["resolution"], &history["step_ns"]), (&json!("raw"), &Value::Null));
    }
}

#[test]
fn a_relative_time_is_taken_from_now() {
    let history = history("?from=now-2h&to=now-1h");
    assert_eq!(history["resolution"], "raw");
    let time = |name: &str| history[name].as_str().unwrap().parse::<model::Timestamp>().unwrap();
    assert_eq!(time("to").nanos_since(time("from")), 3_600_000_000_000);
}

#[test]
fn without_bounds_a_history_is_the_last_hour() {
    let history = history("");
    let time = |name: &str| history[name].as_str().unwrap().parse::<model::Timestamp>().unwrap();
    assert_eq!(time("to").nanos_since(time("from")), 3_600_000_000_000);
}

#[test]
fn the_resolution_follows_the_range_unless_it_is_said() {
    let of = |query: &str| history(query)["resolution"].clone();
    assert_eq!(of("?from=2026-11-20T00:00:00Z&to=2026-11-20T23:00:00Z"), "1m");
    assert_eq!(of("?from=2026-11-01T00:00:00Z&to=2026-11-21T00:00:00Z"), "1h");
    assert_eq!(of("?from=2026-01-01T00:00:00Z&to=2026-11-21T00:00:00Z"), "1d");
    assert_eq!(of("?from=2026-11-20T00:00:00Z&to=2026-11-20T23:00:00Z&resolution=raw"), "raw");
}

#[test]
fn a_step_has_mean_lowest_highest_and_sums() {
    let history = history("?from=2026-11-20T12:00:00Z&to=2026-11-20T12:05:00Z&resolution=1m");
    let points = history["points"].as_array().unwrap();
    assert_eq!(points.len(), 1, "a gap stays a gap");
    let point = &points[0];
    assert_eq!((&point["timestamp"], &point["samples"]), (&json!(at(0).to_string()), &json!(12)));
    assert_eq!((&point["cpu_usage_percent_min"], &point["cpu_usage_percent_max"]), (&json!(17.5), &json!(67.5)));
    assert_eq!(point["network_rx_delta_bytes"], 11_000);
    assert_eq!(point["network_rx_bytes_per_second"], 200.0);
}

#[test]
fn max_points_makes_steps_longer() {
    let history = history("?from=2026-11-20T12:00:00Z&to=2026-11-20T12:01:00Z&max_points=4");
    assert!(history["points"].as_array().unwrap().len() <= 4);
    assert_eq!(history["step_ns"], 15_000_000_000_u64);
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused_with_both_ends() {
    let path = "/api/containers/web/stats/history?from=2026-11-20T12:00:00Z&to=2026-11-20T11:00:00Z";
    let reply = get(Served::shared().address, path);
    assert_eq!(reply.status, 400);
    let problem = reply.problem("invalid-parameter");
    assert_eq!(problem["parameter"], "from");
    assert!(problem["detail"].as_str().unwrap().contains("2026-11-20T11:00:00"), "{problem:#}");
}

#[test]
fn stats_follow_the_same_names_as_containers() {
    let address = Served::shared().address;
    for path in ["/stats", "/stats/history"] {
        get(address, &format!("/api/containers/cache{path}")).problem("ambiguous-container");
        get(address, &format!("/api/containers/nobody{path}")).problem("container-not-found");
        assert_eq!(get(address, &format!("/api/containers/{}{path}?host=alpha", &WEB[..12])).status, 200);
    }
}
