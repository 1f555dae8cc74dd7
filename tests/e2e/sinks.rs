//! Servers that are away, die or fail for a while: each gets what is its own, once, and none holds up another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use simulator::{SimulatedHost, Simulator};
use test_support::{
    ClickHouse, InfluxDb, Kafka, Line, OtlpReceiver, Place, Postgres, Prometheus, Proxy, unique, wait_for, wait_until,
};

use crate::binary::{Dockstream, Launch, SOON};
use crate::stores::{self, Samples, assert_same, by_identity, stats_columns};

/// Fast enough that much happens while a server is away.
const PACE: &str = "[collect]\nmode = \"stream\"\nstats_interval = \"100ms\"\n[batch]\nage = \"100ms\"\n[retry]\nmin = \"50ms\"\nmax = \"500ms\"\n";

fn simulated(containers: usize) -> SimulatedHost {
    let host = Simulator::host("simulated").containers(containers).interval(Duration::from_millis(100));
    host.start().expect("a simulated host")
}

fn kafka(bootstrap: &str, prefix: &str) -> String {
    format!("[sinks.kafka]\nenabled = true\nbrokers = [\"{bootstrap}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 3\n")
}

fn delivered(dockstream: &Dockstream, sink: &str) -> u64 {
    dockstream.sink(sink)["delivered"].as_u64().expect("a number")
}

fn failures(dockstream: &Dockstream, sink: &str) -> u64 {
    dockstream.sink(sink)["failures"].as_u64().expect("a number")
}

/// Waits until a sink has delivered that much more than now.
fn goes_on(dockstream: &Dockstream, sink: &str, more: u64) {
    let before = delivered(dockstream, sink);
    wait_until(SOON, &format!("{sink} delivers {more} more than {before}"), || {
        delivered(dockstream, sink) >= before + more
    });
}

/// Waits until attempts of a sink have failed that often more than now.
fn fails(dockstream: &Dockstream, sink: &str, more: u64) {
    let before = failures(dockstream, sink);
    wait_until(SOON, &format!("{sink} fails {more} times more than {before}"), || {
        failures(dockstream, sink) >= before + more
    });
}

fn in_topic(kafka: &Kafka, prefix: &str) -> Samples {
    let columns = stats_columns();
    by_identity(
        stores::topic(kafka.bootstrap(), &format!("{prefix}stats")).iter().map(|sent| sent.row(&columns)).collect(),
    )
}

#[test]
fn a_dead_broker_stops_nobody_and_gets_every_record_once_when_it_comes_and_comes_again() {
    let engine = simulated(5);
    let broker = Kafka::start();
    broker.stop();
    let prefix = format!("{}.", unique("late"));
    let dockstream =
        Launch::watching(engine.socket(), &format!("{PACE}{}", kafka(broker.bootstrap(), &prefix))).start();
    goes_on(&dockstream, "sqlite", 100);
    assert_eq!(
        (dockstream.ask("/readyz").0, delivered(&dockstream, "kafka")),
        (200, 0),
        "one sink that delivers is enough"
    );
    let why =
        wait_for(SOON, "why Kafka gets nothing", || dockstream.sink("kafka")["failing"].as_str().map(str::to_owned));
    assert!(why.contains(broker.bootstrap()) && !why.contains('\n'), "{why}");

    broker.restart();
    goes_on(&dockstream, "kafka", 200);
    broker.kill9();
    goes_on(&dockstream, "sqlite", 100);
    broker.restart();
    goes_on(&dockstream, "kafka", 200);

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    assert_same(&kept, &in_topic(&broker, &prefix), "SQLite and Kafka");
}

#[test]
fn a_clickhouse_that_fails_in_every_way_for_a_while_gets_every_row_once() {
    let engine = simulated(5);
    let server = ClickHouse::start_with_password("pass word");
    let more = format!(
        "[sinks.clickhouse]\nenabled = true\nurl = \"{}\"\nuser = \"default\"\npassword_file = \"password\"\ndatabase = \"fleet\"\nlinger = \"100ms\"\n",
        server.url()
    );
    let launch = Launch::watching(engine.socket(), &format!("{PACE}{more}"));
    std::fs::write(launch.folder().join("password"), "pass word\n").expect("a file");
    let dockstream = launch.start();
    goes_on(&dockstream, "clickhouse", 50);
    // Refused, done but not told, done and told as failed, thrown away, too busy.
    for mode in ["http503", "reset_after", "http500_after", "reset_mid", "code241"] {
        server.fault(mode, 3);
        fails(&dockstream, "clickhouse", 1);
        server.fault("none", 0);
        goes_on(&dockstream, "clickhouse", 20);
    }
    server.kill9();
    fails(&dockstream, "clickhouse", 2);
    goes_on(&dockstream, "sqlite", 50);
    server.restart();
    goes_on(&dockstream, "clickhouse", 50);

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let columns = stats_columns();
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &columns));
    let inserted = by_identity(stores::clickhouse(&server, "fleet.container_stats", &columns));
    assert_same(&kept, &inserted, "SQLite and ClickHouse");
    assert!(finished.err.iter().all(|line| !line.contains("pass word")), "no secret is told: {finished:?}");
}

#[test]
fn a_postgres_that_dies_and_loses_its_answers_has_every_sample_once_and_migrate_makes_its_tables() {
    let engine = simulated(5);
    let server = Postgres::start();
    let role = "CREATE ROLE dockstream LOGIN PASSWORD 'pass word'; GRANT guarded TO dockstream; GRANT CREATE ON DATABASE postgres TO dockstream";
    server.query("postgres", role);
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::Tcp(server.address()));
    let more = format!(
        "[sinks.postgres]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"postgres\"\nschema = \"fleet\"\npassword_file = \"password\"\nlinger = \"100ms\"\n",
        proxy.address().port()
    );
    let launch = Launch::watching(engine.socket(), &format!("{PACE}{more}"));
    std::fs::write(launch.folder().join("password"), "pass word\n").expect("a file");
    let migrated = launch.with(&["migrate"]).finish();
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    assert!(migrated.out.iter().any(|line| line.ends_with("0002 rollups: applied")), "{migrated:?}");
    let checked = Launch::again(&migrated).with(&["check"]).finish();
    let said = format!("ok   sink postgres  127.0.0.1:{}/postgres, schema fleet", proxy.address().port());
    assert!(checked.out.contains(&said), "{checked:?}");

    let dockstream = Launch::again(&checked).start();
    goes_on(&dockstream, "postgres", 50);
    server.kill9();
    fails(&dockstream, "postgres", 2);
    goes_on(&dockstream, "sqlite", 50);
    server.restart();
    goes_on(&dockstream, "postgres", 50);
    // What is said arrives, answers do not; then the connection is lost.
    for _ in 0..3 {
        proxy.set(Line::Deaf);
        goes_on(&dockstream, "sqlite", 20);
        proxy.set(Line::Cut);
        fails(&dockstream, "postgres", 1);
        proxy.set(Line::Clear);
        goes_on(&dockstream, "postgres", 50);
    }

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    assert_same(&kept, &by_identity(stores::postgres(&server, "fleet")), "SQLite and PostgreSQL");
    let rolled = server.query("postgres", "SELECT sum(samples) FROM fleet.container_stats_hourly");
    assert_eq!(rolled, kept.len().to_string());
    assert!(finished.err.iter().all(|line| !line.contains("pass word")), "no secret is told: {finished:?}");
}

#[test]
fn an_influxdb_that_dies_hangs_and_loses_its_answers_has_every_sample_once() {
    let engine = simulated(5);
    let server = InfluxDb::start();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::at(server.url().trim_start_matches("http://")));
    let more = format!(
        "[sinks.influxdb]\nenabled = true\nurl = \"http://{}\"\napi = \"v1\"\ndatabase = \"fleet\"\nlinger = \"100ms\"\n",
        proxy.address()
    );
    let dockstream = Launch::watching(engine.socket(), &format!("{PACE}{more}")).start();
    goes_on(&dockstream, "influxdb", 50);
    server.kill9();
    fails(&dockstream, "influxdb", 2);
    goes_on(&dockstream, "sqlite", 50);
    server.restart();
    goes_on(&dockstream, "influxdb", 50);
    // Points arrive, answers do not.
    proxy.set(Line::Deaf);
    goes_on(&dockstream, "sqlite", 50);
    proxy.set(Line::Cut);
    fails(&dockstream, "influxdb", 2);
    proxy.set(Line::Clear);
    goes_on(&dockstream, "influxdb", 50);

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    assert_same(&kept, &by_identity(stores::influxdb(&server, "fleet")), "SQLite and InfluxDB");
}

#[test]
fn a_collector_that_dies_hangs_and_loses_its_answers_has_every_sample_and_no_other() {
    for (protocol, way) in [("grpc", OtlpReceiver::grpc as fn(&OtlpReceiver) -> &str), ("http", OtlpReceiver::http)] {
        let engine = simulated(5);
        let server = OtlpReceiver::start();
        let proxy = Proxy::tcp();
        proxy.lead_to(Place::at(way(&server).trim_start_matches("http://")));
        let more = format!(
            "[sinks.otlp]\nenabled = true\nendpoint = \"http://{}\"\nprotocol = \"{protocol}\"\ntoken_file = \"token\"\nlinger = \"100ms\"\n",
            proxy.address()
        );
        let launch = Launch::watching(engine.socket(), &format!("{PACE}{more}"));
        std::fs::write(launch.folder().join("token"), "open-sesame\n").expect("a file");
        let dockstream = launch.start();
        goes_on(&dockstream, "otlp", 50);
        server.kill9();
        fails(&dockstream, "otlp", 2);
        goes_on(&dockstream, "sqlite", 50);
        server.restart();
        goes_on(&dockstream, "otlp", 50);
        // Points arrive, answers do not.
        proxy.set(Line::Deaf);
        goes_on(&dockstream, "sqlite", 50);
        proxy.set(Line::Cut);
        fails(&dockstream, "otlp", 2);
        proxy.set(Line::Clear);
        goes_on(&dockstream, "otlp", 50);
        // It begins anew where it was.
        let dockstream = Launch::again(&dockstream.kill9()).start();
        goes_on(&dockstream, "otlp", 50);

        let finished = dockstream.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let kept = stores::sqlite(&finished.database(), "container_stats", &stats_columns());
        stores::assert_in_points(&kept, &server.taken());
        assert!(finished.err.iter().all(|line| !line.contains("sesame")), "no secret is told: {finished:?}");
    }
}

#[test]
fn a_prometheus_that_dies_hangs_and_loses_its_answers_has_every_sample_at_its_time() {
    let engine = simulated(5);
    let server = Prometheus::receiving();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::at(server.url().trim_start_matches("http://")));
    let more = format!(
        "[sinks.remote_write]\nenabled = true\nurl = \"http://{}/api/v1/write\"\nuser = \"me\"\npassword_file = \"password\"\nlinger = \"100ms\"\n",
        proxy.address()
    );
    let launch = Launch::watching(engine.socket(), &format!("{PACE}{more}"));
    std::fs::write(launch.folder().join("password"), "open-sesame\n").expect("a file");
    let dockstream = launch.start();
    goes_on(&dockstream, "remote_write", 50);
    server.kill9();
    fails(&dockstream, "remote_write", 2);
    goes_on(&dockstream, "sqlite", 50);
    server.restart();
    goes_on(&dockstream, "remote_write", 50);
    // Samples arrive, answers do not.
    proxy.set(Line::Deaf);
    goes_on(&dockstream, "sqlite", 50);
    proxy.set(Line::Cut);
    fails(&dockstream, "remote_write", 2);
    proxy.set(Line::Clear);
    goes_on(&dockstream, "remote_write", 50);
    // It begins anew where it was, and does not know what was taken.
    let dockstream = Launch::again(&dockstream.kill9()).start();
    goes_on(&dockstream, "remote_write", 50);
    assert_eq!(dockstream.sink("remote_write")["rejected"], 0);

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = stores::sqlite(&finished.database(), "container_stats", &stats_columns());
    stores::assert_in_prometheus(&kept, &server);
    assert!(finished.err.iter().all(|line| !line.contains("sesame")), "no secret is told: {finished:?}");
}

#[test]
fn a_full_window_costs_the_laggard_its_oldest_records_and_every_one_is_counted() {
    // So few samples a second that the window lasts for seconds: the sink that is well is never so far behind.
    let engine = simulated(4);
    let window = "[journal]\nkind = \"memory\"\nmemory_bytes = \"256KiB\"\nwhen_full = \"drop_oldest\"\n".to_owned();
    let batch = PACE.replace("age = \"100ms\"", "age = \"100ms\"\nbytes = \"16KiB\"");
    let broker = Kafka::start();
    broker.stop();
    let prefix = format!("{}.", unique("full"));
    let config = format!("{batch}{window}{}", kafka(broker.bootstrap(), &prefix));
    let dockstream = Launch::watching(engine.socket(), &config).start();
    wait_until(3 * SOON, "records of Kafka's are dropped", || dockstream.sink("kafka")["dropped"].as_u64() > Some(100));
    let losses = dockstream.get("/api/losses")["data"].clone();
    let of_kafka =
        |loss: &Value| loss["sink"] == "kafka" && loss["reason"] == "journal_full" && loss["count"].as_u64() > Some(0);
    assert!(losses.as_array().is_some_and(|losses| !losses.is_empty() && losses.iter().all(of_kafka)), "{losses:#}");

    broker.restart();
    goes_on(&dockstream, "kafka", 200);
    for name in ["sqlite", "kafka"] {
        let sink = dockstream.sink(name);
        let count = |key: &str| sink[key].as_u64().expect("a number");
        assert_eq!(
            count("journaled"),
            count("delivered") + count("rejected") + count("dropped") + count("pending"),
            "{sink}"
        );
        assert_eq!(count("dropped") > 0, name == "kafka", "{sink}");
    }
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    let sent = in_topic(&broker, &prefix);
    assert!(sent.len() < kept.len(), "{} of {}", sent.len(), kept.len());
    assert!(sent.iter().all(|(key, row)| kept[key] == *row), "what is sent is what is kept");
}

#[test]
fn a_killed_dockstream_starts_again_on_its_data_and_names_no_batch_twice() {
    let engine = simulated(5);
    let broker = Kafka::shared();
    let prefix = format!("{}.", unique("again"));
    let config = format!("{PACE}{}", kafka(broker.bootstrap(), &prefix));
    let first = Launch::watching(engine.socket(), &config).start();
    ["sqlite", "kafka"].iter().for_each(|sink| goes_on(&first, sink, 100));
    let killed = first.kill9();
    assert_eq!(killed.code, None);
    let columns = stats_columns();
    let before = by_identity(stores::sqlite(&killed.database(), "container_stats", &columns));
    assert!(before.len() >= 100, "{}", before.len());

    let second = Launch::again(&killed).start();
    ["sqlite", "kafka"].iter().for_each(|sink| goes_on(&second, sink, 100));
    let finished = second.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &columns));
    assert!(before.iter().all(|(key, row)| kept.get(key) == Some(row)), "what was kept is kept");
    assert!(kept.len() >= before.len() + 100);

    let messages = stores::topic(broker.bootstrap(), &format!("{prefix}stats"));
    let epochs: BTreeSet<_> = messages.iter().filter_map(|sent| sent.headers["batch-id"].split('/').nth(1)).collect();
    assert_eq!(epochs, BTreeSet::from(["1", "2"]));
    // The messages of a batch are as many as its name says: none of the two lives used a name of the other.
    let mut batches: BTreeMap<&str, u64> = BTreeMap::new();
    messages.iter().for_each(|sent| *batches.entry(&sent.headers["batch-id"]).or_default() += 1);
    for (batch, count) in batches.iter().filter(|(batch, _)| batch.split('/').nth(1) == Some("2")) {
        let (first, last) = batch.rsplit('/').next().and_then(|range| range.split_once('-')).expect("first and last");
        let [first, last] = [first, last].map(|number| number.parse::<u64>().expect("a number"));
        assert_eq!(last - first + 1, *count, "{batch}");
    }
}
