//! Which frames are kept, and when the next is asked for: pure.

use std::time::Duration;

use tokio::time::Instant;

/// Keeps one frame per interval out of a stream that has a pace of its own.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    kept_at: Option<Instant>,
}

impl Pace {
    /// At most one frame per `interval`, give or take half the engine's own second.
    pub fn new(interval: Duration) -> Self {
        Self { interval, kept_at: None }
    }

    /// True where a frame that comes `now` is to be kept.
    pub fn keep(&mut self, now: Instant) -> bool {
        // The engine's ticks jitter: the frame nearest to the interval's end is the one to keep.
        let slack = (self.interval / 2).min(Duration::from_millis(500));
        let is_due = self.kept_at.is_none_or(|kept| now.duration_since(kept) + slack >= self.interval);
        if is_due {
            self.kept_at = Some(now);
        }
        is_due
    }
}

/// The delay before the first poll of a series: series are spread over the interval, evenly.
pub fn phase(series: u64, interval: Duration) -> Duration {
    // Fibonacci hashing: neighbours land far apart.
    let spread = series.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    interval.mul_f64(spread as f64 / f64::from(u32::MAX))
}

/// How long a stream may be silent before it is opened anew. The engine's pace is its own: one second and a
/// few milliseconds for each container it has.
#[derive(Debug)]
pub struct Patience {
    least: Duration,
    limit: Duration,
}

/// However slow an engine is: it is asked again after this.
const MOST_PATIENCE: Duration = Duration::from_secs(120);

impl Patience {
    /// At least five intervals, and ten seconds.
    pub fn new(interval: Duration) -> Self {
        let least = (interval * 5).max(Duration::from_secs(10));
        Self { least, limit: least }
    }

    /// How long silence is no failure.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// A frame came so long after the one before, or after the stream was opened.
    pub fn came(&mut self, gap: Duration) {
        self.limit = (gap * 5).clamp(self.least, MOST_PATIENCE.max(self.least));
    }

    /// None came.
    pub fn ran_out(&mut self) {
        self.limit = (self.limit * 2).min(MOST_PATIENCE.max(self.least));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(interval: Duration, times_ms: impl IntoIterator<Item = u64>) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(interval);
        times_ms.into_iter().filter(|ms| pace.keep(start + Duration::from_millis(*ms))).count()
    }

    #[test]
    fn every_frame_is_kept_where_the_engine_is_as_slow_as_the_interval() {
        assert_eq!(kept(Duration::from_secs(1), (0..60).map(|tick| tick * 1004)), 60);
        assert_eq!(kept(Duration::from_secs(1), (0..60).map(|tick| tick * 950)), 60, "jitter costs no frame");
    }

    #[test]
    fn one_frame_in_five_is_kept_at_an_interval_of_five_seconds() {
        assert_eq!(kept(Duration::from_secs(5), (0..50).map(|tick| tick * 1004)), 10);
    }

    #[test]
    fn patience_follows_the_pace_of_a_slow_engine_and_has_an_end() {
        let seconds = Duration::from_secs;
        let mut patience = Patience::new(seconds(1));
        assert_eq!(patience.limit(), seconds(10));
        patience.ran_out();
        assert_eq!(patience.limit(), seconds(20));
        patience.came(seconds(16));
        assert_eq!(patience.limit(), seconds(80));
        patience.came(seconds(1));
        assert_eq!(patience.limit(), seconds(10));
        (0..50).for_each(|_| patience.ran_out());
        assert_eq!(patience.limit(), MOST_PATIENCE);
    }

    #[test]
    fn polls_are_spread_over_the_whole_interval() {
        let interval = Duration::from_secs(5);
        let mut tenths = [0; 10];
        for series in 0..1000 {
            let phase = phase(series, interval);
            assert!(phase <= interval);
            tenths[((phase.as_secs_f64() / 5.0 * 10.0) as usize).min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (80..=120).contains(count)), "{tenths:?}");
    }
}
