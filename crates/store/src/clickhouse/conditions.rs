//! Conditions into SQL. Whatever a person typed travels beside the statement, as a parameter.

use model::Timestamp;

use crate::LabelMatch;

/// Conditions joined by AND, with the values of their parameters.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<String>,
}

impl Conditions {
    /// `sql` has a `?` for each of `values`, and none elsewhere.
    pub(super) fn add<const N: usize>(&mut self, sql: &str, values: [&str; N]) {
        let sql = self.bound(sql, &values);
        self.sql.push(format!("({sql})"));
    }

    pub(super) fn add_text(&mut self, sql: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(sql, [value]);
        }
    }

    /// Bounds of a time, the second exclusive.
    pub(super) fn add_range(&mut self, column: &str, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let Some(from) = from {
            self.add(&format!("{column} >= {}", moment(from)), []);
        }
        if let Some(to) = to {
            self.add(&format!("{column} < {}", moment(to)), []);
        }
    }

    /// All of `labels` are in the column of that name.
    pub(super) fn add_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let sql = self.label(label);
            self.sql.push(format!("({sql})"));
        }
    }

    /// All of `labels` are on the event, or on the container it is about.
    pub(super) fn add_container_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let (own, of_container) = (self.label(label), self.label(label));
            self.sql.push(format!(
                "(({own}) OR (host, container_id) GLOBAL IN
                     (SELECT host, container_id FROM containers FINAL WHERE {of_container}))"
            ));
        }
    }

    fn label(&mut self, label: &LabelMatch) -> String {
        match &label.value {
            None => self.bound("mapContains(labels, ?)", &[&label.key]),
            Some(value) => self.bound("mapContains(labels, ?) AND labels[?] = ?", &[&label.key, &label.key, value]),
        }
    }

    fn bound(&mut self, sql: &str, values: &[&str]) -> String {
        let mut pieces = sql.split('?');
        let mut bound = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            bound.push_str(&format!("{{p{}:String}}{piece}", self.values.len()));
            self.values.push((*value).to_owned());
        }
        bound
    }

    pub(super) fn clause(&self) -> String {
        if self.sql.is_empty() { "1".into() } else { self.sql.join(" AND ") }
    }

    /// The parameters with their names.
    pub(super) fn values(self) -> Vec<(String, String)> {
        self.values.into_iter().enumerate().map(|(number, value)| (format!("p{number}"), value)).collect()
    }
}

/// A time as SQL.
pub(super) fn moment(time: Timestamp) -> String {
    format!("fromUnixTimestamp64Nano(toInt64({}), 'UTC')", time.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_never_part_of_the_statement() {
        let mut conditions = Conditions::default();
        conditions.add("a = ? OR b = ?", ["x' OR 1=1 --", "{p0:String}"]);
        conditions.add_labels(&["k?=v".parse().unwrap()]);
        assert_eq!(
            conditions.clause(),
            "(a = {p0:String} OR b = {p1:String}) AND (mapContains(labels, {p2:String}) AND labels[{p3:String}] = {p4:String})"
        );
        let values: Vec<String> = conditions.values().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["x' OR 1=1 --", "{p0:String}", "k?", "k?", "v"]);
    }
}
