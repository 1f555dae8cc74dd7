//! Promises about images.

use model::{ImageRecord, ImageVersionRecord, Rows};
use serde_json::{Value, json};

use super::Subject;
use super::fixtures::{id, merge, seconds};
use crate::{ImageFilter, Page, Selector, StoreError};

fn image_id(number: u64) -> String {
    format!("sha256:{}", id(number))
}

fn image(host: &str, number: u64, tags: &[&str], more: Value) -> ImageRecord {
    let mut record = json!({
        "host": host,
        "image_id": image_id(number),
        "state": "present",
        "tags": tags,
        "digests": [],
        "labels": {},
        "observed_at": seconds(0),
    });
    merge(&mut record, more);
    serde_json::from_value(record).unwrap()
}

fn version(second: u64, change: &str, reference: &str, from: Option<u64>, to: Option<u64>) -> ImageVersionRecord {
    let record = json!({
        "host": "a", "observed_at": seconds(second), "change": change, "reference": reference,
        "from_image_id": from.map(image_id), "to_image_id": to.map(image_id),
    });
    serde_json::from_value(record).unwrap()
}

/// The numbers of images.
fn numbers(records: &[ImageRecord]) -> Vec<u64> {
    let number = |record: &ImageRecord| (0..100).find(|number| image_id(*number) == record.image_id).unwrap();
    records.iter().map(number).collect()
}

pub(crate) async fn an_image_comes_back_as_it_was_stored(mut subject: Subject) {
    let full = json!({
        "digests": ["nginx@sha256:aa"], "created_at": seconds(1), "size_bytes": 187_000_000_u64,
        "labels": { "a": "b" }, "used_by": [id(1), id(2)],
    });
    let rows = [image("a", 1, &["nginx:1.29", "nginx:latest"], full), image("a", 2, &[], json!({}))];
    subject.stored(Rows::Images(rows.clone().into())).await;
    let listed = subject.store.images(&ImageFilter::default(), &Page::default()).await.unwrap();
    assert_eq!((listed.data, listed.next_cursor), (rows.to_vec(), None));
    assert_eq!(subject.store.image(&Selector::new(image_id(1))).await.unwrap(), rows[0]);
}

pub(crate) async fn images_are_paged_by_tag_without_repetition_or_gap(mut subject: Subject) {
    let tag = |number: u64| format!("t:{:02}", number / 2);
    let tagged =
        (0..16).map(|number| image(if number % 2 == 0 { "a" } else { "b" }, number, &[&tag(number)], json!({})));
    let dangling = (16..22).map(|number| image("a", number, &[], json!({})));
    subject.stored(Rows::Images(tagged.chain(dangling).collect())).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = subject.store.images(&ImageFilter::default(), &Page { limit: 5, cursor }).await.unwrap();
        seen.extend(numbers(&listed.data));
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..22).collect::<Vec<_>>());
    let other = Page { limit: 5, cursor: Some(crate::cursor::encode("containers", ("a", "b", "c"))) };
    assert_eq!(subject.store.images(&ImageFilter::default(), &other).await, Err(StoreError::BadCursor));
}

pub(crate) async fn an_image_filter_takes_what_it_names_and_nothing_else(mut subject: Subject) {
    let rows = vec![
        image("a", 1, &["nginx:1.29"], json!({ "used_by": [id(1)], "labels": { "tier": "front" } })),
        image("b", 2, &["shop/API:2", "shop/api:latest"], json!({ "used_by": [] })),
        image("a", 3, &[], json!({ "used_by": [] })),
        image("a", 4, &["redis:8"], json!({})),
        image("a", 5, &["redis:7"], json!({ "state": "removed" })),
    ];
    subject.stored(Rows::Images(rows.into())).await;
    let all = ImageFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let label = |text: &str| vec![text.parse().unwrap()];
    let removed = Some(model::ImageState::Removed);
    let cases: Vec<(&str, ImageFilter, &[u64])> = vec![
        ("nothing", all(), &[1, 4, 2, 3]),
        ("host", ImageFilter { host: text("b"), ..all() }, &[2]),
        ("tag", ImageFilter { tag: text("API"), ..all() }, &[2]),
        ("no pattern", ImageFilter { tag: text("%"), ..all() }, &[]),
        ("label", ImageFilter { labels: label("tier=front"), ..all() }, &[1]),
        ("used", ImageFilter { is_used: Some(true), ..all() }, &[1]),
        ("unused", ImageFilter { is_used: Some(false), ..all() }, &[2, 3]),
        ("dangling", ImageFilter { is_dangling: Some(true), ..all() }, &[3]),
        ("tagged", ImageFilter { is_dangling: Some(false), host: text("a"), ..all() }, &[1, 4]),
        ("removed", ImageFilter { state: removed, ..all() }, &[5]),
    ];
    for (what, filter, expected) in cases {
        let listed = subject.store.images(&filter, &Page::default()).await.unwrap();
        assert_eq!(numbers(&listed.data), expected, "{what}");
    }
}

pub(crate) async fn an_image_is_found_by_id_prefix_and_tag(mut subject: Subject) {
    let rows = vec![
        image("a", 1, &["nginx:1.29", "nginx:latest"], json!({})),
        image("b", 2, &["registry.example:5000/api:latest"], json!({})),
        image("b", 1, &["nginx:1.29"], json!({ "state": "removed" })),
        image("a", 3, &["redis:8"], json!({})),
        image("b", 3, &["redis:8"], json!({})),
    ];
    subject.stored(Rows::Images(rows.into())).await;
    let full = image_id(1);
    for text in [full.as_str(), &full[..30], &full[7..30], "nginx:1.29", "nginx", "nginx:latest"] {
        let found = subject.store.image(&Selector::new(text)).await.unwrap();
        assert_eq!((found.image_id, found.host.as_str()), (image_id(1), "a"), "{text}");
    }
    let found = subject.store.image(&Selector::new("registry.example:5000/api")).await.unwrap();
    assert_eq!(found.image_id, image_id(2));
    for text in ["redis:8", &image_id(3)] {
        let error = subject.store.image(&Selector::new(text)).await.unwrap_err();
        let StoreError::AmbiguousImage(candidates) = error else { panic!("{error}") };
        assert_eq!(candidates.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(), ["a", "b"], "{text}");
        let on_b = Selector { host: Some("b".into()), ..Selector::new(text) };
        assert_eq!(subject.store.image(&on_b).await.unwrap().host.as_str(), "b");
    }
    for text in ["nobody", "nginx:1", "sha256:", "sha256:12", "%", "' OR 1=1 --", ""] {
        let error = subject.store.image(&Selector::new(text)).await.unwrap_err();
        assert_eq!(error, StoreError::ImageNotFound(text.into()));
    }
    let gone = Selector { host: Some("b".into()), ..Selector::new("nginx:1.29") };
    assert_eq!(subject.store.image(&gone).await.unwrap().state, model::ImageState::Removed);
}

pub(crate) async fn the_history_of_an_image_and_of_a_tag_is_what_changed_of_it(mut subject: Subject) {
    let versions = vec![
        version(1, "image_added", &image_id(2), None, Some(2)),
        version(2, "tag_moved", "nginx:latest", Some(1), Some(2)),
        version(3, "tag_added", "nginx:1.29", None, Some(1)),
        version(4, "tag_moved", "nginx:latest", Some(2), Some(3)),
        version(5, "image_removed", &image_id(2), Some(2), None),
    ];
    subject.stored(Rows::ImageVersions(versions.clone().into())).await;
    subject.stored(Rows::Images(vec![image("a", 9, &["quiet:1"], json!({}))].into())).await;
    let history = async |text: &str, limit: usize, cursor: Option<String>| {
        let listed = subject.store.image_history(&Selector::new(text), &Page { limit, cursor }).await?;
        let seconds_of = |row: &ImageVersionRecord| (1..=5).find(|second| row.observed_at == seconds(*second)).unwrap();
        let found: Vec<u64> = listed.data.iter().map(seconds_of).collect();
        Ok::<_, StoreError>((found, listed.next_cursor))
    };
    assert_eq!(history(&image_id(2), 100, None).await.unwrap().0, [5, 4, 2, 1]);
    assert_eq!(history(&image_id(1)[7..27], 100, None).await.unwrap().0, [3, 2]);
    let (page, cursor) = history("nginx", 1, None).await.unwrap();
    assert_eq!(page, [4]);
    assert_eq!(history("nginx", 1, cursor).await.unwrap(), (vec![2], None));
    assert_eq!(history("nginx:1.29", 100, None).await.unwrap().0, [3]);
    assert_eq!(history("quiet:1", 100, None).await.unwrap().0, [0; 0]);
    assert_eq!(history("nobody:1", 100, None).await, Err(StoreError::ImageNotFound("nobody:1".into())));
    let elsewhere = Selector { host: Some("b".into()), ..Selector::new("nginx:1.29") };
    let error = subject.store.image_history(&elsewhere, &Page::default()).await.unwrap_err();
    assert_eq!(error, StoreError::ImageNotFound("nginx:1.29".into()));
    let all = subject.store.image_history(&Selector::new("nginx"), &Page::default()).await.unwrap();
    assert_eq!(all.data, [versions[3].clone(), versions[1].clone()]);
}
