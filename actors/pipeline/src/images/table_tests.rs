//! Promises of the table.

use model::ContainerId;

use super::*;

const REPO: &str = "shop/api";

fn image(id: &str, tags: &[&str], digest: Option<&str>) -> EngineImage {
    EngineImage {
        image_id: format!("sha256:{id}"),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        digests: digest.map(|digest| format!("{REPO}@sha256:{digest}")).into_iter().collect(),
        created_at: None,
        size_bytes: Some(7),
        labels: BTreeMap::new(),
    }
}

fn look(table: &mut ImageTable, at: i64, images: Vec<EngineImage>) -> News {
    table.look(&"h".parse().unwrap(), images, Some(&Users::new()), Timestamp::from_nanos(at))
}

/// Versions as `change reference from->to digest->digest`, ids and digests without `sha256:`.
fn told(news: &News) -> Vec<String> {
    let short = |text: &Option<String>| text.as_ref().map_or("-".to_owned(), |text| text.replace("sha256:", ""));
    let line = |version: &ImageVersionRecord| {
        format!(
            "{} {} {}->{} {}->{}",
            version.change,
            version.reference.replace("sha256:", ""),
            short(&version.from_image_id),
            short(&version.to_image_id),
            short(&version.from_digest),
            short(&version.to_digest),
        )
    };
    news.versions.iter().map(line).collect()
}

#[test]
fn the_first_look_tells_every_image_and_no_change() {
    let mut table = ImageTable::default();
    let news = look(&mut table, 1, vec![image("a", &["shop/api:1"], None), image("b", &[], None)]);
    assert_eq!((news.records.len(), news.versions.len()), (2, 0));
    assert_eq!(look(&mut table, 2, vec![image("b", &[], None), image("a", &["shop/api:1"], None)]), News::default());
}

#[test]
fn a_tag_that_moves_is_one_version_from_one_image_to_the_other() {
    let mut table = ImageTable::default();
    look(&mut table, 1, vec![image("a", &["shop/api:1"], Some("d1"))]);
    let news = look(&mut table, 2, vec![image("a", &[], Some("d1")), image("b", &["shop/api:1"], Some("d2"))]);
    assert_eq!(told(&news), ["image_added b -->b -->-", "tag_moved shop/api:1 a->b d1->d2"]);
    assert_eq!(news.records.len(), 2);
}

#[test]
fn tags_come_and_go() {
    let mut table = ImageTable::default();
    look(&mut table, 1, vec![image("a", &["shop/api:1"], None)]);
    let news = look(&mut table, 2, vec![image("a", &["shop/api:1", "shop/api:2"], None)]);
    assert_eq!(told(&news), ["tag_added shop/api:2 -->a -->-"]);
    let news = look(&mut table, 3, vec![image("a", &["shop/api:2"], None)]);
    assert_eq!(told(&news), ["tag_removed shop/api:1 a->- -->-"]);
}

#[test]
fn a_digest_that_changes_is_a_version_of_its_repository() {
    let mut table = ImageTable::default();
    look(&mut table, 1, vec![image("a", &["shop/api:1"], None)]);
    let news = look(&mut table, 2, vec![image("a", &["shop/api:1"], Some("d1"))]);
    assert_eq!(told(&news), ["digest_changed shop/api a->a -->d1"]);
    let news = look(&mut table, 3, vec![image("a", &["shop/api:1"], Some("d2"))]);
    assert_eq!(told(&news), ["digest_changed shop/api a->a d1->d2"]);
}

#[test]
fn an_image_that_is_gone_is_told_as_removed_with_its_tags() {
    let mut table = ImageTable::default();
    look(&mut table, 1, vec![image("a", &["shop/api:1"], Some("d1")), image("b", &[], None)]);
    let news = look(&mut table, 2, vec![image("b", &[], None)]);
    assert_eq!(told(&news), ["tag_removed shop/api:1 a->- d1->-", "image_removed a a->- -->-"]);
    let [record] = &news.records[..] else { panic!("{news:?}") };
    assert_eq!((record.image_id.as_str(), record.state), ("sha256:a", ImageState::Removed));
    assert_eq!((record.tags.len(), record.used_by.as_deref()), (1, Some(&[][..])));
    assert_eq!(table.records().count(), 1);
}

#[test]
fn no_two_versions_of_a_host_have_the_same_time_even_where_the_clock_goes_back() {
    let mut table = ImageTable::default();
    look(&mut table, 100, vec![]);
    let first = look(&mut table, 100, vec![image("a", &["x:1", "x:2"], None)]);
    let second = look(&mut table, 50, vec![]);
    let times: Vec<i64> =
        first.versions.iter().chain(&second.versions).map(|version| version.observed_at.as_nanos()).collect();
    assert_eq!(times, [100, 101, 102, 103, 104, 105]);
}

#[test]
fn what_was_not_handed_on_is_shown_again() {
    let mut table = ImageTable::default();
    look(&mut table, 1, vec![image("a", &[], None)]);
    let record = table.records().next().unwrap().clone();
    table.not_sent(record);
    assert_eq!(look(&mut table, 2, vec![image("a", &[], None)]).records.len(), 1);
    assert_eq!(look(&mut table, 3, vec![image("a", &[], None)]).records.len(), 0);
    let gone = look(&mut table, 4, vec![]).records;
    table.not_sent(gone[0].clone());
    assert_eq!(look(&mut table, 5, vec![]), News { records: gone.clone(), versions: vec![] });
    table.not_sent(gone[0].clone());
    let back = look(&mut table, 6, vec![image("a", &[], None)]).records;
    assert_eq!((back.len(), back[0].state), (1, ImageState::Present), "and it is there again");
}

#[test]
fn what_changed_while_nobody_looked_is_told_by_the_first_look_of_the_next_life() {
    let mut before = ImageTable::default();
    look(&mut before, 1, vec![image("a", &["shop/api:1"], Some("d1")), image("b", &["other:1"], None)]);
    let mut table = ImageTable::resuming(Some(before.records().cloned().collect()));
    let news = look(&mut table, 2, vec![image("b", &["other:1"], None), image("c", &["shop/api:1"], None)]);
    let expected = ["image_added c -->c -->-", "tag_moved shop/api:1 a->c d1->-", "image_removed a a->- -->-"];
    assert_eq!(told(&news), expected);
    let records: Vec<_> = news.records.iter().map(|record| (record.image_id.as_str(), record.state)).collect();
    let expected =
        [("sha256:a", ImageState::Removed), ("sha256:b", ImageState::Present), ("sha256:c", ImageState::Present)];
    assert_eq!(records, expected, "all are told anew");
    assert_eq!(told(&look(&mut ImageTable::resuming(None), 3, vec![image("a", &["x:1"], None)])).len(), 0);
}

#[test]
fn the_users_of_an_image_are_unknown_until_all_containers_are_known() {
    let (mut table, host) = (ImageTable::default(), "h".parse().unwrap());
    let found = table.look(&host, vec![image("a", &[], None)], None, Timestamp::from_nanos(1));
    assert_eq!(found.records[0].used_by, None);
    let container: ContainerId = "c".repeat(64).parse().unwrap();
    let users = Users::from([("sha256:a".to_owned(), vec![container.clone()])]);
    let changed = table.recount(&users, Timestamp::from_nanos(2));
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].used_by.as_deref(), Some(&[container][..]));
    assert_eq!(table.recount(&users, Timestamp::from_nanos(3)), []);
    assert_eq!(table.recount(&Users::new(), Timestamp::from_nanos(4))[0].used_by.as_deref(), Some(&[][..]));
}
