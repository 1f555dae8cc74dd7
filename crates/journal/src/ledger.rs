//! What was lost, summed by sink, stream and reason.

use std::collections::BTreeMap;

use model::{LossReason, LossRecord, Stream, Timestamp};

/// Sums of losses; one entry per sink, stream and reason.
#[derive(Debug, Default)]
pub(crate) struct LossLedger {
    sums: BTreeMap<Key, Sum>,
}

/// Sink, stream, reason.
type Key = (String, Stream, LossReason);

#[derive(Debug)]
struct Sum {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    /// First and last time of what came since the fresh ones were last asked for.
    fresh: Option<(Timestamp, Timestamp)>,
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
            fresh: None,
        });
        sum.count += count;
        sum.first_at = sum.first_at.min(span.0);
        sum.last_at = sum.last_at.max(span.1);
        let fresh = sum.fresh.unwrap_or(span);
        sum.fresh = Some((fresh.0.min(span.0), fresh.1.max(span.1)));
    }

    /// Forgets what `sink` lost.
    pub(crate) fn forget(&mut self, sink: &str) {
        self.sums.retain(|(name, _, _), _| name != sink);
    }

    /// All sums so far.
    pub(crate) fn records(&self) -> Vec<LossRecord> {
        self.sums.iter().map(|(key, sum)| record(key, sum, (sum.first_at, sum.last_at))).collect()
    }

    /// All sums so far, with the times of what came since the last call.
    pub(crate) fn fresh_records(&mut self) -> Vec<LossRecord> {
        let fresh = |(key, sum): (&Key, &mut Sum)| {
            let span = sum.fresh.take().unwrap_or((sum.first_at, sum.last_at));
            record(key, sum, span)
        };
        self.sums.iter_mut().map(fresh).collect()
    }
}

fn record((sink, stream, reason): &Key, sum: &Sum, (first_at, last_at): (Timestamp, Timestamp)) -> LossRecord {
    LossRecord { stream: *stream, sink: Some(sink.clone()), reason: *reason, count: sum.count, first_at, last_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_records_have_the_whole_count_and_the_times_since_the_last_look() {
        let at = Timestamp::from_nanos;
        let mut ledger = LossLedger::default();
        ledger.add("kafka", Stream::Stats, LossReason::JournalFull, 3, (at(10), at(20)));
        assert_eq!(ledger.fresh_records(), ledger.records());
        ledger.add("kafka", Stream::Stats, LossReason::JournalFull, 2, (at(35), at(40)));
        ledger.add("kafka", Stream::Stats, LossReason::JournalFull, 1, (at(30), at(31)));
        let told = |records: Vec<LossRecord>| {
            records.iter().map(|loss| (loss.count, loss.first_at, loss.last_at)).collect::<Vec<_>>()
        };
        assert_eq!(told(ledger.records()), [(6, at(10), at(40))]);
        assert_eq!(told(ledger.fresh_records()), [(6, at(30), at(40))]);
    }
}
