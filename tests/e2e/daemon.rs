//! A real Docker daemon that is killed and comes back.

use std::time::Instant;

use serde_json::Value;
use simulator::{SimulatedHost, Simulator};
use test_support::{Dockerd, Release, on_every_engine, wait_for, wait_until};

use crate::binary::{Dockstream, Launch, SOON};
use crate::containers::{listed, settled, watch};

on_every_engine!(
    a_killed_daemon_is_told_in_one_line_and_followed_again_when_it_is_back,
    containers_that_outlive_their_daemon_are_followed_on_and_what_was_missed_is_told,
);

/// Nobody looks by the clock while a test runs: what changed while the daemon was away is found because it is back.
const DISCOVERY: &str = "discovery_interval = \"1h\"\n";

/// Waits for a sample of every container that is newer than now.
fn fresh_samples(dockstream: &Dockstream, containers: &[&str]) {
    let newest = |name: &&str| {
        let (status, sample) = dockstream.ask(&format!("/api/containers/{name}/stats"));
        (status == 200).then(|| sample["timestamp"].as_str().expect("a time").to_owned())
    };
    let before: Vec<_> = containers.iter().map(newest).collect();
    wait_until(SOON, &format!("samples of {containers:?} newer than {before:?}"), || {
        containers.iter().map(newest).zip(&before).all(|(now, before)| now > *before)
    });
}

/// The stored events of a container, the oldest first.
fn events(dockstream: &Dockstream, id: &str) -> Vec<Value> {
    let list = dockstream.get(&format!("/api/events?container={id}&limit=1000"));
    list["data"].as_array().expect("a list").iter().rev().cloned().collect()
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["action"].as_str().expect("an action")).collect()
}

fn count(events: &[Value], action: &str) -> usize {
    actions(events).iter().filter(|other| **other == action).count()
}

/// Kills the daemon, waits until dockstream knows, starts it again, and waits until dockstream knows that too.
fn kill_and_start(engine: &Dockerd, dockstream: &Dockstream) {
    engine.kill9();
    let why = dockstream.not_ready();
    assert!(!why.contains('\n') && why.contains(&engine.url()), "{why:?}");
    assert_eq!(dockstream.get("/api/hosts")["data"][0]["status"], "down");
    engine.restart();
    let since = Instant::now();
    dockstream.ready();
    println!("ready {:?} after the engine", since.elapsed());
    settled(dockstream, engine, "the daemon's return", 1);
}

fn a_killed_daemon_is_told_in_one_line_and_followed_again_when_it_is_back(release: Release) {
    let engine = Dockerd::of(release);
    let dockstream = watch(&engine, DISCOVERY);
    // A daemon that finds a container of its former life ends it, in the container's own way: at once.
    let lasting = engine.run("lasting", &["--restart", "always", "--stop-signal", "KILL"], "sleep 1000");
    let ending = engine.run("ending", &["--stop-signal", "KILL"], "sleep 1000");
    settled(&dockstream, &engine, "the start", 2);
    fresh_samples(&dockstream, &["lasting", "ending"]);

    kill_and_start(&engine, &dockstream);
    assert_eq!(listed(&engine).into_iter().collect::<Vec<_>>(), [&lasting[..12]], "the daemon restarts one of them");
    fresh_samples(&dockstream, &["lasting"]);
    wait_until(SOON, "the end of the other is told", || {
        dockstream.get(&format!("/api/containers/{ending}"))["state"] == "exited"
            && count(&events(&dockstream, &ending), "die") > 0
    });

    // Another turn: what was told once is not told again.
    kill_and_start(&engine, &dockstream);
    fresh_samples(&dockstream, &["lasting"]);
    engine.docker(&["rm", "--force", "ending"]);
    wait_until(SOON, "the removal is told", || count(&events(&dockstream, &ending), "destroy") > 0);
    let told = events(&dockstream, &ending);
    assert_eq!((count(&told, "die"), count(&told, "destroy")), (1, 1), "{told:#?}");
    let told = events(&dockstream, &lasting);
    assert_eq!((count(&told, "start"), count(&told, "die")), (3, 2), "each return is a start: {told:#?}");
    assert_eq!(dockstream.terminate().code, Some(0));
}

fn containers_that_outlive_their_daemon_are_followed_on_and_what_was_missed_is_told(release: Release) {
    let engine = Dockerd::live(release);
    let dockstream = watch(&engine, DISCOVERY);
    let survivor = engine.run("survivor", &[], "sleep 1000");
    let missed = engine.run("missed", &[], "sleep 1000");
    settled(&dockstream, &engine, "the start", 2);
    fresh_samples(&dockstream, &["survivor", "missed"]);
    let started = engine.docker(&["inspect", "--format", "{{.State.StartedAt}}", "survivor"]);

    engine.kill9();
    dockstream.not_ready();
    // It ends while nobody is there to see it.
    engine.kill_container(&missed);
    engine.restart();
    dockstream.ready();
    settled(&dockstream, &engine, "the daemon's return", 1);
    assert_eq!(listed(&engine).into_iter().collect::<Vec<_>>(), [&survivor[..12]]);
    fresh_samples(&dockstream, &["survivor"]);
    assert_eq!(engine.docker(&["inspect", "--format", "{{.State.StartedAt}}", "survivor"]), started);

    let end = wait_for(SOON, "the missed end is told", || {
        events(&dockstream, &missed).into_iter().find(|event| event["action"] == "die")
    });
    // Nobody was there to tell it, unless the container's shim told the new daemon.
    let by_engine = engine.docker(&[
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        "--filter",
        "event=die",
        "--filter",
        &format!("container={missed}"),
    ]);
    assert!(end["synthetic"] == true || !by_engine.is_empty(), "{end}");
    assert_eq!(count(&events(&dockstream, &missed), "die"), 1);
    let told = events(&dockstream, &survivor);
    assert_eq!((count(&told, "start"), count(&told, "die")), (1, 0), "it lived on: {told:#?}");
}

#[test]
fn a_daemon_that_hangs_freezes_neither_the_api_nor_the_end() {
    let engine = Dockerd::start();
    let more = "timeout = \"1s\"\n[collect]\nstats_interval = \"1s\"\n";
    let dockstream = Launch::watching(engine.socket(), more).start();
    engine.run("one", &[], "sleep 1000");
    fresh_samples(&dockstream, &["one"]);
    engine.pause();
    let asked = Instant::now();
    let why = dockstream.not_ready();
    assert!(why.contains("no answer") && !why.contains('\n'), "{why}");
    println!("a hanging daemon is told after {:?}", asked.elapsed());
    // Each is answered though the daemon still answers nothing.
    for path in ["/api/pipeline", "/api/containers", "/api/containers/one/stats/history", "/metrics", "/healthz"] {
        let since = Instant::now();
        assert_eq!(dockstream.ask(path).0, 200, "{path}");
        println!("{path} took {:?}", since.elapsed());
    }
    engine.resume();
    dockstream.ready();
    fresh_samples(&dockstream, &["one"]);

    engine.pause();
    let finished = dockstream.terminate();
    engine.resume();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_host_that_is_down_hurts_no_other() {
    let simulated = |name: &str| Simulator::host(name).containers(3).start().expect("a simulated host");
    let (one, other) = (simulated("one"), simulated("other"));
    let host = |host: &SimulatedHost| format!("[[hosts]]\nname = \"{}\"\nurl = \"{}\"\n", host.name(), host.url());
    let config = format!("{}{}[collect]\nstats_interval = \"200ms\"\n", host(&one), host(&other));
    let dockstream = Launch::new(&config).start();
    let samples = |host: &str| {
        let database = rusqlite::Connection::open(dockstream.database()).expect("the database opens");
        let sql = "SELECT count(*) FROM container_stats WHERE host = ?";
        database.query_row(sql, [host], |row| row.get::<_, i64>(0)).expect("a count")
    };
    let more_of = |host: &str| {
        let before = samples(host);
        wait_until(SOON, &format!("more samples of {host} than {before}"), || samples(host) >= before + 15);
    };
    more_of("one");
    more_of("other");
    one.control().stop_daemon();
    let status = |name: &str| {
        let hosts = dockstream.get("/api/hosts")["data"].clone();
        let host = hosts.as_array().and_then(|hosts| hosts.iter().find(|host| host["host"] == name).cloned());
        host.unwrap_or_else(|| panic!("no host {name}: {hosts}"))["status"].clone()
    };
    wait_until(SOON, "one host is down", || status("one") == "down");
    more_of("other");
    assert_eq!((status("other"), dockstream.ask("/readyz").0), ("up".into(), 200));
    one.control().start_daemon().expect("it starts");
    more_of("one");
    assert_eq!(dockstream.terminate().code, Some(0));
}
