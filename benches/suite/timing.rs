//! Measuring several things in turn, so that whatever else the machine does befalls them all alike.

use std::time::Duration;

/// What one contender took, round by round.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// The fastest round: the figure least disturbed by others.
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The middle round.
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// How many times as long as `other`: the middle of the rounds' ratios.
    pub fn times(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lets every contender have its turn, `rounds` times. A contender gives what a turn took.
pub fn in_turns<const N: usize>(rounds: usize, mut contenders: [&mut dyn FnMut() -> Duration; N]) -> [Rounds; N] {
    let mut all = [const { Rounds(Vec::new()) }; N];
    for _ in 0..rounds {
        for (contender, rounds) in contenders.iter_mut().zip(&mut all) {
            rounds.0.push(contender().as_secs_f64());
        }
    }
    all
}
