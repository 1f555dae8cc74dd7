//! How many lines a container may write: pure.

use model::Timestamp;

/// Lines a container may write in a second, and ten times as many at once.
///
/// Counted by the lines' own times: reading what was written long ago costs a container nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    per_second: u32,
}

/// Seconds of the rate that may come at once.
const BURST: i64 = 10;

const SECOND: i64 = 1_000_000_000;

impl RateLimit {
    /// So many lines a second; `None` for 0, which is no limit.
    pub fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then_some(Self { per_second })
    }
}

/// What of its rate a container has not used: in nanoseconds, of which a line costs a second's part.
#[derive(Debug)]
pub(super) struct Bucket {
    cost: i64,
    level: i64,
    /// The newest time seen.
    at: Option<Timestamp>,
}

impl Bucket {
    pub fn new(limit: RateLimit) -> Self {
        Self { cost: SECOND / i64::from(limit.per_second), level: BURST * SECOND, at: None }
    }

    /// True where a line of this time is within the rate.
    pub fn take(&mut self, time: Timestamp) -> bool {
        let passed = self.at.map_or(0, |at| time.nanos_since(at).max(0));
        // A clock that was set back does not stop the refilling for as long.
        self.at = Some(time);
        self.level = self.level.saturating_add(passed).min(BURST * SECOND);
        let is_within = self.level >= self.cost;
        if is_within {
            self.level -= self.cost;
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(per_second: u32, times: impl IntoIterator<Item = i64>) -> usize {
        let mut bucket = Bucket::new(RateLimit::new(per_second).unwrap());
        times.into_iter().filter(|nanos| bucket.take(Timestamp::from_nanos(*nanos))).count()
    }

    #[test]
    fn lines_within_the_rate_all_pass_however_long() {
        assert_eq!(kept(100, (0..100_000).map(|line| line * SECOND / 100)), 100_000);
    }

    #[test]
    fn a_flood_is_cut_to_the_burst_and_then_the_rate() {
        // 10 000 lines a second for 20 seconds.
        let kept = kept(100, (0..200_000).map(|line| line * SECOND / 10_000));
        assert!((2_990..=3_010).contains(&kept), "{kept}");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_lines() {
        let before = (0..1_000).map(|line| 3_600 * SECOND + line * SECOND / 100);
        let after = (0..1_000).map(|line| line * SECOND / 100);
        assert_eq!(kept(100, before.chain(after)), 2_000);
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(RateLimit::new(0), None);
    }
}
