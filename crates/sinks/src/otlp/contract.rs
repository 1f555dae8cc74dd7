//! `docs/otlp.md` is what the code sends.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{cells, section};
use crate::fixtures::one_of_each;
use crate::otlp::encode::{logs, metrics};
use crate::otlp::read::{Point, points, records};

const PAGE: &str = include_str!("../../../../docs/otlp.md");

/// A name as the page tells it: what follows a prefix can be anything.
fn told(name: &str) -> String {
    let open = ["container.label.", "docker.event.attribute."];
    open.iter().find(|prefix| name.starts_with(**prefix)).map_or_else(|| name.to_owned(), |prefix| format!("{prefix}…"))
}

fn all_points() -> Vec<Point> {
    points(&metrics(&one_of_each(), &["team".to_owned()]).0)
}

#[test]
fn the_page_names_every_metric_with_its_kind_unit_attribute_and_meaning() {
    let mut sent: BTreeMap<String, (Vec<String>, BTreeSet<String>)> = BTreeMap::new();
    for point in all_points() {
        let of = sent.entry(point.metric).or_default();
        let words = point.attributes.iter().map(|(key, word)| format!("{key}={word}"));
        of.0 = vec![point.kind, point.unit, point.help];
        of.1.extend(words);
    }
    let mut page = BTreeMap::new();
    for heading in ["Metrics of samples", "Metrics of container states", "Metrics of hosts"] {
        for row in cells(section(PAGE, heading)) {
            let attribute = row[3].replace('`', "");
            let (key, words) = attribute.split_once(": ").unwrap_or_default();
            let words = words.split(", ").filter(|word| !word.is_empty()).map(|word| format!("{key}={word}")).collect();
            page.insert(row[0].clone(), (vec![row[1].clone(), row[2].clone(), row[4].clone()], words));
        }
    }
    assert_eq!(page, sent);
}

#[test]
fn the_page_names_every_attribute() {
    let records = records(&logs(&one_of_each()).0);
    let names = |all: &mut dyn Iterator<Item = &String>| all.map(|name| told(name)).collect::<BTreeSet<String>>();
    let column = |text: &str| cells(text).into_iter().map(|row| row[0].clone()).collect::<BTreeSet<String>>();
    let points = all_points();
    let mut of_points = points.iter().flat_map(|point| point.resource.keys());
    let mut of_records = records.iter().flat_map(|record| record.resource.keys());
    let mut resources = names(&mut of_points);
    resources.extend(names(&mut of_records));
    // No image of the fixtures is named by these.
    resources.extend(["container.image.repo_digests", "container.image.id"].map(str::to_owned));
    assert_eq!(column(section(PAGE, "Resource attributes")), resources);

    let mut attributes = names(&mut records.iter().flat_map(|record| record.attributes.keys()));
    // The fixtures' image has no digest any more.
    attributes.insert("dockstream.image.to.digest".into());
    let text = section(PAGE, "Log records");
    let (events, table) = text.split_once("\n| attribute |").unwrap();
    assert_eq!(column(table), attributes);
    let named: BTreeSet<&str> = records.iter().map(|record| record.event.as_str()).collect();
    assert_eq!(
        named,
        BTreeSet::from([
            "",
            "docker.container.die",
            "docker.network.create",
            "dockstream.image.tag_moved",
            "dockstream.loss"
        ])
    );
    assert_eq!(
        column(events),
        BTreeSet::from(["docker.…", "dockstream.image.…", "dockstream.loss"].map(str::to_owned))
    );
}
