//! Hosts come and go with the configuration, while dockstream runs.

use std::fs;
use std::path::Path;

use serde_json::Value;
use simulator::{ContainerSpec, SimulatedHost, Simulator};
use test_support::wait_until;

use crate::binary::{Dockstream, Launch, SOON};

const CONTAINERS: usize = 3;

fn simulated(name: &str) -> SimulatedHost {
    Simulator::host(name).containers(CONTAINERS).start().unwrap()
}

/// A `[[hosts]]` section for each, with more keys in it.
fn config(hosts: &[(&SimulatedHost, &str)], more: &str) -> String {
    let host = |(host, more): &(&SimulatedHost, &str)| {
        format!("[[hosts]]\nname = \"{}\"\nurl = \"{}\"\n{more}\n", host.name(), host.url())
    };
    let hosts: String = hosts.iter().map(host).collect();
    format!("[collect]\nmode = \"stream\"\nstats_interval = \"200ms\"\n{hosts}{more}")
}

/// Puts a file into the place of the configuration, as an editor does.
pub(crate) fn write(dockstream: &Dockstream, config: &str) {
    let (new, file) = (dockstream.folder().join("pipeline.toml.new"), dockstream.folder().join("pipeline.toml"));
    fs::write(&new, config).unwrap();
    fs::rename(new, file).unwrap();
}

fn hosts(dockstream: &Dockstream) -> Vec<(String, String)> {
    let hosts = dockstream.get("/api/hosts");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    hosts["data"].as_array().unwrap().iter().map(|host| (text(&host["host"]), text(&host["status"]))).collect()
}

fn shows(dockstream: &Dockstream, names: &[&str]) {
    let up: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "up".to_owned())).collect();
    wait_until(SOON, &format!("{names:?} are up, and no others there"), || hosts(dockstream) == up);
    let hosts = dockstream.get("/api/hosts");
    wait_until(SOON, &format!("samples of all of {hosts}"), || {
        let containers = dockstream.get("/api/containers?limit=1000");
        containers["data"].as_array().unwrap().len() == names.len() * CONTAINERS
    });
}

/// What an engine was asked for when it was begun with: who it is, its events, the stats of each container.
fn beginnings(host: &SimulatedHost) -> Vec<Option<u64>> {
    let calls = host.control().served().calls;
    ["GET /info", "GET /events", "GET /containers/{id}/stats"].map(|call| calls.get(call).copied()).to_vec()
}

fn followed(host: &SimulatedHost) {
    wait_until(SOON, &format!("the streams of {}", host.name()), || {
        let served = host.control().served();
        (served.stats_streams, served.event_streams) == (CONTAINERS, 1)
    });
}

fn left_alone(host: &SimulatedHost) {
    wait_until(SOON, &format!("the end of all connections to {}", host.name()), || {
        host.control().served().connections == 0
    });
}

/// A number out of the store.
fn count(database: &Path, sql: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    rusqlite::Connection::open_with_flags(database, flags).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn at_sighup_hosts_come_go_and_change_and_the_others_are_not_touched() {
    let (stays, goes, comes) = (simulated("stays"), simulated("goes"), simulated("comes"));
    let mut dockstream = Launch::new(&config(&[(&stays, ""), (&goes, "")], "")).start();
    shows(&dockstream, &["goes", "stays"]);
    followed(&stays);
    followed(&goes);
    let began = beginnings(&stays);
    assert!(began.iter().all(Option::is_some), "{began:?}");

    // One comes, one goes; what a start alone takes up is named.
    let more = "[batch]\nage = \"200ms\"\n[sinks.kafka]\nlinger = \"1ms\"\n";
    write(&dockstream, &config(&[(&stays, ""), (&comes, "")], more));
    dockstream.signal("HUP");
    shows(&dockstream, &["comes", "stays"]);
    followed(&comes);
    left_alone(&goes);
    assert_eq!(beginnings(&stays), began);
    let line = dockstream.wait_for_line("the configuration is read again");
    assert!(line.contains("\"added\":\"comes\"") && line.contains("\"removed\":\"goes\""), "{line}");
    let line = dockstream.wait_for_line("taken up at the next start");
    assert!(line.contains("\"keys\":\"batch.age, sinks.kafka.linger\""), "{line}");
    dockstream.ready();
    let metrics = dockstream.get("/metrics").as_str().unwrap().to_owned();
    assert!(!metrics.contains("host=\"goes\""), "{metrics}");
    assert!(metrics.contains("dockstream_config_reloads_total{outcome=\"taken\"} 1"), "{metrics}");
    let database = dockstream.database();
    let removed = "SELECT count(*) FROM container_events WHERE type = 'host' AND action = 'removed' AND host = 'goes'";
    wait_until(SOON, "the event of it", || count(&database, removed) == 1);
    wait_until(SOON, "its last state", || {
        count(&database, "SELECT count(*) FROM hosts WHERE host = 'goes' AND status = 'removed'") == 1
    });
    assert_eq!(count(&database, "SELECT count(*) FROM container_events WHERE type = 'host' AND host <> 'goes'"), 0);
    let gone = "SELECT count(*) FROM containers WHERE host = 'goes' AND state = 'removed'";
    wait_until(SOON, "its containers' last states", || count(&database, gone) == CONTAINERS as i64);
    assert_eq!(count(&database, "SELECT count(*) FROM container_events WHERE action = 'destroy'"), 0);

    // Nothing but the labels of one is another.
    let came = beginnings(&comes);
    write(&dockstream, &config(&[(&stays, "labels = { site = \"north\" }"), (&comes, "")], more));
    dockstream.signal("HUP");
    wait_until(SOON, "its label", || dockstream.get("/api/hosts")["data"][1]["labels"]["site"] == "north");
    followed(&stays);
    assert_ne!(beginnings(&stays), began);
    assert_eq!(beginnings(&comes), came);
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn a_configuration_that_is_wrong_is_refused_in_words_and_the_one_before_stays() {
    let (stays, comes) = (simulated("stays"), simulated("comes"));
    let mut dockstream = Launch::new(&config(&[(&stays, "")], "")).start();
    shows(&dockstream, &["stays"]);
    followed(&stays);
    let began = beginnings(&stays);
    let wrong = [
        (config(&[(&comes, "names = \"x\"")], ""), "unknown key `hosts[0].names`"),
        (config(&[(&comes, "url = \"ftp://x\"")], "").replacen("url = \"unix", "#", 1), "`ftp://` is not supported"),
        ("[[hosts]".to_owned(), "not valid TOML"),
    ];
    for (config, words) in wrong {
        write(&dockstream, &config);
        dockstream.signal("HUP");
        let line = dockstream.wait_for_line(words);
        assert!(line.contains("is not taken up") && line.contains("pipeline.toml:"), "{line}");
    }
    fs::remove_file(dockstream.folder().join("pipeline.toml")).unwrap();
    dockstream.signal("HUP");
    let line = dockstream.wait_for_line("cannot read the configuration file");
    assert!(line.contains("is not taken up"), "{line}");
    let metrics = dockstream.get("/metrics").as_str().unwrap().to_owned();
    assert!(metrics.contains("dockstream_config_reloads_total{outcome=\"refused\"} 4"), "{metrics}");
    assert_eq!(hosts(&dockstream), [("stays".to_owned(), "up".to_owned())]);
    assert_eq!(beginnings(&stays), began);
    // And it is read again when it is right.
    write(&dockstream, &config(&[(&stays, ""), (&comes, "")], ""));
    dockstream.signal("HUP");
    shows(&dockstream, &["comes", "stays"]);
    assert_eq!(beginnings(&stays), began);
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn with_watch_a_file_is_taken_up_once_it_is_written_links_that_are_swapped_too() {
    let (stays, comes) = (simulated("stays"), simulated("comes"));
    let launch = Launch::new("");
    let folder = launch.folder().to_owned();
    // As a ConfigMap is mounted: a link to a file in a folder that is itself a link.
    let version = |name: &str, config: String| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("pipeline.toml"), config).unwrap();
        std::os::unix::fs::symlink(name, folder.join("new")).unwrap();
        fs::rename(folder.join("new"), folder.join("now")).unwrap();
    };
    version("1", config(&[(&stays, "")], ""));
    fs::remove_file(folder.join("pipeline.toml")).unwrap();
    std::os::unix::fs::symlink("now/pipeline.toml", folder.join("pipeline.toml")).unwrap();
    let mut dockstream = launch.with(&["--watch"]).start();
    shows(&dockstream, &["stays"]);
    followed(&stays);
    let began = beginnings(&stays);

    version("2", config(&[(&stays, ""), (&comes, "")], ""));
    shows(&dockstream, &["comes", "stays"]);
    assert!(dockstream.wait_for_line("the configuration is read again").contains("the file changed"));

    version("3", "[[hosts]".to_owned());
    dockstream.wait_for_line("is not taken up");
    version("4", config(&[(&stays, "")], ""));
    shows(&dockstream, &["stays"]);
    left_alone(&comes);
    assert_eq!(beginnings(&stays), began);
    assert_eq!(dockstream.lines("is not taken up").len(), 1, "told once");
    assert_eq!(dockstream.terminate().code, Some(0));
}
/// The names of the containers that are shown and were not removed.
fn shown(dockstream: &Dockstream) -> Vec<String> {
    let containers = dockstream.get("/api/containers?limit=1000");
    let name = |container: &Value| container["container_name"].as_str().unwrap().to_owned();
    containers["data"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn another_selection_is_taken_up_at_sighup() {
    let simulated = Simulator::host("edge").start().unwrap();
    let control = simulated.control();
    for (name, tier) in [("web", "front"), ("shop", "front"), ("db", "back")] {
        let mut spec = ContainerSpec::new(name);
        spec.labels.insert("tier".into(), tier.into());
        control.add(spec).unwrap();
    }
    let with = |selection: &str| config(&[(&simulated, "")], selection);
    let dockstream = Launch::new(&with("[select.exclude]\nnames = [\"w*\"]\n")).start();
    let follows = |names: &[&str]| {
        wait_until(SOON, &format!("{names:?} are shown, and followed"), || {
            shown(&dockstream) == names && control.served().stats_streams == names.len()
        });
    };
    follows(&["db", "shop"]);
    for (selection, names) in [
        ("[select.include]\nlabels = [\"tier=front\"]\n", &["shop", "web"][..]),
        ("[select]\ndefault = \"out\"\n", &[]),
        ("", &["db", "shop", "web"]),
    ] {
        write(&dockstream, &with(selection));
        dockstream.signal("HUP");
        follows(names);
    }
    assert_eq!(dockstream.lines("taken up at the next start"), Vec::<String>::new());
    assert_eq!(dockstream.terminate().code, Some(0));
}
