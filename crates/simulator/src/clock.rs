//! The engine's clock: real or driven by hand, and skewed on demand.

use std::time::{Duration, Instant, SystemTime};

use model::Timestamp;

/// What the engine believes the time is, and how much time has truly passed.
pub(crate) struct Clock {
    epoch: Timestamp,
    course: Course,
    skew_nanos: i64,
    last_event: Timestamp,
}

enum Course {
    /// Monotonic from `started`, so that a step of the machine's clock changes nothing here.
    Real {
        started: Instant,
    },
    Manual {
        elapsed: Duration,
    },
}

/// Two events never share a nanosecond: real ones are microseconds apart at the least.
const EVENT_STEP: Duration = Duration::from_micros(1);

impl Clock {
    pub(crate) fn real() -> Self {
        Self::new(SystemTime::now().into(), Course::Real { started: Instant::now() })
    }

    pub(crate) fn manual(epoch: Timestamp) -> Self {
        Self::new(epoch, Course::Manual { elapsed: Duration::ZERO })
    }

    fn new(epoch: Timestamp, course: Course) -> Self {
        Self { epoch, course, skew_nanos: 0, last_event: Timestamp::from_nanos(i64::MIN) }
    }

    /// Time passed since the start, whatever the skew.
    pub(crate) fn elapsed(&self) -> Duration {
        match self.course {
            Course::Real { started } => started.elapsed(),
            Course::Manual { elapsed } => elapsed,
        }
    }

    /// The engine's time of day.
    pub(crate) fn now(&self) -> Timestamp {
        let true_now = self.epoch + self.elapsed();
        Timestamp::from_nanos(true_now.as_nanos().saturating_add(self.skew_nanos))
    }

    /// The stamp of an event that happens now: later than every stamp before it, until the clock is skewed.
    pub(crate) fn stamp_event(&mut self) -> Timestamp {
        self.last_event = self.now().max(self.last_event + EVENT_STEP);
        self.last_event
    }

    /// Moves a manual clock; a real one goes by itself.
    pub(crate) fn advance(&mut self, by: Duration) {
        if let Course::Manual { elapsed } = &mut self.course {
            *elapsed += by;
        }
    }

    /// Sets the distance to the true time.
    pub(crate) fn set_skew(&mut self, nanos: i64) {
        self.skew_nanos = nanos;
        self.last_event = Timestamp::from_nanos(i64::MIN);
    }
}

/// As Go prints times: RFC 3339 with trailing zeros of the fraction left out.
pub(crate) fn rfc3339(time: Timestamp) -> impl std::fmt::Display {
    jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).expect("64-bit nanoseconds lie inside jiff's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_stamps_rise_while_the_clock_stands_still() {
        let mut clock = Clock::manual(Timestamp::from_nanos(5_000));
        let first = clock.stamp_event();
        let second = clock.stamp_event();
        assert_eq!((first.as_nanos(), second.as_nanos()), (5_000, 6_000));
    }

    #[test]
    fn skew_moves_the_time_of_day_and_not_the_time_passed() {
        let mut clock = Clock::manual(Timestamp::from_nanos(0));
        clock.advance(Duration::from_secs(2));
        clock.stamp_event();
        clock.set_skew(-500_000_000);
        assert_eq!(clock.now().as_nanos(), 1_500_000_000);
        assert_eq!(clock.elapsed(), Duration::from_secs(2));
        assert_eq!(clock.stamp_event().as_nanos(), 1_500_000_000, "a clock stepped back is seen in the events");
    }

    #[test]
    fn times_lose_their_trailing_zeros_as_in_go() {
        assert_eq!(rfc3339(Timestamp::from_nanos(1_500_000_000)).to_string(), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(Timestamp::from_nanos(1_000_000_000)).to_string(), "1970-01-01T00:00:01Z");
    }
}
