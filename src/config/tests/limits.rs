//! Bounds, and keys that must fit each other.

use super::*;
use crate::config::StoreKind;

fn said(toml: &str) -> String {
    file(toml).map(|_| ()).expect_err(toml)
}

#[test]
fn a_batch_without_a_limit_is_refused() {
    assert_eq!(said("[batch]\nage = \"0s\""), "`batch.age` (pipeline.toml:2): 0s is too short: at least 1ms");
    assert_eq!(said("[batch]\nbytes = \"0B\""), "`batch.bytes` (pipeline.toml:2): 0B is too small: at least 1KiB");
    assert_eq!(
        said("[batch]\ncount = 0"),
        "`batch.count` (pipeline.toml:2): expected a whole number of at least 1, found 0"
    );
}

#[test]
fn a_batch_must_fit_the_journal_four_times() {
    assert_eq!(
        said("[batch]\nbytes = \"5MiB\"\n[journal]\nbytes = \"16MiB\""),
        "`batch.bytes` (pipeline.toml:2): 5MiB is more than a quarter of `journal.bytes` (16MiB), which holds the batches of every sink"
    );
    assert_eq!(
        said("[batch]\nbytes = \"5MiB\"\n[journal]\nkind = \"memory\"\nmemory_bytes = \"16MiB\""),
        "`batch.bytes` (pipeline.toml:2): 5MiB is more than a quarter of `journal.memory_bytes` (16MiB), which holds the batches of every sink"
    );
    assert!(file("[batch]\nbytes = \"4MiB\"\n[journal]\nkind = \"memory\"\nmemory_bytes = \"16MiB\"").is_ok());
}

#[test]
fn the_journal_must_fit_the_memory() {
    assert_eq!(
        said("[journal]\nkind = \"memory\"\nmemory_bytes = \"1GiB\""),
        "`journal.memory_bytes` (pipeline.toml:3): 1GiB is more than `limits.memory` (512MiB) allows in all"
    );
    assert!(file("[journal]\nmemory_bytes = \"1GiB\"").is_ok(), "what is not in use is not looked at");
}

#[test]
fn times_that_would_spin_or_never_end_are_refused() {
    for (toml, expected) in [
        (
            "[collect]\nstats_interval = \"50ms\"",
            "`collect.stats_interval` (pipeline.toml:2): 50ms is too short: at least 100ms",
        ),
        (
            "[collect]\nimage_interval = \"10ms\"",
            "`collect.image_interval` (pipeline.toml:2): 10ms is too short: at least 1s",
        ),
        (
            "[collect]\ndiscovery_interval = \"10ms\"",
            "`collect.discovery_interval` (pipeline.toml:2): 10ms is too short: at least 1s",
        ),
        ("[retry]\nmin = \"0s\"", "`retry.min` (pipeline.toml:2): 0s is too short: at least 1ms"),
        ("[retry]\nmin = \"1m\"", "`retry.min` (pipeline.toml:2): 1m is longer than `retry.max` (30s)"),
        ("[retry]\nmax = \"100ms\"", "`retry.min` (default): 200ms is longer than `retry.max` (100ms)"),
        ("[shutdown]\ngrace = \"0s\"", "`shutdown.grace` (pipeline.toml:2): 0s is too short: at least 100ms"),
        (
            "[sinks.sqlite]\nretention_raw = \"0s\"",
            "`sinks.sqlite.retention_raw` (pipeline.toml:2): 0s is too short: at least 1m",
        ),
        (
            "[telemetry]\notlp_interval = \"0s\"",
            "`telemetry.otlp_interval` (pipeline.toml:2): 0s is too short: at least 100ms",
        ),
        ("[[hosts]]\ntimeout = \"0s\"", "`hosts[0].timeout` (pipeline.toml:2): 0s is too short: at least 100ms"),
    ] {
        assert_eq!(said(toml), expected, "{toml}");
    }
}

#[test]
fn two_hosts_cannot_have_one_name() {
    assert_eq!(
        said("[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"a\""),
        "`hosts[1].name` (pipeline.toml:4): `a` is the name of hosts[0] already: give each host its own"
    );
    let unnamed = said("[[hosts]]\nurl = \"unix:///a\"\n\n[[hosts]]\nurl = \"unix:///b\"");
    assert!(unnamed.starts_with("`hosts[1].name` (pipeline.toml:4): `"), "{unnamed}");
    let flags = layered("", &[], &["--docker", "a=unix:///x", "--docker", "a=unix:///y"]).unwrap_err();
    assert_eq!(flags, "`hosts[1].name` (--docker): `a` is the name of hosts[0] already: give each host its own");
}

#[test]
fn an_engines_address_that_cannot_be_used_is_refused() {
    assert_eq!(
        said("[[hosts]]\nurl = \"npipe:////./pipe/docker_engine\""),
        "`hosts[0].url` (pipeline.toml:2): `npipe://` is not supported; supported: unix:///var/run/docker.sock, tcp://host:2376, https://host:2376, ssh://user@host"
    );
    assert_eq!(
        said("[[hosts]]\nurl = \"unix://docker.sock\""),
        "`hosts[0].url` (pipeline.toml:2): the path of a unix socket is absolute, such as unix:///var/run/docker.sock (three slashes)"
    );
    assert_eq!(
        said("[[hosts]]\nurl = \"/run/docker.sock\""),
        "`hosts[0].url` (pipeline.toml:2): an engine's address begins with a scheme, such as unix:///var/run/docker.sock"
    );
    let docker_host = layered("", &[("DOCKER_HOST", "tcp://dind:2375")], &[]).unwrap_err();
    assert!(docker_host.starts_with("`hosts[0].url` (DOCKER_HOST): tcp://dind:2375 is plain TCP beyond this machine"));
}

#[test]
fn plain_tcp_stays_on_this_machine_unless_that_is_accepted() {
    let host = |rest: &str| layered(&format!("[[hosts]]\nurl = \"tcp://10.0.0.7\"\n{rest}"), &[], &[]);
    let error = host("").unwrap_err();
    assert!(error.starts_with("`hosts[0].url` (pipeline.toml:2): tcp://10.0.0.7 is plain TCP beyond"), "{error}");
    assert!(error.contains("`insecure = true`") && error.contains("`tls_ca`"), "{error}");
    for rest in ["insecure = true", "tls_ca = \"ca.pem\"", "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\""] {
        assert!(host(rest).is_ok(), "{rest}");
    }
    assert!(layered("[[hosts]]\nurl = \"tcp://127.0.0.1:2375\"", &[], &[]).is_ok());
}

#[test]
fn a_key_that_means_nothing_for_an_address_or_misses_its_other_half_is_refused() {
    for (toml, expected) in [
        (
            "[[hosts]]\ntls_ca = \"ca.pem\"",
            "`hosts[0].tls_ca` (pipeline.toml:2): it means something for tcp:// and https:// only, and this host is at unix:///var/run/docker.sock",
        ),
        (
            "[[hosts]]\nurl = \"https://edge-1\"\nssh_key = \"id\"",
            "`hosts[0].ssh_key` (pipeline.toml:3): it means something for ssh:// only, and this host is at https://edge-1",
        ),
        (
            "[[hosts]]\nurl = \"https://edge-1\"\ntls_cert = \"cert.pem\"",
            "`hosts[0].tls_cert` (pipeline.toml:3): its private key is missing: set `tls_key`",
        ),
        (
            "[[hosts]]\nurl = \"https://edge-1\"\ntls_key = \"key.pem\"",
            "`hosts[0].tls_key` (pipeline.toml:3): its certificate is missing: set `tls_cert`",
        ),
        (
            "[[hosts]]\nreconnect_min = \"20s\"",
            "`hosts[0].reconnect_min` (pipeline.toml:2): 20s is longer than `reconnect_max` (10s)",
        ),
    ] {
        assert_eq!(said(toml), expected, "{toml}");
    }
}

#[test]
fn without_a_sink_nothing_would_be_kept() {
    assert_eq!(
        said("[sinks.sqlite]\nenabled = false"),
        "`sinks.sqlite.enabled` (pipeline.toml:2): no sink is enabled, so nothing would be kept: enable one of sqlite, kafka, clickhouse, postgres, influxdb, otlp, remote_write"
    );
}

#[test]
fn kafka_needs_brokers_and_keeps_what_its_guarantees_rest_on() {
    let kafka = |keys: &str| said(&format!("[sinks.kafka]\nenabled = true\n{keys}"));
    assert_eq!(
        kafka(""),
        "`sinks.kafka.brokers` (default): Kafka is enabled, but there is no broker: name at least one, as [\"127.0.0.1:9092\"]"
    );
    assert_eq!(
        kafka("brokers = [\"a\"]"),
        "`sinks.kafka.brokers` (pipeline.toml:3): \"a\" is not a broker such as \"127.0.0.1:9092\""
    );
    assert_eq!(
        kafka("brokers = [\"a:1\"]\ntopic_prefix = \"a/b\""),
        "`sinks.kafka.topic_prefix` (pipeline.toml:4): \"a/b\" cannot begin a topic's name: up to 200 of a-z A-Z 0-9 . _ -"
    );
    assert_eq!(
        kafka("brokers = [\"a:1\"]\nproperties = { acks = 1 }"),
        "`sinks.kafka.properties` (pipeline.toml:4): `acks` is not yours to set: that no record is lost or doubled rests on it"
    );
    assert_eq!(
        kafka("brokers = [\"a:1\"]\nproperties.linger.ms = 1"),
        "`sinks.kafka.properties` (pipeline.toml:4): `linger.ms` is not yours to set: use `sinks.kafka.linger`"
    );
    assert!(file("[sinks.kafka]\nenabled = true\nbrokers = [\"a:1\", \"[::1]:9092\"]").is_ok());
    assert!(file("[sinks.kafka]\nbrokers = [\"anything\"]").is_ok(), "what is not enabled is not looked at");
}

#[test]
fn a_format_with_schemas_needs_a_registry_and_json_none() {
    let kafka = |keys: &str| said(&format!("[sinks.kafka]\nenabled = true\nbrokers = [\"a:1\"]\n{keys}"));
    assert_eq!(
        kafka("format = \"avro\""),
        "`sinks.kafka.format` (pipeline.toml:4): this format needs a schema registry: set `schema_registry`, as \"http://127.0.0.1:8081\""
    );
    assert_eq!(
        kafka("schema_registry = \"http://r:8081\""),
        "`sinks.kafka.schema_registry` (pipeline.toml:4): JSON is written without a registry: set `format` to \"avro\" or \"protobuf\""
    );
    let avro = |keys: &str| kafka(&format!("format = \"avro\"\n{keys}"));
    assert_eq!(
        avro("schema_registry = \"r:8081\""),
        "`sinks.kafka.schema_registry` (pipeline.toml:5): an address without a scheme is not supported: only http:// and https:// are, as in \"http://127.0.0.1:8081\""
    );
    assert_eq!(
        avro("schema_registry = \"http://r\"\nschema_registry_ca_file = \"ca.pem\""),
        "`sinks.kafka.schema_registry_ca_file` (pipeline.toml:6): `sinks.kafka.schema_registry` is not https://: certificates say nothing there"
    );
    assert_eq!(
        kafka("password = \"x\"\npassword_file = \"y\""),
        "`sinks.kafka.password` (pipeline.toml:4): `sinks.kafka.password_file` is set as well: keep one of the two"
    );
    assert_eq!(
        kafka("password = \"x\"\nproperties.\"sasl.password\" = \"y\""),
        "`sinks.kafka.password` (pipeline.toml:4): `sasl.password` is among the properties as well: keep one of the two"
    );
}

#[test]
fn a_dead_letter_in_a_topic_needs_kafka_and_one_in_files_some_room() {
    assert_eq!(
        said("[deadletter]\nto = \"topic\""),
        "`deadletter.to` (pipeline.toml:2): a topic needs Kafka: enable `sinks.kafka`, or keep refused records in a \"file\""
    );
    assert!(file("[deadletter]\nto = \"topic\"\n[sinks.kafka]\nenabled = true\nbrokers = [\"a:1\"]").is_ok());
    assert_eq!(
        said("[deadletter]\nbytes = \"64KiB\""),
        "`deadletter.bytes` (pipeline.toml:2): 64KiB is too small: at least 1MiB"
    );
}

#[test]
fn postgres_needs_to_be_told_where_it_is_and_certificates_need_tls() {
    let postgres = |keys: &str| said(&format!("[sinks.postgres]\nenabled = true\n{keys}"));
    assert_eq!(
        postgres(""),
        "`sinks.postgres.host` (default): PostgreSQL is enabled, but there is no address: set it, as \"127.0.0.1\""
    );
    for host in ["postgres://me@db/x", "db:5432", ""] {
        assert!(
            postgres(&format!("host = \"{host}\"")).starts_with("`sinks.postgres.host` (pipeline.toml:3): a name or")
        );
    }
    assert_eq!(
        postgres("host = \"db\"\nca_file = \"ca.pem\""),
        "`sinks.postgres.ca_file` (pipeline.toml:4): without `tls = \"verify\"` certificates say nothing"
    );
    assert_eq!(
        postgres("host = \"/run/postgresql\"\ntls = \"verify\""),
        "`sinks.postgres.tls` (pipeline.toml:4): TLS is not spoken over the unix socket in `sinks.postgres.host`"
    );
    assert_eq!(
        postgres("host = \"db\"\nretention_1h = \"1s\""),
        "`sinks.postgres.retention_1h` (pipeline.toml:4): 1s is too short: at least 1m"
    );
    assert_eq!(
        postgres("host = \"db\"\nschema = \"\""),
        "`sinks.postgres.schema` (pipeline.toml:4): a name has 1 to 63 bytes"
    );
    for host in ["::1", "db.example", "/run/postgresql"] {
        assert!(file(&format!("[sinks.postgres]\nenabled = true\nhost = \"{host}\"")).is_ok(), "{host}");
    }
}

#[test]
fn influxdb_needs_to_be_told_where_it_is_and_who_this_is() {
    let influxdb = |keys: &str| said(&format!("[sinks.influxdb]\nenabled = true\n{keys}"));
    let v1 = |keys: &str| influxdb(&format!("url = \"http://influx:8086\"\napi = \"v1\"\n{keys}"));
    let v2 = |keys: &str| influxdb(&format!("url = \"http://influx:8086\"\nbucket = \"b\"\n{keys}"));
    assert_eq!(
        influxdb("api = \"v1\""),
        "`sinks.influxdb.url` (default): InfluxDB is enabled, but there is no address: set it, as \"http://127.0.0.1:8086\""
    );
    assert_eq!(
        influxdb("url = \"ftp://influx\"\nbucket = \"b\""),
        "`sinks.influxdb.url` (pipeline.toml:3): ftp is not supported: only http:// and https:// are, as in \"http://127.0.0.1:8086\""
    );
    assert_eq!(
        influxdb("url = \"https://influx:8086\""),
        "`sinks.influxdb.bucket` (default): with `api = \"v2\"`, InfluxDB wants a bucket: name it, or set `api = \"v1\"` for a database"
    );
    assert_eq!(
        v2("user = \"me\""),
        "`sinks.influxdb.user` (pipeline.toml:5): with `api = \"v2\"`, InfluxDB wants a token: use `token_file` (InfluxDB 1.8 takes \"user:password\" for one)"
    );
    assert_eq!(
        v2("ca_file = \"ca.pem\""),
        "`sinks.influxdb.ca_file` (pipeline.toml:5): `sinks.influxdb.url` is not https://: certificates say nothing there"
    );
    assert_eq!(v1("database = \"\""), "`sinks.influxdb.database` (pipeline.toml:5): a database has a name");
    assert_eq!(
        v1("user = \"me\"\ntoken = \"x\""),
        "`sinks.influxdb.user` (pipeline.toml:5): `sinks.influxdb.token` is set as well: keep one of the two"
    );
    assert!(
        file("[sinks.influxdb]\nenabled = true\nurl = \"https://influx:8086\"\nbucket = \"b\"\ntoken = \"x\"").is_ok()
    );
}

#[test]
fn clickhouse_needs_an_address_without_a_password_in_it() {
    let clickhouse = |keys: &str| said(&format!("[sinks.clickhouse]\nenabled = true\n{keys}"));
    assert_eq!(
        clickhouse(""),
        "`sinks.clickhouse.url` (default): ClickHouse is enabled, but there is no address: set it, as \"http://127.0.0.1:8123\""
    );
    assert_eq!(
        clickhouse("url = \"clickhouse\""),
        "`sinks.clickhouse.url` (pipeline.toml:3): an address without a scheme is not supported: only http:// is, as in \"http://127.0.0.1:8123\""
    );
    assert_eq!(
        clickhouse("url = \"https://ch:8443\""),
        "`sinks.clickhouse.url` (pipeline.toml:3): https is not supported: only http:// is, as in \"http://127.0.0.1:8123\""
    );
    assert_eq!(
        clickhouse("url = \"http:///x\""),
        "`sinks.clickhouse.url` (pipeline.toml:3): not an address such as \"http://127.0.0.1:8123\""
    );
    assert_eq!(
        clickhouse("url = \"http://me:sesame@ch:8123\""),
        "`sinks.clickhouse.url` (pipeline.toml:3): an address must not carry a user or a password: use the keys `user` and `password_file`"
    );
    assert_eq!(
        clickhouse("url = \"http://ch:8123\"\ncluster = \"a b\""),
        "`sinks.clickhouse.cluster` (pipeline.toml:4): a cluster is named by a-z A-Z 0-9 _ - . or a macro such as \"{cluster}\""
    );
    assert_eq!(
        clickhouse("url = \"http://ch:8123\"\nretention_1h = \"1s\""),
        "`sinks.clickhouse.retention_1h` (pipeline.toml:4): 1s is too short: at least 1m"
    );
    assert_eq!(
        clickhouse("url = \"http://ch:8123\"\npassword = \"x\"\npassword_file = \"y\""),
        "`sinks.clickhouse.password` (pipeline.toml:4): `sinks.clickhouse.password_file` is set as well: keep one of the two"
    );
}

#[test]
fn the_api_is_not_opened_to_the_world_without_authentication() {
    assert_eq!(
        said("[api]\nlisten = \"0.0.0.0:8080\""),
        "`api.listen` (pipeline.toml:2): 0.0.0.0:8080 can be reached from outside, and the API has no authentication yet: listen on 127.0.0.1 or [::1], and put a proxy that authenticates in front"
    );
    assert!(file("[api]\nlisten = \"[::1]:0\"").is_ok());
    assert!(file("[api]\nenabled = false\nlisten = \"0.0.0.0:8080\"").is_ok());
}

#[test]
fn telemetry_that_could_not_work_is_refused() {
    let log = said("[telemetry]\nlog = \"loud=very\"");
    assert!(log.starts_with("`telemetry.log` (pipeline.toml:2): expected a level such as \"info\", or levels by part such as \"info,sinks=debug\": "), "{log}");
    assert_eq!(
        said("[telemetry]\notlp_endpoint = \"https://otel:4318\""),
        "`telemetry.otlp_endpoint` (pipeline.toml:2): https is not supported: only http:// is, as in \"http://127.0.0.1:4318\""
    );
    let secret = said("[telemetry]\notlp_endpoint = \"http://me:sesame@otel:4318\"");
    assert_eq!(
        secret,
        "`telemetry.otlp_endpoint` (pipeline.toml:2): an address must not carry a user or a password: put a collector that holds it in between"
    );
}

#[test]
fn selection_is_read_from_every_layer() {
    use model::ContainerState;
    use pipeline::selection::Standing;

    let toml = "[select]\ndefault = \"out\"\n[select.include]\nnames = [\"web-*\", \"{a,b}\"]\nlabels = [\"team=blue\"]\n[select.exclude]\nstates = [\"exited\"]\n[collect]\nevent_actions = [\"!exec_*\"]\n";
    let selection = file(toml).unwrap().config.selection();
    assert_eq!((selection.default, selection.include.names.len()), (Standing::Out, 2));
    assert_eq!(selection.exclude.states, [ContainerState::Exited]);
    assert!(!selection.takes_event("container", "exec_die") && selection.takes_event("image", "pull"));
    let variables =
        [("DOCKSTREAM_SELECT_INCLUDE_NAMES", "{x,y}-?, z"), ("DOCKSTREAM_SELECT_EXCLUDE_STATES", "dead,paused")];
    let selection = layered(toml, &variables, &[]).unwrap().config.selection();
    let names: Vec<_> = selection.include.names.iter().map(ToString::to_string).collect();
    assert_eq!((names, selection.exclude.states.len()), (vec!["{x,y}-?".to_owned(), "z".to_owned()], 2));
    assert_eq!(defaults().selection(), pipeline::selection::Selection::default());
}

#[test]
fn what_is_no_pattern_and_no_state_is_refused_with_its_place() {
    assert_eq!(
        said("[select.include]\nnames = [\"ok\", \"web-[0-9\"]"),
        "`select.include.names` (pipeline.toml:2): `web-[0-9` is not a pattern: unclosed character class; missing ']'"
    );
    assert_eq!(
        said("[select.exclude]\nimages = [\"\"]"),
        "`select.exclude.images` (pipeline.toml:2): `` is not a pattern: it is empty, and nothing would fit"
    );
    assert_eq!(
        said("[select.exclude]\nstates = [\"runing\"]"),
        "`select.exclude.states` (pipeline.toml:2): \"runing\" is no state of a container: did you mean running?"
    );
    assert_eq!(
        said("[collect]\nevent_types = [\"{a\"]"),
        "`collect.event_types` (pipeline.toml:2): `{a` is not a pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"
    );
    assert_eq!(
        said("[select]\ndefault = \"all\""),
        "`select.default` (pipeline.toml:2): expected \"in\" or \"out\", found \"all\""
    );
}

#[test]
fn the_store_that_is_read_is_one_that_is_written() {
    let no_sqlite = "[store]\nkind = \"sqlite\"\n[sinks.sqlite]\nenabled = false\n[sinks.kafka]\nenabled = true\nbrokers = [\"a:1\"]";
    assert_eq!(
        said(no_sqlite),
        "`store.kind` (pipeline.toml:2): `sinks.sqlite` is not enabled, so there is nothing to read: enable it, or read another with \"auto\""
    );
    assert_eq!(
        said("[store]\nkind = \"clickhouse\""),
        "`store.kind` (pipeline.toml:2): `sinks.clickhouse` is not enabled, so there is nothing to read: enable it, or read another with \"auto\""
    );
    assert!(file("[api]\nenabled = false\n[store]\nkind = \"clickhouse\"").is_ok(), "nobody reads");
    assert_eq!(
        said("[store]\nquery_timeout = \"1ms\""),
        "`store.query_timeout` (pipeline.toml:2): 1ms is too short: at least 100ms"
    );
}

#[test]
fn the_embedded_store_is_read_where_it_is_written_else_clickhouse_else_postgres() {
    let kind = |toml: &str| file(toml).unwrap().config.store_kind();
    let clickhouse = "[sinks.clickhouse]\nenabled = true\nurl = \"http://127.0.0.1:8123\"\n";
    let no_sqlite = "[sinks.sqlite]\nenabled = false\n";
    assert_eq!(kind(""), Some(StoreKind::Sqlite));
    assert_eq!(kind(clickhouse), Some(StoreKind::Sqlite));
    assert_eq!(kind(&format!("{clickhouse}{no_sqlite}")), Some(StoreKind::ClickHouse));
    assert_eq!(kind(&format!("{clickhouse}[store]\nkind = \"clickhouse\"")), Some(StoreKind::ClickHouse));
    let postgres = "[sinks.postgres]\nenabled = true\nhost = \"db\"\n";
    assert_eq!(kind(&format!("{postgres}{no_sqlite}")), Some(StoreKind::Postgres));
    assert_eq!(kind(&format!("{postgres}{clickhouse}{no_sqlite}")), Some(StoreKind::ClickHouse));
    assert_eq!(kind(&format!("{postgres}[store]\nkind = \"postgres\"")), Some(StoreKind::Postgres));
    let kafka = "[sinks.kafka]\nenabled = true\nbrokers = [\"a:1\"]\n";
    assert_eq!(kind(&format!("{kafka}{no_sqlite}")), None);
}
