//! What the stores hold, against what a real engine says at the same time.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use model::Timestamp;
use rusqlite::OpenFlags;
use serde_json::{Value, json};
use test_support::{ClickHouse, Dockerd, Kafka, Release, on_every_engine, unique, wait_until};

use crate::binary::{Launch, SOON};
use crate::docker_stats::{columns, expected, shown};
use crate::stores::{self, Row, Samples, assert_same, by_identity, event_columns, stats_columns};
use crate::{http, workload};

on_every_engine!(
    every_store_holds_what_docker_stats_shows_bit_for_bit,
    what_is_polled_lies_between_what_was_read_before_and_after,
);

/// Frames of one container, by their time, as the engine sent them to us.
type Frames = BTreeMap<i64, Value>;

/// Reads the engine's stream of one container on the side, until told to end.
fn listen(engine: &Dockerd, id: &str, end: &Arc<AtomicBool>) -> JoinHandle<Frames> {
    let body = http::open(engine.socket(), &format!("/containers/{id}/stats?stream=1")).expect("the stream opens");
    let end = end.clone();
    std::thread::spawn(move || {
        let mut frames = Frames::new();
        for line in body.lines() {
            let frame: Value = serde_json::from_str(&line.expect("a line")).expect("a frame");
            frames.insert(time_of(&frame, "read").expect("a running container"), frame);
            // After the end was told, one more: it lies behind the last sample.
            if end.load(Ordering::Relaxed) {
                break;
            }
        }
        frames
    })
}

fn time_of(frame: &Value, key: &str) -> Option<i64> {
    Some(frame[key].as_str()?.parse::<Timestamp>().ok()?.as_nanos())
}

/// Samples stored so far of a container.
fn stored(database: &Path, id: &str) -> i64 {
    let connection =
        rusqlite::Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let sql = "SELECT count(*) FROM container_stats WHERE container_id = ?";
    connection.query_row(sql, [id], |row| row.get(0)).expect("it counts")
}

fn every_store_holds_what_docker_stats_shows_bit_for_bit(release: Release) {
    let (engine, kafka, clickhouse) = (Dockerd::of(release), Kafka::shared(), ClickHouse::shared());
    let containers = workload::start(&engine);
    let (prefix, database) = (format!("{}.", unique("real")), unique("real"));
    let end = Arc::new(AtomicBool::new(false));
    let listeners: Vec<_> = containers.values().map(|id| (id.clone(), listen(&engine, id, &end))).collect();

    let dockstream = Launch::watching(
        engine.socket(),
        &format!(
            // Shorter than the engine's pace, so that every frame is kept.
            "[collect]\nmode = \"stream\"\nstats_interval = \"100ms\"\n\
             [sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 3\n\
             [sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\nlinger = \"1s\"\n",
            kafka.bootstrap(),
            clickhouse.url(),
        ),
    )
    .start();
    let at_least = |count| containers.values().all(|id| stored(&dockstream.database(), id) >= count);
    wait_until(2 * SOON, "two samples of every container", || at_least(2));
    let mut readings = Vec::new();
    for _ in 0..2 {
        readings.push(engine.docker(&["stats", "--no-stream", "--no-trunc", "--format", "json"]));
    }
    // An argument of an exec may be a secret.
    engine.docker(&["exec", "burner", "true", "--password=hidden"]);
    wait_until(2 * SOON, "eight samples of every container", || at_least(8));
    let finished = dockstream.terminate();
    let events = engine.docker(&["events", "--since", "0", "--until", "0s", "--format", "json"]);
    end.store(true, Ordering::Relaxed);
    let frames: BTreeMap<String, Frames> =
        listeners.into_iter().map(|(id, listener)| (id, listener.join().expect("it listened"))).collect();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let columns_of_stats = stats_columns();
    let sqlite = by_identity(stores::sqlite(&finished.database(), "container_stats", &columns_of_stats));
    let messages = stores::topic(kafka.bootstrap(), &format!("{prefix}stats"));
    let sent = by_identity(messages.iter().map(|message| message.row(&columns_of_stats)).collect());
    let inserted =
        by_identity(stores::clickhouse(clickhouse, &format!("{database}.container_stats"), &columns_of_stats));
    assert_same(&sqlite, &sent, "SQLite and Kafka");
    assert_same(&sqlite, &inserted, "SQLite and ClickHouse");

    compare_with_frames(&sqlite, &frames);
    compare_with_command_line(&sqlite, &frames, &readings, &containers);
    compare_scopes(&sqlite, &containers);

    let columns_of_events = event_columns();
    let sqlite = stores::sqlite(&finished.database(), "container_events", &columns_of_events);
    let messages = stores::topic(kafka.bootstrap(), &format!("{prefix}events"));
    let sent = messages.iter().map(|message| message.row(&columns_of_events)).collect();
    let inserted = stores::clickhouse(clickhouse, &format!("{database}.container_events"), &columns_of_events);
    compare_events(sqlite, sent, inserted, &events);
}

/// Every value is the one that the engine's frame of that moment gives.
fn compare_with_frames(rows: &Samples, frames: &BTreeMap<String, Frames>) {
    let (mut compared, mut with_rates) = (0, 0);
    for ((id, time), row) in rows {
        let Some(frame) = frames[id].get(time) else {
            panic!("a sample of {time} without a frame; frames: {:?}", frames[id].keys());
        };
        let interval: Option<i64> = row["interval_ns"].as_ref().map(|interval| interval.parse().expect("a number"));
        let before =
            interval.map(|interval| frames[id].get(&(time - interval)).expect("the sample before has a frame"));
        for (column, value) in expected(frame, before) {
            assert_eq!(row[column], value, "{column} of {id} at {time}, from {frame}");
        }
        compared += 1;
        with_rates += usize::from(before.is_some());
    }
    // Eight samples of eight containers at least, of which only the first of each has no rate.
    assert!(compared >= 64 && with_rates == compared - frames.len(), "{compared} compared, {with_rates} with rates");
}

/// Every line that `docker stats` showed is one of the frames, digit for digit, and so is its sample. A frame that a busy
/// engine sends together with the one before it has none: they are compared with the frames, and some with the samples.
fn compare_with_command_line(
    rows: &Samples,
    frames: &BTreeMap<String, Frames>,
    readings: &[String],
    containers: &BTreeMap<String, String>,
) {
    let (mut compared, mut stored) = (0, 0);
    for line in readings.iter().flat_map(|reading| reading.lines()) {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let id = &containers[line["Name"].as_str().expect("a name")];
        // Of its own accord, a frame brings the counters of the one before.
        let seen = frames[id].iter().map(|(time, frame)| {
            let before = json!({ "cpu_stats": frame["precpu_stats"] });
            (time, shown(&expected(frame, Some(&before)).into_iter().collect()))
        });
        let times: Vec<i64> = seen.filter(|(_, seen)| *seen == columns(&line)).map(|(time, _)| *time).collect();
        assert!(!times.is_empty(), "docker stats shows {line}, and none of {:#?}", frames[id]);
        let is_stored = |time: i64| rows.get(&(id.clone(), time)).is_some_and(|row| shown(row) == columns(&line));
        stored += usize::from(times.into_iter().any(is_stored));
        compared += 1;
    }
    assert_eq!(compared, readings.len() * containers.len());
    assert!(stored > 0, "of {compared} lines none is a sample");
}

/// Work shows where it is done, and a container without a network of its own has unknown counters.
fn compare_scopes(rows: &Samples, containers: &BTreeMap<String, String>) {
    let last = |name: &str| {
        let mut of_container = rows.iter().filter(|((id, _), _)| *id == containers[name]);
        of_container.next_back().unwrap_or_else(|| panic!("no sample of {name}")).1
    };
    let text = |name: &str, column: &str| {
        last(name)[column].clone().unwrap_or_else(|| panic!("{column} of {name} is unknown"))
    };
    let number = |name: &str, column: &str| text(name, column).parse::<f64>().expect("a number");
    // How much it gets, and whether it is held back, is for the machine's other work to say as well.
    let burnt = number("burner", "cpu_usage_ns") - number("hermit", "cpu_usage_ns");
    assert!(burnt > 50e6 && number("burner", "cpu_throttled_ns") >= 0.0, "{burnt} ns");
    assert_eq!((text("burner", "pids_limit"), text("hoarder", "memory_limit_bytes")), ("50".into(), "67108864".into()));
    let hoard = rows.iter().filter(|((id, _), _)| *id == containers["hoarder"]);
    let most = hoard.filter_map(|(_, row)| row["memory_usage_bytes"].as_ref()?.parse::<u64>().ok()).max();
    assert!(most.is_some_and(|most| most > 20 << 20), "{most:?}");
    assert!(number("writer", "block_write_bytes") >= f64::from(1 << 20));
    assert!(number("talker", "network_tx_bytes") > 3_000.0 && number("listener", "network_rx_bytes") > 3_000.0);
    assert_eq!(
        (text("listener", "compose_project"), text("listener", "compose_service")),
        ("talk".into(), "ear".into())
    );
    for name in ["talker", "traveller"] {
        assert_eq!(text(name, "network_scope"), "own");
    }
    // Two of its networks are quiet: what their bridges say is there, beside what it sends on the third.
    assert!(number("traveller", "network_tx_bytes") > 3_000.0 && number("traveller", "network_rx_packets") >= 0.0);
    assert_eq!(text("guest", "network_scope"), format!("shared:{}", containers["talker"]));
    for (name, scope) in [("hosted", "host"), ("hermit", "none")] {
        assert_eq!(text(name, "network_scope"), scope);
        assert_eq!((&last(name)["network_rx_bytes"], &last(name)["network_tx_delta_bytes"]), (&None, &None), "{name}");
    }
}

/// Every store has the same events, each once, and they are the engine's.
fn compare_events(sqlite: Vec<Row>, sent: Vec<Row>, inserted: Vec<Row>, told: &str) {
    let sorted = |mut rows: Vec<Row>| {
        rows.sort();
        rows
    };
    let rows = sorted(sqlite);
    assert_eq!(rows, sorted(sent), "SQLite and Kafka");
    assert_eq!(rows, sorted(inserted), "SQLite and ClickHouse");
    let text = |row: &Row, column: &str| row[column].clone().unwrap_or_default();
    let told: Vec<(String, String, String, String)> = told
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("an event");
            let word = |value: &Value| value.as_str().expect("a word").to_owned();
            let action = word(&event["Action"]).split(": ").next().expect("an action").to_owned();
            (event["timeNano"].to_string(), word(&event["Type"]), action, word(&event["Actor"]["ID"]))
        })
        .collect();
    let stored: Vec<_> = rows
        .iter()
        .map(|row| (text(row, "timestamp"), text(row, "type"), text(row, "action"), text(row, "actor_id")))
        .collect();
    assert!(stored.iter().all(|event| told.contains(event)), "stored: {stored:#?}\ntold: {told:#?}");
    assert!(rows.iter().all(|row| row["synthetic"].as_deref() == Some("false")));
    let execs: Vec<_> = told.iter().filter(|event| event.2.starts_with("exec_")).collect();
    assert!(execs.len() >= 3, "{told:#?}");
    assert!(execs.iter().all(|event| stored.contains(event)), "{stored:#?}");
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("hidden")), "{rows:#?}");
}

fn what_is_polled_lies_between_what_was_read_before_and_after(release: Release) {
    let engine = Dockerd::of(release);
    let containers = workload::start(&engine);
    let end = Arc::new(AtomicBool::new(false));
    let listeners: Vec<_> = containers.values().map(|id| (id.clone(), listen(&engine, id, &end))).collect();
    let dockstream = Launch::watching(engine.socket(), "[collect]\nmode = \"auto\"\nstats_interval = \"1s\"\n").start();
    let at_least = |count| containers.values().all(|id| stored(&dockstream.database(), id) >= count);
    wait_until(2 * SOON, "five samples of every container", || at_least(5));
    let finished = dockstream.terminate();
    end.store(true, Ordering::Relaxed);
    let frames: BTreeMap<String, Frames> =
        listeners.into_iter().map(|(id, listener)| (id, listener.join().expect("it listened"))).collect();

    let rows = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    let mut compared = 0;
    for ((id, time), row) in &rows {
        let (before, after) = (frames[id].range(..time).next_back(), frames[id].range(time..).next());
        let (Some((_, before)), Some((_, after))) = (before, after) else { continue };
        let counters = ["cpu_usage_ns", "system_cpu_ns", "block_write_bytes", "network_rx_bytes", "network_tx_packets"];
        let limits = expected(before, None).into_iter().zip(expected(after, None));
        for ((column, low), (_, high)) in limits.filter(|((column, _), _)| counters.contains(column)) {
            let number = |text: &Option<String>| text.as_ref().map(|text| text.parse::<u64>().expect("a number"));
            let (low, value, high) = (number(&low), number(&row[column]), number(&high));
            assert!(low <= value && value <= high, "{column} of {id}: {value:?} is not within {low:?} and {high:?}");
            compared += usize::from(value.is_some());
        }
    }
    assert!(compared >= 8 * 3 * 3, "{compared} values compared");
    compare_with_own_previous(&rows);
}

/// A poll's frame knows no sample before it: rates are over the one stored before, by the formula of `docker stats`.
fn compare_with_own_previous(rows: &Samples) {
    let number = |row: &Row, column: &str| row[column].as_ref().map(|text| text.parse::<f64>().expect("a number"));
    let mut compared = 0;
    for ((id, time), row) in rows {
        let Some(interval) = &row["interval_ns"] else { continue };
        let before = &rows[&(id.clone(), time - interval.parse::<i64>().expect("a number"))];
        let delta = |column: &str| Some(number(row, column)? - number(before, column)?);
        let (used, passed) = (delta("cpu_usage_ns").expect("it ran"), delta("system_cpu_ns").expect("it ran"));
        let cpus = number(row, "online_cpus").expect("it ran");
        let percent = (passed > 0.0).then(|| if used > 0.0 { (used / passed) * cpus * 100.0 } else { 0.0 });
        assert_eq!(number(row, "cpu_usage_percent"), percent, "{row:#?}\nafter {before:#?}");
        compared += 1;
    }
    assert!(compared >= 8 * 3, "{compared} rates compared");
}
