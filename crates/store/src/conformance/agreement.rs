//! Equal data gives equal answers, whichever store is asked.
//!
//! Another store joins with a line in [`subjects`].

use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::Subject;
use super::generated::{World, world};
use super::questions::answers;

/// An empty database of each kind.
async fn subjects() -> Vec<Subject> {
    vec![
        crate::sqlite::tests::subject().await,
        crate::sqlite::tests::packed_subject().await,
        crate::clickhouse::tests::subject().await,
        crate::postgres::tests::subject().await,
    ]
}

#[test]
fn equal_data_gives_equal_answers_from_every_store() {
    // Each case makes its databases anew.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 8, ..Config::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let compared = |world: World| {
        runtime.block_on(compare(&world));
        Ok(())
    };
    runner.run(&world(), compared).unwrap();
}

async fn compare(world: &World) {
    let mut subjects = subjects().await;
    for subject in &mut subjects {
        for rows in world.rows() {
            subject.stored(rows).await;
        }
    }
    let (first, others) = subjects.split_first().expect("there are stores");
    let expected = answers(first.store.as_ref(), world).await;
    for other in others {
        let found = answers(other.store.as_ref(), world).await;
        assert_eq!(found.len(), expected.len());
        for ((question, expected), (_, found)) in expected.iter().zip(&found) {
            let (one, other) = (first.store.source(), other.store.source());
            if let Some(difference) = difference(expected, found) {
                panic!("{question}: of {one} and {other} {difference}");
            }
        }
    }
}

/// Where two answers differ, unless it is in the last bits of a number that is a quotient or a sum of such.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let at = |place: String, found: Option<String>| found.map(|found| format!("{place}.{found}"));
    match (one, other) {
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => (0..)
            .zip(one.iter().zip(other))
            .find_map(|(index, (one, other)): (usize, _)| at(index.to_string(), difference(one, other))),
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().find_map(|(key, one)| at(key.clone(), difference(one, &other[key])))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            let (first, second) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let differ = (first - second).abs() > 1e-9 * first.abs().max(second.abs());
            differ.then(|| format!(" {one} and {other}"))
        }
        (one, other) => (one != other).then(|| format!(" {one} and {other}")),
    }
}

#[test]
fn only_what_was_divided_may_differ_and_by_little() {
    assert_eq!(difference(&json!({ "a": [1, 0.1] }), &json!({ "a": [1, 0.1 + 1e-12] })), None);
    assert_eq!(difference(&json!({ "a": [1, 2] }), &json!({ "a": [1, 3] })), Some("a.1. 2 and 3".into()));
    for (one, other) in [
        (json!(1.0), json!(1.001)),
        (json!(null), json!(0)),
        (json!([1]), json!([1, 1])),
        (json!({ "a": 1 }), json!({ "b": 1 })),
    ] {
        assert!(difference(&one, &other).is_some(), "{one} {other}");
    }
}
