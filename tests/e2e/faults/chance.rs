//! Chance with a seed, and how much of everything: a short run belongs to the tests, a long one is `make chaos`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Seconds.
    Short,
    /// Minutes, and written into the report.
    Long,
}

impl Scale {
    /// Long where `CHAOS=long` is in the environment.
    pub fn of_this_run() -> Self {
        if std::env::var("CHAOS").is_ok_and(|scale| scale == "long") { Self::Long } else { Self::Short }
    }

    /// One or the other.
    pub fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// What a scenario leaves to chance: the same for the same seed.
pub struct Chance {
    seed: u64,
    scale: Scale,
    random: fastrand::Rng,
}

impl Chance {
    /// The chance of the scenario of that name in this run. It does not depend on which others are run.
    pub fn of(scenario: &str) -> Self {
        let seed = seed();
        let mut hasher = DefaultHasher::new();
        (seed, scenario).hash(&mut hasher);
        Self { seed, scale: Scale::of_this_run(), random: fastrand::Rng::with_seed(hasher.finish()) }
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What there is to do in a short and in a long run.
    pub fn scale<T>(&self, short: T, long: T) -> T {
        self.scale.of(short, long)
    }

    /// Some time in this range of milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }

    /// A number in this range.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        self.random.u64(range)
    }

    /// In any order.
    pub fn shuffled<T>(&mut self, mut all: Vec<T>) -> Vec<T> {
        self.random.shuffle(&mut all);
        all
    }

    /// A seed for others.
    pub fn another(&mut self) -> u64 {
        self.random.u64(..)
    }
}

/// `SEED`, else the same one in every short run and another in every long one.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("SEED") {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|error| panic!("SEED={text}: {error}")),
        _ => Scale::of_this_run().of(1, fastrand::u64(1..1_000_000)),
    })
}
