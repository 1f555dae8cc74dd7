//! `docs/operations.md` names every metric there is, and none that is not.

use std::collections::BTreeSet;
use std::fs;

/// The names that follow these words in a source, where a metric is made.
fn named<'a>(source: &'a str, makers: &[&'a str]) -> Vec<&'a str> {
    let calls = makers.iter().flat_map(|maker| source.split(maker).skip(1));
    calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

fn made() -> BTreeSet<String> {
    let pipeline = named(include_str!("../../src/metrics.rs"), &["counter(", "gauge(", "seconds(", "histogram("]);
    let cache = named(include_str!("../../../../src/telemetry/cache.rs"), &["opts("]);
    assert!(pipeline.len() > 40 && cache.len() == 4, "{pipeline:?} {cache:?}");
    let of_cache = cache.into_iter().map(|name| format!("dockstream_cache_{name}_total"));
    pipeline.into_iter().map(|name| format!("dockstream_{name}")).chain(of_cache).collect()
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
    let missing: Vec<_> = made.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&made).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not on the page: {missing:?}; not there: {invented:?}");
}
