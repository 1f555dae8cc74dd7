//! Defaults, file, environment, flags: the later layer wins.

use std::time::Duration;

use super::*;
use crate::config::{Compression, JournalKind, Origin, machine_name};

#[test]
fn each_layer_goes_over_the_one_before_it() {
    let toml = "[api]\nlisten = \"127.0.0.1:1\"\n";
    let variable = [("DOCKSTREAM_API_LISTEN", "127.0.0.1:2")];
    let listen = |loaded: Result<Loaded, String>| loaded.unwrap().config.api.listen.to_string();
    assert_eq!(listen(file("")), "127.0.0.1:8080");
    assert_eq!(listen(file(toml)), "127.0.0.1:1");
    assert_eq!(listen(layered(toml, &variable, &[])), "127.0.0.1:2");
    assert_eq!(listen(layered(toml, &variable, &["--listen", "127.0.0.1:3"])), "127.0.0.1:3");
}

#[test]
fn the_place_that_each_value_comes_from_is_known() {
    let loaded =
        layered("\n\n[batch]\nage = \"2s\"\n", &[("DOCKSTREAM_BATCH_COUNT", "7")], &["--log", "warn"]).unwrap();
    let origin = |path: &str| loaded.origins.get(path).map(ToString::to_string);
    assert_eq!(origin("batch.age").as_deref(), Some("pipeline.toml:4"));
    assert_eq!(origin("batch.count").as_deref(), Some("DOCKSTREAM_BATCH_COUNT"));
    assert_eq!(origin("telemetry.log").as_deref(), Some("--log"));
    assert_eq!(origin("batch.bytes"), None, "a default comes from nowhere");
}

#[test]
fn every_key_outside_of_lists_can_be_set_by_its_own_variable() {
    let mut seen = std::collections::BTreeSet::new();
    for section in
        crate::config::sections().iter().filter(|section| section.shape == crate::config::section::Shape::Once)
    {
        for field in section.fields {
            let path = crate::config::section::join(&section.path, field.name);
            let name = crate::config::reader::variable(&path);
            assert!(seen.insert(name.clone()), "{name} stands for two keys");
            // No key can hold all of these, every key can hold one.
            let taken = [
                "true",
                "1",
                "5s",
                "64MiB",
                "127.0.0.1:1",
                "auto",
                "lz4",
                "avro",
                "a=b",
                "some-text",
                "disk",
                "always",
                "block",
                "file",
                "v2",
                "grpc",
                "in",
                "now",
                "off",
            ]
            .iter()
            .filter(|value| {
                let told = layered("", &[(&name, value)], &[]);
                !told.as_ref().is_err_and(|error| error.contains("expected") || error.contains("unknown variable"))
            });
            assert!(taken.count() > 0, "{name} takes nothing");
        }
    }
    assert!(seen.len() > 40);
}

#[test]
fn a_list_in_a_variable_is_separated_by_commas_and_a_table_has_names() {
    let loaded = layered(
        "",
        &[
            ("DOCKSTREAM_SINKS_KAFKA_ENABLED", "true"),
            ("DOCKSTREAM_SINKS_KAFKA_BROKERS", "a:9092, b:9092,"),
            ("DOCKSTREAM_SINKS_KAFKA_COMPRESSION", "gzip"),
            ("DOCKSTREAM_SINKS_KAFKA_PROPERTIES", "security.protocol=SSL,client.rack=r=1"),
        ],
        &[],
    );
    let kafka = loaded.unwrap().config.sinks.kafka;
    assert!(kafka.enabled);
    assert_eq!(kafka.brokers, ["a:9092", "b:9092"]);
    assert_eq!(kafka.compression, Compression::Gzip);
    assert_eq!(kafka.properties.expose().collect::<Vec<_>>(), [("client.rack", "r=1"), ("security.protocol", "SSL")]);
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let loaded =
        layered("[batch]\nage = \"2s\"", &[("DOCKSTREAM_BATCH_AGE", ""), ("DOCKSTREAM_API_LISTEN", "")], &[]).unwrap();
    assert_eq!(loaded.config.batch.age, Duration::from_secs(2));
    assert_eq!(loaded.config.api.listen.port(), 8080);
}

#[test]
fn variables_of_a_kubernetes_service_named_dockstream_are_no_settings() {
    let links = [
        "DOCKSTREAM_SERVICE_HOST",
        "DOCKSTREAM_SERVICE_PORT",
        "DOCKSTREAM_SERVICE_PORT_HTTP",
        "DOCKSTREAM_PORT",
        "DOCKSTREAM_PORT_8080_TCP",
        "DOCKSTREAM_PORT_8080_TCP_ADDR",
    ];
    let variables: Vec<_> = links.iter().map(|name| (*name, "tcp://10.0.0.1:8080")).collect();
    assert_eq!(layered("", &variables, &[]).unwrap().config, defaults());
}

#[test]
fn without_hosts_the_local_engine_is_watched_under_the_machines_name() {
    let hosts = defaults().hosts;
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].url, "unix:///var/run/docker.sock");
    assert_eq!(hosts[0].name.as_str(), machine_name());
}

#[test]
fn docker_host_stands_in_for_hosts_that_nobody_configured() {
    let variable = [("DOCKER_HOST", "unix:///run/user/1000/docker.sock")];
    let loaded = layered("", &variable, &[]).unwrap();
    assert_eq!(loaded.config.hosts[0].url, "unix:///run/user/1000/docker.sock");
    assert_eq!(loaded.origins["hosts[0].url"], Origin::Variable("DOCKER_HOST".to_owned()));
    let configured = layered("[[hosts]]\nname = \"a\"\nurl = \"unix:///a.sock\"", &variable, &[]).unwrap();
    assert_eq!(configured.config.hosts[0].url, "unix:///a.sock");
}

#[test]
fn dockers_own_variables_for_tls_count_for_the_engine_at_docker_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let variables = [("DOCKER_HOST", "tcp://dind:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)];
    let host = |variables: &[(&str, &str)]| layered("", variables, &[]).unwrap().config.hosts.remove(0);
    let file = |name: &str| Some(folder.path().join(name));
    let trusting = host(&variables);
    assert_eq!((trusting.tls_ca, trusting.tls_cert, trusting.tls_key), (file("ca.pem"), None, None));
    std::fs::write(folder.path().join("cert.pem"), "").unwrap();
    let mutual = host(&variables);
    assert_eq!((mutual.tls_cert, mutual.tls_key), (file("cert.pem"), file("key.pem")));

    let at_home = host(&[variables[0], variables[1], ("HOME", "/home/ops")]);
    assert_eq!(at_home.tls_ca, Some("/home/ops/.docker/ca.pem".into()));
    let socket = host(&[("DOCKER_HOST", "unix:///x.sock"), variables[1], variables[2]]);
    assert_eq!(socket.tls_ca, None, "a socket needs no certificates");
    assert!(layered("", &variables[..1], &[]).unwrap_err().contains("plain TCP beyond this machine"));
}

#[test]
fn hosts_are_read_with_all_their_keys() {
    let toml = "[[hosts]]\nname = \"a\"\nurl = \"unix:///a.sock\"\nlabels = { rack = \"7\" }\nmax_connections = 2\ntimeout = \"3s\"\n[[hosts]]\nname = \"b\"\n[hosts.labels]\nrack = 8\n";
    let hosts = file(toml).unwrap().config.hosts;
    assert_eq!(hosts.len(), 2);
    assert_eq!(
        (hosts[0].labels["rack"].as_str(), hosts[0].max_connections.get(), hosts[0].timeout),
        ("7", 2, Duration::from_secs(3))
    );
    assert_eq!((hosts[1].labels["rack"].as_str(), hosts[1].url.as_str()), ("8", "unix:///var/run/docker.sock"));
}

#[test]
fn docker_flags_replace_the_hosts_of_the_file_and_of_the_environment() {
    let toml = "[[hosts]]\nname = \"a\"\nurl = \"unix:///a.sock\"";
    let variable = [("DOCKSTREAM_HOSTS", "unix:///b.sock,c=unix:///c.sock")];
    let urls = |loaded: Result<Loaded, String>| {
        loaded.unwrap().config.hosts.into_iter().map(|host| host.url).collect::<Vec<_>>()
    };
    assert_eq!(urls(layered(toml, &variable, &[])), ["unix:///b.sock", "unix:///c.sock"]);
    assert_eq!(
        urls(layered(toml, &variable, &["--docker", "unix:///d.sock", "--docker", "e=unix:///e.sock"])),
        ["unix:///d.sock", "unix:///e.sock"]
    );
}

#[test]
fn a_section_of_properties_needs_no_quotes_around_dotted_names() {
    let toml = "[sinks.kafka.properties]\nsecurity.protocol = \"SSL\"\n\"client.id\" = \"x\"\nsocket.keepalive.enable = true\nretries = 3\n";
    let properties = file(toml).unwrap().config.sinks.kafka.properties;
    let pairs: Vec<_> = properties.expose().collect();
    assert_eq!(
        pairs,
        [("client.id", "x"), ("retries", "3"), ("security.protocol", "SSL"), ("socket.keepalive.enable", "true")]
    );
}

#[test]
fn the_database_lies_in_the_data_folder_unless_it_has_a_path_of_its_own() {
    assert_eq!(
        layered("", &[], &["--data-dir", "/srv/d"]).unwrap().config.sqlite_path(),
        Path::new("/srv/d/dockstream.db")
    );
    assert_eq!(
        file("data_dir = \"/srv/d\"\n[sinks.sqlite]\npath = \"/x.db\"").unwrap().config.sqlite_path(),
        Path::new("/x.db")
    );
}

#[test]
fn the_file_in_the_working_folder_is_found_and_a_named_one_goes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let load =
        |overrides: &Overrides, environment: &Environment| crate::config::load(overrides, environment, folder.path());
    std::fs::write(folder.path().join("pipeline.toml"), "node = \"found\"").unwrap();
    std::fs::write(folder.path().join("other.toml"), "node = \"flag\"").unwrap();
    std::fs::write(folder.path().join("third.toml"), "node = \"variable\"").unwrap();
    let nobody = Environment::default();
    let variable: Environment = [("DOCKSTREAM_CONFIG".to_owned(), "third.toml")].into_iter().collect();

    let found = load(&Overrides::default(), &nobody).unwrap();
    assert_eq!((found.config.node.as_str(), found.file.as_deref()), ("found", Some(Path::new("./pipeline.toml"))));
    assert_eq!(load(&Overrides::default(), &variable).unwrap().config.node.as_str(), "variable");
    assert_eq!(load(&overrides(&["--config", "other.toml"]), &variable).unwrap().config.node.as_str(), "flag");
}

#[test]
fn the_journal_can_be_named_in_one_word_in_the_place_of_its_section() {
    let kind = |loaded: Result<Loaded, String>| loaded.unwrap().config.journal.kind;
    assert_eq!(kind(file("")), JournalKind::Disk);
    assert_eq!(kind(file("journal = \"memory\"\n")), JournalKind::Memory);
    assert_eq!(kind(file("journal = \"disk\"\n")), JournalKind::Disk);
    assert_eq!(kind(file("[journal]\nkind = \"memory\"\n")), JournalKind::Memory);
    let word = [("DOCKSTREAM_JOURNAL", "memory")];
    assert_eq!(kind(layered("[journal]\nkind = \"disk\"\n", &word, &[])), JournalKind::Memory);
    let both = [("DOCKSTREAM_JOURNAL", "memory"), ("DOCKSTREAM_JOURNAL_KIND", "disk")];
    assert_eq!(kind(layered("", &both, &[])), JournalKind::Disk, "the key itself goes over the word");
    let loaded = layered("[journal]\nbytes = \"1GiB\"\n", &word, &[]).unwrap();
    assert_eq!(loaded.config.journal.bytes.to_string(), "1GiB", "the other keys are still read");
    assert_eq!(
        file("journal = \"tape\"").unwrap_err(),
        "`journal.kind` (pipeline.toml:1): expected \"disk\" or \"memory\", found \"tape\""
    );
    assert!(file("journal = 5").unwrap_err().contains("this is a section"));
}

#[test]
fn what_another_configuration_says_of_hosts_is_taken_over_and_the_other_keys_that_differ_are_named() {
    let mut running = file("[sinks.clickhouse]\npassword = \"old\"\n").unwrap().config;
    let toml = "node = \"other\"\n[[hosts]]\nname = \"edge\"\n[collect]\nmode = \"poll\"\nstats_interval = \"1s\"\n\
                labels = [\"team\"]\ndiscovery_interval = \"7s\"\nevent_arguments = [\"exec_create\"]\n\
                [select]\ndefault = \"out\"\n[select.include]\nnames = [\"web*\"]\n\
                [sinks.clickhouse]\npassword = \"new\"\n";
    let changed = file(toml).unwrap().config;
    let left = ["node", "sinks.clickhouse.password"];
    assert_eq!(running.take_hosts_of(&changed), left);
    assert_eq!(running.hosts, changed.hosts);
    assert_eq!(Config { node: changed.node.clone(), sinks: changed.sinks.clone(), ..running.clone() }, changed);
    assert_eq!(running.take_hosts_of(&changed), left, "until the next start");
}
