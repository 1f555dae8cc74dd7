//! Promises about containers.

use std::collections::BTreeSet;

use model::{Revp, Rows};
use serde_json::json;

use super::Subject;
use super::fixtures::{container, id, seconds, start};
use crate::{ContainerFilter, LabelMatch, Page, RevpFilter, Selector, StoreError};

fn page(limit: usize) -> Page {
    Page { limit, cursor: None }
}

async fn names(subject: &Subject, filter: ContainerFilter) -> Vec<String> {
    let listed = subject.store.containers(&filter, &page(100)).await.unwrap();
    assert_eq!(listed.next_cursor, None);
    listed.data.into_iter().map(|record| record.container_name).collect()
}

pub(crate) async fn a_container_comes_back_as_it_was_stored(mut subject: Subject) {
    let full = container(
        "a",
        1,
        "web",
        json!({
            "image_id": "sha256:1", "compose_project": "shop", "compose_service": "web", "status": "Up 3 hours",
            "pid": 4711, "exit_code": -1, "exit_cause": "failed (exit code -1)", "oom_killed": true, "error": "no", "created_at": start(),
            "started_at": seconds(1), "finished_at": seconds(2),
            "health": { "status": "unhealthy", "failing_streak": 3, "last_output": "connection refused\n" },
            "labels": { "team": "blue", "a \"quote\"": "ü\n" },
            "ports": [{ "container_port": 80, "protocol": "tcp", "host_ip": "0.0.0.0", "host_port": 8080 }],
            "networks": [{ "name": "bridge", "ip_address": "172.17.0.2" }],
            "mounts": [{ "kind": "bind", "source": "/srv", "destination": "/data", "writable": false }],
            "network_scope": format!("shared:{}", id(2)), "restart_policy": "always", "restart_count": 7,
            "cpu_limit_cores": 0.5, "memory_limit_bytes": 1_u64 << 40, "pids_limit": 100,
            "image_digest": "sha256:2", "environment": { "TIER": "front", "TOKEN": null }, "cpu_shares": 512,
            "cpuset_cpus": "0-1", "memory_reservation_bytes": 7, "memory_swap_limit_bytes": 8,
            "revp": revp(&[("domain", "a.example"), ("backend-port", "x"), ("note", "ü")]),
        }),
    );
    let bare = container("a", 2, "bare", json!({}));
    subject.stored(Rows::Containers(vec![full.clone(), bare.clone()].into())).await;
    assert_eq!(subject.store.container(&Selector::new("web")).await.unwrap(), full);
    assert_eq!(subject.store.container(&Selector::new("bare")).await.unwrap(), bare);
}

pub(crate) async fn containers_are_paged_by_name_without_repetition_or_gap(mut subject: Subject) {
    let mut expected = Vec::new();
    let mut rows = Vec::new();
    for number in 0..25 {
        // The same names on two hosts.
        let host = if number % 2 == 0 { "a" } else { "b" };
        let name = format!("name-{:02}", number / 2);
        expected.push((name.clone(), host.to_owned()));
        rows.push(container(host, number, &name, json!({})));
    }
    subject.stored(Rows::Containers(rows.into())).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = Page { limit: 7, cursor };
        let listed = subject.store.containers(&ContainerFilter::default(), &page).await.unwrap();
        assert!(listed.data.len() <= 7);
        seen.extend(listed.data.into_iter().map(|record| (record.container_name, record.host.to_string())));
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

fn revp(labels: &[(&str, &str)]) -> Option<Revp> {
    let labels = labels.iter().map(|(key, value)| (format!("snadboy.revp.{key}"), (*value).to_owned()));
    Revp::from_labels(&labels.collect())
}

pub(crate) async fn a_filter_takes_what_it_names_and_nothing_else(mut subject: Subject) {
    subject
        .stored(Rows::Containers(
            vec![
                container(
                    "a",
                    1,
                    "Web-1",
                    json!({ "labels": { "team": "blue", "tier": "" }, "revp": revp(&[("backend-port", "x")]) }),
                ),
                container(
                    "b",
                    2,
                    "db",
                    json!({
                        "image": "postgres:17", "state": "exited", "compose_project": "shop", "image_id": "sha256:aa",
                    }),
                ),
                container(
                    "b",
                    3,
                    "cache",
                    json!({
                        "labels": { "team": "red" }, "health": { "status": "healthy", "failing_streak": 0 },
                        "revp": revp(&[("domain", "cache.example")]),
                    }),
                ),
            ]
            .into(),
        ))
        .await;
    let all = ContainerFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let label = |text: &str| vec![text.parse::<LabelMatch>().unwrap()];
    let cases: Vec<(&str, ContainerFilter, &[&str])> = vec![
        ("host", ContainerFilter { host: text("b"), ..all() }, &["cache", "db"]),
        ("state", ContainerFilter { states: vec!["exited".parse().unwrap()], ..all() }, &["db"]),
        ("part of a name in any case", ContainerFilter { name: text("wEB"), ..all() }, &["Web-1"]),
        ("part of an image", ContainerFilter { image: text("postgres"), ..all() }, &["db"]),
        ("project", ContainerFilter { project: text("shop"), ..all() }, &["db"]),
        ("part of a project", ContainerFilter { project: text("sho"), ..all() }, &[]),
        ("label", ContainerFilter { labels: label("team"), ..all() }, &["Web-1", "cache"]),
        ("label and value", ContainerFilter { labels: label("team=red"), ..all() }, &["cache"]),
        ("label with an empty value", ContainerFilter { labels: label("tier="), ..all() }, &["Web-1"]),
        ("two labels", ContainerFilter { labels: [label("team=blue"), label("tier")].concat(), ..all() }, &["Web-1"]),
        ("health", ContainerFilter { health: text("healthy"), ..all() }, &["cache"]),
        ("no health check", ContainerFilter { health: text("none"), ..all() }, &["Web-1", "db"]),
        ("image id", ContainerFilter { image: text("sha256:aa"), ..all() }, &["db"]),
        ("image id alone", ContainerFilter { image_id: text("sha256:aa"), ..all() }, &["db"]),
        ("with a reverse proxy", ContainerFilter { revp: Some(RevpFilter::With), ..all() }, &["Web-1", "cache"]),
        ("without one", ContainerFilter { revp: Some(RevpFilter::Without), ..all() }, &["db"]),
        ("one that is right", ContainerFilter { revp: Some(RevpFilter::Valid), ..all() }, &["cache"]),
        ("one that is wrong", ContainerFilter { revp: Some(RevpFilter::Invalid), ..all() }, &["Web-1"]),
        ("its domain", ContainerFilter { domain: text("Cache.Example"), ..all() }, &["cache"]),
        ("two at once", ContainerFilter { host: text("b"), labels: label("team"), ..all() }, &["cache"]),
        ("a name with wildcards of SQL", ContainerFilter { name: text("%"), ..all() }, &[]),
    ];
    for (what, filter, expected) in cases {
        assert_eq!(names(&subject, filter).await, expected, "{what}");
    }
}

pub(crate) async fn removed_containers_are_listed_only_when_asked_for(mut subject: Subject) {
    let rows = vec![container("a", 1, "there", json!({})), container("a", 2, "gone", json!({ "state": "removed" }))];
    subject.stored(Rows::Containers(rows.into())).await;
    assert_eq!(names(&subject, ContainerFilter::default()).await, ["there"]);
    let removed = ContainerFilter { states: vec!["removed".parse().unwrap()], ..ContainerFilter::default() };
    assert_eq!(names(&subject, removed).await, ["gone"]);
}

pub(crate) async fn a_container_is_found_by_id_prefix_and_name(mut subject: Subject) {
    subject.stored(Rows::Containers(vec![container("a", 0xabc, "web", json!({}))].into())).await;
    let full = id(0xabc).to_string();
    for text in [&full, &full[..12], &full[..40], "web", "/web"] {
        let found = subject.store.container(&Selector::new(text)).await.unwrap();
        assert_eq!(found.container_id, id(0xabc), "{text}");
    }
    for text in [&full[..11], "we", "WEB", "", "ffffffffffff", id(1).as_str()] {
        let error = subject.store.container(&Selector::new(text)).await.unwrap_err();
        assert_eq!(error, StoreError::NotFound(text.to_owned()));
    }
}

pub(crate) async fn an_ambiguous_name_tells_its_candidates_and_the_host_decides(mut subject: Subject) {
    let rows = vec![container("a", 1, "web", json!({})), container("b", 2, "web", json!({ "state": "exited" }))];
    subject.stored(Rows::Containers(rows.into())).await;
    // The prefix is that of both ids.
    for text in ["web", &id(1).to_string()[..12]] {
        let error = subject.store.container(&Selector::new(text)).await.unwrap_err();
        let StoreError::Ambiguous(candidates) = error else { panic!("{error}") };
        let hosts: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.host.as_str()).collect();
        assert_eq!(hosts, BTreeSet::from(["a", "b"]));
        let selector = Selector { text: text.into(), host: Some("b".into()) };
        assert_eq!(subject.store.container(&selector).await.unwrap().container_id, id(2));
    }
}

pub(crate) async fn a_name_that_was_given_again_means_the_container_that_is_there(mut subject: Subject) {
    let removed =
        |number: u64| container("a", number, "web", json!({ "state": "removed", "observed_at": seconds(number) }));
    subject.stored(Rows::Containers(vec![removed(3), removed(2), removed(1)].into())).await;
    let found = subject.store.container(&Selector::new("web")).await.unwrap();
    assert_eq!(found.container_id, id(3), "the last one removed");
    subject.stored(Rows::Containers(vec![container("a", 9, "web", json!({}))].into())).await;
    assert_eq!(subject.store.container(&Selector::new("web")).await.unwrap().container_id, id(9));
    let old = subject.store.container(&Selector::new(id(2).to_string())).await.unwrap();
    assert_eq!(old.container_id, id(2), "an id means what it says");
}

pub(crate) async fn what_a_person_types_is_never_read_as_sql(mut subject: Subject) {
    let nasty = "x' OR '1'='1";
    subject.stored(Rows::Containers(vec![container("a", 1, "web", json!({}))].into())).await;
    let filter = ContainerFilter {
        name: Some(nasty.into()),
        labels: vec![LabelMatch { key: nasty.into(), value: Some(nasty.into()) }],
        health: Some(nasty.into()),
        ..ContainerFilter::default()
    };
    assert_eq!(names(&subject, filter).await, Vec::<String>::new());
    let error = subject.store.container(&Selector::new(nasty)).await.unwrap_err();
    assert_eq!(error, StoreError::NotFound(nasty.into()));
}

pub(crate) async fn a_name_is_found_whatever_characters_it_has(mut subject: Subject) {
    let odd = [
        "back\\slash",
        "quo'te",
        "do\"uble",
        "tab\tand\nline",
        "{p0:String}",
        "per%cent",
        "?",
        "\\N",
        "ü\u{1f980}",
        "back`tick",
        "\\'",
    ];
    let rows: Vec<_> = (0..)
        .zip(odd)
        .map(|(number, name)| container("a", number, name, json!({ "labels": { name: name } })))
        .collect();
    subject.stored(Rows::Containers(rows.into())).await;
    for name in odd {
        let found = subject.store.container(&Selector::new(name)).await;
        assert_eq!(found.map(|found| found.container_name), Ok(name.to_owned()));
        let labels = vec![LabelMatch { key: name.into(), value: Some(name.into()) }];
        assert_eq!(names(&subject, ContainerFilter { labels, ..ContainerFilter::default() }).await, [name]);
    }
}

pub(crate) async fn a_cursor_of_another_list_is_refused(mut subject: Subject) {
    let rows: Vec<_> = (0..3).map(|number| container("a", number, &format!("web-{number}"), json!({}))).collect();
    subject.stored(Rows::Containers(rows.into())).await;
    let listed = subject.store.containers(&ContainerFilter::default(), &page(1)).await.unwrap();
    let stolen = Page { limit: 1, cursor: listed.next_cursor };
    assert_eq!(subject.store.events(&crate::EventFilter::default(), &stolen).await, Err(StoreError::BadCursor));
    let made_up = Page { limit: 1, cursor: Some("AAAA".into()) };
    let refused = subject.store.containers(&ContainerFilter::default(), &made_up).await;
    assert_eq!(refused, Err(StoreError::BadCursor));
}
