//! `docs/operations.md` names every metric there is, and none that is not.

use std::collections::BTreeSet;
use std::fs;

/// What makes a metric, as the source writes it: its name follows.
const MAKERS: [&str; 4] = ["counter(", "gauge(", "seconds(", "histogram("];

fn made() -> BTreeSet<String> {
    let source = include_str!("../../src/metrics.rs");
    let calls = MAKERS.iter().flat_map(|maker| source.split(maker).skip(1));
    let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    names.map(|name| format!("dockstream_{name}")).collect()
}

fn documented() -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let text = fs::read_to_string(page).unwrap();
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("dockstream_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_on_the_page_and_every_metric_on_the_page_is_there() {
    let (made, documented) = (made(), documented());
    assert!(made.len() > 40, "{made:?}");
    let missing: Vec<_> = made.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&made).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not on the page: {missing:?}; not there: {invented:?}");
}
