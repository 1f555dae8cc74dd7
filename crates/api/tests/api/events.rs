//! `/api/events`.

use api::ApiConfig;
use model::Rows;
use serde_json::{Value, json};

use crate::http::get;
use crate::served::Served;
use crate::world::{HOSTILE, WEB, World, event, names};

fn list(query: &str) -> Value {
    let reply = get(Served::shared().address, &format!("/api/events{query}"));
    assert_eq!(reply.status, 200, "{query}: {}", reply.body);
    reply.json()
}

#[test]
fn events_come_newest_first_as_they_were_stored() {
    let list = list("");
    let actions: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["stop", "oom", "create", "die", "health_status", "start"]);
    assert_eq!(list["data"][0]["synthetic"], true);
    assert_eq!(list["data"][1]["container_name"], HOSTILE);
    assert_eq!(list["data"][3]["exit_code"], 137);
    assert_eq!(list["data"][4]["argument"], "healthy");
}

#[test]
fn every_filter_takes_what_it_names_and_nothing_else() {
    for (query, expected) in [
        ("?type=network", vec!["create"]),
        ("?action=die", vec!["die"]),
        ("?host=beta", vec!["die", "oom"]),
        ("?container=old-job", vec!["die"]),
        (&format!("?container={}", &WEB[..12]), vec!["health_status", "start", "stop"]),
        (&format!("?container={WEB}&action=start"), vec!["start"]),
        ("?from=2026-11-20T12:00:20Z", vec!["create", "die", "oom", "stop"]),
        ("?since=2026-11-20T12:00:50Z", vec!["stop"]),
        ("?to=2026-11-20T12:00:10Z", vec!["start"]),
        ("?from=2026-11-20T12:00:10Z&to=2026-11-20T12:00:30Z", vec!["die", "health_status"]),
        ("?container=%27%20OR%201%3D1%20--", vec![]),
        ("?action=DIE", vec![]),
        ("?label=tier=front", vec!["health_status", "start", "stop"]),
        ("?label=tier&action=stop", vec!["stop"]),
        ("?label=tier&label=nobody", vec![]),
    ] {
        assert_eq!(names(&list(query), "action"), expected, "{query}");
    }
}

#[test]
fn since_and_from_together_or_a_range_turned_round_are_refused() {
    for query in ["?since=now-1h&from=now-1h", "?from=now&to=now-1h"] {
        get(Served::shared().address, &format!("/api/events{query}")).problem("invalid-parameter");
    }
}

#[test]
fn pages_have_every_event_once_though_newer_ones_arrive() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let made = |second: u64| event(second, &format!("a{second:03}"), json!({}));
    served.store(Rows::Events((0..40).map(made).collect::<Vec<_>>().into()));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let list = get(served.address, &format!("/api/events?limit=9{cursor}")).json();
        seen.extend(list["data"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap().to_owned()));
        let Some(next) = list["page"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        served.store(Rows::Events(vec![made(100 + page)].into()));
    }
    seen.reverse();
    assert_eq!(seen, (0..40).map(|second| format!("a{second:03}")).collect::<Vec<_>>());
}
