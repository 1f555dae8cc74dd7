//! The API over the stores that the sinks fill.

use std::time::Duration;

use serde_json::Value;
use simulator::Simulator;
use test_support::{ClickHouse, Postgres, unique, wait_until};

use crate::binary::{Launch, SOON};

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
    assert!(events.iter().all(|event| event["type"] == Value::from("container")), "{events:?}");
    assert!(!dockstream.data().join("dockstream.db").exists());
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}
