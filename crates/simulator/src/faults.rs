//! Faults on command: what an engine, a kernel or a network can do to a client.

use std::time::Duration;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// Half of it, and then the connection ends abruptly.
    Cut,
    /// All of it, in this many writes a few milliseconds apart.
    Split(usize),
    /// A line that is no JSON.
    Garbage,
    /// A line that begins as the frame and ends in the middle. The stream goes on.
    Truncated,
    /// JSON, but no frame.
    OtherShape,
    /// An error object in a 200 stream, as Podman sends.
    EngineError,
    /// The same frame twice in one chunk.
    Twice,
    /// A zero frame, though the container runs: the engine could not collect.
    Zero,
}

/// What becomes of API calls whose path begins with `prefix` (without `/v1.xx`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiFault {
    pub(crate) prefix: String,
    pub(crate) left: usize,
    pub(crate) kind: ApiFaultKind,
}

/// The kind of an [`ApiFault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiFaultKind {
    /// This status, with a message.
    Status(u16),
    /// No answer, ever.
    Hang,
    /// The answer, but later.
    Delay(Duration),
    /// The connection ends before an answer.
    Reset,
}

impl ApiFault {
    /// The fault that a call to `path` meets, used up by it.
    pub(crate) fn take(faults: &mut Vec<Self>, path: &str) -> Option<ApiFaultKind> {
        let index = faults.iter().position(|fault| path.starts_with(&fault.prefix))?;
        let fault = &mut faults[index];
        let kind = fault.kind.clone();
        fault.left = fault.left.saturating_sub(1);
        if fault.left == 0 {
            faults.remove(index);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_so_many_calls_under_its_prefix_and_no_more() {
        let mut faults = vec![ApiFault { prefix: "/containers".into(), left: 2, kind: ApiFaultKind::Status(500) }];
        assert_eq!(ApiFault::take(&mut faults, "/_ping"), None);
        assert_eq!(ApiFault::take(&mut faults, "/containers/json"), Some(ApiFaultKind::Status(500)));
        assert_eq!(ApiFault::take(&mut faults, "/containers/a/json"), Some(ApiFaultKind::Status(500)));
        assert_eq!(ApiFault::take(&mut faults, "/containers/json"), None);
    }
}
