//! What is said of a wrong configuration, word for word.

use super::*;
use crate::config::section::{Shape, join};

fn said(toml: &str) -> String {
    file(toml).map(|_| ()).expect_err(toml)
}

fn said_of_variable(name: &str, value: &str) -> String {
    layered("", &[(name, value)], &[]).map(|_| ()).expect_err(name)
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        said("\n[sinks.kafka]\nbroker = []\n"),
        "unknown key `sinks.kafka.broker` (pipeline.toml:3): did you mean `brokers`?"
    );
    assert_eq!(said("[sink.kafka]\nenabled = true"), "unknown key `sink` (pipeline.toml:1): did you mean `sinks`?");
    assert_eq!(said("data-dir = \"x\""), "unknown key `data-dir` (pipeline.toml:1): did you mean `data_dir`?");
    assert_eq!(
        said("[[hosts]]\nname = \"a\"\nulr = \"unix:///x\""),
        "unknown key `hosts[0].ulr` (pipeline.toml:3): did you mean `url`?"
    );
}

#[test]
fn a_key_as_near_to_two_known_ones_is_told_with_both() {
    assert_eq!(
        said("[retry]\nmix = \"1s\""),
        "unknown key `retry.mix` (pipeline.toml:2): did you mean `min` or `max`?"
    );
}

#[test]
fn a_known_key_in_a_foreign_section_is_sent_home() {
    assert_eq!(said("brokers = []"), "unknown key `brokers` (pipeline.toml:1): it belongs in [sinks.kafka]");
    assert_eq!(
        said("[api]\nnode = \"x\""),
        "unknown key `api.node` (pipeline.toml:2): it belongs at the top, above every [section]"
    );
    assert_eq!(
        said("[api]\nmax_connections = 5"),
        "unknown key `api.max_connections` (pipeline.toml:2): it belongs in [[hosts]]"
    );
}

#[test]
fn a_key_that_is_like_no_other_gets_no_hint() {
    assert_eq!(said("[api]\ncolour = \"red\""), "unknown key `api.colour` (pipeline.toml:2)");
}

#[test]
fn an_unknown_variable_is_told_with_the_nearest_known_one() {
    assert_eq!(
        said_of_variable("DOCKSTREAM_SINKS_KAFKA_BROKER", "a:1"),
        "unknown variable DOCKSTREAM_SINKS_KAFKA_BROKER: did you mean DOCKSTREAM_SINKS_KAFKA_BROKERS?"
    );
    assert_eq!(
        said_of_variable("DOCKSTREAM_CONFG", "x"),
        "unknown variable DOCKSTREAM_CONFG: did you mean DOCKSTREAM_CONFIG?"
    );
    assert_eq!(said_of_variable("DOCKSTREAM_WHATEVER", "x"), "unknown variable DOCKSTREAM_WHATEVER");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_what_was_expected_and_found() {
    for (toml, expected) in [
        ("[batch]\nage = 5", "`batch.age` (pipeline.toml:2): expected a duration, such as \"5s\", found 5"),
        (
            "[batch]\nage = \"5 parsecs\"",
            "`batch.age` (pipeline.toml:2): expected a duration, such as \"5s\", found \"5 parsecs\"",
        ),
        (
            "[batch]\nbytes = \"1 potato\"",
            "`batch.bytes` (pipeline.toml:2): expected a size, such as \"4MiB\", found \"1 potato\"",
        ),
        (
            "[batch]\nbytes = 1048576",
            "`batch.bytes` (pipeline.toml:2): expected a size, such as \"4MiB\", found 1048576",
        ),
        (
            "[batch]\ncount = \"many\"",
            "`batch.count` (pipeline.toml:2): expected a whole number of at least 1, found \"many\"",
        ),
        ("[batch]\ncount = 0", "`batch.count` (pipeline.toml:2): expected a whole number of at least 1, found 0"),
        (
            "[sinks.kafka]\nreplication = -1",
            "`sinks.kafka.replication` (pipeline.toml:2): expected a whole number from 1 to 65535, found -1",
        ),
        (
            "[sinks.kafka]\nenabled = \"yes\"",
            "`sinks.kafka.enabled` (pipeline.toml:2): expected true or false, found \"yes\"",
        ),
        (
            "[sinks.kafka]\nbrokers = \"a:9092\"",
            "`sinks.kafka.brokers` (pipeline.toml:2): expected a list of texts, found \"a:9092\"",
        ),
        (
            "[sinks.kafka]\nbrokers = [1]",
            "`sinks.kafka.brokers` (pipeline.toml:2): expected a list of texts, found 1 in it",
        ),
        (
            "[sinks.kafka]\nproperties = { a = [] }",
            "`sinks.kafka.properties` (pipeline.toml:2): expected a text for `a`, found a list",
        ),
        (
            "[sinks.kafka]\ncompression = \"zip\"",
            "`sinks.kafka.compression` (pipeline.toml:2): expected \"none\", \"gzip\", \"snappy\" or \"lz4\", found \"zip\"",
        ),
        (
            "[collect]\nmode = 1.5",
            "`collect.mode` (pipeline.toml:2): expected \"auto\", \"stream\", \"poll\" or \"cgroup\", found 1.5",
        ),
        (
            "[api]\nlisten = \"8080\"",
            "`api.listen` (pipeline.toml:2): expected an address, such as \"127.0.0.1:8080\", found \"8080\"",
        ),
        ("data_dir = \"\"", "`data_dir` (pipeline.toml:1): expected a path, found \"\""),
        (
            "node = \"a/b\"",
            "`node` (pipeline.toml:1): `a/b` is not a node name: 1 to 128 of a-z A-Z 0-9 . _ -, the first a letter or a digit",
        ),
        ("batch = 5", "`batch` (pipeline.toml:1): this is a section: write [batch] and its keys below it, not 5"),
        (
            "hosts = \"unix:///x\"",
            "`hosts` (pipeline.toml:1): expected one [[hosts]] section for each, found \"unix:///x\"",
        ),
        ("[hosts]\nname = \"x\"", "`hosts` (pipeline.toml:1): expected one [[hosts]] section for each, found a table"),
    ] {
        assert_eq!(said(toml), expected, "{toml}");
    }
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let said = said(&format!("[batch]\nage = \"{}\"", "x".repeat(5000)));
    assert!(said.len() < 200, "{said}");
}

#[test]
fn a_wrong_variable_or_flag_is_named_as_such() {
    assert_eq!(
        said_of_variable("DOCKSTREAM_BATCH_AGE", "soon"),
        "`batch.age` (DOCKSTREAM_BATCH_AGE): expected a duration, such as \"5s\", found \"soon\""
    );
    assert_eq!(
        said_of_variable("DOCKSTREAM_SINKS_KAFKA_PROPERTIES", "a=1,secret"),
        "`sinks.kafka.properties` (DOCKSTREAM_SINKS_KAFKA_PROPERTIES): expected name=value pairs with commas between, but pair 2 has no ="
    );
    let flag = layered("", &[], &["--listen", "localhost"]).unwrap_err();
    assert_eq!(flag, "`api.listen` (--listen): expected an address, such as \"127.0.0.1:8080\", found \"localhost\"");
    let docker = layered("", &[], &["--docker", "/var/run/docker.sock"]).unwrap_err();
    assert_eq!(
        docker,
        "`hosts[0].url` (--docker): an engine's address begins with a scheme, such as unix:///var/run/docker.sock"
    );
}

#[test]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let environment: Environment =
        [("DOCKSTREAM_NODE".to_owned(), std::ffi::OsString::from_vec(vec![0xff]))].into_iter().collect();
    let error = assemble(None, "", &Overrides::default(), &environment, Path::new(".")).unwrap_err();
    assert_eq!(error.to_string(), "`node` (DOCKSTREAM_NODE): the value is not UTF-8");
}

#[test]
fn all_problems_are_told_at_once_a_line_each() {
    let said =
        layered("[batch]\nage = 5\nsize = 6\n[api]\nlisten = \"x\"\n", &[("DOCKSTREAM_NOD", "x")], &[]).unwrap_err();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "unknown key `batch.size` (pipeline.toml:3)",
            "`batch.age` (pipeline.toml:2): expected a duration, such as \"5s\", found 5",
            "`api.listen` (pipeline.toml:5): expected an address, such as \"127.0.0.1:8080\", found \"x\"",
            "unknown variable DOCKSTREAM_NOD: did you mean DOCKSTREAM_NODE?",
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert_eq!(
        said("[batch]\nage = \n"),
        "pipeline.toml:2: not valid TOML: string values must be quoted, expected literal string"
    );
    assert_eq!(said("[batch]\nage = \"1s\"\nage = \"2s\"\n"), "pipeline.toml:3: not valid TOML: duplicate key");
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    let said = |file: &str| {
        let named = overrides(&["--config", file]);
        crate::config::load(&named, &Environment::default(), folder.path()).unwrap_err().to_string()
    };
    assert_eq!(said("none.toml"), "cannot read the configuration file none.toml: no such file");
    assert_eq!(said("."), "cannot read the configuration file .: it is a folder");
    assert_eq!(said("binary.toml"), "cannot read the configuration file binary.toml: it is not UTF-8 text");
}

/// Every text that one slip of the finger makes of `key`.
fn slips(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().collect();
    let mut slips = Vec::new();
    for at in 0..=letters.len() {
        for extra in ['x', 's', '_', 'e'] {
            let mut more = letters.clone();
            more.insert(at, extra);
            slips.push(more);
            if at < letters.len() {
                let mut other = letters.clone();
                other[at] = extra;
                slips.push(other);
            }
        }
        if at < letters.len() {
            let mut fewer = letters.clone();
            fewer.remove(at);
            slips.push(fewer);
        }
        if at + 1 < letters.len() {
            let mut swapped = letters.clone();
            swapped.swap(at, at + 1);
            slips.push(swapped);
        }
    }
    slips.into_iter().map(String::from_iter).collect()
}

#[test]
fn any_slip_in_any_key_is_answered_with_the_right_key() {
    let sections = crate::config::sections();
    let mut tried = 0;
    for section in &sections {
        let known: Vec<_> = section
            .fields
            .iter()
            .map(|field| field.name)
            .chain(["hosts", "collect", "batch", "journal", "retry", "sinks", "api"])
            .collect();
        for field in section.fields {
            for slip in slips(field.name).iter().filter(|slip| !slip.is_empty() && !known.contains(&slip.as_str())) {
                let toml = match (section.path.as_str(), section.shape) {
                    ("", _) => format!("\n{slip} = 1\n"),
                    (path, Shape::Once) => format!("[{path}]\n{slip} = 1\n"),
                    (path, Shape::Many) => format!("[[{path}]]\n{slip} = 1\n"),
                };
                let path =
                    if section.shape == Shape::Many { format!("{}[0]", section.path) } else { section.path.clone() };
                let said = said(&toml);
                let (fact, hint) =
                    said.split_once(": did you mean ").unwrap_or_else(|| panic!("no hint for {slip}: {said}"));
                assert_eq!(fact, format!("unknown key `{}` (pipeline.toml:2)", join(&path, slip)));
                assert!(
                    hint.trim_end_matches('?').split(" or ").any(|name| name == format!("`{}`", field.name)),
                    "{slip} should have been {}: {said}",
                    field.name
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 3000, "only {tried} slips were tried");
}

#[test]
fn any_slip_in_any_variable_is_answered_with_the_right_variable() {
    for section in crate::config::sections().iter().filter(|section| section.shape == Shape::Once) {
        for field in section.fields {
            let right = crate::config::reader::variable(&join(&section.path, field.name));
            for slip in slips(field.name).iter().step_by(3) {
                let wrong = crate::config::reader::variable(&join(&section.path, slip));
                if wrong != right {
                    let said = said_of_variable(&wrong, "true");
                    assert!(
                        said.starts_with(&format!("unknown variable {wrong}: did you mean ")) && said.contains(&right),
                        "{said}"
                    );
                }
            }
        }
    }
}
