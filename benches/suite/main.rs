//! The benchmark suite: `cargo bench --bench suite`, or `make bench`.
//!
//! Each bench measures dockstream beside a named reference in the same run, so that its ratios mean something on any
//! machine, and holds the figure against its bar. Words select benches by name: `cargo bench --bench suite -- decode`.
//! `--full` adds further sizes; `--write` records the table in `docs/performance.md`.
//!
//! What is to be measured alone runs as a process of its own: the simulated engine, the reference client, and
//! dockstream itself, as released.

mod batches;
mod catch_up;
mod cgroup;
mod child;
mod decode;
mod embedded;
mod fleet;
mod idle;
mod journal;
mod latency;
mod machine;
mod memory;
mod released;
mod report;
mod roles;
mod source;
mod timing;

use std::process::ExitCode;

use clap::Parser;

use report::{Report, Row};

#[derive(Parser)]
#[command(about = "Measures dockstream against its bars, and named references")]
struct Options {
    /// Only benches with one of these words in their name
    words: Vec<String>,
    /// Further sizes: the whole takes twice as long
    #[arg(long)]
    full: bool,
    /// Record the table in docs/performance.md; only for a run of all benches
    #[arg(long, conflicts_with = "words")]
    write: bool,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be one of the suite's own processes.
    #[arg(long, hide = true)]
    role: Option<roles::Role>,
    #[command(flatten)]
    engine: roles::SimulatedEngine,
}

/// How much to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Usual,
    Full,
}

type Bench = fn(Extent) -> anyhow::Result<Vec<Row>>;

const BENCHES: [(&str, Bench); 10] = [
    ("decode", decode::run),
    ("memory", memory::run),
    ("source", source::run),
    ("fleet", fleet::run),
    ("latency", latency::run),
    ("journal", journal::run),
    ("catch-up", catch_up::run),
    ("embedded", embedded::run),
    ("cgroup", cgroup::run),
    ("idle", idle::run),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let mut done = Ok(());
    // Counting is for the places that ask for it: everywhere else the allocator is to be as fast as it can.
    allocation_counter::opt_out(|| done = act(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(options: &Options) -> anyhow::Result<()> {
    match options.role {
        Some(role) => role.play(&options.engine),
        None => measure(options),
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let extent = if options.full { Extent::Full } else { Extent::Usual };
    let mut report = Report::begin();
    let selected = |name: &str| options.words.is_empty() || options.words.iter().any(|word| name.contains(&**word));
    for (name, bench) in BENCHES.iter().filter(|(name, _)| selected(name)) {
        eprintln!("measuring: {name}");
        report.add(bench(extent)?);
    }
    println!("{}", report.text());
    if options.write {
        report.record()?;
    }
    Ok(())
}
