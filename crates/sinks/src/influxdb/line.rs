//! Line protocol: `measurement,tag=value field=1i,other="text" 1700000000000000000`.
//!
//! Servers differ in what a backslash means in a tag (InfluxDB has no way to write one before a comma, VictoriaMetrics
//! reads two as one) and in whether a text may go on over the end of a line. Here a name is written only in ways that
//! all of them read alike, whatever is in it:
//!
//! - control characters are spaces, line ends among them;
//! - in a tag, a backslash that stands before a comma, an equals sign, a space, another backslash or the end is a slash.

use std::fmt::Write as _;

use model::Timestamp;

/// A point under way: tags first, then fields, then its time.
pub(super) struct Line<'a> {
    text: &'a mut String,
    /// What stands before the next field.
    before: char,
}

impl<'a> Line<'a> {
    /// Begins a point. `measurement` is a word of ours.
    pub(super) fn new(text: &'a mut String, measurement: &'static str) -> Self {
        text.push_str(measurement);
        Self { text, before: ' ' }
    }

    /// A tag; one without a value is none. Sorted by key, points are taken fastest.
    pub(super) fn tag(&mut self, key: &str, value: &str) {
        if key.is_empty() || value.is_empty() {
            return;
        }
        self.text.push(',');
        name(self.text, key);
        self.text.push('=');
        name(self.text, value);
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.key(key);
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' | '\\' => self.text.extend(['\\', character]),
                control if control.is_control() => self.text.push(' '),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    /// A whole number; one that 63 bits cannot hold is not known.
    pub(super) fn whole(&mut self, key: &'static str, value: Option<impl TryInto<i64>>) {
        let Some(value) = value.and_then(|value| value.try_into().ok()) else { return };
        self.key(key);
        write!(self.text, "{value}i").expect("a string takes what is written");
    }

    /// A number; what is none is not known.
    pub(super) fn float(&mut self, key: &'static str, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        self.key(key);
        write!(self.text, "{value}").expect("a string takes what is written");
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str, value: Option<bool>) {
        let Some(value) = value else { return };
        self.key(key);
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// A moment, as whole nanoseconds since 1970.
    pub(super) fn time(&mut self, key: &'static str, value: Option<Timestamp>) {
        self.whole(key, value.map(Timestamp::as_nanos));
    }

    /// Ends the point; it has a field by then.
    pub(super) fn at(self, time: Timestamp) {
        debug_assert_eq!(self.before, ',', "a point has a field");
        writeln!(self.text, " {}", time.as_nanos()).expect("a string takes what is written");
    }

    fn key(&mut self, key: &'static str) {
        self.text.push(self.before);
        self.before = ',';
        self.text.push_str(key);
        self.text.push('=');
    }
}

/// A tag's key or value.
fn name(to: &mut String, name: &str) {
    for character in cleaned(name) {
        if matches!(character, ',' | '=' | ' ') {
            to.push('\\');
        }
        to.push(character);
    }
}

/// What a server reads of a tag's key or value.
pub(super) fn cleaned(name: &str) -> impl Iterator<Item = char> {
    let mut characters = name.chars().peekable();
    std::iter::from_fn(move || {
        Some(match (characters.next()?, characters.peek()) {
            ('\\', None | Some(',' | '=' | ' ' | '\\')) => '/',
            ('\\', Some(next)) if next.is_control() => '/',
            (control, _) if control.is_control() => ' ',
            (other, _) => other,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(value: &str) -> String {
        let mut text = String::new();
        let mut line = Line::new(&mut text, "m");
        line.tag("k", value);
        line.flag("f", Some(true));
        line.at(Timestamp::from_nanos(5));
        text
    }

    #[test]
    fn a_name_is_written_so_that_every_server_reads_the_same() {
        for (value, expected) in [
            ("a", "m,k=a f=true 5\n"),
            ("", "m f=true 5\n"),
            ("a b,c=d", "m,k=a\\ b\\,c\\=d f=true 5\n"),
            ("DOMAIN\\user", "m,k=DOMAIN\\user f=true 5\n"),
            ("ends\\", "m,k=ends/ f=true 5\n"),
            ("\\,x=y f=1", "m,k=/\\,x\\=y\\ f\\=1 f=true 5\n"),
            ("a\\\\b", "m,k=a/\\b f=true 5\n"),
            ("two\nlines\r\0", "m,k=two\\ lines\\ \\  f=true 5\n"),
            ("\\\n", "m,k=/\\  f=true 5\n"),
            ("\"#ü", "m,k=\"#ü f=true 5\n"),
        ] {
            assert_eq!(tagged(value), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let mut text = String::new();
        let mut line = Line::new(&mut text, "m");
        line.whole("too_large", Some(u64::MAX));
        line.whole("none", None::<u64>);
        line.float("nan", Some(f64::NAN));
        line.float("infinite", Some(f64::INFINITY));
        line.text("unknown", None);
        line.flag("flag", None);
        line.time("time", None);
        line.float("zero", Some(0.0));
        line.whole("whole", Some(-1_i64));
        line.text("text", Some("say \"\\\"\nend"));
        line.at(Timestamp::from_nanos(-1));
        assert_eq!(text, "m zero=0,whole=-1i,text=\"say \\\"\\\\\\\" end\" -1\n");
    }
}
