//! What samples come to over a minute, an hour, a day.

use model::{Sample, SampleValue};

/// What is summed over a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The sum of what is known; `None` where nothing is.
    pub total: Option<u64>,
    /// Time covered by samples in which it is not known, in nanoseconds.
    pub unknown_ns: u64,
}

/// What is told as lowest, mean and highest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread<T> {
    /// Lowest.
    pub min: Option<T>,
    /// Highest.
    pub max: Option<T>,
    /// Sum, for the mean; `None` where nothing is known.
    pub sum: Option<T>,
    /// Samples in which it is not known.
    pub unknown: u64,
}

/// Samples put together. Two of the same bucket put together are the rollup of all their samples, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rollup {
    /// How many.
    pub samples: u64,
    /// Time they cover, in nanoseconds.
    pub interval_ns: Option<u64>,
    /// CPU time used, in nanoseconds.
    pub cpu_usage_delta_ns: Sum,
    /// Time throttled, in nanoseconds.
    pub cpu_throttled_delta_ns: Sum,
    /// Bytes received.
    pub network_rx_delta_bytes: Sum,
    /// Bytes sent.
    pub network_tx_delta_bytes: Sum,
    /// Bytes read from block devices.
    pub block_read_delta_bytes: Sum,
    /// Bytes written to block devices.
    pub block_write_delta_bytes: Sum,
    /// CPU use: 100 is one full core.
    pub cpu_usage_percent: Spread<f64>,
    /// Memory in use.
    pub memory_usage_bytes: Spread<u64>,
    /// Part of the limit in use.
    pub memory_usage_percent: Spread<f64>,
    /// Processes and threads.
    pub pids: Spread<u64>,
    /// Highest limit.
    pub memory_limit_bytes: Option<u64>,
    /// CPUs of the host.
    pub online_cpus: Option<u64>,
    /// Highest limit on processes.
    pub pids_limit: Option<u64>,
}

/// How a column of two rollups becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Added.
    Add,
    /// Added, where unknown and known make known.
    AddKnown,
    /// The lower one that is known.
    Lowest,
    /// The higher one that is known.
    Highest,
}

/// A number that spreads and sums.
trait Number: Copy + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn value(known: Option<Self>) -> SampleValue;
    fn of(value: SampleValue) -> Option<Self>;
}

impl Number for u64 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
    fn value(known: Option<Self>) -> SampleValue {
        SampleValue::Unsigned(known)
    }
    fn of(value: SampleValue) -> Option<Self> {
        match value {
            SampleValue::Unsigned(value) => value,
            SampleValue::Float(_) => None,
        }
    }
}

impl Number for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn value(known: Option<Self>) -> SampleValue {
        SampleValue::Float(known)
    }
    fn of(value: SampleValue) -> Option<Self> {
        match value {
            SampleValue::Float(value) => value,
            SampleValue::Unsigned(_) => None,
        }
    }
}

fn both<T: Copy>(one: Option<T>, other: Option<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(join(one, other)),
        (known, None) | (None, known) => known,
    }
}

impl Sum {
    fn of(delta: Option<u64>, interval_ns: Option<u64>) -> Self {
        Self { total: delta, unknown_ns: if delta.is_none() { interval_ns.unwrap_or(0) } else { 0 } }
    }

    fn merge(&mut self, other: &Self) {
        self.total = both(self.total, other.total, u64::saturating_add);
        self.unknown_ns = self.unknown_ns.saturating_add(other.unknown_ns);
    }
}

fn spread_of<T: Number>(value: Option<T>) -> Spread<T> {
    Spread { min: value, max: value, sum: value, unknown: u64::from(value.is_none()) }
}

fn merge_spread<T: Number>(into: &mut Spread<T>, other: &Spread<T>) {
    into.min = both(into.min, other.min, |one, other| if other < one { other } else { one });
    into.max = both(into.max, other.max, |one, other| if other > one { other } else { one });
    into.sum = both(into.sum, other.sum, T::plus);
    into.unknown = into.unknown.saturating_add(other.unknown);
}

impl Spread<f64> {
    /// The mean over the samples in which it is known, of a rollup of so many.
    pub fn mean(&self, samples: u64) -> Option<f64> {
        let known = samples.saturating_sub(self.unknown);
        self.sum.filter(|_| known > 0).map(|sum| sum / known as f64)
    }
}

impl Spread<u64> {
    /// The mean over the samples in which it is known, of a rollup of so many.
    pub fn mean(&self, samples: u64) -> Option<f64> {
        let known = samples.saturating_sub(self.unknown);
        self.sum.filter(|_| known > 0).map(|sum| sum as f64 / known as f64)
    }
}

impl From<&Sample> for Rollup {
    fn from(sample: &Sample) -> Self {
        let sum = |delta| Sum::of(delta, sample.interval_ns);
        Self {
            samples: 1,
            interval_ns: sample.interval_ns,
            cpu_usage_delta_ns: sum(sample.cpu_usage_delta_ns),
            cpu_throttled_delta_ns: sum(sample.cpu_throttled_delta_ns),
            network_rx_delta_bytes: sum(sample.network_rx_delta_bytes),
            network_tx_delta_bytes: sum(sample.network_tx_delta_bytes),
            block_read_delta_bytes: sum(sample.block_read_delta_bytes),
            block_write_delta_bytes: sum(sample.block_write_delta_bytes),
            cpu_usage_percent: spread_of(sample.cpu_usage_percent),
            memory_usage_bytes: spread_of(sample.memory_usage_bytes),
            memory_usage_percent: spread_of(sample.memory_usage_percent),
            pids: spread_of(sample.pids),
            memory_limit_bytes: sample.memory_limit_bytes,
            online_cpus: sample.online_cpus.map(u64::from),
            pids_limit: sample.pids_limit,
        }
    }
}

/// Names every column once, for all that is done with them.
macro_rules! columns {
    (sums: $($sum:ident $unknown_ns:ident),*; spreads: $($spread:ident $min:ident $max:ident $total:ident $unknown:ident),*;
     highest: $($highest:ident),*;) => {
        impl Rollup {
            /// The columns of a rollup in SQL, in the order in which they are written, and how two rows become one.
            pub const COLUMNS: &'static [(&'static str, Merge)] = &[
                ("samples", Merge::Add),
                ("interval_ns", Merge::AddKnown),
                $((stringify!($sum), Merge::AddKnown), (stringify!($unknown_ns), Merge::Add),)*
                $((stringify!($min), Merge::Lowest), (stringify!($max), Merge::Highest),
                  (stringify!($total), Merge::AddKnown), (stringify!($unknown), Merge::Add),)*
                $((stringify!($highest), Merge::Highest),)*
            ];

            /// The values, in the order of `COLUMNS`.
            pub fn values(&self) -> impl Iterator<Item = SampleValue> + use<> {
                [
                    SampleValue::Unsigned(Some(self.samples)),
                    SampleValue::Unsigned(self.interval_ns),
                    $(SampleValue::Unsigned(self.$sum.total), SampleValue::Unsigned(Some(self.$sum.unknown_ns)),)*
                    $(Number::value(self.$spread.min), Number::value(self.$spread.max),
                      Number::value(self.$spread.sum), SampleValue::Unsigned(Some(self.$spread.unknown)),)*
                    $(SampleValue::Unsigned(self.$highest),)*
                ]
                .into_iter()
            }

            /// Reads every column through `read`, which gets its position in `COLUMNS` and whether it is a float.
            pub fn read<E>(mut read: impl FnMut(usize, bool) -> Result<SampleValue, E>) -> Result<Self, E> {
                let mut next = 0..;
                let mut column = |is_float| read(next.next().expect("an open range does not end"), is_float);
                let whole = |value: SampleValue| u64::of(value);
                Ok(Self {
                    samples: whole(column(false)?).unwrap_or(0),
                    interval_ns: whole(column(false)?),
                    $($sum: Sum { total: whole(column(false)?), unknown_ns: whole(column(false)?).unwrap_or(0) },)*
                    $($spread: read_spread(&mut column)?,)*
                    $($highest: whole(column(false)?),)*
                })
            }

            /// Takes `other` in.
            pub fn merge(&mut self, other: &Self) {
                self.samples += other.samples;
                self.interval_ns = both(self.interval_ns, other.interval_ns, u64::saturating_add);
                $(self.$sum.merge(&other.$sum);)*
                $(merge_spread(&mut self.$spread, &other.$spread);)*
                $(self.$highest = self.$highest.max(other.$highest);)*
            }
        }
    };
}

fn read_spread<T: Number, E>(column: &mut impl FnMut(bool) -> Result<SampleValue, E>) -> Result<Spread<T>, E> {
    let is_float = matches!(T::value(None), SampleValue::Float(_));
    Ok(Spread {
        min: T::of(column(is_float)?),
        max: T::of(column(is_float)?),
        sum: T::of(column(is_float)?),
        unknown: u64::of(column(false)?).unwrap_or(0),
    })
}

columns! {
    sums: cpu_usage_delta_ns cpu_usage_unknown_ns, cpu_throttled_delta_ns cpu_throttled_unknown_ns,
        network_rx_delta_bytes network_rx_unknown_ns, network_tx_delta_bytes network_tx_unknown_ns,
        block_read_delta_bytes block_read_unknown_ns, block_write_delta_bytes block_write_unknown_ns;
    spreads:
        cpu_usage_percent cpu_usage_percent_min cpu_usage_percent_max cpu_usage_percent_sum cpu_usage_percent_unknown,
        memory_usage_bytes memory_usage_bytes_min memory_usage_bytes_max memory_usage_bytes_sum memory_usage_bytes_unknown,
        memory_usage_percent memory_usage_percent_min memory_usage_percent_max memory_usage_percent_sum
            memory_usage_percent_unknown,
        pids pids_min pids_max pids_sum pids_unknown;
    highest: memory_limit_bytes, online_cpus, pids_limit;
}

/// The fields of a sample that a rollup is made of, as positions in [`Sample::FIELDS`].
pub fn fields() -> &'static [usize] {
    static POSITIONS: std::sync::LazyLock<Vec<usize>> = std::sync::LazyLock::new(|| {
        let names = Sample::FIELDS.iter().enumerate();
        let of_rollup = |name: &str| {
            name == "interval_ns"
                || ["cpu_usage_percent", "memory_usage_bytes", "memory_usage_percent", "pids"].contains(&name)
                || Rollup::COLUMNS.iter().any(|(column, _)| *column == name)
        };
        names.filter(|(_, name)| of_rollup(name)).map(|(position, _)| position).collect()
    });
    &POSITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: u64) -> Sample {
        Sample {
            interval_ns: Some(1_000),
            network_rx_delta_bytes: (!value.is_multiple_of(3)).then_some(value),
            cpu_usage_percent: (!value.is_multiple_of(2)).then_some(value as f64),
            memory_usage_bytes: Some(100 - value),
            pids: Some(value),
            ..Sample::default()
        }
    }

    fn rolled(values: impl IntoIterator<Item = u64>) -> Rollup {
        values.into_iter().fold(Rollup::default(), |mut rollup, value| {
            rollup.merge(&Rollup::from(&sample(value)));
            rollup
        })
    }

    #[test]
    fn rollups_of_parts_make_the_rollup_of_the_whole_in_any_order() {
        let whole = rolled(0..10);
        let mut parts = rolled([9, 4, 2]);
        parts.merge(&rolled([0, 1, 3, 5]));
        parts.merge(&rolled([8, 7, 6]));
        assert_eq!(parts, whole);
        assert_eq!((whole.samples, whole.interval_ns), (10, Some(10_000)));
        assert_eq!(whole.network_rx_delta_bytes, Sum { total: Some(27), unknown_ns: 4_000 });
        assert_eq!(whole.network_tx_delta_bytes, Sum { total: None, unknown_ns: 10_000 });
        let cpu = whole.cpu_usage_percent;
        assert_eq!((cpu.min, cpu.max, cpu.mean(whole.samples)), (Some(1.0), Some(9.0), Some(5.0)));
        assert_eq!((whole.memory_usage_bytes.min, whole.memory_usage_bytes.max), (Some(91), Some(100)));
        assert_eq!(whole.memory_usage_percent.mean(whole.samples), None);
    }

    #[test]
    fn a_rollup_comes_back_from_its_columns() {
        let whole = rolled(0..7);
        let values: Vec<SampleValue> = whole.values().collect();
        assert_eq!(values.len(), Rollup::COLUMNS.len());
        let read = Rollup::read(|position, is_float| {
            assert_eq!(matches!(values[position], SampleValue::Float(_)), is_float);
            Ok::<_, ()>(values[position])
        });
        assert_eq!(read, Ok(whole));
    }

    #[test]
    fn the_fields_of_a_rollup_are_enough_for_it() {
        let whole = Sample::read(|position, kind| {
            Ok::<_, ()>(match kind {
                model::SampleKind::Float64 => SampleValue::Float(Some(position as f64)),
                _ => SampleValue::Unsigned(Some(position as u64)),
            })
        })
        .unwrap();
        let values: Vec<SampleValue> = whole.values().collect();
        let part = Sample::read(|position, kind| {
            Ok::<_, ()>(match (fields().contains(&position), kind) {
                (true, _) => values[position],
                (false, model::SampleKind::Float64) => SampleValue::Float(None),
                (false, _) => SampleValue::Unsigned(None),
            })
        });
        assert_eq!(Rollup::from(&part.unwrap()), Rollup::from(&whole));
    }
}
