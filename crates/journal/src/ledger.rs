//! What was lost, summed by sink, stream and reason.

use std::collections::BTreeMap;

use model::{LossReason, LossRecord, Stream, Timestamp};

/// Sums of losses; one entry per sink, stream and reason.
#[derive(Debug, Default)]
pub(crate) struct LossLedger {
    sums: BTreeMap<(String, Stream, LossReason), Sum>,
}

#[derive(Debug)]
struct Sum {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl LossLedger {
    /// Adds `count` records that `sink` will not get.
    pub(crate) fn add(
        &mut self,
        sink: &str,
        stream: Stream,
        reason: LossReason,
        count: u64,
        span: (Timestamp, Timestamp),
    ) {
        let sum = self.sums.entry((sink.to_owned(), stream, reason)).or_insert(Sum {
            count: 0,
            first_at: span.0,
            last_at: span.1,
        });
        sum.count += count;
        sum.first_at = sum.first_at.min(span.0);
        sum.last_at = sum.last_at.max(span.1);
    }

    /// Forgets what `sink` lost.
    pub(crate) fn forget(&mut self, sink: &str) {
        self.sums.retain(|(name, _, _), _| name != sink);
    }

    /// All sums so far.
    pub(crate) fn records(&self) -> Vec<LossRecord> {
        self.sums
            .iter()
            .map(|((sink, stream, reason), sum)| LossRecord {
                stream: *stream,
                sink: Some(sink.clone()),
                reason: *reason,
                count: sum.count,
                first_at: sum.first_at,
                last_at: sum.last_at,
            })
            .collect()
    }
}
