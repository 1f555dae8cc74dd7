//! What came out: a row of the table in docs/reliability.md for each scenario, written by a long run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::chance::{Chance, Scale};

/// What a scenario ended with. It holds only where nothing was missing and nothing was there twice.
#[derive(Debug)]
pub struct Outcome {
    /// What was done, and how often.
    pub done: String,
    /// Samples and events the journal had.
    pub journaled: u64,
    /// Those in SQLite, Kafka and ClickHouse.
    pub held: [u64; 3],
    /// Records that are there twice.
    pub twice: u64,
    /// Dropped before the journal, by reason.
    pub lost: BTreeMap<String, u64>,
    /// From the end of a fault until all that was journaled in it was delivered.
    pub recoveries: Vec<Duration>,
}

/// Plays a scenario. A long run writes how it ended into the report, also where it failed.
pub fn scenario(name: &str, play: impl FnOnce(&mut Chance) -> Outcome) {
    let mut chance = Chance::of(name);
    println!("{name}: SEED={}", chance.seed());
    let row = Row { name, seed: chance.seed() };
    let outcome = play(&mut chance);
    let text = row.of(&outcome);
    println!("{text}");
    std::mem::forget(row);
    record(name, &text);
}

/// The row to be written. Dropped, it says that the scenario failed.
struct Row<'a> {
    name: &'a str,
    seed: u64,
}

impl Row<'_> {
    fn of(&self, outcome: &Outcome) -> String {
        let Outcome { done, journaled, held: [sqlite, kafka, clickhouse], twice, lost, recoveries } = outcome;
        let lost: Vec<String> = lost.iter().map(|(reason, count)| format!("{reason} {}", grouped(*count))).collect();
        let lost = if lost.is_empty() { "none".to_owned() } else { lost.join(", ") };
        let counts = [journaled, sqlite, kafka, clickhouse].map(|count| grouped(*count)).join(" | ");
        let (name, seed) = (self.name, self.seed);
        format!("| {name} | {done} | {seed} | {counts} | {twice} | {lost} | {} |", spans(recoveries))
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        record(self.name, &format!("| {} | **failed** | {} | | | | | | | |", self.name, self.seed));
    }
}

/// The median and the longest.
fn spans(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(middle), Some(most)) if sorted.len() > 1 => {
            format!("{:.1} s, at most {:.1} s", middle.as_secs_f64(), most.as_secs_f64())
        }
        (Some(only), _) => format!("{:.1} s", only.as_secs_f64()),
        _ => "–".to_owned(),
    }
}

/// 1 234 567
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A table of the page, between two lines that are ours.
struct Table {
    /// In those lines.
    name: &'static str,
    head: &'static str,
}

const FAULTS: Table = Table {
    name: "chaos",
    head: "| scenario | what was done | seed | journaled | SQLite | Kafka | ClickHouse | twice | lost, by reason | back after |
|---|---|---|---|---|---|---|---|---|---|",
};

const SOAK: Table = Table {
    name: "soak",
    head: "| length | hosts × containers | came and went | daemons restarted | samples | events told | stored | missing, invented, twice | streams wanted | followed | memory, MiB | descriptors |
|---|---|---|---|---|---|---|---|---|---|---|---|",
};

/// Writes the row of a soak.
pub fn record_soak(length: &str, row: &str) {
    SOAK.record(length, row);
}

impl Table {
    /// Puts a row into the page, in the place of the one whose first cell is `name`.
    fn record(&self, name: &str, row: &str) {
        static PAGE: Mutex<()> = Mutex::new(());
        let _one_at_a_time = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
        let (begin, end) = (format!("<!-- {}: begin -->", self.name), format!("<!-- {}: end -->", self.name));
        let page = fs::read_to_string(&path).expect("the page is there");
        let (before, rest) = page.split_once(&begin).expect("the page has a place for the table");
        let (table, tail) = rest.split_once(&end).expect("the table has an end");
        let of_name = |row: &str| row.split('|').nth(1).map(|cell| cell.trim().to_owned());
        let mut rows: BTreeMap<String, &str> = table
            .lines()
            .filter(|line| line.starts_with('|') && !self.head.contains(line))
            .filter_map(|line| Some((of_name(line)?, line)))
            .collect();
        rows.insert(name.to_owned(), row);
        let mut text = format!("{before}{begin}\n{}\n", self.head);
        for row in rows.values() {
            writeln!(text, "{row}").expect("a string takes all");
        }
        write!(text, "{end}{tail}").expect("a string takes all");
        fs::write(&path, text).expect("the page can be written");
    }
}

/// What a long run ended with.
fn record(name: &str, row: &str) {
    if Scale::of_this_run() == Scale::Long {
        FAULTS.record(name, row);
    }
}
