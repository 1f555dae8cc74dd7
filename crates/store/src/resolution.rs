//! How fine a history is.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;
use serde::{Serialize, Serializer};

use crate::{HistoryQuery, MAX_POINTS, StoreError};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What the points of a history are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// The samples themselves.
    Raw,
    /// A point a minute.
    Minute,
    /// A point an hour.
    Hour,
    /// A point a day, UTC.
    Day,
}

impl Resolution {
    /// The word in queries and answers: `raw`, `1m`, `1h`, `1d`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// Length of one step; `None` for samples, which have the engine's pace.
    pub const fn step_ns(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(MINUTE),
            Self::Hour => Some(HOUR),
            Self::Day => Some(DAY),
        }
    }

    /// The resolution for a range of `length` nanoseconds.
    pub const fn for_range(length: i64) -> Self {
        if length <= HOUR {
            Self::Raw
        } else if length <= DAY {
            Self::Minute
        } else if length <= 30 * DAY {
            Self::Hour
        } else {
            Self::Day
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Resolution {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "1m" => Ok(Self::Minute),
            "1h" => Ok(Self::Hour),
            "1d" => Ok(Self::Day),
            other => Err(format!("`{other}` is not a resolution: raw, 1m, 1h or 1d")),
        }
    }
}

impl Serialize for Resolution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How a history query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the points are made from.
    pub resolution: Resolution,
    /// Points at most.
    pub max_points: usize,
    /// Length of a step: a whole multiple of the resolution, such that the range has at most `max_points`.
    /// For samples: the step that is used if there are more of them than `max_points`.
    pub step_ns: i64,
}

impl Plan {
    /// The plan for `query`.
    ///
    /// # Errors
    /// `BadQuery` where the range ends before it begins.
    pub fn new(query: &HistoryQuery) -> Result<Self, StoreError> {
        let length = query.to.nanos_since(query.from);
        if length <= 0 {
            return Err(StoreError::BadQuery("`to` must lie after `from`".into()));
        }
        let resolution = query.resolution.unwrap_or(Resolution::for_range(length));
        let max_points = query.max_points.clamp(2, MAX_POINTS);
        let unit = resolution.step_ns().unwrap_or(SECOND);
        // Steps are aligned to the epoch: a range that begins inside a step touches one step more.
        let first = query.from.as_nanos().div_euclid(unit);
        let last = (query.to.as_nanos() - 1).div_euclid(unit);
        let units = last - first + 1;
        let points = i64::try_from(max_points).unwrap_or(i64::MAX);
        let mut step_ns = unit.saturating_mul(div_ceil(units, points));
        if steps(query.from, query.to, step_ns) > points {
            // Alignment costs one step more: with room for it the bound holds.
            step_ns = unit.saturating_mul(div_ceil(units, points - 1));
        }
        Ok(Self { resolution, max_points, step_ns })
    }
}

/// `a / b` rounded up, for positive numbers.
fn div_ceil(a: i64, b: i64) -> i64 {
    a.div_euclid(b) + i64::from(a.rem_euclid(b) > 0)
}

/// Steps of length `step` that a range touches.
fn steps(from: Timestamp, to: Timestamp, step: i64) -> i64 {
    (to.as_nanos() - 1).div_euclid(step) - from.as_nanos().div_euclid(step) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(length: i64, resolution: Option<Resolution>, max_points: usize) -> Plan {
        let from = Timestamp::from_nanos(1_760_000_000 * SECOND + 17);
        let to = Timestamp::from_nanos(from.as_nanos() + length);
        let plan = Plan::new(&HistoryQuery { from, to, resolution, max_points }).unwrap();
        assert!(steps(from, to, plan.step_ns) <= i64::try_from(plan.max_points).unwrap());
        plan
    }

    #[test]
    fn the_resolution_follows_from_the_range() {
        for (length, expected) in [
            (SECOND, Resolution::Raw),
            (HOUR, Resolution::Raw),
            (HOUR + 1, Resolution::Minute),
            (DAY, Resolution::Minute),
            (DAY + 1, Resolution::Hour),
            (30 * DAY, Resolution::Hour),
            (30 * DAY + 1, Resolution::Day),
        ] {
            assert_eq!(plan(length, None, 5_000).resolution, expected, "{length}");
        }
    }

    #[test]
    fn a_step_is_a_whole_multiple_of_the_resolution_and_keeps_to_max_points() {
        assert_eq!(plan(DAY, None, 1_500).step_ns, MINUTE);
        assert_eq!(plan(DAY, None, 100).step_ns, 15 * MINUTE);
        assert_eq!(plan(HOUR, None, 100).step_ns, 37 * SECOND);
        assert_eq!(plan(30 * DAY, Some(Resolution::Raw), 11_000).step_ns, 236 * SECOND);
        for points in 0..200 {
            assert_eq!(plan(DAY, None, points).step_ns % MINUTE, 0);
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let at = Timestamp::from_nanos;
        for (from, to) in [(5, 5), (6, 5)] {
            let query = HistoryQuery { from: at(from), to: at(to), resolution: None, max_points: 10 };
            assert_eq!(Plan::new(&query), Err(StoreError::BadQuery("`to` must lie after `from`".into())));
        }
    }

    #[test]
    fn a_range_of_all_time_is_planned_without_overflow() {
        let query = HistoryQuery {
            from: Timestamp::from_nanos(-5),
            to: Timestamp::from_nanos(i64::MAX),
            resolution: Some(Resolution::Day),
            max_points: 0,
        };
        let plan = Plan::new(&query).unwrap();
        assert!(steps(query.from, query.to, plan.step_ns) <= 2);
    }
}
