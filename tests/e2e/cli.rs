//! The commands, and the ways in which a run begins and ends.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::time::Instant;

use serde_json::Value;
use simulator::{SimulatedHost, Simulator};
use test_support::{ClickHouse, Dockerd, Kafka, unique, wait_until};

use crate::binary::{Disk, Finished, Launch, SOON};

fn simulated(containers: usize) -> SimulatedHost {
    Simulator::host("simulated").containers(containers).start().expect("a simulated host")
}

/// Where nobody listens, and nobody's free port is.
const DEAD: &str = "127.0.0.1:1";

fn dead_kafka(grace: &str) -> String {
    format!(
        "[sinks.kafka]\nenabled = true\nbrokers = [\"{DEAD}\"]\n[collect]\nstats_interval = \"200ms\"\n[shutdown]\ngrace = \"{grace}\"\n"
    )
}

fn assert_said(finished: &Finished, code: i32, lines: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    for (index, line) in lines.iter().enumerate() {
        let said = finished.out.get(index).map(String::as_str).unwrap_or_default();
        assert!(said.starts_with(line), "{line:?} was not said, but {said:?}: {finished:?}");
    }
    assert_eq!(finished.out.len(), lines.len(), "{finished:?}");
}

#[test]
fn help_and_version_are_told_and_that_is_all() {
    let finished = Launch::new("nonsense").with(&["--version"]).finish();
    assert_said(&finished, 0, &[concat!("dockstream ", env!("CARGO_PKG_VERSION"))]);
    let finished = Launch::new("nonsense").with(&["--help"]).finish();
    let help = finished.out.join("\n");
    assert_eq!(finished.code, Some(0));
    for word in ["check", "demo", "--config", "--data-dir", "--listen", "--docker", "Exit codes"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
}

#[test]
fn check_finds_everything_well_and_says_so_in_a_line_each() {
    let engine = simulated(1);
    let kafka = Kafka::shared();
    let more = format!(
        "[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{}.\"\npartitions = 1\n[api]\nlisten = \"127.0.0.1:0\"\n",
        kafka.bootstrap(),
        unique("check")
    );
    let finished = Launch::watching(engine.socket(), &more).with(&["check"]).finish();
    let kafka = format!("ok   sink kafka  {}", kafka.bootstrap());
    let lines = [
        "ok   config  ./pipeline.toml",
        "ok   data  ./data",
        "ok   journal  ./data/journal, at most 4GiB",
        "ok   api  127.0.0.1:0",
        "ok   host real  docker ",
        "ok   sink sqlite  ",
        &kafka,
        "ok   store  sqlite, knows 0 hosts",
        "ok   dead letter  ./data/deadletter, at most ",
    ];
    assert_said(&finished, 0, &lines);
}

#[test]
fn check_tells_each_thing_that_is_wrong_and_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let more = format!("[sinks.kafka]\nenabled = true\nbrokers = [\"{DEAD}\"]\n[api]\nlisten = \"{address}\"\n");
    let launch = Launch::watching("/nowhere/docker.sock".as_ref(), &more).with(&["--data-dir", "file/data", "check"]);
    fs::write(launch.folder().join("file"), "").expect("a file");
    let finished = launch.finish();
    let api = format!("fail api  cannot listen on {address}: the address is in use");
    let lines = [
        "ok   config  ./pipeline.toml",
        "fail data  cannot use the data folder file/data: ",
        "fail journal  cannot open the journal in file/data/journal: ",
        &api,
        "fail host real  no Docker engine at unix:///nowhere/docker.sock: ",
        "fail sink sqlite  cannot open file/data/dockstream.db: ",
        "fail sink kafka  ",
        "ok   store  sqlite, nothing has been stored yet",
        "fail dead letter  cannot read the dead letter in file/data/deadletter: ",
    ];
    assert_said(&finished, 78, &lines);
}

#[test]
fn migrate_makes_tables_and_topics_and_the_second_time_has_nothing_to_do() {
    let (kafka, clickhouse, database) = (Kafka::shared(), ClickHouse::shared(), unique("migrate"));
    let prefix = format!("{}.", unique("migrate"));
    // What dockstream itself may not do, this command does.
    let config = format!(
        "[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 1\ncreate_topics = false\n\
         exactly_once = true\n[deadletter]\nto = \"topic\"\n\
         [sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\ncreate_tables = false\n",
        kafka.bootstrap(),
        clickhouse.url(),
    );
    let first = Launch::new(&config).with(&["migrate"]).finish();
    assert_eq!(first.code, Some(0), "{first:?}");
    let steps = [
        "ok   sink sqlite  database made".to_owned(),
        format!("ok   sink kafka  topic {prefix}stats made"),
        format!("ok   sink kafka  topic {prefix}cursors made"),
        format!("ok   sink kafka  topic {prefix}deadletter made"),
        format!("ok   sink clickhouse  database {database} made"),
        "ok   sink clickhouse  0004 rollups: view container_stats_1m_view made".to_owned(),
    ];
    for step in steps {
        assert!(first.out.contains(&step), "{step} is not in {first:?}");
    }
    let again = Launch::again(&first).with(&["migrate"]).finish();
    assert_said(&again, 0, &["ok   sink sqlite  ", "ok   sink kafka  ", "ok   sink clickhouse  "]);
    // With that, what may make nothing has what it needs.
    let checked = Launch::again(&again).with(&["check", "--listen", "127.0.0.1:0"]).finish();
    let sinks: Vec<_> = checked.out.iter().filter(|line| line.contains(" sink ")).collect();
    assert!(sinks.len() == 3 && sinks.iter().all(|line| line.starts_with("ok ")), "{checked:?}");
}

#[test]
fn migrate_tells_what_it_cannot_reach_and_does_the_rest() {
    let config = format!("[sinks.clickhouse]\nenabled = true\nurl = \"http://{DEAD}\"\n");
    let finished = Launch::new(&config).with(&["migrate"]).finish();
    let clickhouse = format!("fail sink clickhouse  clickhouse http://{DEAD}: ");
    assert_said(&finished, 78, &["ok   sink sqlite  database made", "ok   sink sqlite  ", &clickhouse]);
}

#[test]
fn sigterm_delivers_what_is_held_and_ends_in_order() {
    let engine = simulated(5);
    // A batch of that age is not closed by the clock while the test runs.
    let more = "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\n[batch]\nage = \"10m\"\ncount = 100000\n";
    let dockstream = Launch::watching(engine.socket(), more).start();
    let parsed = || {
        let pipeline = dockstream.get("/api/pipeline");
        pipeline["streams"].as_array().expect("streams").iter().find(|books| books["stream"] == "stats").cloned()
    };
    wait_until(SOON, "samples in the batcher", || {
        parsed().is_some_and(|books| books["in_batching"].as_u64() >= Some(10))
    });
    assert_eq!(parsed().expect("books")["journaled"], 0);
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let database = rusqlite::Connection::open(finished.database()).expect("the database opens");
    let count: i64 = database.query_row("SELECT count(*) FROM container_stats", [], |row| row.get(0)).expect("a count");
    assert!(count >= 10, "{count} samples are stored");
    assert!(finished.err.iter().any(|line| line.contains("drained")), "{finished:?}");
}

#[test]
fn a_sink_that_cannot_deliver_in_time_is_named_and_the_exit_code_says_so() {
    let engine = simulated(2);
    // Long enough for all that can be done on a busy machine.
    let mut dockstream = Launch::watching(engine.socket(), &dead_kafka("10s")).start();
    dockstream.wait_for_line("cannot deliver");
    wait_until(SOON, "records wait for Kafka", || dockstream.sink("kafka")["pending"].as_u64() > Some(0));
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(75), "{finished:?}");
    let told: Vec<_> = finished.err.iter().filter(|line| line.contains("drain incomplete")).collect();
    assert!(told.len() == 1 && told[0].contains("delivery/kafka") && !told[0].contains("sqlite"), "{finished:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let engine = simulated(2);
        let mut dockstream = Launch::watching(engine.socket(), &dead_kafka("10m")).start();
        wait_until(SOON, "records wait for Kafka", || dockstream.sink("kafka")["pending"].as_u64() > Some(0));
        dockstream.signal(first);
        dockstream.wait_for_line("a second signal ends at once");
        dockstream.signal(second);
        // Long before the grace ends.
        let finished = dockstream.finished(SOON);
        assert_eq!(finished.code, Some(75), "{finished:?}");
    }
}

#[test]
fn the_demo_shows_three_hosts_without_any_docker() {
    let dockstream = Launch::new("").with(&["demo"]).start();
    dockstream.ready();
    let list = || dockstream.get("/api/containers?limit=1000")["data"].as_array().cloned().unwrap_or_default();
    let hosts = |containers: &[Value]| containers.iter().map(|one| one["host"].to_string()).collect::<BTreeSet<_>>();
    wait_until(SOON, "containers of three hosts", || list().len() >= 36 && hosts(&list()).len() == 3);
    let running = list().into_iter().find(|container| container["state"] == "running").expect("one runs");
    let id = running["container_id"].as_str().expect("an id").to_owned();
    wait_until(SOON, "a sample with a rate", || {
        let (status, sample) = dockstream.ask(&format!("/api/containers/{id}/stats"));
        status == 200 && sample["cpu_usage_percent"].is_number()
    });
    assert!(dockstream.folder().join("data/demo/dockstream.db").exists(), "the demo is kept apart");
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn an_engine_without_containers_is_told_with_how_to_start_one() {
    let engine = simulated(0);
    let mut dockstream = Launch::watching(engine.socket(), "").start();
    dockstream.wait_for_line("no container is running; start one, for example: docker run");
    assert_eq!(dockstream.ask("/readyz").0, 200, "nothing to do is no failure");
}

#[test]
fn an_engine_that_appears_later_is_found() {
    let engine = Dockerd::start();
    engine.run("early", &[], "sleep 1000");
    engine.stop();
    let dockstream = Launch::watching(engine.socket(), "[collect]\nstats_interval = \"1s\"\n").start();
    assert!(dockstream.not_ready().contains("the socket does not exist"));
    engine.restart();
    let since = Instant::now();
    dockstream.ready();
    println!("ready {:?} after the engine", since.elapsed());
    engine.docker(&["start", "early"]);
    wait_until(SOON, "a stored sample", || dockstream.ask("/api/containers/early/stats").0 == 200);
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn a_disk_that_fills_up_is_told_and_nothing_is_lost_once_there_is_room() {
    let engine = simulated(20);
    let more =
        "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\n[batch]\nage = \"200ms\"\n[retry]\nmax = \"1s\"\n";
    let dockstream = Launch::watching(engine.socket(), more).on_disk(Disk::Empty).start();
    dockstream.ready();
    wait_until(SOON, "samples are stored", || dockstream.sink("sqlite")["delivered"].as_u64() > Some(20));
    let ballast = dockstream.data().join("ballast");
    // Fills the disk to its last byte; the error is what is wanted.
    fs::write(&ballast, vec![0; 64 << 20]).expect_err("there is no more room");
    let why = dockstream.not_ready();
    assert!(["journal", "sink sqlite"].iter().any(|part| why.contains(part)), "{why}");
    assert!(why.contains("full") && !why.contains('\n'), "{why}");
    let delivered = dockstream.sink("sqlite")["delivered"].as_u64();
    fs::remove_file(&ballast).expect("it is removed");
    dockstream.ready();
    wait_until(SOON, "it goes on", || dockstream.sink("sqlite")["delivered"].as_u64() > delivered.map(|n| n + 40));
    dockstream.catches_up("sqlite");
    let sink = dockstream.sink("sqlite");
    assert_eq!((&sink["dropped"], &sink["rejected"]), (&Value::from(0), &Value::from(0)), "{sink}");
    assert_eq!(dockstream.terminate().code, Some(0));
}
