//! Containers that start, stop, pause, restart, are renamed, removed or killed: the set of streams follows at once.

use std::collections::BTreeSet;
use std::time::Instant;

use model::Timestamp;
use serde_json::Value;
use test_support::{Dockerd, Release, on_every_engine, wait_for, wait_until};

use crate::binary::{Dockstream, Launch, SOON};
use crate::stores::{self, Samples, by_identity, stats_columns};

on_every_engine!(
    the_set_of_streams_follows_every_turn_in_the_life_of_a_container,
    a_container_killed_for_its_memory_is_left_and_its_end_is_told,
    many_short_lives_in_a_row_leave_neither_a_stream_too_many_nor_one_too_few,
    a_health_check_is_told_with_its_result_and_without_its_command_line,
);

/// Nobody looks by the clock while a test runs: what is found is found by events alone.
const BY_EVENTS: &str = "discovery_interval = \"1h\"\n";

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

/// Waits until the streams are those the engine lists, and so many; prints how long it took. The engine's own list may lag
/// behind what its calls and events say.
pub fn settled(dockstream: &Dockstream, engine: &Dockerd, after: &str, count: usize) {
    let since = Instant::now();
    wait_until(SOON, &format!("{count} streams after {after}, those the engine lists"), || {
        let streams = dockstream.streams();
        streams.len() == count && streams == listed(engine)
    });
    println!("after {after}: the streams are right within {:?}", since.elapsed());
}

/// The newest sample of a container, once there is one that `is_it`.
fn sample(dockstream: &Dockstream, container: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/containers/{container}/stats");
    wait_for(SOON, &format!("the sample wanted of {container}"), || {
        let (status, sample) = dockstream.ask(&path);
        (status == 200 && is_it(&sample)).then_some(sample)
    })
}

fn the_set_of_streams_follows_every_turn_in_the_life_of_a_container(release: Release) {
    let engine = Dockerd::of(release);
    let dockstream = watch(&engine, BY_EVENTS);
    let settled = |after: &str, count: usize| settled(&dockstream, &engine, after, count);

    let id = engine.run("one", &[], "sleep 1000");
    settled("start", 1);
    assert_eq!(dockstream.streams(), BTreeSet::from([id[..12].to_owned()]));
    engine.run("other", &["--memory", "16m"], "sleep 1000");
    settled("a second start", 2);

    engine.docker(&["pause", "one"]);
    // A paused container has counters still.
    settled("pause", 2);
    engine.docker(&["unpause", "one"]);
    settled("unpause", 2);

    engine.docker(&["stop", "--time", "0", "one"]);
    settled("stop", 1);
    engine.docker(&["start", "one"]);
    settled("start of a stopped one", 2);

    let run = || engine.docker(&["inspect", "--format", "{{.State.StartedAt}}", "one"]);
    let before = sample(&dockstream, "one", |sample| is_of(sample, &run()));
    engine.docker(&["restart", "--time", "0", "one"]);
    settled("restart", 2);
    let after = sample(&dockstream, "one", |sample| is_of(sample, &run()));
    assert_ne!(after["run"], before["run"], "a restart is a new run of the same container");
    assert_eq!(after["container_id"], before["container_id"]);
    assert!(after["timestamp"].as_str() > before["timestamp"].as_str());

    engine.docker(&["rename", "one", "renamed"]);
    settled("rename", 2);
    sample(&dockstream, "renamed", |sample| sample["container_name"] == "renamed");

    engine.docker(&["rm", "--force", "renamed"]);
    settled("rm --force", 1);
    assert_eq!(dockstream.terminate().code, Some(0));
}

fn a_container_killed_for_its_memory_is_left_and_its_end_is_told(release: Release) {
    let engine = Dockerd::of(release);
    let dockstream = watch(&engine, BY_EVENTS);
    // It is greedy once it is followed.
    let script = "trap 'tail /dev/zero; exit $?' USR1; while :; do sleep 0.1; done";
    let id = engine.run("greedy", &["--memory", "16m"], script);
    settled(&dockstream, &engine, "start", 1);
    assert_eq!(dockstream.streams(), BTreeSet::from([id[..12].to_owned()]));
    engine.docker(&["kill", "--signal", "USR1", "greedy"]);
    engine.docker(&["wait", "greedy"]);
    settled(&dockstream, &engine, "death for memory", 0);
    wait_until(SOON, "the container's last state", || {
        let container = dockstream.ask(&format!("/api/containers/{id}")).1;
        container["state"] == "exited" && container["exit_code"] == 137 && container["oom_killed"] == true
    });
    let told = |action: &str| {
        let events = dockstream.get(&format!("/api/events?container={id}&action={action}&limit=1000"));
        events["data"].as_array().expect("a list").len()
    };
    wait_until(SOON, "why and that it ended", || told("oom") > 0 && told("die") > 0);
    assert_eq!(told("die"), 1);
}

fn many_short_lives_in_a_row_leave_neither_a_stream_too_many_nor_one_too_few(release: Release) {
    for mode in ["poll", "stream"] {
        let engine = Dockerd::of(release);
        let dockstream = watch(&engine, &format!("mode = \"{mode}\"\n{BY_EVENTS}"));
        let id = engine.run("stays", &[], "while :; do :; done");
        for round in 0..5 {
            let run = engine.docker(&["inspect", "--format", "{{.State.StartedAt}}", "stays"]);
            sample(&dockstream, "stays", |sample| is_of(sample, &run) && !sample["cpu_usage_percent"].is_null());
            engine.docker(&["run", "--rm", "--name", &format!("brief-{round}"), Dockerd::IMAGE, "true"]);
            engine.docker(&["restart", "--time", "0", "stays"]);
        }
        settled(&dockstream, &engine, "ten short lives", 1);
        assert_eq!(dockstream.streams(), BTreeSet::from([id[..12].to_owned()]));
        let pipeline = dockstream.get("/api/pipeline");
        let losses = dockstream.get("/api/losses");
        assert_eq!(losses["data"], serde_json::json!([]), "{losses}");
        assert_eq!(restarts(&pipeline["tree"]), 0, "nothing failed: {pipeline}");
        let finished = dockstream.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_runs(&by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns())), &id);
    }
}

/// Whether a sample is of the run that began at `start`.
fn is_of(sample: &Value, start: &str) -> bool {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    sample["run"].as_str().is_some_and(|run| time(run) == time(start))
}

/// Counters begin anew with each of the runs: the first sample knows no growth, and no CPU use is beyond the machine.
fn assert_runs(rows: &Samples, id: &str) {
    let mut runs = BTreeSet::new();
    for row in rows.iter().filter(|((container, _), _)| container == id).map(|(_, row)| row) {
        let number = |column: &str| row[column].as_ref().map(|text| text.parse::<f64>().expect("a number"));
        if runs.insert(row["run"].clone()) {
            assert_eq!(
                (number("interval_ns"), number("cpu_usage_percent")),
                (None, None),
                "first of its run: {row:#?}"
            );
        }
        let most = number("online_cpus").expect("it ran") * 100.0;
        // The two clocks of a sample are not read at the same moment.
        assert!(number("cpu_usage_percent").is_none_or(|percent| (0.0..=most * 1.1).contains(&percent)), "{row:#?}");
        assert!(number("cpu_usage_ns").is_some_and(|used| used > 0.0), "a placeholder is no sample: {row:#?}");
    }
    assert!(runs.len() >= 5, "{runs:?}");
}

fn a_health_check_is_told_with_its_result_and_without_its_command_line(release: Release) {
    let engine = Dockerd::of(release);
    let dockstream = watch(&engine, "");
    let check = [
        "--health-cmd",
        "test ! -e /tmp/ill || exit 1 # pass=hidden",
        "--health-interval",
        "1s",
        "--health-retries",
        "1",
    ];
    let id = engine.run("patient", &check, "sleep 1000");
    let health = |status: &str| {
        wait_until(SOON, &format!("the container is {status}"), || {
            dockstream.ask(&format!("/api/containers/{id}")).1["health"]["status"] == status
        });
    };
    health("healthy");
    engine.docker(&["exec", "patient", "touch", "/tmp/ill"]);
    health("unhealthy");
    let events = wait_for(SOON, "both results in the events", || {
        let events = dockstream.get(&format!("/api/events?container={id}&limit=1000"))["data"].clone();
        let told = |event: &Value| event["action"] == "health_status";
        let results = events.as_array()?.iter().filter(|event| told(event)).map(|event| event["argument"].clone());
        (results.collect::<Vec<_>>() == ["unhealthy", "healthy"]).then_some(events)
    });
    let exec = |event: &Value| event["action"].as_str().is_some_and(|action| action.starts_with("exec_"));
    let execs = events.as_array().into_iter().flatten().filter(|event| exec(event)).count();
    assert!(execs >= 6 && !events.to_string().contains("hidden"), "{events:#}");
}

/// Restarts anywhere in a tree.
fn restarts(node: &Value) -> u64 {
    let below = node["children"].as_array().into_iter().flatten().map(restarts).sum::<u64>();
    node["restarts"].as_u64().unwrap_or(0) + below
}
