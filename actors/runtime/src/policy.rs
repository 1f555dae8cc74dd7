//! Restart policies: pure decisions, no clock of their own.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::Exit;

/// Whom a group restarts when a child fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The one that failed.
    OneForOne,
    /// The one that failed and those started after it.
    RestForOne,
    /// All of them.
    OneForAll,
}

/// Which exits of a child lead to a restart.
///
/// | exit | `Permanent` | `Transient` | `Temporary` |
/// |---|---|---|---|
/// | `Normal`, `Drained` | restart | end | end |
/// | `Failure`, `Panicked`, `Stalled`, `Killed`, `Escalated` | restart | restart | end |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Always restarted.
    Permanent,
    /// Restarted after an abnormal exit.
    Transient,
    /// Never restarted.
    Temporary,
}

impl RestartPolicy {
    /// Whether a child that ended with `exit` is restarted.
    pub const fn restarts(self, exit: &Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => exit.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// A policy with impossible numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// The window of an intensity is empty.
    #[error("the window of an intensity must be longer than zero")]
    EmptyWindow,
    /// `min` is above `max`.
    #[error("the shortest backoff {min:?} is longer than the longest {max:?}")]
    BackoffOrder {
        /// Shortest delay.
        min: Duration,
        /// Longest delay.
        max: Duration,
    },
    /// Jitter is not a share.
    #[error("jitter must lie between 0 and 1")]
    Jitter,
}

/// How many failures a group takes: at most `max_restarts` in any window of length `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    max_restarts: u32,
    within: Duration,
}

impl Intensity {
    /// `within` must be longer than zero.
    pub fn try_new(max_restarts: u32, within: Duration) -> Result<Self, InvalidPolicy> {
        if within.is_zero() { Err(InvalidPolicy::EmptyWindow) } else { Ok(Self { max_restarts, within }) }
    }
}

/// The failures inside the sliding window of an [`Intensity`].
#[derive(Clone, Debug, Default)]
pub(crate) struct FailureWindow {
    failures: VecDeque<Instant>,
}

/// What a window says of one more failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the intensity: this is the n-th failure inside the window, counted from 1.
    Restart(u32),
    /// One too many; so many are inside the window.
    Exceeded(u32),
}

impl Verdict {
    /// Failures inside the window, this one included.
    pub const fn failures(self) -> u32 {
        match self {
            Self::Restart(failures) | Self::Exceeded(failures) => failures,
        }
    }
}

impl FailureWindow {
    /// Counts a failure at `now`.
    pub fn record(&mut self, intensity: Intensity, now: Instant) -> Verdict {
        while self.failures.front().is_some_and(|first| now.duration_since(*first) >= intensity.within) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let count = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        if count > intensity.max_restarts { Verdict::Exceeded(count) } else { Verdict::Restart(count) }
    }

    pub fn clear(&mut self) {
        self.failures.clear();
    }
}

/// Exponential delays: `min`, 2·`min`, 4·`min` … at most `max`, each shortened by a random share of at most `jitter`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// No delay at all.
    pub const NONE: Self = Self { min: Duration::ZERO, max: Duration::ZERO, jitter: 0.0 };

    /// `min` may not exceed `max`; `jitter` is a share between 0 and 1.
    pub fn try_new(min: Duration, max: Duration, jitter: f64) -> Result<Self, InvalidPolicy> {
        if min > max {
            Err(InvalidPolicy::BackoffOrder { min, max })
        } else if !(0.0..=1.0).contains(&jitter) {
            Err(InvalidPolicy::Jitter)
        } else {
            Ok(Self { min, max, jitter })
        }
    }

    /// The delay before attempt `attempt` (1 is the first retry); `random` lies in `0.0..1.0`.
    pub fn delay_with(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.min.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(1.0 - self.jitter * random.clamp(0.0, 1.0))
    }

    /// The delay before attempt `attempt`, jittered.
    pub fn delay(&self, attempt: u32) -> Duration {
        self.delay_with(attempt, fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn every_policy_answers_every_exit_as_its_table_says() {
        let normal = [Exit::Normal, Exit::Drained];
        let abnormal = [
            Exit::failure("x"),
            Exit::Panicked("x".into()),
            Exit::Stalled,
            Exit::Killed,
            Exit::Escalated { restarts: 4, last: Box::new(Exit::Stalled) },
        ];
        for exit in &normal {
            assert!(RestartPolicy::Permanent.restarts(exit));
            assert!(!RestartPolicy::Transient.restarts(exit));
            assert!(!RestartPolicy::Temporary.restarts(exit));
        }
        for exit in &abnormal {
            assert!(RestartPolicy::Permanent.restarts(exit));
            assert!(RestartPolicy::Transient.restarts(exit));
            assert!(!RestartPolicy::Temporary.restarts(exit));
        }
    }

    #[test]
    fn the_intensity_window_slides() {
        let intensity = Intensity::try_new(2, seconds(10)).unwrap();
        let start = Instant::now();
        let mut window = FailureWindow::default();
        assert_eq!(window.record(intensity, start), Verdict::Restart(1));
        assert_eq!(window.record(intensity, start + seconds(6)), Verdict::Restart(2));
        assert_eq!(window.record(intensity, start + seconds(10)), Verdict::Restart(2), "the first has left the window");
        assert_eq!(window.record(intensity, start + seconds(11)), Verdict::Exceeded(3));
    }

    #[test]
    fn an_intensity_of_zero_allows_no_restart() {
        let mut window = FailureWindow::default();
        assert_eq!(window.record(Intensity::try_new(0, seconds(1)).unwrap(), Instant::now()), Verdict::Exceeded(1));
    }

    #[test]
    fn backoff_doubles_up_to_its_maximum_and_jitter_only_shortens() {
        let backoff = Backoff::try_new(seconds(1), seconds(30), 0.5).unwrap();
        let full: Vec<u64> = (1..=7).map(|attempt| backoff.delay_with(attempt, 0.0).as_secs()).collect();
        assert_eq!(full, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.delay_with(3, 1.0), seconds(2));
        assert_eq!(backoff.delay_with(u32::MAX, 0.0), seconds(30));
        for attempt in 1..50 {
            let delay = backoff.delay(attempt);
            assert!(delay <= seconds(30) && delay >= Duration::from_millis(500));
        }
    }

    #[test]
    fn impossible_policies_are_refused() {
        assert_eq!(Intensity::try_new(3, Duration::ZERO), Err(InvalidPolicy::EmptyWindow));
        assert!(Backoff::try_new(seconds(2), seconds(1), 0.0).is_err());
        assert_eq!(Backoff::try_new(seconds(1), seconds(2), 1.5), Err(InvalidPolicy::Jitter));
        assert_eq!(Backoff::try_new(seconds(1), seconds(2), f64::NAN), Err(InvalidPolicy::Jitter));
    }
}
