//! Events of a real engine: why containers ended, whose they are, and what is not wanted.

use std::collections::BTreeSet;

use serde_json::Value;
use test_support::{Dockerd, wait_for, wait_until};

use crate::binary::{Dockstream, Launch, SOON};

fn list(dockstream: &Dockstream, query: &str) -> Vec<Value> {
    dockstream.get(&format!("/api/events?limit=1000{query}"))["data"].as_array().expect("a list").clone()
}

/// The one event of that kind, once it is stored.
fn event(dockstream: &Dockstream, query: &str) -> Value {
    wait_for(SOON, &format!("the event {query}"), || list(dockstream, query).pop())
}

#[test]
fn why_a_container_ended_is_told_in_words_by_its_event_and_its_record() {
    let engine = Dockerd::start();
    let dockstream = Launch::watching(engine.socket(), "[collect]\nlabels = [\"team\"]\n").start();
    dockstream.ready();
    let secret = "hunter2-is-nowhere";
    engine.run("finishes", &["--label=team=blue", "--label=other=x"], "exit 0");
    engine.run("fails", &[], "exit 3");
    engine.run("crashes", &[], "kill -SEGV $$; sleep 1; exit 139");
    engine.run("killed", &[], "sleep 1000");
    engine.docker(&["exec", "killed", "echo", secret]);
    engine.docker(&["kill", "--signal", "9", "killed"]);
    engine.run("greedy", &["--memory", "16m"], "sleep 1; tail /dev/zero");
    engine.docker(&["wait", "greedy"]);
    for (name, cause) in [
        ("finishes", "finished"),
        ("fails", "failed (exit code 3)"),
        ("crashes", "segmentation fault (SIGSEGV)"),
        ("killed", "killed (SIGKILL)"),
        ("greedy", "killed (SIGKILL), out of memory"),
    ] {
        let died = event(&dockstream, &format!("&container={name}&action=die"));
        // The engine may tell of the end before it tells of the memory; the record knows both.
        assert!(died["exit_cause"].as_str().is_some_and(|told| cause.starts_with(told)), "{name}: {died}");
        wait_until(SOON, &format!("the record of {name}"), || {
            dockstream.ask(&format!("/api/containers/{name}")).1["exit_cause"] == cause
        });
    }
    assert_eq!(event(&dockstream, "&container=killed&action=kill")["signal"], "SIGKILL");
    let finished = event(&dockstream, "&container=finishes&action=die");
    assert_eq!(finished["labels"], serde_json::json!({ "team": "blue" }));
    let labelled = list(&dockstream, "&label=other=x");
    assert!(labelled.len() >= 3 && labelled.iter().all(|event| event["container_name"] == "finishes"), "{labelled:?}");
    event(&dockstream, "&container=killed&action=exec_create");
    assert!(!dockstream.get("/api/events?limit=1000").to_string().contains(secret));
    let connect = event(&dockstream, "&type=network&action=connect&container=killed");
    assert_eq!((&connect["actor_name"], &connect["image"]), (&"bridge".into(), &Dockerd::IMAGE.into()), "{connect}");
}

#[test]
fn what_happens_to_a_volume_and_to_the_daemon_itself_is_told() {
    let engine = Dockerd::start();
    let dockstream = Launch::watching(engine.socket(), "").start();
    dockstream.ready();
    engine.docker(&["volume", "create", "kept"]);
    let made = event(&dockstream, "&type=volume&action=create");
    assert_eq!(
        (&made["actor_id"], &made["container_id"], &made["synthetic"]),
        (&"kept".into(), &Value::Null, &false.into())
    );
    engine.docker(&["volume", "rm", "kept"]);
    assert_eq!(event(&dockstream, "&type=volume&action=destroy")["actor_id"], "kept");
    engine.reload();
    let reloaded = event(&dockstream, "&type=daemon&action=reload");
    assert_eq!((&reloaded["host"], &reloaded["container_id"]), (&"real".into(), &Value::Null));
}

#[test]
fn who_is_not_wanted_is_nowhere() {
    let engine = Dockerd::start();
    let config = "[collect]\nstats_interval = \"1s\"\nevent_actions = [\"!exec_*\"]\n\
                  [select.exclude]\nnames = [\"hidden-*\"]\nlabels = [\"tier=test\"]\n";
    engine.run("hidden-1", &[], "sleep 1000");
    let dockstream = Launch::watching(engine.socket(), config).start();
    dockstream.ready();
    let shown = engine.run("shown", &[], "sleep 1000");
    engine.run("hidden-2", &[], "sleep 1000");
    engine.run("tested", &["--label=tier=test"], "sleep 1000");
    engine.run("asked", &["--label=tier=test", "--label=dockstream.enable=true"], "sleep 1000");
    engine.docker(&["exec", "shown", "true"]);
    engine.docker(&["kill", "hidden-2"]);
    engine.docker(&["kill", "shown"]);
    event(&dockstream, &format!("&container={shown}&action=die"));
    let streams = || dockstream.streams().len();
    wait_until(SOON, "the one stream", || streams() == 1);
    let metrics = |name: &str| {
        let text = dockstream.ask("/metrics").1.as_str().expect("text").to_owned();
        text.lines().find_map(|line| line.strip_prefix(name)?.rsplit(' ').next().map(str::to_owned))
    };
    wait_until(SOON, "the count", || metrics("dockstream_containers_unselected").as_deref() == Some("3"));
    let names = |path: &str| -> BTreeSet<String> {
        let list = dockstream.get(path)["data"].as_array().expect("a list").clone();
        list.iter().filter_map(|one| one["container_name"].as_str().map(str::to_owned)).collect()
    };
    let wanted = BTreeSet::from(["asked".to_owned(), "shown".to_owned()]);
    for path in ["/api/containers?limit=1000", "/api/events?limit=1000"] {
        wait_until(SOON, &format!("{path} has {wanted:?}"), || names(path).is_superset(&wanted));
        assert_eq!(names(path), wanted);
    }
    let execs = list(&dockstream, "").into_iter().filter(|event| event["action"].to_string().contains("exec_"));
    assert_eq!(execs.count(), 0);
    // It gets another name, and is wanted from then on.
    engine.docker(&["rename", "hidden-1", "found"]);
    wait_until(SOON, "the other stream", || streams() == 2);
    wait_until(SOON, "its record", || names("/api/containers?limit=1000").contains("found"));
}
