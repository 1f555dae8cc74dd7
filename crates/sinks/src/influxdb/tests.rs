//! Against real servers: InfluxDB 1.x, and VictoriaMetrics, which takes what InfluxDB 2 does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{ContainerState, Rows, StatsRecord};
use pipeline::ports::{Deliver, FailureClass, Range};
use serde_json::{Value, json, to_value};
use test_support::{Authority, InfluxDb, Line, Place, Proxy, Validity, VictoriaMetrics, unique};

use super::hostile::{Point, Reader, parse};
use super::*;
use crate::fixtures::{batch, container, event, host, image_version, loss, noon, one_of_each, range, stats};
use crate::migrate::Migrate;

pub(super) fn database(name: &str) -> Api {
    Api::V1 { database: name.to_owned(), retention_policy: None }
}

/// A place of its own on `server`.
pub(super) fn config(server: &InfluxDb) -> InfluxConfig {
    InfluxConfig::new(server.url(), database(&unique("dockstream")))
}

pub(super) fn name(config: &InfluxConfig) -> &str {
    match &config.api {
        Api::V1 { database, .. } => database,
        Api::V2 { bucket, .. } => bucket,
    }
}

pub(super) async fn ready(config: &InfluxConfig) -> InfluxSink {
    let mut sink = InfluxSink::new(config.clone());
    sink.prepare().await.unwrap();
    sink
}

/// `count` samples a millisecond apart.
pub(super) fn samples(first: u64, count: u64) -> Range {
    let rows: Vec<StatsRecord> =
        (first..first + count).map(|number| stats(number % 7, noon() + Duration::from_millis(number))).collect();
    range(first, vec![batch(first, Rows::Stats(rows.into()))])
}

/// The rows of a measurement by column, in the order of their times.
pub(super) fn rows(server: &InfluxDb, config: &InfluxConfig, measurement: &str) -> Vec<BTreeMap<String, Value>> {
    let answer = server.query(name(config), &format!("SELECT * FROM {measurement}"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let series = &answer["results"][0]["series"][0];
    let columns: Vec<String> = serde_json::from_value(series["columns"].clone()).unwrap_or_default();
    let values = series["values"].as_array().cloned().unwrap_or_default();
    let row = |row: &Value| columns.iter().cloned().zip(row.as_array().unwrap().clone()).collect();
    values.iter().map(row).collect()
}

/// How many samples there are, and that each stands once.
pub(super) fn count(server: &InfluxDb, config: &InfluxConfig) -> usize {
    rows(server, config, "docker_container_stats").len()
}

/// A point as InfluxDB answers with it.
fn answered(point: &Point) -> BTreeMap<String, Value> {
    let tags = point.tags.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
    let time = ("time".to_owned(), Value::from(point.time));
    point.fields.clone().into_iter().chain(tags).chain([time]).collect()
}

#[test]
fn every_value_of_a_record_is_in_its_point_and_the_unknown_is_not() {
    let lines = encode(&one_of_each());
    let points: Vec<Point> = lines.lines().map(|line| parse(line, Reader::InfluxDb).unwrap()).collect();
    let of = |measurement: &str| points.iter().filter(|point| point.measurement == measurement).collect::<Vec<_>>();
    let mut expected = serde_json::to_value(stats(1, noon())).unwrap().as_object().unwrap().clone();
    for (long, short) in [
        ("cpu_usage_percent", "cpu_percent"),
        ("memory_usage_bytes", "mem_used"),
        ("memory_total_bytes", "mem_used_with_cache"),
        ("memory_limit_bytes", "mem_limit"),
        ("memory_usage_percent", "mem_percent"),
        ("memory_cache_bytes", "mem_cache"),
    ] {
        let value = expected.remove(long).unwrap();
        expected.insert(short.into(), value);
    }
    expected.insert("run".into(), noon().as_nanos().into());
    expected.insert("received_at".into(), (noon().as_nanos() + 1).into());
    for tag in ["host", "container_name", "image", "compose_project", "compose_service", "labels", "timestamp"] {
        expected.remove(tag);
    }
    let [known, unknown] = of("docker_container_stats")[..] else { panic!("two samples: {lines}") };
    assert_eq!(Value::from_iter(known.fields.clone()), Value::Object(expected));
    let tags = json!({ "host": "edge-1", "container": "web-1", "image": "nginx:1.29", "compose_project": "shop",
                       "compose_service": "web", "label_team": "blue" });
    assert_eq!((serde_json::to_value(&known.tags).unwrap(), known.time), (tags, noon().as_nanos()));
    assert_eq!(unknown.fields.keys().collect::<Vec<_>>(), ["container_id", "received_at"]);

    let [died, created] = of("docker_events")[..] else { panic!("two events: {lines}") };
    assert_eq!((&died.tags["container"], &died.fields["exit_code"]), (&"web-1".into(), &json!(137)));
    assert_eq!(died.fields["attributes"], r#"{"exitCode":"137"}"#);
    assert_eq!((created.tags.get("container"), &created.tags["type"]), (None, &"network".into()));
    assert_eq!(of("docker_containers")[0].fields["health_status"], "healthy");
    assert_eq!(of("docker_image_versions")[0].tags["change"], "tag_moved");
    assert_eq!(of("docker_hosts")[0].fields["up"], true);
    assert_eq!(of("docker_losses")[0].fields["count"], 42);
}

/// What is named otherwise in a point, or stands in its name, its time or several of its fields.
const RENAMED: [(&str, &str); 17] = [
    ("actor_name", "actor"),
    ("container_name", "container"),
    ("container_name", "actor"),
    ("cpu_usage_percent", "cpu_percent"),
    ("health", "health_status"),
    ("labels", "label_team"),
    ("labels", "label_site"),
    ("memory_bytes", "mem_total"),
    ("memory_cache_bytes", "mem_cache"),
    ("memory_limit_bytes", "mem_limit"),
    ("memory_reservation_bytes", "mem_reservation"),
    ("memory_swap_limit_bytes", "mem_swap_limit"),
    ("memory_total_bytes", "mem_used_with_cache"),
    ("memory_usage_bytes", "mem_used"),
    ("memory_usage_percent", "mem_percent"),
    ("reference", "image"),
    ("status", "up"),
];

#[test]
fn every_field_of_every_record_is_in_its_point_but_those_that_the_page_says_are_not() {
    let at = noon();
    let records: [(&str, Value, &[&str]); 6] = [
        ("docker_container_stats", to_value(stats(1, at)).unwrap(), &["timestamp"]),
        ("docker_events", to_value(event(1, at)).unwrap(), &["timestamp"]),
        (
            "docker_containers",
            to_value(container(1, ContainerState::Running, at)).unwrap(),
            &["environment", "labels", "mounts", "networks", "observed_at", "ports", "revp"],
        ),
        ("docker_image_versions", to_value(image_version(at)).unwrap(), &["observed_at"]),
        ("docker_hosts", to_value(host(at)).unwrap(), &["observed_at"]),
        ("docker_losses", to_value(loss(at)).unwrap(), &[]),
    ];
    let lines = encode(&one_of_each());
    let points: Vec<Point> = lines.lines().map(|line| parse(line, Reader::InfluxDb).unwrap()).collect();
    for (measurement, record, left_out) in records {
        let point = points.iter().find(|point| point.measurement == measurement).unwrap();
        let has = |name: &str| point.fields.contains_key(name) || point.tags.contains_key(name);
        for (name, value) in record.as_object().unwrap() {
            let is_there = has(name) || RENAMED.iter().any(|(of_record, of_point)| of_record == name && has(of_point));
            let is_named = left_out.contains(&name.as_str());
            assert!(value.is_null() || is_there != is_named, "{measurement}: {name}");
        }
    }
}

#[test]
fn losses_told_at_one_moment_are_as_many_points() {
    let lost = loss(noon());
    let lines = encode(&[batch(7, Rows::Losses(vec![lost.clone(), lost].into()))]);
    let points: Vec<Point> = lines.lines().map(|line| parse(line, Reader::InfluxDb).unwrap()).collect();
    assert_eq!(points[0].tags, points[1].tags);
    assert_ne!(points[0].time, points[1].time);
    assert_eq!(points[0].fields["last_at"], points[1].fields["last_at"]);
}

#[tokio::test]
async fn influxdb_has_every_point_as_it_was_sent_and_a_range_sent_again_changes_nothing() {
    let server = InfluxDb::shared();
    for gzip in [true, false] {
        let config = InfluxConfig { gzip, ..config(server) };
        let mut sink = ready(&config).await;
        for _ in 0..2 {
            sink.deliver(&range(0, one_of_each())).await.unwrap();
            // As after a restart, which remembers nothing.
            sink = ready(&config).await;
        }
        let lines = encode(&one_of_each());
        let mut sent: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        for point in lines.lines().map(|line| parse(line, Reader::InfluxDb).unwrap()) {
            sent.entry(point.measurement.clone()).or_default().push(point);
        }
        assert_eq!(sent.len(), 6);
        for (measurement, points) in sent {
            let mut stored = rows(server, &config, &measurement);
            // A column that another point has is null where this one has it not.
            stored.iter_mut().for_each(|row| row.retain(|_, value| !value.is_null()));
            let expected: Vec<_> = points.iter().map(answered).collect();
            assert_eq!(stored.len(), expected.len(), "{measurement}");
            assert!(expected.iter().all(|row| stored.contains(row)), "{stored:#?}\nis not\n{expected:#?}");
        }
    }
}

#[tokio::test]
async fn by_the_second_interface_every_number_arrives_once() {
    let server = VictoriaMetrics::shared();
    let bucket = unique("bucket");
    let api = Api::V2 { bucket: bucket.clone(), org: Some("house".into()) };
    let config = InfluxConfig::new(server.url(), api);
    let mut sink = ready(&config).await;
    assert_eq!(sink.target(), format!("{} (bucket {bucket})", server.url()));
    let work = samples(0, 1_000);
    sink.deliver(&work).await.unwrap();
    sink.deliver(&work).await.unwrap();
    let lines = encode(&work.batches);
    let points: Vec<Point> = lines.lines().map(|line| parse(line, Reader::VictoriaMetrics).unwrap()).collect();
    // It has no buckets: the containers of this test are told by their image.
    let exported =
        server.export("{__name__=~\"docker_container_stats_(cpu_percent|mem_used|pids)\",image=\"nginx:1.29\"}");
    let mut numbers: BTreeMap<(String, String, i64), Vec<f64>> = BTreeMap::new();
    for series in exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let of = |key: &str| series["metric"][key].as_str().unwrap().to_owned();
        let field = of("__name__").replace("docker_container_stats_", "");
        let (values, times) = (series["values"].as_array().unwrap(), series["timestamps"].as_array().unwrap());
        for (value, time) in values.iter().zip(times) {
            let key = (field.clone(), of("container"), time.as_i64().unwrap());
            numbers.entry(key).or_default().push(value.as_f64().unwrap());
        }
    }
    for point in &points {
        for field in ["cpu_percent", "mem_used", "pids"] {
            let key = (field.to_owned(), point.tags["container"].clone(), point.time / 1_000_000);
            assert_eq!(numbers[&key], [point.fields[field].as_f64().unwrap()], "{key:?}");
        }
    }
}

#[tokio::test]
async fn a_server_killed_and_started_again_has_every_point_once() {
    let server = InfluxDb::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 1_000)).await.unwrap();
    server.kill9();
    let next = samples(1_000, 1_000);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let error = sink.deliver(&next).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry, "{error}");
        assert!(error.message.starts_with(&format!("influxdb {}: ", server.url())), "{error}");
        // Before that, a kept connection may be found closed.
        if error.message.contains("refused") {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
    }
    server.restart();
    sink.deliver(&next).await.unwrap();
    assert_eq!(count(&server, &config), 2_000);
}

#[tokio::test]
async fn an_answer_that_is_lost_doubles_no_point() {
    let server = InfluxDb::shared();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::at(server.url().trim_start_matches("http://")));
    let there = config(server);
    let here =
        InfluxConfig { url: format!("http://{}", proxy.address()), timeout: Duration::from_secs(2), ..there.clone() };
    let mut sink = ready(&InfluxConfig { timeout: Duration::from_secs(60), ..here.clone() }).await;
    sink.deliver(&samples(0, 500)).await.unwrap();
    let mut sink = InfluxSink::new(here);
    proxy.set(Line::Deaf);
    let work = samples(500, 500);
    for _ in 0..2 {
        let error = sink.deliver(&work).await.unwrap_err();
        assert_eq!(
            (error.class, error.message.contains("no answer within 2s")),
            (FailureClass::Retry, true),
            "{error}"
        );
    }
    proxy.reset();
    proxy.set(Line::Clear);
    let deadline = Instant::now() + Duration::from_secs(120);
    while let Err(error) = sink.deliver(&work).await {
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
    }
    assert_eq!(count(server, &there), 1_000);
}

#[tokio::test]
async fn a_database_that_is_missing_is_made_or_named() {
    let server = InfluxDb::shared();
    let made = config(server);
    let kept = InfluxConfig { create_database: false, ..made.clone() };
    let error = InfluxSink::new(kept.clone()).prepare().await.unwrap_err();
    let said = format!("there is no database {}: set create_database = true, or make it", name(&made));
    assert_eq!((error.class, error.message), (FailureClass::Config, format!("influxdb {}: {said}", server.url())));
    let mut sink = ready(&made).await;
    ready(&kept).await;
    server.query("", &format!("DROP DATABASE {}", name(&made)));
    let error = sink.deliver(&samples(0, 10)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Schema, "{error}");
    sink.prepare().await.unwrap();
    sink.deliver(&samples(0, 10)).await.unwrap();
    assert_eq!(count(server, &made), 10);
}

#[tokio::test]
async fn migrate_makes_the_database_once_and_says_so() {
    let server = InfluxDb::shared();
    let config = InfluxConfig { create_database: false, ..config(server) };
    for told in [vec![format!("database {} made", name(&config))], vec![]] {
        let mut steps = Vec::new();
        let said = InfluxPlace(config.clone()).migrate(&mut |step| steps.push(step)).await;
        assert_eq!((said, steps), (Ok(format!("{} (database {})", server.url(), name(&config))), told));
    }
    let away = InfluxConfig { url: "http://127.0.0.1:1".into(), ..config };
    let said = InfluxPlace(away).migrate(&mut |step| panic!("{step}")).await.unwrap_err();
    assert!(said.starts_with("influxdb http://127.0.0.1:1: "), "{said}");
}

#[tokio::test]
async fn a_database_with_a_hostile_name_is_one_database() {
    let server = InfluxDb::shared();
    let hostile = unique("a \"b\"; DROP DATABASE c; \"&db=x ü");
    let config = InfluxConfig::new(server.url(), database(&hostile));
    ready(&config).await.deliver(&samples(0, 3)).await.unwrap();
    assert_eq!(count(server, &config), 3);
    let refused = InfluxConfig { api: database("a\\b"), ..config };
    let error = InfluxSink::new(refused).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.ends_with("cannot make the database a\\b: invalid name"), "{error}");
}

#[tokio::test]
async fn an_interface_the_server_does_not_have_is_named() {
    // InfluxDB before 1.8 has no second one.
    let api = Api::V2 { bucket: "b".into(), org: None };
    let error = InfluxSink::new(InfluxConfig::new(InfluxDb::shared().url(), api)).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("is it made, and `api` what the server speaks?"), "{error}");
}

#[tokio::test]
async fn a_server_with_users_takes_points_from_whom_it_knows() {
    let server = InfluxDb::start_with(&["--auth"]);
    server.query("", "CREATE USER admin WITH PASSWORD 'open sesame' WITH ALL PRIVILEGES");
    let user = |name: &str, password: &str| Credentials::User { name: name.into(), password: password.into() };
    let admin = InfluxConfig { credentials: user("admin", "open sesame"), ..config(&server) };
    ready(&admin).await.deliver(&samples(0, 3)).await.unwrap();
    let basic = "Basic YWRtaW46b3BlbiBzZXNhbWU=";
    server.query_as(basic, "", "CREATE USER reader WITH PASSWORD 'r'");
    let stored = server.query_as(basic, name(&admin), "SELECT count(mem_used) FROM docker_container_stats");
    assert!(stored.contains(",3]"), "{stored}");
    for wrong in [user("admin", "sesame"), user("nobody", "open sesame"), user("reader", "r"), Credentials::None] {
        let config = InfluxConfig { credentials: wrong.clone(), ..admin.clone() };
        let error = InfluxSink::new(config.clone()).prepare().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{wrong:?}: {error}");
        assert!(!error.message.contains("sesame"), "{error}");
        let error = InfluxSink::new(config).deliver(&samples(0, 3)).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{wrong:?}: {error}");
    }
}

#[tokio::test]
async fn over_tls_only_a_server_that_is_known_gets_points() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder.path().join("ours"));
    let certificate = ours.server("influx", &["127.0.0.1"], Validity::Now);
    let server = InfluxDb::start_tls(&certificate);
    let config = InfluxConfig { ca_file: Some(certificate.join("ca.pem")), ..config(&server) };
    ready(&config).await.deliver(&samples(0, 100)).await.unwrap();

    let theirs = Authority::new(&folder.path().join("theirs")).server("x", &["127.0.0.1"], Validity::Now);
    for (ca_file, words) in [
        (theirs.join("ca.pem"), "no connection that can be trusted: invalid peer certificate"),
        (folder.path().join("none.pem"), "cannot be used: "),
        (certificate.join("key.pem"), "cannot be used: there are none"),
    ] {
        let config = InfluxConfig { ca_file: Some(ca_file), ..config.clone() };
        let error = InfluxSink::new(config).prepare().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn the_newest_state_of_a_container_is_the_last_point() {
    let server = InfluxDb::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    for (sequence, state) in [(1, ContainerState::Running), (2, ContainerState::Exited)] {
        let rows = vec![container(1, state, noon() + Duration::from_secs(sequence))];
        sink.deliver(&range(sequence, vec![batch(sequence, Rows::Containers(rows.into()))])).await.unwrap();
    }
    let last = server.query(name(&config), "SELECT last(state) FROM docker_containers");
    assert!(last.contains("\"exited\"]"), "{last}");
}
