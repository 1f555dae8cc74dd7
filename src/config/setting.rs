//! A value of one key: how it is read from TOML, from the text of a variable or flag, and written back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use model::{HostName, NodeName};
use toml::de::DeValue;

/// What a key can hold.
pub(crate) trait Setting: Sized {
    /// The type in the reference page.
    const WORD: &'static str;

    /// Reads the text of a variable or a flag. The error says what was expected and what was found.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a TOML value; where not said otherwise, a string.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(expected(Self::WORD, &found(other))),
        }
    }

    /// The value as TOML.
    fn print(&self) -> Printed;
}

/// A value on its way to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    /// TOML text.
    Value(String),
    /// There is none.
    Unset,
    /// A secret, or TOML text with one blotted out: may be shown, not read back.
    Hidden(String),
}

/// `expected a duration, such as "5s", found 5`.
pub(super) fn expected(what: &str, found: &str) -> String {
    let what = match what.split_once(", such as") {
        Some((word, example)) => format!("{} {word}, such as{example}", article(word)),
        None if what.starts_with('"') => what.to_owned(),
        None => format!("{} {what}", article(what)),
    };
    format!("expected {what}, found {found}")
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A TOML value for an error message: itself where it is short.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text as a TOML string, cut after 60 characters.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= 60 {
        return toml_string(text);
    }
    let cut: String = text.chars().take(60).collect();
    toml_string(&format!("{cut}…"))
}

/// Text as a TOML string, always on one line.
pub(super) fn toml_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A type whose text is what its `Display` and `FromStr` say.
macro_rules! text_setting {
    ($($type:ty: $word:literal),+ $(,)?) => {$(
        impl Setting for $type {
            const WORD: &'static str = $word;
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| expected(Self::WORD, &quoted(text)))
            }
            fn print(&self) -> Printed {
                Printed::Value(toml_string(&self.to_string()))
            }
        }
    )+};
}

text_setting! {
    SocketAddr: "address, such as \"127.0.0.1:8080\"",
    super::ByteSize: "size, such as \"4MiB\"",
}

/// An identifier of `model`: its own error says the rule.
macro_rules! id_setting {
    ($($type:ty: $word:literal),+ $(,)?) => {$(
        impl Setting for $type {
            const WORD: &'static str = $word;
            fn from_text(text: &str) -> Result<Self, String> {
                Self::from_str(text).map_err(|error| error.to_string())
            }
            fn print(&self) -> Printed {
                Printed::Value(toml_string(self.as_str()))
            }
        }
    )+};
}

id_setting! { HostName: "name", NodeName: "name" }

/// A whole number, written bare in TOML.
macro_rules! number_setting {
    ($($type:ty: $word:literal, from $min:literal),+ $(,)?) => {$(
        impl Setting for $type {
            const WORD: &'static str = $word;
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| whole_number($min, &<$type>::MAX, &quoted(text)))
            }
            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                match value {
                    DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| whole_number($min, &<$type>::MAX, &found(value)))
            }
            fn print(&self) -> Printed {
                Printed::Value(self.to_string())
            }
        }
    )+};
}

number_setting! {
    NonZeroU16: "number", from 1,
    NonZeroUsize: "number", from 1,
    usize: "number", from 0,
    u32: "number", from 0,
}

fn whole_number(min: u8, max: &dyn Display, found: &str) -> String {
    let max = max.to_string();
    // A bound of nineteen digits tells nobody anything.
    let range = if max.len() > 10 { format!("of at least {min}") } else { format!("from {min} to {max}") };
    format!("expected a whole number {range}, found {found}")
}

impl Setting for bool {
    const WORD: &'static str = "true or false";
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("expected true or false, found {}", quoted(text)))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", found(value)))
    }
    fn print(&self) -> Printed {
        Printed::Value(self.to_string())
    }
}

impl Setting for Duration {
    const WORD: &'static str = "duration, such as \"5s\"";
    fn from_text(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| expected(Self::WORD, &quoted(text)))
    }
    fn print(&self) -> Printed {
        Printed::Value(toml_string(&humantime::format_duration(*self).to_string()))
    }
}

impl Setting for String {
    const WORD: &'static str = "text";
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn print(&self) -> Printed {
        Printed::Value(toml_string(self))
    }
}

impl Setting for PathBuf {
    const WORD: &'static str = "path";
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path, found \"\"".to_owned()) } else { Ok(text.into()) }
    }
    fn print(&self) -> Printed {
        Printed::Value(toml_string(&self.to_string_lossy()))
    }
}

/// A key that may be absent.
impl<T: Setting> Setting for Option<T> {
    const WORD: &'static str = T::WORD;
    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        T::from_toml(value).map(Some)
    }
    fn print(&self) -> Printed {
        self.as_ref().map_or(Printed::Unset, T::print)
    }
}

/// A list: in TOML `["a", "b"]`, in a variable `a,b`.
impl Setting for Vec<String> {
    const WORD: &'static str = "list of texts";
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Array(items) = value else {
            return Err(expected(Self::WORD, &found(value)));
        };
        let text = |item: &DeValue<'_>| {
            item.as_str().map(str::to_owned).ok_or_else(|| expected(Self::WORD, &format!("{} in it", found(item))))
        };
        items.iter().map(|item| text(item.get_ref())).collect()
    }
    fn print(&self) -> Printed {
        let items: Vec<_> = self.iter().map(|item| toml_string(item)).collect();
        Printed::Value(format!("[{}]", items.join(", ")))
    }
}

/// Names and texts: in TOML `{ a = "1" }` or a section of its own, in a variable `a=1,b=2`.
/// A dotted key needs no quotes: `security.protocol = "SSL"` is one name. Numbers and truths are taken as text.
impl Setting for BTreeMap<String, String> {
    const WORD: &'static str = "table of texts";
    fn from_text(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .enumerate()
            // The pair itself may be half of a secret: it is not repeated.
            .map(|(index, pair)| {
                pair.split_once('=').ok_or_else(|| {
                    format!("expected name=value pairs with commas between, but pair {} has no =", index + 1)
                })
            })
            .map(|pair| pair.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
            .collect()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let mut flat = Self::new();
        match value {
            DeValue::Table(_) => flatten("", value, &mut flat).map(|()| flat),
            other => Err(expected(Self::WORD, &found(other))),
        }
    }
    fn print(&self) -> Printed {
        Printed::Value(print_pairs(self.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
    }
}

fn flatten(path: &str, value: &DeValue<'_>, flat: &mut BTreeMap<String, String>) -> Result<(), String> {
    let text = match value {
        DeValue::Table(table) => {
            return table.iter().try_for_each(|(name, value)| {
                let name = name.get_ref();
                let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                flatten(&path, value.get_ref(), flat)
            });
        }
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) => {
            return Err(format!("expected a text for `{path}`, found {}", found(value)));
        }
    };
    flat.insert(path.to_owned(), text);
    Ok(())
}

/// An inline table.
pub(super) fn print_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{} = {}", key(name), toml_string(value))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// A name as a TOML key: bare where it may be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { toml_string(name) }
}
