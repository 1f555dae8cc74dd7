//! How fine a history is.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

impl<'de> Deserialize<'de> for Resolution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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

impl Plan {
    /// The range to look at: of samples the one that is asked for; of rollups every step that it touches, whole, as a
    /// bucket cannot be told apart.
    pub fn range(&self, query: &HistoryQuery) -> (Timestamp, Timestamp) {
        match self.resolution {
            Resolution::Raw => (query.from, query.to),
            _ => {
                let (from, to) = (query.from.as_nanos(), query.to.as_nanos());
                let first = from.div_euclid(self.step_ns).saturating_mul(self.step_ns);
                let last = (to - 1).div_euclid(self.step_ns).saturating_mul(self.step_ns);
                (Timestamp::from_nanos(first), Timestamp::from_nanos(last.saturating_add(self.step_ns)))
            }
        }
    }

    /// The plan for the next coarser resolution, over what it has whole inside the range of `query`: for where this one
    /// has nothing, as it is kept for a shorter time. `None` where there is nothing coarser.
    pub(crate) fn coarser(&self, query: &HistoryQuery) -> Option<(Self, HistoryQuery)> {
        let resolution = match self.resolution {
            Resolution::Raw => Resolution::Minute,
            Resolution::Minute => Resolution::Hour,
            Resolution::Hour => Resolution::Day,
            Resolution::Day => return None,
        };
        let unit = resolution.step_ns()?;
        let from = div_ceil(query.from.as_nanos(), unit).checked_mul(unit)?;
        let to = query.to.as_nanos().div_euclid(unit).checked_mul(unit)?;
        let inside = HistoryQuery {
            from: Timestamp::from_nanos(from),
            to: Timestamp::from_nanos(to),
            resolution: Some(resolution),
            ..*query
        };
        Some((Self::new(&inside).ok()?, inside))
    }

    /// The plan for a history of totals: of rollups at the finest, as containers are not sampled at the same moments.
    pub(crate) fn of_totals(query: &HistoryQuery) -> Result<Self, StoreError> {
        let length = query.to.nanos_since(query.from);
        let resolution = query.resolution.unwrap_or(Resolution::for_range(length)).max(Resolution::Minute);
        Self::new(&HistoryQuery { resolution: Some(resolution), ..*query })
    }
}

/// `a / b` rounded up, for a positive `b`.
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
    fn rollups_are_asked_for_whole_steps_and_samples_for_the_range_itself() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * SECOND);
        let query =
            |resolution| HistoryQuery { from: at(90), to: at(150), resolution: Some(resolution), max_points: 10 };
        let range = |resolution| Plan::new(&query(resolution)).unwrap().range(&query(resolution));
        assert_eq!(range(Resolution::Raw), (at(90), at(150)));
        assert_eq!(range(Resolution::Minute), (at(60), at(180)));
        assert_eq!(range(Resolution::Day), (at(0), at(86_400)));
    }

    #[test]
    fn a_coarser_plan_keeps_inside_the_range() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * SECOND);
        let query = HistoryQuery { from: at(90), to: at(7_300), resolution: None, max_points: 1_500 };
        let raw = Plan::new(&HistoryQuery { resolution: Some(Resolution::Raw), ..query.clone() }).unwrap();
        let (minutes, inside) = raw.coarser(&query).unwrap();
        assert_eq!((minutes.resolution, inside.from, inside.to), (Resolution::Minute, at(120), at(7_260)));
        let (hours, inside) = minutes.coarser(&query).unwrap();
        assert_eq!((hours.resolution, inside.from, inside.to), (Resolution::Hour, at(3_600), at(7_200)));
        assert_eq!(hours.coarser(&query), None, "there is no whole day in it");
    }

    #[test]
    fn totals_are_never_told_sample_by_sample() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * SECOND);
        for resolution in [None, Some(Resolution::Raw)] {
            let query = HistoryQuery { from: at(0), to: at(600), resolution, max_points: 100 };
            assert_eq!(Plan::of_totals(&query).unwrap().resolution, Resolution::Minute);
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
        let (from, to) = plan.range(&query);
        assert!(from <= query.from && to >= query.to);
    }
}
