//! What hosts have: whole container records, images and what changes of them, the same in every store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::{ClickHouse, Dockerd, Kafka, unique, wait_for, wait_until};

use crate::binary::{Dockstream, Finished, Launch, SOON};
use crate::stores;

const SECRET: &str = "s3cret-that-is-nowhere";

/// What docker itself says of one object.
fn inspected(engine: &Dockerd, name: &str) -> Value {
    let text = engine.docker(&["inspect", name]);
    serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
}

/// A list of the API, whole.
fn list(dockstream: &Dockstream, path: &str) -> Vec<Value> {
    dockstream.get(path)["data"].as_array().expect("a list").clone()
}

/// True where a file of the folder holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.into_iter().any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn the_record_of_a_container_is_whole_and_says_what_docker_inspect_says() {
    let engine = Dockerd::start();
    let config = "[collect]\nenvironment = [\"TIER\"]\n";
    let dockstream = Launch::watching(engine.socket(), config).start();
    dockstream.ready();
    let token = format!("TOKEN={SECRET}");
    let options = [
        "--env=TIER=front",
        "--env",
        &token,
        "--label=snadboy.revp.domain=App.Example.com",
        "--label=snadboy.revp.backend-port=eighty",
        "--label=com.docker.compose.project=shop",
        "--health-cmd=echo not well; false",
        "--health-interval=1s",
        "--health-retries=2",
        "--memory=64m",
        "--memory-reservation=32m",
        "--cpus=0.5",
        "--cpu-shares=512",
        "--pids-limit=50",
        "--restart=on-failure:3",
        "--expose=8080",
        "--mount=type=volume,source=kept,destination=/kept,readonly",
    ];
    let id = engine.run("whole", &options, "sleep 1000");
    let path = format!("/api/containers/{id}");
    let record = wait_for(Duration::from_secs(60), "the record of a container that is not well", || {
        let (status, record) = dockstream.ask(&path);
        (status == 200 && record["health"]["status"] == "unhealthy").then_some(record)
    });
    let told = inspected(&engine, &id);

    let network = &told["NetworkSettings"]["Networks"]["bridge"];
    let same = |field: &str, expected: &Value| assert_eq!(&record[field], expected, "{field}");
    same("container_name", &json!("whole"));
    same("image", &told["Config"]["Image"]);
    same("image_id", &told["Image"]);
    same("image_digest", &Value::Null);
    same("state", &json!("running"));
    same("pid", &told["State"]["Pid"]);
    same("compose_project", &json!("shop"));
    same("labels", &told["Config"]["Labels"]);
    same("restart_policy", &json!("on-failure"));
    same("restart_count", &json!(0));
    same("memory_limit_bytes", &json!(64 << 20));
    same("memory_reservation_bytes", &json!(32 << 20));
    same("cpu_limit_cores", &json!(0.5));
    same("cpu_shares", &json!(512));
    same("cpuset_cpus", &Value::Null);
    same("pids_limit", &json!(50));
    same("mounts", &json!([{"kind": "volume", "source": "kept", "destination": "/kept", "writable": false}]));
    same("ports", &json!([{"container_port": 8080, "protocol": "tcp", "host_ip": null, "host_port": null}]));
    assert_eq!(record["networks"][0]["network_id"], network["NetworkID"]);
    assert_eq!(record["networks"][0]["ip_address"], network["IPAddress"]);
    assert_eq!(record["networks"][0]["mac_address"], network["MacAddress"]);
    assert!(record["status"].as_str().is_some_and(|status| status.ends_with("(unhealthy)")), "{record}");
    assert!(record["health"]["failing_streak"].as_u64() >= Some(2), "{record}");
    assert_eq!(record["health"]["last_output"], "not well\n");
    assert_eq!((&record["environment"]["TIER"], &record["environment"]["TOKEN"]), (&json!("front"), &Value::Null));
    assert!(record["environment"].as_object().expect("a map").contains_key("TOKEN"));

    assert_eq!((&record["revp"]["domain"], &record["revp"]["backend_port"]), (&json!("app.example.com"), &Value::Null));
    let error = &record["revp"]["errors"][0];
    assert_eq!((&error["label"], &error["value"]), (&json!("snadboy.revp.backend-port"), &json!("eighty")));
    let entries = list(&dockstream, "/api/revp?valid=false");
    assert_eq!((entries.len(), &entries[0]["errors"]), (1, &record["revp"]["errors"]));
    for query in [
        "revp=invalid",
        "health=unhealthy",
        "label=snadboy.revp.domain",
        "project=shop",
        &format!("image={}", told["Image"].as_str().expect("an id")),
    ] {
        let found = list(&dockstream, &format!("/api/containers?{query}"));
        assert_eq!((found.len(), &found[0]["container_id"]), (1, &json!(id)), "{query}");
    }

    engine.docker(&["kill", "whole"]);
    wait_until(SOON, "the end of the container", || {
        let record = dockstream.get(&path);
        record["state"] == "exited" && record["exit_code"] == 137 && !record["finished_at"].is_null()
    });
    assert!(dockstream.get(&path)["status"].as_str().is_some_and(|status| status.starts_with("Exited (137) ")));
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let folder = finished.database().parent().expect("a folder").to_owned();
    assert!(holds(&folder, "front") && !holds(&folder, SECRET), "a value nobody named was kept");
}

/// A dockstream with every sink, and what reads them.
struct Everywhere {
    dockstream: Dockstream,
    stores: Stores,
}

/// What a dockstream left.
struct Stores {
    kafka: &'static Kafka,
    clickhouse: &'static ClickHouse,
    prefix: String,
    database: String,
}

impl Everywhere {
    fn watch(engine: &Dockerd) -> Self {
        let (kafka, clickhouse) = (Kafka::shared(), ClickHouse::shared());
        let (prefix, database) = (format!("{}.", unique("docker")), unique("inventory"));
        let config = format!(
            "[batch]\nage = \"100ms\"\n\
             [sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 2\n\
             [sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\nlinger = \"200ms\"\n",
            kafka.bootstrap(),
            clickhouse.url(),
        );
        let dockstream = Launch::watching(engine.socket(), &config).start();
        dockstream.ready();
        Self { dockstream, stores: Stores { kafka, clickhouse, prefix, database } }
    }

    /// Ends it in order.
    fn ended(self) -> (Finished, Stores) {
        let finished = self.dockstream.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        (finished, self.stores)
    }
}

impl Stores {
    /// What a consumer of a compacted topic knows that reads it from its beginning.
    fn rebuilt(&self, stream: &str) -> BTreeMap<String, Value> {
        let mut known = BTreeMap::new();
        for sent in stores::topic(self.kafka.bootstrap(), &format!("{}{stream}", self.prefix)) {
            match sent.value.as_str() {
                "" => drop(known.remove(&sent.key)),
                value => drop(known.insert(sent.key, serde_json::from_str(value).expect("JSON"))),
            }
        }
        known
    }
}

#[test]
fn a_consumer_rebuilds_the_present_state_of_containers_and_images_from_their_topics() {
    let engine = Dockerd::start();
    engine.run("early", &[], "sleep 1000");
    let everywhere = Everywhere::watch(&engine);
    for name in ["stays", "stops", "goes", "renamed"] {
        engine.run(name, &[], "sleep 1000");
    }
    engine.docker(&["commit", "stays", "app:1"]);
    engine.docker(&["tag", "app:1", "app:old"]);
    engine.docker(&["commit", "stays", "gone:1"]);
    engine.docker(&["rename", "renamed", "other"]);
    engine.docker(&["stop", "--time", "0", "stops"]);
    engine.docker(&["rm", "--force", "goes", "early"]);
    engine.docker(&["rmi", "gone:1"]);
    let settled = || {
        let containers = list(&everywhere.dockstream, "/api/containers");
        let states: BTreeMap<_, _> =
            containers.iter().map(|one| (one["container_name"].as_str(), one["state"].as_str())).collect();
        let expected = [("stays", "running"), ("stops", "exited"), ("other", "running")];
        states == expected.map(|(name, state)| (Some(name), Some(state))).into()
    };
    wait_until(SOON, "the containers that are left", settled);
    let used_by = |tag: &str| list(&everywhere.dockstream, &format!("/api/images?tag={tag}"))[0]["used_by"].clone();
    wait_until(SOON, "the images that are left", || {
        let images = list(&everywhere.dockstream, "/api/images");
        images.len() == 2 && used_by("busybox").as_array().is_some_and(|users| users.len() == 3)
    });
    let known = Known::of(&everywhere.dockstream);
    let (finished, left) = everywhere.ended();
    known.is_rebuilt_as_it_is(&engine, &left);

    // What goes while nobody looks.
    engine.docker(&["rm", "--force", "stops", "stays"]);
    engine.docker(&["rmi", "app:old"]);
    engine.run("late", &[], "sleep 1000");
    let dockstream = Launch::again(&finished).start();
    dockstream.ready();
    let containers = || list(&dockstream, "/api/containers");
    wait_until(SOON, "the containers that are left", || {
        let names: BTreeSet<_> = containers().iter().map(|one| one["container_name"].to_string()).collect();
        names == ["\"late\"", "\"other\""].map(str::to_owned).into()
    });
    let gone = list(&dockstream, "/api/containers?state=removed&name=stops");
    assert_eq!((gone.len(), &gone[0]["exit_code"]), (1, &json!(137)), "what was known of it is kept");
    wait_until(SOON, "the tag that is gone", || {
        let (status, history) = dockstream.ask("/api/images/app:old/history");
        status == 200 && history["data"][0]["change"] == "tag_removed"
    });
    wait_until(SOON, "the users that are left", || {
        let image = &list(&dockstream, "/api/images?tag=busybox")[0];
        image["used_by"].as_array().is_some_and(|users| users.len() == 2)
    });
    let known = Known::of(&dockstream);
    assert_eq!(dockstream.terminate().code, Some(0));
    known.is_rebuilt_as_it_is(&engine, &left);
}

/// What the API tells of containers and images.
struct Known {
    containers: Vec<Value>,
    images: Vec<Value>,
}

impl Known {
    fn of(dockstream: &Dockstream) -> Self {
        Self { containers: list(dockstream, "/api/containers"), images: list(dockstream, "/api/images") }
    }

    /// The engine has exactly these, and whoever reads the topics knows the same of them.
    fn is_rebuilt_as_it_is(&self, engine: &Dockerd, left: &Stores) {
        let keys = |arguments: &[&str]| -> BTreeSet<String> {
            engine.docker(arguments).lines().map(|id| format!("real/{id}")).collect()
        };
        let rebuilt = left.rebuilt("containers");
        let there = keys(&["ps", "--all", "--quiet", "--no-trunc"]);
        assert_eq!(rebuilt.keys().cloned().collect::<BTreeSet<_>>(), there);
        for record in &self.containers {
            let mut known = rebuilt[&format!("real/{}", record["container_id"].as_str().expect("an id"))].clone();
            // The sentence on how long it has been up is made anew with each answer.
            known["status"] = record["status"].clone();
            assert_eq!(&known, record);
        }
        let rebuilt = left.rebuilt("images");
        let there = keys(&["images", "--quiet", "--no-trunc"]);
        assert_eq!(rebuilt.keys().cloned().collect::<BTreeSet<_>>(), there);
        for record in &self.images {
            assert_eq!(&rebuilt[&format!("real/{}", record["image_id"].as_str().expect("an id"))], record);
        }
    }
}

#[test]
fn a_tag_that_moves_and_an_image_that_goes_are_versions_in_every_store() {
    let engine = Dockerd::start();
    let everywhere = Everywhere::watch(&engine);
    let dockstream = &everywhere.dockstream;
    let built = |version: &str| {
        let name = unique("build");
        engine.run(&name, &[], &format!("echo {version} > /version"));
        engine.docker(&["wait", &name]);
        let id = engine.docker(&["commit", "--change", &format!("LABEL version={version}"), &name, "shop/api:2"]);
        engine.remove(&name);
        id
    };
    wait_until(SOON, "the image that is there", || list(dockstream, "/api/images").len() == 1);
    assert_eq!(list(dockstream, "/api/images/dockstream%2Fbusybox:test/history").len(), 0, "it was there before");
    let history = |of: &str, count: usize| {
        wait_for(SOON, &format!("{count} changes of {of}"), || {
            let (status, page) = dockstream.ask(&format!("/api/images/{of}/history"));
            let data = page["data"].as_array().cloned().unwrap_or_default();
            (status == 200 && data.len() >= count).then_some(data)
        })
    };
    let first = built("one");
    history("shop%2Fapi:2", 1);
    let second = built("two");
    history("shop%2Fapi:2", 2);
    let image = dockstream.get("/api/images/shop%2Fapi:2");
    assert_eq!((&image["image_id"], &image["labels"]["version"]), (&json!(second), &json!("two")));
    assert_eq!(image["size_bytes"], inspected(&engine, &second)["Size"]);
    engine.docker(&["rmi", "shop/api:2", &first]);
    let told = history("shop%2Fapi:2", 3);
    let short = |version: &Value| {
        let field = |name: &str| version[name].as_str().map(str::to_owned);
        (field("change").expect("a change"), field("from_image_id"), field("to_image_id"))
    };
    let (one, two) = (Some(first.clone()), Some(second.clone()));
    assert_eq!(
        told.iter().map(short).collect::<Vec<_>>(),
        [
            ("tag_removed".to_owned(), two.clone(), None),
            ("tag_moved".to_owned(), one.clone(), two.clone()),
            ("tag_added".to_owned(), None, one.clone()),
        ]
    );
    let of_first = history(&first[7..], 4);
    let changes: BTreeSet<String> = of_first.iter().map(|version| short(version).0).collect();
    assert_eq!(changes, ["image_added", "image_removed", "tag_added", "tag_moved"].map(str::to_owned).into());
    wait_until(SOON, "the images as they are removed", || list(dockstream, "/api/images?state=removed").len() == 2);

    let (finished, left) = everywhere.ended();
    let columns = [
        ("host", stores::Kind::Text),
        ("observed_at", stores::Kind::Time),
        ("change", stores::Kind::Text),
        ("reference", stores::Kind::Text),
        ("from_image_id", stores::Kind::Text),
        ("to_image_id", stores::Kind::Text),
        ("from_digest", stores::Kind::Text),
        ("to_digest", stores::Kind::Text),
    ];
    let sorted = |mut rows: Vec<stores::Row>| {
        rows.sort();
        rows
    };
    let kept = sorted(stores::sqlite(&finished.database(), "image_versions", &columns));
    let sent = stores::topic(left.kafka.bootstrap(), &format!("{}image_versions", left.prefix));
    assert_eq!(kept, sorted(sent.iter().map(|sent| sent.row(&columns)).collect()), "SQLite and Kafka");
    let inserted = stores::clickhouse(left.clickhouse, &format!("{}.image_versions", left.database), &columns);
    assert_eq!(kept, sorted(inserted), "SQLite and ClickHouse");
    assert!(kept.len() >= 7, "{kept:#?}");
    let states = left.clickhouse.query(&format!(
        "SELECT state, count() FROM {}.docker_images FINAL GROUP BY state ORDER BY state",
        left.database
    ));
    assert_eq!(states, "present\t1\nremoved\t2");
}
