//! Containers that start, stop, pause, restart, are renamed, removed or killed: the set of streams follows at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::{Dockerd, wait_until};

use crate::binary::{Dockstream, Launch};

/// From the end of a docker command to the right set of streams.
const PROMISED: Duration = Duration::from_secs(2);

/// A dockstream that samples once a second.
pub fn watch(engine: &Dockerd, more: &str) -> Dockstream {
    let config = format!("[collect]\nstats_interval = \"1s\"\n{more}");
    let dockstream = Launch::watching(engine.socket(), &config).start();
    dockstream.ready();
    dockstream
}

/// Short ids of the containers that have stats, as the engine lists them.
pub fn listed(engine: &Dockerd) -> BTreeSet<String> {
    let list = engine.docker(&["ps", "--quiet", "--filter", "status=running", "--filter", "status=paused"]);
    list.lines().map(str::to_owned).collect()
}

/// Waits until the streams are those the engine lists; how long it took.
pub fn settled(dockstream: &Dockstream, engine: &Dockerd, within: Duration, after: &str) -> Duration {
    let since = Instant::now();
    let wanted = listed(engine);
    // What docker itself took to list them is not dockstream's.
    let within = within + since.elapsed();
    wait_until(within, &format!("the streams {wanted:?} after {after}: {:?}", dockstream.streams()), || {
        dockstream.streams() == wanted
    });
    println!("after {after}: the streams are right within {:?}", since.elapsed());
    since.elapsed()
}

/// The newest sample of a container, once there is one that `is_it`.
fn sample(dockstream: &Dockstream, container: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/containers/{container}/stats");
    let mut last = (0, Value::Null);
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        last = dockstream.ask(&path);
        if last.0 == 200 && is_it(&last.1) {
            return last.1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the sample wanted of {container} does not come; the last answer: {last:?}");
}

#[test]
fn the_set_of_streams_follows_every_turn_in_the_life_of_a_container() {
    let engine = Dockerd::start();
    let dockstream = watch(&engine, "");
    let settled = |after: &str| settled(&dockstream, &engine, PROMISED, after);

    let id = engine.run("one", &[], "sleep 1000");
    settled("start");
    assert_eq!(dockstream.streams(), BTreeSet::from([id[..12].to_owned()]));
    engine.run("other", &["--memory", "16m"], "sleep 1000");
    settled("a second start");

    engine.docker(&["pause", "one"]);
    settled("pause");
    assert_eq!(dockstream.streams().len(), 2, "a paused container has counters still");
    engine.docker(&["unpause", "one"]);
    settled("unpause");

    engine.docker(&["stop", "--time", "0", "one"]);
    settled("stop");
    assert_eq!(dockstream.streams().len(), 1);
    engine.docker(&["start", "one"]);
    settled("start of a stopped one");

    let before = sample(&dockstream, "one", |sample| !sample["interval_ns"].is_null());
    engine.docker(&["restart", "--time", "0", "one"]);
    settled("restart");
    let run = engine.docker(&["inspect", "--format", "{{.State.StartedAt}}", "one"]);
    let after = sample(&dockstream, "one", |sample| sample["run"] != before["run"]);
    let start = |text: &str| text.parse::<model::Timestamp>().expect("a time");
    assert_eq!(start(after["run"].as_str().expect("a run")), start(&run), "a restart is a new run of the same container");
    assert_eq!(after["container_id"], before["container_id"]);
    assert!(after["timestamp"].as_str() > before["timestamp"].as_str());

    engine.docker(&["rename", "one", "renamed"]);
    settled("rename");
    sample(&dockstream, "renamed", |sample| sample["container_name"] == "renamed");

    engine.docker(&["rm", "--force", "renamed"]);
    settled("rm --force");
    assert_eq!(dockstream.streams().len(), 1);
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn a_container_killed_for_its_memory_is_left_and_its_end_is_told() {
    let engine = Dockerd::start();
    let dockstream = watch(&engine, "");
    let id = engine.run("greedy", &["--memory", "16m"], "sleep 2; tail /dev/zero");
    settled(&dockstream, &engine, PROMISED, "start");
    engine.docker(&["wait", "greedy"]);
    settled(&dockstream, &engine, PROMISED, "death for memory");
    assert_eq!(dockstream.streams(), BTreeSet::new());
    wait_until(Duration::from_secs(10), "the container's last state", || {
        let container = dockstream.ask(&format!("/api/containers/{id}")).1;
        container["state"] == "exited" && container["exit_code"] == 137 && container["oom_killed"] == true
    });
    let events = dockstream.get(&format!("/api/events?container={id}&limit=1000"));
    let actions: Vec<_> = events["data"].as_array().expect("a list").iter().map(|event| event["action"].as_str()).collect();
    assert!(actions.contains(&Some("oom")), "{actions:?}");
    assert_eq!(actions.iter().filter(|action| **action == Some("die")).count(), 1, "{actions:?}");
}

#[test]
fn many_short_lives_in_a_row_leave_neither_a_stream_too_many_nor_one_too_few() {
    let engine = Dockerd::start();
    let dockstream = watch(&engine, "");
    engine.run("stays", &[], "sleep 1000");
    for round in 0..5 {
        engine.docker(&["run", "--rm", "--name", &format!("brief-{round}"), Dockerd::IMAGE, "true"]);
        engine.docker(&["restart", "--time", "0", "stays"]);
    }
    settled(&dockstream, &engine, PROMISED, "ten short lives");
    assert_eq!(dockstream.streams().len(), 1);
    let pipeline = dockstream.get("/api/pipeline");
    let losses = dockstream.get("/api/losses");
    assert_eq!(losses["data"], serde_json::json!([]), "{losses}");
    assert_eq!(restarts(&pipeline["tree"]), 0, "nothing failed: {pipeline}");
}

/// Restarts anywhere in a tree.
fn restarts(node: &Value) -> u64 {
    let below = node["children"].as_array().into_iter().flatten().map(restarts).sum::<u64>();
    node["restarts"].as_u64().unwrap_or(0) + below
}
