//! Stats by the kernel's own counters, against what the engine tells of the same containers.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;
use test_support::{Dockerd, Release, on_every_engine, wait_for, wait_until};

use crate::binary::{Launch, SOON};
use crate::docker_stats::expected;
use crate::stores::{self, Row, by_identity, stats_columns};
use crate::{http, workload};

on_every_engine!(what_the_kernel_counts_is_what_the_engine_tells,);

/// Rates are over each one's own sample before, and time goes on.
const OF_THEIR_OWN: [&str; 2] = ["cpu_usage_percent", "system_cpu_ns"];

fn asked(engine: &Dockerd, id: &str) -> Value {
    let path = format!("/containers/{id}/stats?stream=0&one-shot=1");
    let mut answer = http::open(engine.socket(), &path).expect("the engine answers");
    let mut frame = String::new();
    answer.read_line(&mut frame).expect("a frame");
    serde_json::from_str(&frame).expect("it is JSON")
}

/// The newest sample stored of a container.
fn newest(database: &Path, id: &str) -> Option<Row> {
    let samples = by_identity(stores::sqlite(database, "container_stats", &stats_columns()));
    samples.into_iter().rfind(|((container, _), _)| container == id).map(|(_, row)| row)
}

/// Where a stored sample differs from the engine's frame.
fn differences(row: &Row, frame: &Value) -> Vec<String> {
    let told = expected(frame, None).into_iter().filter(|(column, _)| !OF_THEIR_OWN.contains(column));
    told.filter(|(column, value)| row[column] != *value)
        .map(|(column, value)| format!("{column}: {:?} read, {value:?} told", row[column]))
        .collect()
}

fn what_the_kernel_counts_is_what_the_engine_tells(release: Release) {
    let engine = Dockerd::of(release);
    let containers = workload::start(&engine);
    let collect = "[collect]\nmode = \"cgroup\"\nstats_interval = \"500ms\"\n";
    let dockstream = Launch::watching(engine.socket(), collect).start();
    let database = dockstream.database();
    let percent = |row: &Row| row["cpu_usage_percent"].as_ref().map(|rate| rate.parse::<f64>().expect("a number"));
    wait_until(2 * SOON, "a sample with rates of every container", || {
        containers.values().all(|id| newest(&database, id).is_some_and(|row| percent(&row).is_some()))
    });
    // Where others use the machine, it may get next to nothing for a while.
    let busy = wait_for(2 * SOON, "a sample of one that is busy", || {
        newest(&database, &containers["burner"]).filter(|row| percent(row) >= Some(1.0))
    });
    assert!(percent(&busy) <= Some(100.0), "it may use a third of a core: {busy:?}");

    // Everything stands still, so both tell of the same moment.
    for name in containers.keys() {
        engine.pause_container(name);
    }
    for (name, id) in &containers {
        let mut last = Vec::new();
        let is_same = || {
            last = newest(&database, id).map_or(Vec::new(), |row| differences(&row, &asked(&engine, id)));
            last.is_empty()
        };
        wait_until(SOON, &format!("what is read of {name} to be what is told"), is_same);
    }
    let refused = dockstream.lines("cannot be read");
    assert!(refused.is_empty(), "{refused:#?}");
    let (_, metrics) = http::get(dockstream.address(), "/metrics").expect("it answers");
    let calls: Vec<&str> = metrics.lines().filter(|line| line.contains("call=\"stats")).collect();
    assert!(calls.is_empty(), "the engine is not asked: {calls:#?}");

    // A run that ends is noticed, and the next is read anew.
    engine.docker(&["unpause", "burner"]);
    engine.docker(&["restart", "--time", "0", "burner"]);
    wait_until(SOON, "samples of the next run", || {
        let row = newest(&database, &containers["burner"]).expect("it is stored");
        row["run"] != busy["run"] && row["cpu_usage_percent"].is_some()
    });
    assert_eq!(dockstream.terminate().code, Some(0));
}
