//! Promises about events.

use model::Rows;
use serde_json::json;

use super::Subject;
use super::fixtures::{container, event, id, seconds};
use crate::{EventFilter, Page};

pub(crate) async fn an_event_comes_back_as_it_was_stored(mut subject: Subject) {
    let full = event(
        1,
        "die",
        json!({
            "argument": "x", "actor_name": "web", "container_id": id(1), "container_name": "web",
            "image": "nginx", "compose_project": "shop", "compose_service": "web", "exit_code": 137,
            "exit_cause": "killed (SIGKILL)", "signal": "SIGKILL", "synthetic": true,
            "attributes": { "exitCode": "137" }, "labels": { "team": "blue" },
        }),
    );
    let bare = event(0, "create", json!({ "type": "network", "actor_id": "net" }));
    subject.stored(Rows::Events(vec![bare.clone(), full.clone()].into())).await;
    let listed = subject.store.events(&EventFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(listed.data, [full, bare]);
    assert_eq!(listed.next_cursor, None);
}

pub(crate) async fn events_are_paged_from_the_newest_without_repetition_or_gap(mut subject: Subject) {
    // Three events at each moment, so that pages end between equal times.
    let rows: Vec<_> =
        (0..24).map(|number| event(number / 3, "start", json!({ "actor_id": format!("{number:02}") }))).collect();
    subject.stored(Rows::Events(rows.into())).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = Page { limit: 5, cursor };
        let listed = subject.store.events(&EventFilter::default(), &page).await.unwrap();
        seen.extend(listed.data);
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp));
    let mut actors: Vec<String> = seen.into_iter().map(|event| event.actor_id).collect();
    actors.sort();
    assert_eq!(actors, (0..24).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

pub(crate) async fn events_are_filtered_by_what_they_are_and_when(mut subject: Subject) {
    let web = |second, action: &str| event(second, action, json!({ "container_id": id(1), "container_name": "web" }));
    let rows = vec![
        web(1, "start"),
        web(2, "die"),
        event(
            3,
            "start",
            json!({ "host": "b", "actor_id": id(2), "container_id": id(2), "container_name": "db", "labels": { "tier": "back" } }),
        ),
        event(4, "pull", json!({ "type": "image", "actor_id": "nginx" })),
    ];
    subject.stored(Rows::Events(rows.into())).await;
    let labelled = json!({ "labels": { "team": "blue" }, "state": "removed" });
    subject.stored(Rows::Containers(vec![container("a", 1, "web", labelled)].into())).await;
    let label = |text: &str| vec![text.parse().unwrap()];
    let all = EventFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases: Vec<(&str, EventFilter, &[u64])> = vec![
        ("host", EventFilter { host: text("b"), ..all() }, &[3]),
        ("type", EventFilter { kind: text("image"), ..all() }, &[4]),
        ("action", EventFilter { action: text("start"), ..all() }, &[3, 1]),
        ("name", EventFilter { container: text("web"), ..all() }, &[2, 1]),
        ("prefix", EventFilter { container: text(&id(2).to_string()[..20]), ..all() }, &[3]),
        ("label", EventFilter { labels: label("team"), ..all() }, &[2, 1]),
        ("label of the event", EventFilter { labels: label("tier=back"), ..all() }, &[3]),
        ("another value", EventFilter { labels: label("team=green"), ..all() }, &[]),
        ("from", EventFilter { from: Some(seconds(3)), ..all() }, &[4, 3]),
        ("to", EventFilter { to: Some(seconds(3)), ..all() }, &[2, 1]),
        ("all at once", EventFilter { container: text("web"), action: text("die"), host: text("a"), ..all() }, &[2]),
    ];
    for (what, filter, expected) in cases {
        let listed = subject.store.events(&filter, &Page::default()).await.unwrap();
        let times: Vec<_> = listed.data.iter().map(|event| event.timestamp).collect();
        assert_eq!(times, expected.iter().map(|second| seconds(*second)).collect::<Vec<_>>(), "{what}");
    }
}
