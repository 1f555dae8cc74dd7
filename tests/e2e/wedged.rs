//! Real containers that stand still, and real ones of which the engine itself cannot get anything any more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use test_support::{Dockerd, Release, on_every_engine, wait_for, wait_until};

use crate::binary::Dockstream;
use crate::containers::watch;

on_every_engine!(
    a_frozen_container_has_samples_still_that_say_it_stands_still,
    a_container_the_engine_cannot_reach_is_told_and_comes_back,
);

/// Ten seconds pass until a silence is told; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A sample of a container that is newer than `than`.
fn newer(dockstream: &Dockstream, container: &str, than: &Value) -> Value {
    wait_for(PATIENCE, &format!("a sample of {container} newer than {than}"), || {
        let (status, sample) = dockstream.ask(&format!("/api/containers/{container}/stats"));
        (status == 200 && sample["timestamp"].as_str() > than.as_str()).then_some(sample)
    })
}

/// Names of the containers of which no stats come.
fn silent(dockstream: &Dockstream) -> BTreeSet<String> {
    let pipeline = dockstream.get("/api/pipeline");
    let silent = pipeline["silent"].as_array().expect("a list").iter();
    silent.map(|silent| silent["container_name"].as_str().expect("a name").to_owned()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn a_frozen_container_has_samples_still_that_say_it_stands_still(release: Release) {
    let engine = Dockerd::of(release);
    engine.run("frozen", &[], "while :; do :; done");
    engine.run("other", &[], "while :; do :; done");
    let dockstream = watch(&engine, "");
    let before = newer(&dockstream, "frozen", &Value::Null);
    engine.pause_container("frozen");
    // The first one after the pause still holds some of the time before it.
    let mut sample = newer(&dockstream, "frozen", &before["timestamp"]);
    for _ in 0..3 {
        sample = newer(&dockstream, "frozen", &sample["timestamp"]);
    }
    assert_eq!((&sample["cpu_usage_delta_ns"], &sample["cpu_usage_percent"]), (&0.into(), &0.0.into()), "{sample}");
    assert!(sample["pids"].as_u64().is_some_and(|pids| pids > 0), "{sample}");
    let other = newer(&dockstream, "other", &sample["timestamp"]);
    assert!(other["cpu_usage_delta_ns"].as_u64().is_some_and(|used| used > 0), "{other}");
    // One that is merely late is told as well, until it comes.
    wait_until(PATIENCE, "nothing is silent", || silent(&dockstream).is_empty());

    engine.docker(&["unpause", "frozen"]);
    wait_until(PATIENCE, "it runs again", || {
        sample = newer(&dockstream, "frozen", &sample["timestamp"]);
        sample["cpu_usage_delta_ns"].as_u64().is_some_and(|used| used > 0)
    });
    assert_eq!(dockstream.terminate().code, Some(0));
}

fn a_container_the_engine_cannot_reach_is_told_and_comes_back(release: Release) {
    let engine = Dockerd::of(release);
    let wedged = engine.run("wedged", &[], "sleep 1000");
    engine.run("one", &[], "sleep 1000");
    engine.run("two", &[], "sleep 1000");
    let dockstream = watch(&engine, "");
    for container in ["wedged", "one", "two"] {
        newer(&dockstream, container, &Value::Null);
    }
    engine.freeze(&wedged);
    // One collector of an older engine visits all containers in turn, and stands still before this one.
    let all = names(["one", "two", "wedged"]);
    let held_up = if release == Release::Stable { all } else { names(["wedged"]) };
    let gauge = format!("dockstream_silent_streams{{host=\"real\"}} {}", held_up.len());
    let are_told = || {
        let metrics = dockstream.get("/metrics");
        silent(&dockstream) == held_up && metrics.as_str().is_some_and(|text| text.contains(&gauge))
    };
    wait_until(PATIENCE, &format!("{held_up:?} are told"), are_told);
    assert_eq!(dockstream.get("/api/hosts")["data"][0]["status"], "up");
    if release == Release::Current {
        let last = newer(&dockstream, "wedged", &Value::Null)["timestamp"].clone();
        for container in ["one", "two"] {
            let mut sample = newer(&dockstream, container, &last);
            for _ in 0..3 {
                sample = newer(&dockstream, container, &sample["timestamp"]);
            }
        }
        assert_eq!(newer(&dockstream, "wedged", &Value::Null)["timestamp"], last);
        wait_until(PATIENCE, "it alone is told still", are_told);
    }

    let last = newer(&dockstream, "wedged", &Value::Null)["timestamp"].clone();
    engine.thaw(&wedged);
    newer(&dockstream, "wedged", &last);
    // A line for each that went, and one for each that came back; one that was merely late has both, too.
    wait_until(PATIENCE, "nothing is silent any more, and it is told", || {
        let [went, came] = ["no stats of a running container", "come again"].map(|text| dockstream.lines(text).len());
        silent(&dockstream).is_empty() && went >= held_up.len() && came == went
    });
    assert_eq!(dockstream.terminate().code, Some(0));
}
