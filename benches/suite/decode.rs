//! One stats frame, from the engine's bytes to a computed sample.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bollard::models::ContainerStatsResponse;
use engine::frame::FrameDecoder;
use model::{CpuClock, Frame, OsFamily, compute};
use pipeline::ports::Decode;
use serde_json::Value;

use crate::Extent;
use crate::report::{Bar, Row};
use crate::timing::in_turns;

/// Recorded on real engines.
const FRAMES: [(&str, &[u8]); 3] = [
    ("cgroup v1, a bridge", include_bytes!("../../crates/engine/tests/frames/d20v1_normal_bridge.json")),
    ("cgroup v1, block I/O", include_bytes!("../../crates/engine/tests/frames/d20v1_blkio.json")),
    ("cgroup v2, a bridge", include_bytes!("../../crates/engine/tests/frames/d28v2_normal_bridge.json")),
];

const ROUNDS: usize = 41;
const FRAMES_A_ROUND: u32 = 1_000;

pub fn run(_: Extent) -> anyhow::Result<Vec<Row>> {
    FRAMES.iter().map(|(name, bytes)| frame(name, bytes)).collect()
}

fn frame(name: &str, bytes: &[u8]) -> anyhow::Result<Row> {
    let earlier = before(bytes)?;
    let ours = || {
        let frame = FrameDecoder.decode(black_box(bytes)).expect("a recorded frame is a frame");
        black_box(compute::sample(Some(black_box(&earlier)), &frame, OsFamily::Linux, CpuClock::System));
    };
    let typed = || drop(black_box(serde_json::from_slice::<ContainerStatsResponse>(black_box(bytes))));
    let untyped = || drop(black_box(serde_json::from_slice::<Value>(black_box(bytes))));
    anyhow::ensure!(serde_json::from_slice::<ContainerStatsResponse>(bytes).is_ok(), "bollard decodes the frame");

    let [ours_took, typed_took, untyped_took] =
        in_turns(ROUNDS, [&mut || timed(ours), &mut || timed(typed), &mut || timed(untyped)]);
    let (ours_allocates, typed_allocates, untyped_allocates) =
        (allocations(ours), allocations(typed), allocations(untyped));
    let micros = |seconds: f64| seconds * 1e6 / f64::from(FRAMES_A_ROUND);
    let (took, ratio) = (micros(ours_took.least()), typed_took.times(&ours_took));
    Ok(Row {
        what: format!("decode + compute one frame: {name}"),
        figure: format!("{took:.2} µs (median {:.2}), {ours_allocates} allocations", micros(ours_took.median())),
        reference: format!(
            "bollard typed {:.2} µs, {typed_allocates} allocations: **{ratio:.1} ×**; serde_json::Value {:.2} µs, {untyped_allocates}: {:.1} ×",
            micros(typed_took.least()),
            micros(untyped_took.least()),
            untyped_took.times(&ours_took),
        ),
        bar: Some(Bar::new("≤ 2.5 µs, 0 allocations, ≥ 4 ×", took <= 2.5 && ours_allocates == 0 && ratio >= 4.0)),
        conditions: format!("{} bytes; {ROUNDS} rounds of {FRAMES_A_ROUND} in turns; fastest round", bytes.len()),
    })
}

/// The same container one second before.
fn before(bytes: &[u8]) -> anyhow::Result<Frame> {
    let mut frame = FrameDecoder.decode(bytes).map_err(|reason| anyhow::anyhow!("recorded frame: {reason}"))?;
    let earlier = |counter: &mut Option<u64>, by| *counter = counter.map(|count: u64| count.saturating_sub(by));
    frame.read = frame.read.map(|read| read - Duration::from_secs(1));
    earlier(&mut frame.cpu.total, 1_000);
    earlier(&mut frame.cpu.system, 2_000_000_000);
    Ok(frame)
}

fn timed(mut once: impl FnMut()) -> Duration {
    let since = Instant::now();
    (0..FRAMES_A_ROUND).for_each(|_| once());
    since.elapsed()
}

/// Allocations of one call, in a thread that counts them.
fn allocations(once: impl Fn() + Sync) -> u64 {
    let counting = || allocation_counter::measure(&once).count_total;
    std::thread::scope(|scope| scope.spawn(counting).join()).expect("what was timed does not panic")
}
