//! The one time type.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds since 1970-01-01T00:00:00Z. Text form: RFC 3339 UTC with nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time between 1678 and 2261.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time between 1678 and 2261")]
pub struct InvalidTimestamp(pub String);

impl Timestamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Days since the epoch, UTC: batches are split where it changes.
    pub const fn day(self) -> i64 {
        self.as_secs().div_euclid(86_400)
    }

    /// Time from `earlier` to `self`, in nanoseconds; negative where `self` is the earlier one.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time from `earlier` to `self`; zero where `self` is the earlier one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos_since(earlier)).unwrap_or(0))
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)),
        }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            jiff::Timestamp::from_nanosecond(i128::from(self.0)).expect("64-bit nanoseconds lie inside jiff's range");
        write!(f, "{time:.9}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
            .map(Self)
            .ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_every_nanosecond_through_its_text() {
        let time: Timestamp = "2026-11-20T12:40:51.425432018Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T12:40:51.425432018Z");
        assert_eq!(time.as_nanos() % 1_000_000_000, 425_432_018);
    }

    #[test]
    fn a_timestamp_without_decimals_is_written_with_nine() {
        let time: Timestamp = "2026-11-20T12:40:51Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T12:40:51.000000000Z");
    }

    #[test]
    fn an_offset_is_turned_into_utc() {
        let time: Timestamp = "2026-11-20T13:40:51+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T12:40:51.000000000Z");
    }

    #[test]
    fn a_text_that_is_no_time_is_named_in_the_error() {
        assert_eq!("soon".parse::<Timestamp>(), Err(InvalidTimestamp("soon".into())));
        assert!("0001-01-01T00:00:00Z".parse::<Timestamp>().is_err());
    }
}
