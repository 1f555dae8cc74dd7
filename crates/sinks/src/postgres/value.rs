//! Values as PostgreSQL takes them, in its binary form.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut, BytesMut};
use model::Timestamp;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// Down to the microsecond: the rest is in `nanos`.
    Time(Timestamp),
    Json(String),
    Texts(Vec<Cow<'a, str>>),
}

/// What stands for a NUL character, which no text of PostgreSQL holds.
const NUL: &str = "\u{2400}";

/// 2000-01-01, from which PostgreSQL counts, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(storable(text))
    }

    pub(super) fn word(text: Option<impl ToString>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(Cow::Owned(text.to_string())))
    }

    pub(super) fn maybe_text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// NULL beyond 2^63 - 1, which no integer of PostgreSQL holds.
    pub(super) fn count(value: Option<impl Into<u64>>) -> Self {
        value.and_then(|value| i64::try_from(value.into()).ok()).map_or(Self::Null, Self::Integer)
    }

    pub(super) fn integer(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Integer)
    }

    pub(super) fn float(value: Option<f64>) -> Self {
        value.map_or(Self::Null, Self::Float)
    }

    pub(super) fn bool(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    pub(super) fn time(value: Option<Timestamp>) -> Self {
        value.map_or(Self::Null, Self::Time)
    }

    pub(super) fn texts<T: AsRef<str>>(texts: &'a [T]) -> Self {
        Self::Texts(texts.iter().map(|text| storable(text.as_ref())).collect())
    }

    pub(super) fn json(value: &impl serde::Serialize) -> Self {
        let text = serde_json::to_string(value).expect("texts and numbers are JSON");
        Self::Json(storable_json(text))
    }

    /// What a time has beyond the microsecond.
    pub(super) fn nanos(time: Timestamp) -> Self {
        Self::Integer(time.as_nanos().rem_euclid(1_000))
    }

    /// The same of several times, three digits each, the first lowest.
    pub(super) fn more_nanos(times: &[Option<Timestamp>]) -> Self {
        let digits = |time: &Option<Timestamp>| time.map_or(0, |time| time.as_nanos().rem_euclid(1_000));
        Self::Integer(times.iter().rev().fold(0, |sum, time| sum * 1_000 + digits(time)))
    }
}

/// Microseconds since 1970, rounded down.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_nanos().div_euclid(1_000)
}

pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', NUL)) } else { Cow::Borrowed(text) }
}

/// The same of a JSON text, in which a NUL character is `\u0000`; `\\u0000` is not one.
pub(super) fn storable_json(json: String) -> String {
    if !json.contains("\\u0000") {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        // Behind a backslash stands a character of ASCII.
        let taken = if escape.starts_with("\\u0000") { 6 } else { 2.min(escape.len()) };
        out.push_str(if taken == 6 { NUL } else { &escape[..taken] });
        rest = &escape[taken..];
    }
    out.push_str(rest);
    out
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Integer(value) => match *ty {
                Type::INT2 => out.put_i16(i16::try_from(*value)?),
                Type::INT4 => out.put_i32(i32::try_from(*value)?),
                _ => out.put_i64(*value),
            },
            Self::Float(value) => out.put_f64(*value),
            Self::Bool(value) => out.put_u8(u8::from(*value)),
            Self::Time(time) => out.put_i64(micros(*time) - EPOCH),
            Self::Json(text) => {
                // The version of the binary form.
                out.put_u8(1);
                out.put_slice(text.as_bytes());
            }
            Self::Texts(texts) => {
                out.put_i32(i32::from(!texts.is_empty()));
                out.put_i32(0);
                out.put_u32(Type::TEXT.oid());
                if !texts.is_empty() {
                    out.put_i32(i32::try_from(texts.len())?);
                    out.put_i32(1);
                }
                for text in texts {
                    out.put_i32(i32::try_from(text.len())?);
                    out.put_slice(text.as_bytes());
                }
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // Which value goes into which column is said once, and compared with the database at the start.
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_character_is_shown_and_what_only_looks_like_one_stays() {
        assert_eq!(storable("a\0b"), "a␀b");
        assert_eq!(storable("ü"), "ü");
        let json = |text: &str| storable_json(serde_json::to_string(&[text]).unwrap());
        assert_eq!(json("a\0\0b"), r#"["a␀␀b"]"#);
        assert_eq!(json("a\\u0000"), r#"["a\\u0000"]"#);
        assert_eq!(json("\\\0\"\n"), r#"["\\␀\"\n"]"#);
    }

    #[test]
    fn no_nanosecond_is_lost_before_1970_either() {
        for nanos in [-1_i64, 0, 1, 999, 1_000, -1_000_001, i64::MIN, i64::MAX] {
            let time = Timestamp::from_nanos(nanos);
            let Value::Integer(beyond) = Value::nanos(time) else { panic!("a number") };
            assert_eq!(i128::from(micros(time)) * 1_000 + i128::from(beyond), i128::from(nanos));
        }
        let times = [Some(Timestamp::from_nanos(7)), None, Some(Timestamp::from_nanos(1_123))];
        assert_eq!(Value::more_nanos(&times), Value::Integer(123_000_007));
    }

    #[test]
    fn what_no_integer_holds_is_not_known() {
        assert_eq!(Value::count(Some(u64::MAX)), Value::Null);
        assert_eq!(Value::count(Some(u64::MAX / 2)), Value::Integer(i64::MAX));
    }
}
