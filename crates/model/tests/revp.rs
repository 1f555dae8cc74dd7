//! The labels of the reverse proxy: nothing is guessed, nothing is lost, nothing crashes.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};

use model::{Revp, RevpHealthCheck};
use proptest::prelude::*;

const PREFIX: &str = "snadboy.revp.";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
}

fn parsed(pairs: &[(&str, &str)]) -> Revp {
    Revp::from_labels(&labels(pairs)).unwrap()
}

/// The labels that are wrong, without their prefix.
fn wrong(pairs: &[(&str, &str)]) -> Vec<String> {
    parsed(pairs).errors.into_iter().map(|error| error.label.strip_prefix(PREFIX).unwrap().to_owned()).collect()
}

#[test]
fn every_label_has_its_field_and_the_rest_is_kept() {
    let revp = parsed(&[
        ("domain", "App.Example.com"),
        ("backend-host", "shop_api"),
        ("backend-port", "8080"),
        ("backend-scheme", "HTTPS"),
        ("strip-prefix", "/api"),
        ("load-balancer", "round_robin"),
        ("health-check.path", "/healthz"),
        ("health-check.interval", "1m30s"),
        ("health-check.timeout", "500ms"),
        ("health-check.status", "204"),
        ("health-check.retries", "3"),
        ("health-check.port", "8081"),
        ("health-check.scheme", "http"),
        ("health-check.colour", "green"),
        ("force-ssl", "true"),
    ]);
    assert_eq!(revp.errors, []);
    assert!(revp.is_valid());
    assert_eq!(revp.domain.as_deref(), Some("app.example.com"));
    assert_eq!((revp.backend_host.as_deref(), revp.backend_port), (Some("shop_api"), Some(8080)));
    assert_eq!((revp.backend_scheme.as_deref(), revp.strip_prefix.as_deref()), (Some("https"), Some("/api")));
    assert_eq!(revp.load_balancer.as_deref(), Some("round-robin"));
    let health = RevpHealthCheck {
        path: Some("/healthz".into()),
        port: Some(8081),
        scheme: Some("http".into()),
        interval_ms: Some(90_000),
        timeout_ms: Some(500),
        retries: Some(3),
        status: Some(204),
    };
    assert_eq!(revp.health_check, Some(health));
    let additional = [("force-ssl", "true"), ("health-check.colour", "green")];
    assert_eq!(revp.additional, additional.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn a_container_without_such_labels_has_no_reverse_proxy() {
    assert_eq!(Revp::from_labels(&BTreeMap::new()), None);
    let near = ["snadboy.revp", "snadboy.revpx.domain", "snadboy.rev.domain", "x.snadboy.revp.domain"];
    assert_eq!(Revp::from_labels(&near.map(|key| (key.to_owned(), "a.example".to_owned())).into()), None);
}

#[test]
fn what_is_not_said_is_not_known() {
    let revp = parsed(&[("domain", "a.example")]);
    assert_eq!((revp.backend_host, revp.backend_port, revp.backend_scheme), (None, None, None));
    assert_eq!((revp.strip_prefix, revp.load_balancer, revp.health_check, revp.errors.len()), (None, None, None, 0));
}

#[test]
fn a_bad_label_is_listed_with_its_value_and_leaves_its_field_unknown() {
    let revp = parsed(&[("domain", "a.example"), ("backend-port", "80a")]);
    assert_eq!((revp.backend_port, revp.domain.as_deref()), (None, Some("a.example")));
    let [error] = &revp.errors[..] else { panic!("{:?}", revp.errors) };
    assert_eq!((error.label.as_str(), error.value.as_deref()), ("snadboy.revp.backend-port", Some("80a")));
    assert_eq!(error.message, "must be a port from 1 to 65535");
}

#[test]
fn a_missing_domain_is_an_error_and_a_bad_one_is_one_error() {
    let revp = parsed(&[("backend-port", "80")]);
    assert_eq!((revp.errors[0].label.as_str(), revp.errors[0].value.as_deref()), ("snadboy.revp.domain", None));
    assert_eq!(wrong(&[("domain", "https://a.example")]), ["domain"]);
}

#[test]
fn every_kind_of_bad_value_is_an_error() {
    let good = ("domain", "a.example");
    for (key, bad) in [
        ("backend-port", "0"),
        ("backend-port", "65536"),
        ("backend-port", "-1"),
        ("backend-port", "+80"),
        ("backend-port", " 80"),
        ("backend-port", ""),
        ("backend-host", "http://a"),
        ("backend-host", "a:80"),
        ("backend-host", ""),
        ("backend-host", "-a"),
        ("backend-scheme", "ftp"),
        ("strip-prefix", "api"),
        ("strip-prefix", "/a b"),
        ("load-balancer", "banana"),
        ("health-check.path", "healthz"),
        ("health-check.interval", "0s"),
        ("health-check.interval", "5"),
        ("health-check.interval", "5 s"),
        ("health-check.interval", "99999999999999999999h"),
        ("health-check.timeout", "-5s"),
        ("health-check.status", "99"),
        ("health-check.retries", "many"),
        ("", "x"),
    ] {
        assert_eq!(wrong(&[good, (key, bad)]), [key], "{key}={bad}");
    }
    for bad in [
        "",
        ".",
        "a..b",
        "a.example:80",
        "a.example/x",
        "a_b.example",
        "-a.example",
        "*.",
        "**.a",
        "10.0.0.1",
        "bücher.example",
    ] {
        assert_eq!(wrong(&[("domain", bad)]), ["domain"], "{bad}");
    }
    for fine in ["localhost", "*.example.com", "xn--bcher-kva.example", "A.B"] {
        assert_eq!(wrong(&[("domain", fine)]), [""; 0], "{fine}");
    }
    for fine in ["10.0.0.1", "::1", "[fe80::1]", "web", "shop_web.internal"] {
        assert_eq!(wrong(&[good, ("backend-host", fine)]), [""; 0], "{fine}");
    }
}

const KNOWN: [&str; 13] = [
    "domain",
    "backend-host",
    "backend-port",
    "backend-scheme",
    "strip-prefix",
    "load-balancer",
    "health-check.path",
    "health-check.port",
    "health-check.scheme",
    "health-check.interval",
    "health-check.timeout",
    "health-check.retries",
    "health-check.status",
];

/// The labels of which something was understood.
fn fields(revp: &Revp) -> BTreeSet<&'static str> {
    let health = revp.health_check.clone().unwrap_or_default();
    let there = [
        revp.domain.is_some(),
        revp.backend_host.is_some(),
        revp.backend_port.is_some(),
        revp.backend_scheme.is_some(),
        revp.strip_prefix.is_some(),
        revp.load_balancer.is_some(),
        health.path.is_some(),
        health.port.is_some(),
        health.scheme.is_some(),
        health.interval_ms.is_some(),
        health.timeout_ms.is_some(),
        health.retries.is_some(),
        health.status.is_some(),
    ];
    KNOWN.into_iter().zip(there).filter(|(_, there)| *there).map(|(key, _)| key).collect()
}

proptest! {
    #[test]
    fn every_label_is_in_exactly_one_place(
        given in prop::collection::btree_map(
            prop_oneof![prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), "\\PC{0,12}", "health-check\\.[a-z]{1,8}"],
            prop_oneof!["\\PC{0,40}", "[0-9]{1,6}", "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", "/[a-z]{0,5}", "[0-9]{1,3}(ms|s|m|h)", "(?s).{0,300}"],
            0..12,
        ),
    ) {
        let pairs: Vec<(&str, &str)> = given.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let all = labels(&pairs);
        let Some(revp) = Revp::from_labels(&all) else {
            prop_assert!(all.is_empty());
            return Ok(());
        };
        let understood = fields(&revp);
        for (key, value) in &pairs {
            let label = format!("{PREFIX}{key}");
            let listed = revp.errors.iter().filter(|error| error.label == label && error.value.is_some()).count();
            let kept = usize::from(revp.additional.get(*key).map(String::as_str) == Some(*value));
            prop_assert_eq!(listed + kept + usize::from(understood.contains(key)), 1, "{}", label);
        }
        let missing = revp.errors.iter().any(|error| error.value.is_none());
        prop_assert_eq!(missing, !given.contains_key("domain"));
        prop_assert_eq!(understood.len() + revp.additional.len() + revp.errors.len() - usize::from(missing), pairs.len());
        let json = serde_json::to_string(&revp).unwrap();
        prop_assert_eq!(serde_json::from_str::<Revp>(&json).unwrap(), revp);
    }

    #[test]
    fn every_port_is_taken_and_no_other_number(number in 0u32..200_000) {
        let revp = parsed(&[("domain", "a.example"), ("backend-port", &number.to_string())]);
        prop_assert_eq!(revp.backend_port.map(u32::from), Some(number).filter(|number| (1..=65_535).contains(number)));
        prop_assert_eq!(revp.is_valid(), revp.backend_port.is_some());
    }

    #[test]
    fn durations_are_understood_in_milliseconds(hours in 0u64..100, minutes in 0u64..100, seconds in 0u64..100, millis in 1u64..1000) {
        let text = format!("{hours}h{minutes}m{seconds}s{millis}ms");
        let revp = parsed(&[("domain", "a.example"), ("health-check.interval", &text)]);
        let expected = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
        prop_assert_eq!(revp.health_check.unwrap().interval_ms, Some(expected));
    }
}
