//! The document and the tests say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_promise_names_a_test_and_every_test_is_a_promise() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../../docs/runtime-semantics.md")).unwrap();
    let named: BTreeSet<String> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 2 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .map(str::to_owned)
        .collect();
    let mut sources: Vec<_> =
        fs::read_dir(here.join("tests/promises")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.push(here.join("src/policy.rs"));
    let mut tests = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(source).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let functions = lines.windows(2).filter(|pair| pair[0] == "#[test]").map(|pair| pair[1]);
        tests.extend(functions.filter_map(|line| Some(line.strip_prefix("fn ")?.split_once('(')?.0.to_owned())));
    }
    let unknown: Vec<_> = named.difference(&tests).collect();
    assert!(unknown.is_empty(), "the page names tests that do not exist: {unknown:#?}");
    let unsaid: Vec<_> = tests.difference(&named).collect();
    assert!(unsaid.is_empty(), "the page does not speak of these promises: {unsaid:#?}");
}
