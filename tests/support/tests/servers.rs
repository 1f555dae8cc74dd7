//! The harness keeps its promises: every server starts, answers, comes back with its data, and leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{
    ClickHouse, Dockerd, InfluxDb, Kafka, Postgres, Prometheus, Release, Restart, VictoriaMetrics, on_every_engine,
    unique, wait_for, wait_until,
};

on_every_engine!(
    an_engine_runs_containers_whose_network_counters_move_and_leaves_nothing_behind,
    an_engine_killed_and_started_again_has_its_containers,
);

const SOON: Duration = Duration::from_secs(90);

/// What still tells of a server in `folder`: processes by their command line, mounts, cgroups, the folder itself.
fn remains(folder: &Path) -> Vec<String> {
    let name = folder.to_str().expect("a path of ours");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(name) {
            found.push(format!("process {command}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    found.extend(mounts.lines().filter(|line| line.contains(name)).map(|line| format!("mount {line}")));
    if folder.exists() {
        found.push(format!("folder {name}"));
    }
    found
}

/// The cgroups of test engines, in all hierarchies.
fn engine_cgroups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let roots = mounts.lines().filter(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")));
    roots
        .filter_map(|line| fs::read_dir(line.split(' ').nth(1)?).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dockstream-test-")))
        .collect()
}

/// Counters of the container's eth0: (received, sent) bytes.
fn network_counters(engine: &Dockerd, name: &str) -> (u64, u64) {
    let text = engine.docker(&["exec", name, "cat", "/proc/net/dev"]);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).expect("the bridge gave it an eth0");
    let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    (numbers[0], numbers[8])
}

fn an_engine_runs_containers_whose_network_counters_move_and_leaves_nothing_behind(release: Release) {
    let engine = Dockerd::of(release);
    let id = engine.run("target", &[], "sleep 1000");
    assert_eq!(id.len(), 64, "{id}");
    let address = engine.docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "target"]);
    engine.run("talker", &[], &format!("while :; do ping -c 1 -s 1000 {address}; sleep 0.1; done"));
    let before = network_counters(&engine, "talker");
    wait_until(SOON, "the talker's counters move", || {
        let now = network_counters(&engine, "talker");
        now.0 > before.0 + 2_000 && now.1 > before.1 + 2_000
    });
    let folder = engine.folder().to_owned();
    let mine: Vec<PathBuf> = engine_cgroups().into_iter().filter(|cgroup| cgroup.join(&id).exists()).collect();
    assert!(!mine.is_empty(), "the container's cgroup is in one of {:?}", engine_cgroups());
    drop(engine);
    assert_eq!(remains(&folder), Vec::<String>::new());
    assert!(mine.iter().all(|cgroup| !cgroup.exists()), "{mine:?}");
}

fn an_engine_killed_and_started_again_has_its_containers(release: Release) {
    let engine = Dockerd::of(release);
    let id = engine.run("plain", &[], "sleep 1000");
    engine.kill9();
    assert!(test_support::try_docker(engine.socket(), &["ps"]).is_err());
    engine.restart();
    let listed = engine.docker(&["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.State}}"]);
    assert_eq!(listed, format!("{id} exited"));
}

#[test]
fn containers_of_a_live_restoring_engine_run_on_while_it_is_dead() {
    let engine = Dockerd::start_with(Restart::Live, &[]);
    engine.run("survivor", &[], "sleep 1000");
    let started = engine.docker(&["inspect", "--format", "{{.State.StartedAt}} {{.State.Status}}", "survivor"]);
    assert!(started.ends_with("running"), "{started}");
    engine.kill9();
    engine.restart();
    assert_eq!(engine.docker(&["inspect", "--format", "{{.State.StartedAt}} {{.State.Status}}", "survivor"]), started);
    engine.stop();
    engine.restart();
    assert_eq!(engine.docker(&["inspect", "--format", "{{.State.StartedAt}} {{.State.Status}}", "survivor"]), started);
}

#[test]
fn two_engines_do_not_see_each_other() {
    let (one, two) = (Dockerd::start(), Dockerd::start());
    one.run("only-here", &[], "sleep 1000");
    assert_eq!(two.docker(&["ps", "--quiet"]), "");
    drop(two);
    assert_eq!(one.docker(&["ps", "--format", "{{.Names}}"]), "only-here");
}

/// How many brokers a broker's metadata names: Metadata v4, no topics.
fn brokers(kafka: &Kafka) -> Option<i32> {
    let mut stream = TcpStream::connect(kafka.bootstrap()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let request = b"\0\x03\0\x04\0\0\0\x01\0\x04test\0\0\0\0\0";
    let length = i32::try_from(request.len()).expect("small").to_be_bytes();
    stream.write_all(&[&length[..], request].concat()).ok()?;
    let mut reply = [0; 16];
    stream.read_exact(&mut reply).ok()?;
    Some(i32::from_be_bytes(reply[12..].try_into().expect("four bytes")))
}

#[test]
fn a_broker_answers_survives_a_kill_at_the_same_address_and_leaves_nothing_behind() {
    let kafka = Kafka::start();
    assert_eq!(wait_for(SOON, "an answer", || brokers(&kafka)), 1);
    let address = kafka.bootstrap().to_owned();
    kafka.kill9();
    assert_eq!(brokers(&kafka), None);
    kafka.restart();
    assert_eq!(kafka.bootstrap(), address);
    assert_eq!(wait_for(SOON, "an answer after the start", || brokers(&kafka)), 1);
    kafka.pause();
    assert_eq!(brokers(&kafka), None);
    kafka.resume();
    wait_for(SOON, "an answer after the pause", || brokers(&kafka));
    let folder = kafka.folder().to_owned();
    drop(kafka);
    assert_eq!(remains(&folder), Vec::<String>::new());
}

#[test]
fn clickhouse_keeps_committed_rows_across_a_kill_and_leaves_nothing_behind() {
    let server = ClickHouse::start();
    server.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    server.query("INSERT INTO t VALUES (1), (2)");
    assert_eq!(server.query("SELECT sum(a), count() FROM t"), "3\t2");
    server.kill9();
    assert!(server.try_query("SELECT 1").is_err());
    server.restart();
    assert_eq!(server.query("SELECT sum(a), count() FROM t"), "3\t2");
    let folder = server.folder().to_owned();
    drop(server);
    assert_eq!(remains(&folder), Vec::<String>::new());
}

#[test]
fn postgres_keeps_committed_rows_across_a_kill_and_leaves_nothing_behind() {
    let server = Postgres::start();
    let folder = server.folder().to_owned();
    server.query("postgres", "CREATE TABLE kept AS SELECT 42 AS answer");
    server.kill9();
    assert!(server.try_query("postgres", "SELECT 1").is_err());
    server.restart();
    assert_eq!(server.query("postgres", "SELECT answer FROM kept"), "42");
    server.stop();
    server.restart();
    assert_eq!(server.query("postgres", "SELECT answer FROM kept"), "42");
    drop(server);
    wait_until(SOON, "nothing is left", || remains(&folder).is_empty());
}

#[test]
fn influxdb_keeps_acknowledged_points_across_a_kill_and_leaves_nothing_behind() {
    let server = InfluxDb::start();
    server.query("", "CREATE DATABASE d");
    server.write("d", "m,tag=a field=1i 5\nm,tag=b field=2i 6");
    server.kill9();
    server.restart();
    let answer = server.query("d", "SELECT * FROM m");
    assert!(answer.contains("[[5,1,\"a\"],[6,2,\"b\"]]"), "{answer}");
    let folder = server.folder().to_owned();
    drop(server);
    assert_eq!(remains(&folder), Vec::<String>::new());
}

#[test]
fn servers_of_metrics_answer_and_leave_nothing_behind() {
    let metrics = VictoriaMetrics::start();
    assert_eq!(metrics.export("{__name__=~\".+\"}"), "");
    let address = metrics.url().trim_start_matches("http://").parse().expect("an address");
    let prometheus = Prometheus::scraping(address, "/metrics");
    wait_until(SOON, "a scrape", || prometheus.query("up").contains(",\"1\"]"));
    let folders = [metrics.folder().to_owned(), prometheus.folder().to_owned()];
    drop((metrics, prometheus));
    for folder in folders {
        assert_eq!(remains(&folder), Vec::<String>::new());
    }
}

#[test]
fn clickhouse_refuses_a_wrong_password_and_fails_as_told() {
    let server = ClickHouse::start_with_password("secret");
    assert_eq!(server.query("SELECT 1"), "1");
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).expect("connect");
    stream.write_all(b"POST / HTTP/1.0\r\nContent-Length: 8\r\n\r\nSELECT 1").expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("Code: 516. DB::Exception: "), "{answer}");
    server.fault("code241", 1);
    let error = server.try_query("SELECT 1").expect_err("injected");
    assert!(error.starts_with("Code: 241. DB::Exception: "), "{error}");
    assert_eq!(server.query("SELECT 1"), "1");
}

#[test]
fn a_lost_acknowledgement_leaves_the_rows_and_the_token_keeps_them_single() {
    // Of its own: a fault strikes whoever asks next.
    let server = ClickHouse::start();
    let table = unique("ack");
    server.query(&format!(
        "CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    ));
    let insert = format!("INSERT INTO {table} SETTINGS insert_deduplication_token = 't', async_insert = 0 VALUES (7)");
    server.fault("reset_after", 1);
    assert!(server.try_query(&insert).is_err());
    assert_eq!(server.query(&format!("SELECT count() FROM {table}")), "1");
    server.query(&insert);
    assert_eq!(server.query(&format!("SELECT count() FROM {table}")), "1");
}

#[test]
fn a_server_that_does_not_start_fails_with_its_own_words() {
    let panic = std::panic::catch_unwind(|| Kafka::start_with(&["num.partitions=zero"])).expect_err("no such number");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.starts_with("kafka start: it ended with 1"), "{text}");
    assert!(text.contains("Invalid value zero for configuration num.partitions"), "{text}");
}

#[test]
fn servers_end_with_a_test_process_that_dies() {
    let victim = Command::new(env!("CARGO_BIN_EXE_abrupt_end")).output().expect("run");
    let folders = String::from_utf8(victim.stdout).expect("folders");
    assert!(
        victim.status.signal().is_some() && folders.lines().count() == 2,
        "{}",
        String::from_utf8_lossy(&victim.stderr)
    );
    for folder in folders.lines().map(Path::new) {
        wait_until(SOON, "nothing is left of the victim's servers", || remains(folder).is_empty());
    }
}
