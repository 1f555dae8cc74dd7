//! Environment variables: their names, and the values of those that a person named.

use std::collections::BTreeMap;

/// Name and value of each of `variables` (`NAME=value`); only values of names in `kept` are told.
pub(super) fn environment(variables: Vec<String>, kept: &[String]) -> BTreeMap<String, Option<String>> {
    let pair = |variable: String| {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value)),
            None => (variable.clone(), None),
        };
        let value = value.filter(|_| kept.contains(&name)).map(str::to_owned);
        (!name.is_empty()).then_some((name, value))
    };
    // As in the container: of two with one name, the later holds.
    variables.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_and_values_only_where_they_are_named() {
        let variables = ["TOKEN=s3cret", "TIER=front", "FLAG", "URL=a=b", "=odd", "TIER=back", "EMPTY="];
        let kept = ["TIER", "URL", "FLAG", "EMPTY", ""].map(str::to_owned);
        let told = environment(variables.map(str::to_owned).into(), &kept);
        let expected =
            [("EMPTY", Some("")), ("FLAG", None), ("TIER", Some("back")), ("TOKEN", None), ("URL", Some("a=b"))];
        assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).into());
    }
}
