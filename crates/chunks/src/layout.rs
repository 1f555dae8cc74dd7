//! The columns of a chunk by number, and what each is guessed from.

use model::Sample;

/// A column's number: what a chunk knows it by, for ever.
pub(crate) type Column = u8;

/// When the engine read the counters.
pub(crate) const TIMESTAMP: Column = 0;
/// When dockstream received the frame.
pub(crate) const RECEIVED_AT: Column = 1;
/// Which of the chunk's network scopes.
pub(crate) const NETWORK_SCOPE: Column = 2;

const CPU_PERCENT: Column = 3;
const CPU: Column = 4;
const CPU_USER: Column = 5;
const CPU_KERNEL: Column = 6;
const SYSTEM: Column = 7;
const CPUS: Column = 8;
const THROTTLED: Column = 10;
const MEMORY: Column = 11;
const MEMORY_TOTAL: Column = 12;
const MEMORY_LIMIT: Column = 13;
const MEMORY_PERCENT: Column = 14;
const CACHE: Column = 15;
const RECEIVED: Column = 16;
const SENT: Column = 17;
const READ: Column = 24;
const WRITTEN: Column = 25;
const INTERVAL: Column = 28;
const CPU_DELTA: Column = 29;

/// The fields of a sample and their columns. A field that is added gets the next number; none is given twice.
const FIELDS: &[(&str, Column)] = &[
    ("cpu_usage_percent", CPU_PERCENT),
    ("cpu_usage_ns", CPU),
    ("cpu_user_ns", CPU_USER),
    ("cpu_kernel_ns", CPU_KERNEL),
    ("system_cpu_ns", SYSTEM),
    ("online_cpus", CPUS),
    ("cpu_throttled_periods", 9),
    ("cpu_throttled_ns", THROTTLED),
    ("memory_usage_bytes", MEMORY),
    ("memory_total_bytes", MEMORY_TOTAL),
    ("memory_limit_bytes", MEMORY_LIMIT),
    ("memory_usage_percent", MEMORY_PERCENT),
    ("memory_cache_bytes", CACHE),
    ("network_rx_bytes", RECEIVED),
    ("network_tx_bytes", SENT),
    ("network_rx_packets", 18),
    ("network_tx_packets", 19),
    ("network_rx_errors", 20),
    ("network_tx_errors", 21),
    ("network_rx_dropped", 22),
    ("network_tx_dropped", 23),
    ("block_read_bytes", READ),
    ("block_write_bytes", WRITTEN),
    ("pids", 26),
    ("pids_limit", 27),
    ("interval_ns", INTERVAL),
    ("cpu_usage_delta_ns", CPU_DELTA),
    ("cpu_throttled_delta_ns", 30),
    ("network_rx_delta_bytes", 31),
    ("network_tx_delta_bytes", 32),
    ("block_read_delta_bytes", 33),
    ("block_write_delta_bytes", 34),
];

/// The column of the field at `position` in [`Sample::FIELDS`].
pub(crate) fn column_of(position: usize) -> Column {
    static COLUMNS: std::sync::LazyLock<Vec<Column>> = std::sync::LazyLock::new(|| {
        let column = |name: &&str| FIELDS.iter().find(|(field, _)| field == name).map(|(_, column)| *column);
        Sample::FIELDS.iter().map(|name| column(name).expect("every field has a column: a test sees to it")).collect()
    });
    COLUMNS[position]
}

/// How a value is guessed; what is kept is how far off that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// 0.
    Zero,
    /// As in the row before that has one.
    Before,
    /// The growth of another column since the row before.
    Growth(Column),
    /// As in another column of the row.
    Beside(Column),
    /// One column less another.
    Less(Column, Column),
    /// Two columns together.
    Together(Column, Column),
    /// CPU use in percent, over the host's CPU time.
    CpuOverSystem,
    /// CPU use in percent, over wall time.
    CpuOverWall,
    /// Memory in percent of its limit.
    MemoryPercent,
}

impl Guess {
    /// What is tried for a column; the shortest is kept.
    pub(crate) fn for_column(column: Column) -> &'static [Self] {
        match column {
            RECEIVED_AT => &[Self::Beside(TIMESTAMP), Self::Before],
            CPU_PERCENT => &[Self::CpuOverSystem, Self::CpuOverWall, Self::Before],
            CPU_KERNEL => &[Self::Less(CPU, CPU_USER), Self::Before],
            MEMORY_TOTAL => &[Self::Together(MEMORY, CACHE), Self::Before],
            MEMORY_PERCENT => &[Self::MemoryPercent, Self::Before],
            INTERVAL => &[Self::Growth(TIMESTAMP), Self::Before],
            CPU_DELTA => &[Self::Growth(CPU), Self::Zero],
            30 => &[Self::Growth(THROTTLED), Self::Zero],
            31 => &[Self::Growth(RECEIVED), Self::Zero],
            32 => &[Self::Growth(SENT), Self::Zero],
            33 => &[Self::Growth(READ), Self::Zero],
            34 => &[Self::Growth(WRITTEN), Self::Zero],
            _ => &[Self::Before],
        }
    }

    /// The columns it needs.
    pub(crate) fn needs(self) -> Vec<Column> {
        match self {
            Self::Zero | Self::Before => vec![],
            Self::Growth(column) | Self::Beside(column) => vec![column],
            Self::Less(one, other) | Self::Together(one, other) => vec![one, other],
            Self::CpuOverSystem => vec![CPU, SYSTEM, CPUS],
            Self::CpuOverWall => vec![CPU, TIMESTAMP],
            Self::MemoryPercent => vec![MEMORY, MEMORY_LIMIT],
        }
    }

    /// Its number in a chunk, and the columns that follow there.
    pub(crate) fn number(self) -> (u8, Vec<Column>) {
        match self {
            Self::Zero => (0, vec![]),
            Self::Before => (1, vec![]),
            Self::Growth(column) => (2, vec![column]),
            Self::Beside(column) => (3, vec![column]),
            Self::Less(one, other) => (4, vec![one, other]),
            Self::Together(one, other) => (5, vec![one, other]),
            Self::CpuOverSystem => (6, vec![]),
            Self::CpuOverWall => (7, vec![]),
            Self::MemoryPercent => (8, vec![]),
        }
    }

    /// The other way; `column` reads one of the columns that follow.
    pub(crate) fn numbered(number: u8, mut column: impl FnMut() -> Option<Column>) -> Option<Self> {
        Some(match number {
            0 => Self::Zero,
            1 => Self::Before,
            2 => Self::Growth(column()?),
            3 => Self::Beside(column()?),
            4 => Self::Less(column()?, column()?),
            5 => Self::Together(column()?, column()?),
            6 => Self::CpuOverSystem,
            7 => Self::CpuOverWall,
            8 => Self::MemoryPercent,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_of_a_sample_has_a_column_of_its_own() {
        let columns: BTreeSet<Column> = (0..Sample::FIELDS.len()).map(column_of).collect();
        assert_eq!(columns.len(), Sample::FIELDS.len());
        assert!(!columns.contains(&TIMESTAMP) && !columns.contains(&RECEIVED_AT) && !columns.contains(&NETWORK_SCOPE));
        let numbers: BTreeSet<Column> = FIELDS.iter().map(|(_, column)| *column).collect();
        assert_eq!(numbers.len(), FIELDS.len(), "a number is given twice");
    }

    #[test]
    fn a_guess_is_read_back_as_it_was_written() {
        for column in 0..=40 {
            for guess in Guess::for_column(column) {
                let (number, columns) = guess.number();
                let mut columns = columns.into_iter();
                assert_eq!(Guess::numbered(number, || columns.next()), Some(*guess));
            }
        }
    }
}
