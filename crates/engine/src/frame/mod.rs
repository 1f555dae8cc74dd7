//! Stats frames: from the engine's bytes to counters.
//!
//! Two paths give one result. The direct one walks the document once, takes the numbers out of borrowed bytes and
//! allocates nothing; it knows the plain JSON engines write, and gives up on anything else. What it gives up on goes
//! through serde, which knows all of JSON and says what is wrong with the rest. Fields by the Docker Engine API,
//! `GET /containers/{id}/stats`, with the differences of cgroup v1 and v2, Windows and Podman.

mod cursor;
mod direct;
pub(crate) mod time;
mod typed;

use model::{Frame, LossReason};
use pipeline::ports::Decode;

/// The frame decoder of the pipeline: [`decode`] as a [`Decode`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameDecoder;

impl Decode for FrameDecoder {
    fn decode(&self, bytes: &[u8]) -> Result<Frame, LossReason> {
        decode(bytes)
    }
}

/// Decodes one frame: about 2 KB, in any order of keys, with or without white space.
///
/// Identity (`id`, `Id`, `name`) is not looked at: one-shot frames of some engines have none, so it is the
/// request that knows whose frame it is.
///
/// # Errors
/// `Truncated` where the document ends too early, `NotJson` where it is no JSON, `EngineError` where it is an
/// engine's error object (`{"message": …}`, Podman's `{"cause": …, "response": 500}`), `UnexpectedShape` where it
/// is other JSON than a stats frame.
pub fn decode(bytes: &[u8]) -> Result<Frame, LossReason> {
    match direct::decode(bytes) {
        Some(frame) => Ok(frame),
        None => typed::decode(bytes),
    }
}

/// [`decode`] by serde alone: the reference in differential tests and benchmarks.
///
/// # Errors
/// As [`decode`].
pub fn decode_typed(bytes: &[u8]) -> Result<Frame, LossReason> {
    typed::decode(bytes)
}

/// The direct path alone; `None` where it would leave the frame to serde.
pub fn decode_direct(bytes: &[u8]) -> Option<Frame> {
    direct::decode(bytes)
}

/// CPUs online by either count an engine gives: `online_cpus`, or where that is missing or zero the length of `percpu_usage`.
fn online_cpus(online: Option<u64>, listed: usize) -> Option<u32> {
    let online = online.filter(|online| *online > 0).or(u64::try_from(listed).ok().filter(|listed| *listed > 0));
    online.and_then(|online| u32::try_from(online).ok())
}

/// A limit on processes; engines write 2^64 − 1 where there is none.
fn pids_limit(limit: Option<u64>) -> Option<u64> {
    limit.filter(|limit| *limit != u64::MAX)
}
