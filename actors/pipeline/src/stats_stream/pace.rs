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

/// A frame that never comes: how long to wait before a stream is opened anew.
pub fn idle_limit(interval: Duration) -> Duration {
    (interval * 5).max(Duration::from_secs(10))
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
