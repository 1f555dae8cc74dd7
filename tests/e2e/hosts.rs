//! Many hosts of every kind, watched by one process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::OpenFlags;
use serde_json::Value;
use test_support::{Authority, Dockerd, Sshd, Validity, wait_for, wait_until};

use crate::binary::{Dockstream, Launch, SOON};

/// Three engines here and elsewhere, and what the configuration says of them.
struct Fleet {
    local: Dockerd,
    tls: Dockerd,
    behind_ssh: Dockerd,
    _sshd: Sshd,
    /// Takes connections, and says nothing.
    _silent: TcpListener,
    config: String,
    _folder: tempfile::TempDir,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let server = authority.server("server", &["127.0.0.1"], Validity::Now);
        let (client, late) = (authority.client("client", Validity::Now), authority.client("late", Validity::Expired));
        let other = Authority::new(&folder.path().join("other")).client("client", Validity::Now);
        let (local, tls, behind_ssh) = (Dockerd::start(), Dockerd::start_on_tcp(Some(&server)), Dockerd::start());
        let sshd = Sshd::start();
        let nobody = folder.path().join("nobody");
        let host = |name: &str, url: &str, more: String| {
            format!("[[hosts]]\nname = \"{name}\"\nurl = \"{url}\"\nreconnect_max = \"1s\"\n{more}")
        };
        let with_tls = |ca: &Path, client: &Path| {
            format!(
                "tls_ca = \"{}/ca.pem\"\ntls_cert = \"{1}/cert.pem\"\ntls_key = \"{1}/key.pem\"\n",
                ca.display(),
                client.display()
            )
        };
        let ssh = |key: &Path, known: &Path| {
            format!("ssh_key = \"{}\"\nssh_known_hosts = \"{}\"\n", key.display(), known.display())
        };
        let with_ssh = |known: &Path| ssh(&sshd.key(), known);
        let with_key = |key: &Path| ssh(key, &sshd.known_hosts());
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (impatient, patient) = ("connect_timeout = \"2s\"\n", "connect_timeout = \"60s\"\n");
        let config = [
            "[collect]\nmode = \"stream\"\nstats_interval = \"500ms\"\n".to_owned(),
            host("local", &local.url(), format!("labels = {{ site = \"north\" }}\n{patient}")),
            host("tls", &tls.tcp_url(), with_tls(&client, &client)),
            host("ssh", &sshd.url(behind_ssh.socket()), with_ssh(&sshd.known_hosts()) + patient),
            host("unknown-ca", &tls.tcp_url(), with_tls(&other, &client)),
            host("expired", &tls.tcp_url(), with_tls(&client, &late)),
            host("unknown-key", &sshd.url(behind_ssh.socket()), with_ssh(&nobody)),
            host("wrong-key", &sshd.url(behind_ssh.socket()), with_key(&stranger(folder.path()))),
            host("refused", "tcp://127.0.0.1:1", String::new()),
            host("hangs", &format!("tcp://{}", silent.local_addr().unwrap()), impatient.to_owned()),
            host(
                "hangs-in-tls",
                &format!("https://{}", silent.local_addr().unwrap()),
                with_tls(&client, &client) + impatient,
            ),
            host("hangs-in-ssh", &format!("ssh://ops@{}", silent.local_addr().unwrap()), with_ssh(&nobody) + impatient),
        ];
        Self { local, tls, behind_ssh, _sshd: sshd, _silent: silent, config: config.concat(), _folder: folder }
    }

    fn engines(&self) -> [(&'static str, &Dockerd); 3] {
        [("local", &self.local), ("tls", &self.tls), ("ssh", &self.behind_ssh)]
    }
}

/// A key that nobody invited.
fn stranger(folder: &Path) -> PathBuf {
    let key = folder.join("stranger");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    key
}

/// What is wrong with the other hosts, by name.
const WRONG: [(&str, &str); 8] = [
    ("expired", "the engine does not take our certificate"),
    ("hangs", "no answer to ping within 2s"),
    ("hangs-in-ssh", "has not let us in within 1.6s: the host hangs"),
    ("hangs-in-tls", "TLS was not agreed on within 1.6s: the host hangs"),
    ("refused", "nobody listens on port"),
    ("unknown-ca", "the engine's certificate comes from an unknown CA"),
    ("unknown-key", "the host key of 127.0.0.1 is unknown"),
    ("wrong-key", "with none of our keys"),
];

fn host(dockstream: &Dockstream, name: &str) -> Value {
    let hosts = dockstream.get("/api/hosts");
    let hosts = hosts["data"].as_array().unwrap();
    hosts.iter().find(|host| host["host"] == name).unwrap_or_else(|| panic!("no host {name}: {hosts:?}")).clone()
}

fn count(database: &Path, sql: &str, parameters: &[&str]) -> i64 {
    let connection = rusqlite::Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, rusqlite::params_from_iter(parameters), |row| row.get(0)).unwrap()
}

fn samples(dockstream: &Dockstream, host: &str) -> i64 {
    count(&dockstream.database(), "SELECT count(*) FROM container_stats WHERE host = ?", &[host])
}

/// Its comings and goings; that a restarted engine has forgotten its events is another matter.
fn host_events(dockstream: &Dockstream, host: &str) -> Vec<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(dockstream.database(), flags).unwrap();
    let sql = "SELECT action FROM container_events WHERE type = 'host' AND action <> 'events_missed' AND host = ?
               AND synthetic = 1 ORDER BY timestamp";
    let mut statement = connection.prepare(sql).unwrap();
    let actions = statement.query_map([host], |row| row.get(0)).unwrap();
    actions.collect::<Result<_, _>>().unwrap()
}

fn metrics(dockstream: &Dockstream) -> String {
    dockstream.get("/metrics").as_str().unwrap().to_owned()
}

#[test]
fn hosts_of_every_kind_are_watched_by_one_process_and_one_that_goes_hurts_no_other() {
    let fleet = Fleet::start();
    for (name, engine) in fleet.engines() {
        engine.run(name, &[], "sleep 3600");
    }
    let dockstream = Launch::new(&fleet.config).start();
    for (name, _) in fleet.engines() {
        wait_until(SOON, &format!("samples of {name}"), || samples(&dockstream, name) >= 2);
        let shown = host(&dockstream, name);
        assert_eq!(
            (&shown["status"], &shown["failures"], &shown["last_error"]),
            (&"up".into(), &0.into(), &Value::Null)
        );
        assert_eq!(shown["containers_running"], 1, "{shown}");
        wait_until(SOON, &format!("{name} answers a ping"), || {
            host(&dockstream, name)["response_ns"].as_u64().is_some_and(|nanos| nanos > 0)
        });
    }
    assert_eq!(host(&dockstream, "local")["labels"]["site"], "north");
    for (name, words) in WRONG {
        // On a busy machine the first thing that is wrong may be that it takes too long.
        let shown = wait_for(SOON, &format!("{name} is found wrong: {words}"), || {
            let is_it = |host: &Value| host["last_error"].as_str().is_some_and(|error| error.contains(words));
            Some(host(&dockstream, name)).filter(|host| host["status"] == "down" && is_it(host))
        });
        assert!(shown["retry_at"].is_string() && shown["failures"].as_u64() >= Some(1), "{shown}");
        let warned = |line: &&String| line.contains("trying again") && line.contains("\"failures\":1,");
        let lines = dockstream.lines(words);
        assert_eq!(lines.iter().filter(warned).count(), 1, "one line each: {lines:?}");
        wait_until(SOON, "its event", || host_events(&dockstream, name) == ["down"]);
    }

    // What is called of each, what it has, and what is open: by host, never by container.
    for (name, engine) in fleet.engines() {
        engine.docker(&["rename", name, "renamed"]);
        let calls = ["identify", "list", "inspect", "events", "stats"];
        let call = |call| format!("dockstream_api_call_duration_seconds_count{{call=\"{call}\",host=\"{name}\"}} ");
        let mut series = calls.map(call).to_vec();
        series.extend([
            format!("dockstream_followed_containers{{host=\"{name}\"}} 1\n"),
            format!("dockstream_discovery_duration_seconds_count{{host=\"{name}\"}} "),
            format!("dockstream_containers_discovered{{host=\"{name}\",state=\"running\"}} 1\n"),
            format!("dockstream_images_discovered{{host=\"{name}\"}} 1\n"),
            format!("dockstream_events_processed_total{{host=\"{name}\",outcome=\"new\"}} "),
        ]);
        wait_until(SOON, &format!("{series:#?}"), || {
            let metrics = metrics(&dockstream);
            series.iter().all(|series| metrics.contains(series))
        });
        // Those of its events and of its container's stats, at least.
        let open = format!("dockstream_active_connections{{host=\"{name}\"}} ");
        let text = metrics(&dockstream);
        let count = text.lines().find_map(|line| line.strip_prefix(&open)?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count >= 2), "{text}");
    }
    let metrics = metrics(&dockstream);
    assert!(
        metrics.contains("dockstream_connection_errors_total{failure=\"refused\",host=\"unknown-ca\"}"),
        "{metrics}"
    );

    fleet.tls.kill9();
    // Its port is still there, and nobody behind it: that takes until the patience with it ends.
    wait_until(SOON, "the host is down", || host(&dockstream, "tls")["status"] == "down");
    let before = ["local", "ssh"].map(|name| samples(&dockstream, name));
    wait_until(SOON, "the others go on", || {
        ["local", "ssh"].into_iter().zip(before).all(|(name, before)| samples(&dockstream, name) >= before + 3)
    });
    fleet.tls.restart();
    wait_until(SOON, "the host is back", || host(&dockstream, "tls")["status"] == "up");
    wait_until(SOON, "its events", || host_events(&dockstream, "tls") == ["down", "up"]);
    assert_eq!(host_events(&dockstream, "local"), Vec::<String>::new());
    assert_eq!(dockstream.terminate().code, Some(0));
}

#[test]
fn check_says_of_each_host_what_is_wrong_in_one_line() {
    let fleet = Fleet::start();
    let config = format!("{}[api]\nlisten = \"127.0.0.1:0\"\n", fleet.config);
    let finished = Launch::new(&config).with(&["check"]).finish();
    assert_eq!(finished.code, Some(78), "{finished:?}");
    let lines = |start: &str| finished.out.iter().filter(|line| line.starts_with(start)).cloned().collect::<Vec<_>>();
    for (name, _) in fleet.engines() {
        assert_eq!(lines(&format!("ok   host {name}  docker ")).len(), 1, "{finished:?}");
    }
    for (name, words) in WRONG {
        let said = lines(&format!("fail host {name}  "));
        assert!(said.len() == 1 && said[0].contains(words), "{finished:?}");
    }
}
