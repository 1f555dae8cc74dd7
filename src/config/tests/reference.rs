//! The reference file and page say what the source says, and what is printed can be read back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use model::{HostName, NodeName};
use pipeline::selection::{Pattern, Words};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::config::{ByteSize, CollectMode, Compression, Host, LogFormat, Patterns, Properties, States};

fn checked_in(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

#[test]
fn pipeline_toml_says_what_the_source_says() {
    assert!(
        checked_in("pipeline.toml") == crate::config::example(),
        "pipeline.toml is not up to date: cargo run -- config --default > pipeline.toml"
    );
}

#[test]
fn the_configuration_page_says_what_the_source_says() {
    assert!(
        checked_in("docs/configuration.md") == crate::config::page(),
        "the page is not up to date: cargo run -- config --reference > docs/configuration.md"
    );
}

#[test]
fn pipeline_toml_changes_nothing() {
    assert_eq!(file(&checked_in("pipeline.toml")).unwrap().config, defaults());
}

#[test]
fn pipeline_toml_with_its_commented_keys_taken_in_names_every_key() {
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    };
    let taken_in = |line: &str| match line.strip_prefix("# ") {
        Some(key) if is_key(key) || key.starts_with("[[") => format!("{key}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = checked_in("pipeline.toml").lines().map(taken_in).collect();
    let (table, errors) = toml::de::DeTable::parse_recoverable(&text);
    assert_eq!(errors, []);
    for section in crate::config::sections() {
        let mut parts = section.path.split('.').filter(|part| !part.is_empty());
        let inside = parts.try_fold(table.get_ref(), |table, part| {
            let value = table.get(part)?.get_ref();
            value.as_table().or_else(|| value.as_array()?.iter().next()?.get_ref().as_table())
        });
        for field in section.fields {
            assert!(
                inside.is_some_and(|table| table.contains_key(field.name)),
                "[{}] {} is missing",
                section.path,
                field.name
            );
        }
    }
}

#[test]
fn every_key_has_a_meaning_that_is_a_sentence() {
    for section in crate::config::sections() {
        for field in section.fields {
            assert!(
                field.doc.last().is_some_and(|line| line.ends_with(['.', '`', '…'])),
                "[{}] {}",
                section.path,
                field.name
            );
        }
    }
}

#[test]
fn a_size_is_printed_in_the_largest_unit_that_is_exact() {
    for (text, bytes, printed) in [
        ("4MiB", 4 << 20, "4MiB"),
        ("1024", 1024, ""),
        ("1024B", 1024, "1KiB"),
        ("500kB", 500_000, "500kB"),
        ("1 gib", 1 << 30, "1GiB"),
        ("0B", 0, "0B"),
        ("1025B", 1025, "1025B"),
    ] {
        match text.parse::<ByteSize>() {
            Ok(size) => assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, printed)),
            Err(error) => assert_eq!(
                (printed, error.to_string().as_str()),
                ("", "not a size: a whole number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB")
            ),
        }
    }
    for text in ["", "MiB", "-1MiB", "1.5MiB", "99999999TiB", "1XiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}"
}

fn duration(from: u64) -> impl Strategy<Value = Duration> {
    (from..10_000_000_000, 0..1_000_000_u64)
        .prop_map(|(millis, nanos)| Duration::from_millis(millis) + Duration::from_nanos(nanos))
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(
        "[^\\x00]{1,12}".prop_filter("no word of a secret", |name| {
            !name.contains(['p', 'P', 's', 'S', 't', 'T', 'c', 'C', 'o', 'O', 'a'])
        }),
        any::<String>(),
        0..4,
    )
}

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    let host = (name(), "unix:///[a-z][^\\x00]{0,12}", pairs(), 1..usize::MAX, duration(100)).prop_map(
        |(name, url, labels, connections, timeout)| Host {
            name: HostName::try_new(&name).unwrap(),
            url,
            labels,
            max_connections: NonZeroUsize::new(connections).unwrap(),
            timeout,
            ..Host::default()
        },
    );
    vec(host, 1..4).prop_map(|mut hosts| {
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        hosts.dedup_by(|a, b| a.name == b.name);
        hosts
    })
}

prop_compose! {
    fn config()(
        (node, data_dir, hosts) in (name(), "[^\\x00]{1,20}", hosts()),
        (names, states, actions) in (vec("[a-z*?{},]{1,6}".prop_filter("a pattern", |text| text.parse::<Pattern>().is_ok()), 0..3), vec(0..7_usize, 0..3), vec("!?[a-z_*]{1,6}", 0..3)),
        (mode, stats_interval, labels, arguments) in (0..3_usize, duration(100), vec("[^\\x00]{1,9}", 0..3), vec("[a-z_]{1,9}", 0..3)),
        (count, bytes, age) in (1..usize::MAX, 1024..16_u64 << 20, duration(1)),
        (kafka, brokers, prefix, compression, properties) in (any::<bool>(), vec("[a-z]{1,9}:[1-9][0-9]{0,3}", 1..4), "[a-z.]{0,9}", 0..4_usize, pairs()),
        (clickhouse, database, user, path) in (any::<bool>(), "[^\\x00]{1,9}", option::of(any::<String>()), option::of("[^\\x00]{1,9}")),
        (cluster, kept) in (option::of("[a-z{}._-]{1,9}"), duration(60_000)),
        (api, port, format, endpoint, service) in (any::<bool>(), any::<u16>(), 0..3_usize, any::<bool>(), any::<String>()),
    ) -> Config {
        let mut config = Config { node: NodeName::try_new(&node).unwrap(), data_dir: data_dir.into(), hosts, ..Config::default() };
        config.collect.mode = CollectMode::ALL[mode];
        config.collect.stats_interval = stats_interval;
        config.collect.labels = labels;
        config.collect.event_arguments = arguments;
        config.collect.event_actions = Words::try_new(actions.iter().map(String::as_str)).unwrap();
        config.select.include.names = Patterns(names.iter().map(|text| text.parse().unwrap()).collect());
        config.select.exclude.states = States(states.into_iter().map(|index| crate::config::patterns::STATES[index]).collect());
        config.batch.count = NonZeroUsize::new(count).unwrap();
        config.batch.bytes = ByteSize::new(bytes);
        config.batch.age = age;
        config.sinks.kafka.enabled = kafka;
        config.sinks.kafka.brokers = brokers;
        config.sinks.kafka.topic_prefix = prefix;
        config.sinks.kafka.compression = Compression::ALL[compression];
        config.sinks.kafka.properties = properties.into_iter().collect::<Properties>();
        config.sinks.clickhouse.enabled = clickhouse;
        config.sinks.clickhouse.url = Some("http://127.0.0.1:8123".to_owned());
        config.sinks.clickhouse.database = database;
        config.sinks.clickhouse.user = user;
        config.sinks.clickhouse.cluster = cluster;
        config.sinks.clickhouse.retention_1d = kept;
        config.sinks.sqlite.path = path.map(PathBuf::from);
        config.api.enabled = api;
        config.api.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        config.telemetry.log_format = LogFormat::ALL[format];
        config.telemetry.otlp_endpoint = endpoint.then(|| "http://127.0.0.1:4318".to_owned());
        config.telemetry.service_name = service;
        config
    }
}

proptest! {
    #[test]
    fn any_configuration_survives_being_printed_and_read_back(config in config()) {
        let printed = config.to_toml(&BTreeMap::new());
        let read = file(&printed).map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(&read.config, &config);
        // With the places behind the values it is still the same file.
        let annotated = read.config.to_toml(&read.origins);
        prop_assert_eq!(file(&annotated).map_err(TestCaseError::fail)?.config, config);
    }

    #[test]
    fn any_text_at_all_is_answered_and_never_a_panic(text in any::<String>(), variable in any::<String>()) {
        let _ = layered(&text, &[("DOCKSTREAM_BATCH_AGE", &variable), ("DOCKSTREAM_HOSTS", &variable), ("DOCKSTREAM_SINKS_KAFKA_PROPERTIES", &variable)], &[]);
        let _ = file(&format!("[batch]\n{text} = \"{variable}\""));
    }
}
