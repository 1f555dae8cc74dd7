//! The source alone: thousands of stats streams, from the socket to computed samples.

use std::time::Duration;

use crate::Extent;
use crate::child::watch;
use crate::report::{Bar, Row};
use crate::roles::{Role, SimulatedEngine};

const STREAMS: usize = 5_000;
const WINDOW: Duration = Duration::from_secs(12);
/// Opening thousands of streams on a busy machine.
const OPENING: Duration = Duration::from_secs(90);

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let simulated = SimulatedEngine::at(folder.path(), STREAMS);
    let mut engine = simulated.spawn(Role::Engine)?;
    // Side by side, so that both see the same machine and the same frames.
    let mut ours = simulated.spawn(Role::Source)?;
    ours.until(OPENING, |samples| samples > 2 * STREAMS as u64)?;
    let mut typed = simulated.spawn(Role::Typed)?;
    typed.until(OPENING, |frames| frames > 2 * STREAMS as u64)?;
    let before = (engine.count()?, ours.count()?, typed.count()?);
    let [ours_used, typed_used, engine_used] = watch(WINDOW, [&ours, &typed, &engine]);
    let after = (engine.count()?, ours.count()?, typed.count()?);
    let per_second = |count: u64| count as f64 / WINDOW.as_secs_f64();
    let (sent, read) = (per_second((after.0 - before.0) / 2), per_second(after.1 - before.1));
    let read_typed = per_second(after.2 - before.2);
    let micros = |percent: f64, rate: f64| percent / 100.0 / rate * 1e6;
    let row = Row {
        what: format!("source alone, {STREAMS} streams at 1 Hz, socket to sample"),
        figure: format!(
            "{:.1} % of one core ({:.1} µs a frame), {:.0} MiB",
            ours_used.cpu_percent,
            micros(ours_used.cpu_percent, read),
            ours_used.memory_mib,
        ),
        reference: format!(
            "bollard typed, side by side: {:.1} % ({:.1} µs a frame), {:.0} MiB: **{:.1} ×** the CPU",
            typed_used.cpu_percent,
            micros(typed_used.cpu_percent, read_typed),
            typed_used.memory_mib,
            typed_used.cpu_percent / ours_used.cpu_percent,
        ),
        bar: Some(Bar::new("≤ 5 %, ≤ 40 MiB", ours_used.cpu_percent <= 5.0 && ours_used.memory_mib <= 40.0)),
        conditions: format!(
            "{} s; sent {sent:.0}/s, read {read:.0}/s and {read_typed:.0}/s; {} and {} descriptors; the engine itself {:.0} %",
            WINDOW.as_secs(),
            ours_used.descriptors,
            typed_used.descriptors,
            engine_used.cpu_percent,
        ),
    };
    Ok(vec![row])
}
