//! The API over the stores that the sinks fill.

use std::time::Duration;

use simulator::Simulator;
use test_support::{ClickHouse, Postgres, Redis, unique, wait_until};

use crate::binary::{Launch, SOON};
use crate::http;

#[test]
fn the_api_answers_from_clickhouse_where_there_is_no_embedded_store() {
    answers_from(&format!(
        "[sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{}\"\nlinger = \"200ms\"\n",
        ClickHouse::shared().url(),
        unique("reading")
    ));
}

#[test]
fn the_api_answers_from_postgres_where_there_is_no_embedded_store() {
    answers_from(&format!(
        "[sinks.postgres]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"postgres\"\nuser = \"postgres\"\n\
         schema = \"{}\"\nlinger = \"200ms\"\n",
        Postgres::shared().address().port(),
        unique("reading")
    ));
}

fn answers_from(sink: &str) {
    let engine = Simulator::host("simulated").containers(3).interval(Duration::from_millis(200)).start();
    let engine = engine.expect("a simulated host");
    let more = format!(
        "[collect]\nmode = \"stream\"\nstats_interval = \"200ms\"\n[batch]\nage = \"100ms\"\n[sinks.sqlite]\nenabled = false\n\
         {sink}[store]\nquery_timeout = \"60s\"\n"
    );
    let dockstream = Launch::watching(engine.socket(), &more).start();
    dockstream.ready();
    let list = |path: &str| match dockstream.ask(path) {
        (200, answer) => answer["data"].as_array().cloned().unwrap_or_default(),
        _ => Vec::new(),
    };
    wait_until(SOON, "all containers are listed", || list("/api/containers").len() == 3);
    let name = list("/api/containers")[0]["container_name"].as_str().expect("a name").to_owned();
    let stats = format!("/api/containers/{name}/stats");
    wait_until(SOON, "its newest sample is known", || dockstream.ask(&stats).0 == 200);
    wait_until(SOON, "its history has several points", || {
        let history = dockstream.get(&format!("{stats}/history?resolution=raw"));
        history["points"].as_array().is_some_and(|points| points.len() > 2)
    });
    let minutes = dockstream.get(&format!("{stats}/history?resolution=1m"));
    assert_eq!(minutes["resolution"], "1m");
    assert!(minutes["points"][0]["samples"].as_u64().expect("a number") > 2, "{minutes}");
    let events = list("/api/events?type=container");
    assert!(events.iter().all(|event| event["type"] == "container"), "{events:?}");
    assert!(!dockstream.data().join("dockstream.db").exists());
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn answers_are_kept_in_redis_and_counted_and_without_redis_the_store_answers() {
    let engine = Simulator::host("simulated").containers(2).start().expect("a simulated host");
    let redis = Redis::start();
    let more = format!("[cache]\nkind = \"redis\"\nurl = \"{}\"\nprefix = \"fleet:\"\n", redis.url());
    let dockstream = Launch::watching(engine.socket(), &more).start();
    dockstream.ready();
    wait_until(SOON, "the list is in Redis", || {
        dockstream.get("/api/containers");
        redis.ask("EXISTS fleet:containers:list").as_deref() == Some("1")
    });
    let counted = |name: &str| {
        let (_, text) = http::get(dockstream.address(), "/metrics").expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    assert!(counted("dockstream_cache_misses_total") >= 1);
    wait_until(SOON, "an answer comes from memory", || {
        dockstream.get("/api/containers");
        counted("dockstream_cache_hits_total{cache=\"memory\"}") >= 1
    });
    redis.kill9();
    let before = counted("dockstream_cache_errors_total{reason=\"failed\"}");
    wait_until(SOON, "Redis is missed", || {
        let (status, answer) = dockstream.ask("/api/containers?limit=7");
        assert_eq!((status, answer["meta"]["stale"].as_bool()), (200, Some(false)), "{answer}");
        counted("dockstream_cache_errors_total{reason=\"failed\"}") > before
    });
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}
