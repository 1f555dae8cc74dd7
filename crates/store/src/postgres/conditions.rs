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

    /// A part of a text, in any case of the letters of ASCII.
    pub(super) fn add_part(&mut self, column: &str, value: Option<&String>) {
        self.add_text(&format!("strpos({}, {}) > 0", lower(column), lower("?")), value);
    }

    /// Bounds of a time, the second exclusive. What lies beyond its microseconds is in `nanos`.
    pub(super) fn add_range(&mut self, column: &str, nanos: &str, from: Option<Timestamp>, to: Option<Timestamp>) {
        // The plain bound is what parts of the table are left out by.
        if let Some(from) = from {
            let (micros, beyond) = moment(from);
            self.add(&format!("{column} >= {micros} AND ({column} > {micros} OR {nanos} >= {beyond})"), []);
        }
        if let Some(to) = to {
            let (micros, beyond) = moment(to);
            self.add(&format!("{column} <= {micros} AND ({column} < {micros} OR {nanos} < {beyond})"), []);
        }
    }

    /// All of `labels` are in the column of that name.
    pub(super) fn add_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let sql = self.label("labels", label);
            self.sql.push(format!("({sql})"));
        }
    }

    /// All of `labels` are on the event, or on the container it is about.
    pub(super) fn add_container_labels(&mut self, labels: &[LabelMatch]) {
        for label in labels {
            let (own, of_container) = (self.label("there.labels", label), self.label("known.labels", label));
            self.sql.push(format!(
                "(({own}) OR EXISTS (SELECT 1 FROM containers AS known
                     WHERE known.host = there.host AND known.container_id = there.container_id AND {of_container}))"
            ));
        }
    }

    fn label(&mut self, column: &str, label: &LabelMatch) -> String {
        match &label.value {
            None => self.bound(&format!("({column} -> ?) IS NOT NULL"), &[&label.key]),
            Some(value) => self.bound(&format!("({column} ->> ?) = ?"), &[&label.key, value]),
        }
    }

    fn bound(&mut self, sql: &str, values: &[&str]) -> String {
        let mut pieces = sql.split('?');
        let mut bound = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            // No text here holds a NUL, so none that was stored does.
            self.values.push(value.replace('\0', "\u{2400}"));
            bound.push_str(&format!("${}::text{piece}", self.values.len()));
        }
        bound
    }

    pub(super) fn clause(&self) -> String {
        if self.sql.is_empty() { "true".into() } else { self.sql.join(" AND ") }
    }

    pub(super) fn values(self) -> Vec<String> {
        self.values
    }
}

/// With the letters of ASCII small, and all others as they are.
pub(super) fn lower(text: &str) -> String {
    format!("lower({text} COLLATE \"C\")")
}

/// A time as SQL, down to the microsecond, and the nanoseconds beyond.
pub(super) fn moment(time: Timestamp) -> (String, i64) {
    let beyond = time.as_nanos().rem_euclid(1_000);
    let text = time.to_string();
    (format!("timestamptz '{}+00'", &text[..26]), beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_never_part_of_the_statement() {
        let mut conditions = Conditions::default();
        conditions.add("a = ? OR b = ?", ["x' OR 1=1 --", "$1"]);
        conditions.add_labels(&["k?=v".parse().unwrap()]);
        assert_eq!(conditions.clause(), "(a = $1::text OR b = $2::text) AND ((labels ->> $3::text) = $4::text)");
        assert_eq!(conditions.values(), ["x' OR 1=1 --", "$1", "k?", "v"]);
    }

    #[test]
    fn a_moment_is_told_in_full_at_the_ends_of_time_too() {
        let told = |nanos| moment(Timestamp::from_nanos(nanos));
        assert_eq!(told(1_999), ("timestamptz '1970-01-01T00:00:00.000001+00'".into(), 999));
        assert_eq!(told(-1), ("timestamptz '1969-12-31T23:59:59.999999+00'".into(), 999));
        assert_eq!(told(i64::MIN).0, "timestamptz '1677-09-21T00:12:43.145224+00'");
        assert_eq!(told(i64::MAX).0, "timestamptz '2262-04-11T23:47:16.854775+00'");
    }
}
